//! What an occurrence costs, and the floors that the estimate rests on (findings, section 1.3).

use super::hour::{Hour, window_us};
use crate::Map;
use crate::facts::PredicateClass;
use crate::labels::DatabaseId;
use crate::record::{Micros, Timing};
use crate::seen::Seen;
use crate::sessions::Floor;
use crate::text::Class;

/// Keys that one batched statement may carry.
pub(crate) const BATCH_KEYS_MAX: u64 = 500;

/// What the latest occurrence took and could save, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OccurrenceCost {
    pub(crate) saved_low_us: u64,
    pub(crate) saved_high_us: u64,
    pub(crate) rtt_us: Option<u64>,
    pub(crate) service_p50_us: u64,
    pub(crate) busy_us: u64,
    /// Round trips that the better form spares; 0 where it spares none.
    pub(crate) round_trips: u64,
    /// Bytes moved in vain, where the kind is about bytes.
    pub(crate) bytes: Option<u64>,
}

/// The inputs of the formula; times in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Repeated {
    /// Executions.
    pub(crate) n: u64,
    /// Statements that a batched form needs.
    pub(crate) batched: u64,
    /// Union of the service intervals.
    pub(crate) busy_us: u64,
    /// Median service time.
    pub(crate) p50_us: u64,
    /// Round-trip floor of the session.
    pub(crate) rtt_us: Option<u64>,
    /// Least work of a point look-up on this database.
    pub(crate) plan_floor_us: Option<u64>,
}

impl Repeated {
    /// Bounds of what the batched form saves.
    pub(crate) fn cost(&self) -> OccurrenceCost {
        let rtt = self.rtt_us.unwrap_or(0);
        let work = self.p50_us.saturating_sub(rtt);
        let least = rtt + work.min(self.plan_floor_us.unwrap_or(0));
        let high = self.busy_us.saturating_sub(self.batched * self.p50_us);
        let low = self.n.saturating_sub(self.batched) * least;
        OccurrenceCost {
            saved_low_us: low.min(high),
            saved_high_us: high,
            rtt_us: self.rtt_us,
            service_p50_us: self.p50_us,
            busy_us: self.busy_us,
            round_trips: self.n.saturating_sub(self.batched),
            bytes: None,
        }
    }
}

/// Floors and the total wait of the last hour.
#[derive(Debug, Default)]
pub(crate) struct Costs {
    start_us: Option<Micros>,
    wait: Hour<1>,
    plan_floors: Map<DatabaseId, Floor>,
    first_rows: Map<DatabaseId, Floor>,
}

impl Costs {
    /// Takes in one execution.
    pub(crate) fn statement(&mut self, seen: &Seen<'_>) {
        let record = seen.record;
        let end_us = record.end_us();
        self.start_us =
            Some(self.start_us.map_or(record.begin_us, |start| start.min(record.begin_us)));
        self.wait.add(end_us, [record.duration_us()]);
        if record.timing != Timing::Exact || !seen.takes_part() {
            return;
        }
        self.first_rows.entry(seen.database).or_default().record(end_us, record.first_row_us);
        if let Some(rtt) = seen.rtt_us.filter(|_| is_point_look_up(seen)) {
            let work = record.duration_us().saturating_sub(rtt);
            self.plan_floors.entry(seen.database).or_default().record(end_us, work);
        }
    }

    /// Least work of a point look-up on this database in the last minutes.
    pub(crate) fn plan_floor_us(&self, database: DatabaseId, now: Micros) -> Option<u64> {
        self.plan_floors.get(&database).and_then(|floor| floor.at(now))
    }

    /// Least first-row time of any statement of this database in the last minutes.
    pub(crate) fn first_row_floor_us(&self, database: DatabaseId, now: Micros) -> Option<u64> {
        self.first_rows.get(&database).and_then(|floor| floor.at(now))
    }

    /// Database wait in the window that [`Self::window_us`] measures.
    pub(crate) fn wait_us(&self, now: Micros) -> u64 {
        self.wait.sums(now)[0]
    }

    /// Length of the window of hourly sums.
    pub(crate) fn window_us(&self, now: Micros) -> u64 {
        self.start_us.map_or(0, |start| window_us(start, now))
    }
}

fn is_point_look_up(seen: &Seen<'_>) -> bool {
    let equality = |facts: &crate::facts::StatementFacts| {
        facts.predicates.iter().any(|predicate| predicate.class == PredicateClass::Eq)
    };
    seen.statement.class == Class::Read
        && seen.record.rows <= 1
        && seen.statement.facts.as_ref().is_some_and(|facts| facts.has_from && equality(facts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn savings_by_the_formula() {
        let base = Repeated {
            n: 51,
            batched: 1,
            busy_us: 51_000,
            p50_us: 1_000,
            rtt_us: Some(200),
            plan_floor_us: Some(100),
        };
        for (name, repeated, low, high) in [
            ("round trip and plan floor", base, 50 * 300, 50_000),
            ("no plan floor yet", Repeated { plan_floor_us: None, ..base }, 50 * 200, 50_000),
            (
                "no round-trip floor: only the plan's",
                Repeated { rtt_us: None, ..base },
                5_000,
                50_000,
            ),
            ("work below the plan floor", Repeated { p50_us: 250, ..base }, 50 * 250, 50_750),
            ("low is capped by high", Repeated { busy_us: 3_000, ..base }, 2_000, 2_000),
            ("a batch that took no time", Repeated { busy_us: 0, ..base }, 0, 0),
            ("fewer executions than batches", Repeated { n: 0, ..base }, 0, 50_000),
        ] {
            let cost = repeated.cost();
            assert_eq!((cost.saved_low_us, cost.saved_high_us), (low, high), "{name}");
        }
    }
}
