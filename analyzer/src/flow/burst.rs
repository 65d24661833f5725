//! The burst gate: one request that asks over several connections of its pool at once.
//!
//! Nothing on the wire binds the children to the parent but their values, so it demands nearly all of them:
//! almost every value of the parent's column, hardly any of them twice, hardly any other execution of the child
//! by that client in between. Under load it finds little; it must not claim anything that isn't so.
//!
//! It looks back: executions are remembered for a while, and a parent is judged when its window is over.

mod entries;
mod verdict;

use super::candidate::Sender;
use super::column::Column;
use super::held::{Held, HeldId};
use super::judge::{Court, Occurrence};
use super::slots::Slots;
use super::store::Store;
use super::taken::Taken;
use crate::digest::Statement;
use crate::labels::DatabaseId;
use crate::limits::FlowLimits;
use crate::record::{Micros, SessionId};
use crate::seen::Seen;
use entries::Entries;
use std::collections::VecDeque;
use std::sync::Arc;

/// A result that waits for its burst.
#[derive(Debug)]
struct Parent {
    id: HeldId,
    statement: Arc<Statement>,
    database: DatabaseId,
    client: u64,
    session: SessionId,
    transaction: u32,
    trace: Option<u64>,
    end_us: Micros,
    rows: u64,
    columns: Vec<Column>,
    sender: Sender,
    rtt_us: Option<u64>,
}

/// The gate's memory.
#[derive(Debug)]
pub(super) struct Bursts {
    limits: FlowLimits,
    entries: Entries,
    parents: VecDeque<Parent>,
    /// Parents taken in during a second.
    second: (u64, u32),
    /// Parents that were not judged because there were too many of them or of executions.
    pub(super) overflowed: u64,
}

impl Bursts {
    pub(super) fn new(limits: &FlowLimits) -> Self {
        Self {
            entries: Entries::new(limits.burst_entries_max),
            limits: limits.clone(),
            parents: VecDeque::new(),
            second: (0, 0),
            overflowed: 0,
        }
    }

    /// Remembers an execution that may be a child.
    pub(super) fn note(&mut self, seen: &Seen<'_>, slots: &Slots) {
        if self.limits.burst && seen.statement.may_be_child() && !seen.is_part() {
            self.entries.push(seen, slots);
        }
    }

    /// A result that may be a parent.
    pub(super) fn parent(&mut self, seen: &Seen<'_>, held: &Held, id: HeldId) {
        if !self.limits.burst || held.widest() < self.limits.burst_values_min || held.truncated {
            return;
        }
        let second = held.end_us / 1_000_000;
        if second > self.second.0 {
            self.second = (second, 0);
        }
        self.second.1 += 1;
        let full = self.parents.len() >= self.limits.burst_parents_max;
        if full || self.second.1 > self.limits.burst_parents_per_s_max {
            self.overflowed += 1;
            return;
        }
        let wide = |column: &&Column| column.len() >= self.limits.burst_values_min;
        self.parents.push_back(Parent {
            id,
            statement: held.statement.clone(),
            database: held.database,
            client: seen.client,
            session: held.session,
            transaction: held.transaction,
            trace: held.trace,
            end_us: held.end_us,
            rows: held.rows,
            columns: held.columns.iter().filter(wide).cloned().collect(),
            sender: Sender::of(seen),
            rtt_us: seen.rtt_us,
        });
    }

    /// Judges the parents whose window is over.
    pub(super) fn tick(
        &mut self,
        late_us: Micros,
        court: Court<'_>,
        store: &Store,
        taken: &mut Taken,
        found: &mut Vec<Occurrence>,
    ) {
        let window_us = self.limits.burst_window_us;
        let ripe = |parent: &Parent| parent.end_us.saturating_add(window_us) <= late_us;
        while self.parents.front().is_some_and(ripe) {
            let Some(parent) = self.parents.pop_front() else { return };
            if !self.entries.reach_back_to(parent.end_us) {
                self.overflowed += 1;
                continue;
            }
            for verdict in self.verdicts(&parent, court) {
                let pending = store.find(parent.id).is_some_and(|held| {
                    let enough = court.limits.executions_min as u64;
                    held.candidates.iter().any(|candidate| {
                        candidate.child.digest == verdict.child.digest && candidate.hits() >= enough
                    })
                });
                let shared = verdict.executions.iter().any(|execution| taken.contains(*execution));
                if !pending && !shared && !self.a_later_parent_explains(&parent, &verdict) {
                    verdict.executions.iter().for_each(|execution| taken.insert(*execution));
                    found.push(verdict.occurrence(&parent));
                }
            }
        }
    }
}
