//! How many values a slot is ever asked for, outside of what was fed: the guard against small domains.
//!
//! k look-ups from a domain of D values meet a parent that holds N of them by chance the more easily, the
//! closer N comes to D (countries, statuses). There, more values are demanded.

use crate::Map;
use crate::labels::DatabaseId;
use crate::limits::FlowLimits;
use crate::seen::Seen;

use super::slots::Slots;

/// Distinct values told apart per slot; a domain with more is large.
const VALUES_MAX: usize = 256;
/// Slots of one statement that are followed.
const SLOTS_MAX: usize = 4;
/// Executions from which a domain counts as known.
const EXECUTIONS_MIN: u64 = 50;

#[derive(Debug, Default)]
struct Domain {
    executions: u64,
    /// Distinct hashes, sorted.
    values: Vec<u32>,
}

/// Domains by (database, digest, slot).
#[derive(Debug, Default)]
pub(crate) struct Domains {
    domains: Map<(DatabaseId, u64, u16), Domain>,
    max: usize,
    share_max_ratio: f64,
    guarded_values_min: usize,
}

impl Domains {
    pub(crate) fn new(max: usize, limits: &FlowLimits) -> Self {
        Self {
            domains: Map::default(),
            max,
            share_max_ratio: limits.domain_share_max_ratio,
            guarded_values_min: limits.small_domain_values_min,
        }
    }

    /// An execution that no result fed.
    pub(crate) fn note(&mut self, seen: &Seen<'_>, slots: &Slots) {
        for at in 0..slots.len().min(SLOTS_MAX) {
            let (slot, values) = slots.at(at);
            let key = (seen.database, seen.statement.digest, slot);
            if self.domains.len() >= self.max && !self.domains.contains_key(&key) {
                continue;
            }
            let domain = self.domains.entry(key).or_default();
            domain.executions += 1;
            for value in values {
                domain.add(*value);
            }
        }
    }

    /// Distinct values that a proof needs for a parent column of `kept` values; `None`: no guard.
    pub(crate) fn values_min(
        &self,
        database: DatabaseId,
        digest: u64,
        slot: u16,
        kept: usize,
    ) -> Option<usize> {
        let domain = self.domains.get(&(database, digest, slot))?;
        let known = domain.executions >= EXECUTIONS_MIN && domain.values.len() < VALUES_MAX;
        let small = kept as f64 > self.share_max_ratio * domain.values.len() as f64;
        (known && small).then_some(self.guarded_values_min)
    }
}

impl Domain {
    fn add(&mut self, value: u32) {
        if self.values.len() < VALUES_MAX
            && let Err(at) = self.values.binary_search(&value)
        {
            self.values.insert(at, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_at_its_limits() {
        for (name, executions, distinct, kept, guarded) in [
            ("half of a known domain", 50, 20, 10, false),
            ("more than half", 50, 20, 11, true),
            ("not known yet", 49, 20, 11, false),
            ("a large domain", 500, VALUES_MAX as u32, 200, false),
            ("nearly large", 500, VALUES_MAX as u32 - 1, 200, true),
        ] {
            let mut domains = Domains::new(10, &FlowLimits::default());
            let mut domain = Domain { executions, ..Domain::default() };
            (0..distinct).chain(0..distinct).for_each(|value| domain.add(value));
            assert_eq!(domain.values.len(), distinct as usize);
            domains.domains.insert((DatabaseId(1), 7, 1), domain);
            let min = domains.values_min(DatabaseId(1), 7, 1, kept);
            assert_eq!(min, guarded.then_some(8), "{name}");
            assert_eq!(domains.values_min(DatabaseId(2), 7, 1, kept), None);
        }
    }
}
