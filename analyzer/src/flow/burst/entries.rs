//! The executions that the burst gate remembers, by value and by digest.

use super::super::slots::Slots;
use crate::Map;
use crate::digest::Statement;
use crate::labels::DatabaseId;
use crate::record::{Micros, SessionId};
use crate::seen::Seen;
use std::collections::VecDeque;
use std::sync::Arc;

/// Values remembered per execution; a list of more is no look-up.
const VALUES_MAX: usize = 4;
/// Executions with one value that are looked at, newest first.
const SAME_VALUE_MAX: usize = 32;

/// Ordinal of an entry; 0 = none.
type Ordinal = u64;

/// One execution.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) begin_us: Micros,
    pub(super) end_us: Micros,
    pub(super) service_us: Option<u64>,
    pub(super) session: SessionId,
    pub(super) transaction: u32,
    pub(super) trace: Option<u64>,
    pub(super) database: DatabaseId,
    pub(super) client: u64,
    pub(super) statement: Arc<Statement>,
    pub(super) execution: u32,
    values: [Value; VALUES_MAX],
    values_len: usize,
    previous_of_digest: Ordinal,
}

/// One value, and the entry before with the same value.
#[derive(Clone, Copy, Debug, Default)]
struct Value {
    slot: u16,
    hash: u32,
    previous: Ordinal,
}

/// The newest executions.
#[derive(Debug)]
pub(super) struct Entries {
    entries: VecDeque<Entry>,
    /// Ordinal of the first entry.
    first: Ordinal,
    by_value: Map<u32, Ordinal>,
    by_digest: Map<u64, Ordinal>,
    max: usize,
}

impl Entries {
    pub(super) fn new(max: usize) -> Self {
        let (by_value, by_digest) = (Map::default(), Map::default());
        Self { entries: VecDeque::new(), first: 1, by_value, by_digest, max: max.max(1) }
    }

    pub(super) fn push(&mut self, seen: &Seen<'_>, slots: &Slots) {
        if self.entries.len() >= self.max {
            self.forget_first();
        }
        let ordinal = self.first + self.entries.len() as u64;
        let mut values = [Value::default(); VALUES_MAX];
        let mut values_len = 0;
        for index in 0..slots.len() {
            let (slot, hashes) = slots.at(index);
            if values_len + hashes.len() > VALUES_MAX {
                continue;
            }
            for hash in hashes {
                let previous = self.by_value.insert(*hash, ordinal).unwrap_or(0);
                // The same value in two slots: the chain has to leave this entry.
                let same = values[..values_len].iter().find(|value: &&Value| value.hash == *hash);
                let previous = same.map_or(previous, |value| value.previous);
                values[values_len] = Value { slot, hash: *hash, previous };
                values_len += 1;
            }
        }
        let digest = seen.statement.digest;
        self.entries.push_back(Entry {
            begin_us: seen.record.begin_us,
            end_us: seen.record.end_us(),
            service_us: seen.service_us,
            session: seen.record.session,
            transaction: seen.record.transaction,
            trace: seen.trace(),
            database: seen.database,
            client: seen.client,
            statement: seen.statement.clone(),
            execution: slots.execution,
            values,
            values_len,
            previous_of_digest: self.by_digest.insert(digest, ordinal).unwrap_or(0),
        });
    }

    fn forget_first(&mut self) {
        let Some(gone) = self.entries.pop_front() else { return };
        let ordinal = self.first;
        self.first += 1;
        for value in &gone.values[..gone.values_len] {
            if self.by_value.get(&value.hash) == Some(&ordinal) {
                self.by_value.remove(&value.hash);
            }
        }
        if self.by_digest.get(&gone.statement.digest) == Some(&ordinal) {
            self.by_digest.remove(&gone.statement.digest);
        }
    }

    fn find(&self, ordinal: Ordinal) -> Option<&Entry> {
        self.entries.get(usize::try_from(ordinal.checked_sub(self.first)?).ok()?)
    }

    /// Whether everything since then is remembered.
    pub(super) fn reach_back_to(&self, us: Micros) -> bool {
        let full = self.entries.len() >= self.max;
        !full || self.entries.front().is_none_or(|entry| entry.begin_us < us)
    }

    /// Executions with that value in any slot, newest first: ordinal, slot, entry.
    pub(super) fn with_value(&self, hash: u32) -> impl Iterator<Item = (Ordinal, u16, &Entry)> {
        let mut next = self.by_value.get(&hash).copied().unwrap_or(0);
        let entries = std::iter::from_fn(move || {
            let ordinal = next;
            let entry = self.find(ordinal)?;
            let same = |value: &&Value| value.hash == hash;
            next = entry.values[..entry.values_len].iter().find(same).map_or(0, |v| v.previous);
            Some((ordinal, entry))
        });
        entries.take(SAME_VALUE_MAX).flat_map(move |(ordinal, entry)| {
            let values = entry.values[..entry.values_len].iter();
            values.filter(move |v| v.hash == hash).map(move |value| (ordinal, value.slot, entry))
        })
    }

    /// Executions of a digest, newest first.
    pub(super) fn of_digest(&self, digest: u64) -> impl Iterator<Item = &Entry> {
        let mut next = self.by_digest.get(&digest).copied().unwrap_or(0);
        std::iter::from_fn(move || {
            let entry = self.find(next)?;
            next = entry.previous_of_digest;
            Some(entry)
        })
    }
}
