//! Where results are held: per session in a ring, bounded in number and in bytes.

use super::held::{Held, HeldId};
use super::is_fetch;
use crate::Map;
use crate::digest::Statement;
use crate::limits::FlowLimits;
use crate::record::{Micros, SessionId};
use crate::seen::Seen;
use crate::text::Class;
use std::sync::Arc;

/// Results of fed statements that a session holds at most.
const LEAVES_MAX: usize = 4;

/// What is known of one session.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    results: Vec<HeldId>,
    last_us: Micros,
    /// Trace of its latest traced statement.
    pub(crate) trace: Option<u64>,
    /// Cursors of the transaction: which, how many, the latest one's query.
    declared: Option<(u32, u32, Arc<Statement>)>,
    /// A write that returns rows and may go on.
    run: Option<HeldId>,
}

impl Ring {
    /// Remembers the query of a cursor.
    pub(crate) fn declare(&mut self, seen: &Seen<'_>) {
        let transaction = seen.record.transaction;
        let earlier = match &self.declared {
            Some((same, count, _)) if *same == transaction => *count,
            _ => 0,
        };
        self.declared = Some((transaction, earlier + 1, seen.statement.clone()));
    }

    /// The statement that a FETCH reads: the query of the cursor, if there is only one in the transaction.
    fn cursor(&self, seen: &Seen<'_>) -> Option<&Arc<Statement>> {
        match &self.declared {
            Some((transaction, 1, query)) if *transaction == seen.record.transaction => Some(query),
            _ => None,
        }
    }
}

/// All held results.
#[derive(Debug, Default)]
pub(crate) struct Store {
    results: Map<HeldId, Held>,
    rings: Map<SessionId, Ring>,
    next: HeldId,
    bytes: usize,
    /// Results that had to go because of the memory limit.
    pub(crate) evictions: u64,
}

impl Store {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lets `feed` work on a held result, and accounts for what it grows by.
    pub(crate) fn with(&mut self, id: HeldId, feed: impl FnOnce(&mut Held) -> bool) -> bool {
        let Some(held) = self.results.get_mut(&id) else { return false };
        let before = held.candidate_bytes;
        let fed = feed(held);
        self.bytes = self.bytes + held.candidate_bytes - before;
        fed
    }

    pub(crate) fn ring(&mut self, session: SessionId) -> &mut Ring {
        self.rings.entry(session).or_default()
    }

    /// Results of the session and of the trace, newest first.
    pub(crate) fn visible(&self, session: SessionId, traced: &[HeldId], ids: &mut Vec<HeldId>) {
        let own = self.rings.get(&session).map_or(&[][..], |ring| &ring.results);
        ids.clear();
        ids.extend(own.iter().chain(traced));
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
    }

    /// Any other statement ends a run of one-row RETURNING results.
    pub(crate) fn end_run(&mut self, session: SessionId) {
        if let Some(ring) = self.rings.get_mut(&session) {
            ring.run = None;
        }
    }

    /// The held result that this one continues: a portal's next part, a cursor's next rows, a write's next row.
    pub(crate) fn continued(&self, seen: &Seen<'_>) -> Option<HeldId> {
        let ring = self.rings.get(&seen.record.session)?;
        let fetch = is_fetch(seen);
        let goes_on = |held: &Held| {
            let same_unit =
                held.transaction == seen.record.transaction && held.trace == seen.trace();
            let same_text = held.text == seen.record.text;
            same_unit && same_text && (held.suspended || fetch)
        };
        let part = ring.results.iter().rev().find(|id| self.results.get(*id).is_some_and(goes_on));
        part.copied().or_else(|| ring.run.filter(|id| self.is_run(*id, seen)))
    }

    fn is_run(&self, id: HeldId, seen: &Seen<'_>) -> bool {
        self.results.get(&id).is_some_and(|held| {
            held.statement.digest == seen.statement.digest
                && held.transaction == seen.record.transaction
                && held.trace == seen.trace()
        })
    }

    /// Adds the rows of an execution to a held result.
    pub(crate) fn append(&mut self, id: HeldId, seen: &Seen<'_>, limits: &FlowLimits) {
        if let Some(held) = self.results.get_mut(&id) {
            let before = held.bytes();
            held.append(seen, limits);
            self.bytes = self.bytes - before + held.bytes();
        }
        self.ring(seen.record.session).last_us = seen.record.end_us();
    }

    /// The result that has to make room in a full ring: fed nothing and oldest, then leaves, then the one that
    /// was fed from longest ago.
    pub(crate) fn ring_victim(&self, session: SessionId, results_max: usize) -> Option<HeldId> {
        let ring = self.rings.get(&session)?;
        let leaves = ring.results.iter().filter(|id| self.results.get(*id).is_some_and(|h| h.leaf));
        let mut leaves: Vec<HeldId> = leaves.copied().collect();
        if leaves.len() >= LEAVES_MAX {
            return Some(leaves.swap_remove(0));
        }
        if ring.results.len() < results_max.max(1) {
            return None;
        }
        let rank = |id: &HeldId| match self.results.get(id) {
            Some(held) => match held.last_fed_us {
                None => (0, 0, *id),
                Some(at) => (1 + u8::from(!held.leaf), at, *id),
            },
            None => (0, 0, *id),
        };
        ring.results.iter().copied().min_by_key(rank)
    }

    /// Holds a new result.
    pub(crate) fn insert(&mut self, seen: &Seen<'_>, leaf: bool, limits: &FlowLimits) -> HeldId {
        let id = self.next;
        self.next += 1;
        let write = seen.statement.class == Class::Write;
        let ring = self.rings.entry(seen.record.session).or_default();
        let statement = if is_fetch(seen) { ring.cursor(seen) } else { None };
        let mut held = Held::new(seen, statement.unwrap_or(seen.statement).clone(), leaf);
        held.append(seen, limits);
        if !held.suspended && !write && !is_fetch(seen) {
            held.drop_constant_columns();
        }
        ring.results.push(id);
        ring.last_us = seen.record.end_us();
        ring.run = write.then_some(id);
        self.bytes += held.bytes();
        self.results.insert(id, held);
        id
    }

    /// Forgets a result and hands it out.
    pub(crate) fn remove(&mut self, id: HeldId) -> Option<Held> {
        let held = self.results.remove(&id)?;
        self.bytes = self.bytes.saturating_sub(held.bytes());
        if let Some(ring) = self.rings.get_mut(&held.session) {
            ring.results.retain(|other| *other != id);
            ring.run = ring.run.filter(|run| *run != id);
        }
        Some(held)
    }

    /// Above the memory limit: all results of the session that has been idle for longest.
    pub(crate) fn memory_victims(&mut self, bytes_max: usize) -> Option<Vec<HeldId>> {
        if self.bytes <= bytes_max {
            return None;
        }
        let idle = self
            .rings
            .iter()
            .filter(|(_, ring)| !ring.results.is_empty())
            .min_by_key(|(id, ring)| (ring.last_us, **id));
        let victims = match idle {
            Some((_, ring)) => ring.results.clone(),
            // Only results whose session has ended are left; the oldest go.
            None => self.results.keys().min().map(|id| vec![*id])?,
        };
        self.evictions += victims.len() as u64;
        Some(victims)
    }

    /// Closes the transaction scope; returns the results that no scope holds any more.
    pub(crate) fn end_transaction(&mut self, session: SessionId, transaction: u32) -> Vec<HeldId> {
        let Some(ring) = self.rings.get_mut(&session) else { return Vec::new() };
        ring.declared = None;
        ring.run = None;
        let mut over = Vec::new();
        for id in &ring.results {
            let Some(held) = self.results.get_mut(id) else { continue };
            // Also earlier ones, should the record of their end have been lost.
            if held.transaction <= transaction {
                held.transaction_open = false;
            }
            if !held.transaction_open && !held.trace_open {
                over.push(*id);
            }
        }
        over
    }

    /// Closes the session; results that a trace holds stay.
    pub(crate) fn end_session(&mut self, session: SessionId) -> Vec<HeldId> {
        let Some(ring) = self.rings.remove(&session) else { return Vec::new() };
        let mut over = Vec::new();
        for id in ring.results {
            if let Some(held) = self.results.get_mut(&id) {
                held.transaction_open = false;
                if !held.trace_open {
                    over.push(id);
                }
            }
        }
        over
    }

    /// Closes the trace scope of these results; returns those that no scope holds any more.
    pub(crate) fn end_trace(&mut self, ids: &[HeldId]) -> Vec<HeldId> {
        let mut over = Vec::new();
        for id in ids {
            if let Some(held) = self.results.get_mut(id) {
                held.trace_open = false;
                if !held.transaction_open {
                    over.push(*id);
                }
            }
        }
        over
    }
}
