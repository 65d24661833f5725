//! Where results are held: per session in a ring, bounded in number and in bytes.

use super::gate::SCOPE;
use super::held::{ChainState, Held, HeldId};
use super::is_fetch;
use super::results::Results;
use super::slots::Slots;
use crate::Map;
use crate::digest::Statement;
use crate::limits::FlowLimits;
use crate::record::{Micros, SessionId};
use crate::seen::Seen;
use crate::text::Class;
use std::sync::Arc;

/// Levels (results of fed statements) that a session holds at most.
const LEVELS_MAX: usize = 4;
/// Above the memory limit so much of it is freed at once, in percent.
const FREED_PERCENT: usize = 5;

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
    results: Results<Held>,
    rings: Map<SessionId, Ring>,
    bytes: usize,
    /// Results that had to go because of a memory limit.
    pub(crate) evictions: u64,
}

impl Store {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A held result.
    pub(crate) fn find(&self, id: HeldId) -> Option<&Held> {
        self.results.get(id)
    }

    /// Lets `feed` work on a held result, and accounts for what it grows by.
    pub(crate) fn with(&mut self, id: HeldId, feed: impl FnOnce(&mut Held) -> bool) -> bool {
        let Some(held) = self.results.change(id) else { return false };
        let fed = feed(held);
        if fed {
            let (before, now) = held.recount();
            self.bytes = self.bytes + now - before;
        }
        fed
    }

    pub(crate) fn ring(&mut self, session: SessionId) -> &mut Ring {
        self.rings.entry(session).or_default()
    }

    /// Sessions that hold results, in ascending order.
    pub(crate) fn sessions(&self) -> Vec<SessionId> {
        let holding = self.rings.iter().filter(|(_, ring)| !ring.results.is_empty());
        let mut sessions: Vec<SessionId> = holding.map(|(session, _)| *session).collect();
        sessions.sort_unstable();
        sessions
    }

    /// Results of a session.
    pub(crate) fn of(&self, session: SessionId) -> &[HeldId] {
        self.rings.get(&session).map_or(&[], |ring| &ring.results)
    }

    /// Results of the session and of the trace, newest first.
    pub(crate) fn visible(&self, session: SessionId, traced: &[HeldId], ids: &mut Vec<HeldId>) {
        ids.clear();
        ids.extend(self.of(session).iter().chain(traced));
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
        // Drivers ask for other numbers of rows from one FETCH to the next.
        let cursor = ring.cursor(seen).filter(|_| fetch);
        let goes_on = |held: &Held| {
            let same_unit =
                held.transaction == seen.record.transaction && held.trace == seen.trace();
            let same_text = held.text == seen.record.text
                || cursor.is_some_and(|query| Arc::ptr_eq(query, &held.statement));
            same_unit && same_text && (held.suspended || fetch)
        };
        let part = ring.results.iter().rev().find(|id| self.results.get(**id).is_some_and(goes_on));
        part.copied().or_else(|| ring.run.filter(|id| self.is_run(*id, seen)))
    }

    fn is_run(&self, id: HeldId, seen: &Seen<'_>) -> bool {
        self.results.get(id).is_some_and(|held| {
            held.statement.digest == seen.statement.digest
                && held.transaction == seen.record.transaction
                && held.trace == seen.trace()
                && held.chain.is_some()
        })
    }

    /// The level that a fed statement's result belongs to, and the root of a new one.
    pub(crate) fn level(
        &self,
        seen: &Seen<'_>,
        visible: &[HeldId],
        roots: &[HeldId],
    ) -> (Option<HeldId>, Option<HeldId>) {
        // Rows that writes return run on by themselves; what they write says nothing of a level unless a scope does.
        let scoped = seen.record.transaction != 0 || seen.trace().is_some();
        if seen.statement.class == Class::Write && !scoped {
            return (None, None);
        }
        // A value may also have come by chance from a result of an earlier request of the session.
        let same_unit =
            |held: &Held| held.transaction == seen.record.transaction && held.trace == seen.trace();
        let same = |held: &Held| {
            held.root.is_some_and(|root| roots.contains(&root))
                && held.statement.reads_like(seen.statement)
                && same_unit(held)
        };
        let level = visible.iter().find(|id| self.results.get(**id).is_some_and(same));
        let roots = roots.iter().filter(|id| self.results.get(**id).is_some_and(same_unit));
        (level.copied(), roots.max().copied())
    }

    /// Adds the rows of an execution to a held result.
    pub(crate) fn append(
        &mut self,
        id: HeldId,
        seen: &Seen<'_>,
        asked: &Slots,
        limits: &FlowLimits,
    ) {
        if let Some(held) = self.results.change(id) {
            held.append(seen, asked, limits);
            let (before, now) = held.recount();
            self.bytes = self.bytes + now - before;
        }
        self.ring(seen.record.session).last_us = seen.record.end_us();
    }

    /// Closes chains that a pause has broken; true if there are any.
    pub(crate) fn break_idle_chains(
        &mut self,
        session: SessionId,
        now: Micros,
        idle_max_us: u64,
    ) -> bool {
        let Some(ring) = self.rings.get(&session) else { return false };
        let mut broken = false;
        for id in &ring.results {
            let Some(held) = self.results.change(*id) else { continue };
            let idle = |chain: &ChainState| now.saturating_sub(chain.last_end_us) > idle_max_us;
            if held.chain.as_ref().is_some_and(idle) {
                held.chain = None;
                broken = true;
            }
        }
        broken
    }

    /// One more statement of the session: chains go on where it has to do with them, by `roots`, or where it
    /// `continues` the result itself. True if any chain broke.
    pub(crate) fn chain_step(
        &mut self,
        seen: &Seen<'_>,
        roots: &[HeldId],
        continues: Option<HeldId>,
        unrelated_max: u32,
    ) -> bool {
        let Some(ring) = self.rings.get(&seen.record.session) else { return false };
        let mut broken = false;
        for id in &ring.results {
            let Some(held) = self.results.change(*id) else { continue };
            let related = roots.contains(&held.root.unwrap_or(*id)) || continues == Some(*id);
            let Some(chain) = &mut held.chain else { continue };
            chain.last_end_us = seen.record.end_us();
            chain.unrelated = if related { 0 } else { chain.unrelated + 1 };
            if chain.unrelated > unrelated_max {
                held.chain = None;
                broken = true;
            }
        }
        broken
    }

    /// Results of the session that no gate feeds any more, once nothing that may still grow explains the same
    /// child: rivals are judged together.
    pub(crate) fn ripe(&self, session: SessionId) -> Vec<HeldId> {
        let ids = self.of(session);
        let held = |id: &HeldId| self.results.get(*id);
        let open = || ids.iter().filter_map(held).filter(|held| !held.is_over());
        let rivals = |over: &Held| {
            let children = over.candidates.iter().map(|candidate| candidate.child.digest);
            let mut children = children.filter(|digest| {
                open().any(|other| other.candidates.iter().any(|c| c.child.digest == *digest))
            });
            children.next().is_some()
        };
        let over = ids.iter().filter(|id| held(id).is_some_and(Held::is_over));
        let waits = over.clone().filter_map(held).any(rivals);
        if waits { Vec::new() } else { over.copied().collect() }
    }

    /// The roots of these levels and the other levels below them.
    pub(crate) fn family(&self, ids: &[HeldId]) -> Vec<HeldId> {
        let held = ids.iter().filter_map(|id| self.find(*id));
        let roots: Vec<(SessionId, HeldId)> =
            held.filter_map(|held| Some((held.session, held.root?))).collect();
        let root_of = |id: HeldId| self.find(id).and_then(|held| held.root).unwrap_or(id);
        let related = |session: SessionId, root: HeldId| {
            let ring = self.of(session).iter().copied();
            ring.filter(move |id| root_of(*id) == root && !ids.contains(id))
        };
        let mut family: Vec<HeldId> =
            roots.into_iter().flat_map(|(session, root)| related(session, root)).collect();
        family.sort_unstable();
        family.dedup();
        family
    }

    /// The result of a session that has to go before another can be held: levels above their limit first, then
    /// what fed nothing, then levels, then what was fed from least recently.
    pub(crate) fn ring_victim(
        &mut self,
        session: SessionId,
        limits: &FlowLimits,
    ) -> Option<HeldId> {
        let ring = self.rings.get(&session)?;
        let newest = ring.results.iter().max().copied();
        let trace = |id: HeldId| self.results.get(id).and_then(|held| held.trace);
        let current = newest.and_then(trace);
        // What another trace read can't be paired with what comes now, however much it fed: it goes first.
        let foreign =
            |held: &Held| current.is_some() && held.trace.is_some_and(|_| held.trace != current);
        let rank = |id: &HeldId| match self.results.get(*id) {
            Some(held) => {
                let feeds = u8::from(!held.candidates.is_empty());
                let feeds = feeds + u8::from(feeds > 0 && held.root.is_none());
                (!foreign(held), feeds, held.last_fed_us, *id)
            }
            None => (false, 0, None, *id),
        };
        let older = || ring.results.iter().filter(|id| Some(**id) != newest).copied();
        let is_level = |id: &HeldId| self.results.get(*id).is_some_and(|h| h.root.is_some());
        if ring.results.iter().filter(|id| is_level(id)).count() > LEVELS_MAX {
            return older().filter(is_level).min_by_key(rank);
        }
        let bytes: usize =
            ring.results.iter().filter_map(|id| self.find(*id)).map(|h| h.bytes).sum();
        let many = ring.results.len() > limits.ring_results_max.max(1);
        let large = bytes > limits.ring_session_max_kib * 1_024;
        let victim = older().min_by_key(rank).filter(|_| many || large);
        self.evictions += u64::from(victim.is_some() && !many);
        victim
    }

    /// Holds a new result; of a fed statement under its root.
    pub(crate) fn insert(
        &mut self,
        seen: &Seen<'_>,
        root: Option<HeldId>,
        asked: &Slots,
        limits: &FlowLimits,
    ) -> HeldId {
        let write = seen.statement.class == Class::Write;
        let ring = self.rings.entry(seen.record.session).or_default();
        let statement = if is_fetch(seen) { ring.cursor(seen) } else { None };
        let mut held = Held::new(seen, statement.unwrap_or(seen.statement).clone(), root);
        held.append(seen, asked, limits);
        if !held.suspended && !write && !is_fetch(seen) && root.is_none() {
            held.drop_constant_columns();
        }
        self.bytes += held.recount().1;
        let id = self.results.insert(held);
        ring.results.push(id);
        ring.last_us = seen.record.end_us();
        ring.run = write.then_some(id);
        id
    }

    /// Forgets a result and hands it out.
    pub(crate) fn remove(&mut self, id: HeldId) -> Option<Held> {
        let held = self.results.remove(id)?;
        self.bytes = self.bytes.saturating_sub(held.bytes);
        if let Some(ring) = self.rings.get_mut(&held.session) {
            ring.results.retain(|other| *other != id);
            ring.run = ring.run.filter(|run| *run != id);
        }
        Some(held)
    }

    /// A scope of the result is closed and its candidates are judged; the chain may go on.
    pub(crate) fn leave_scope(&mut self, id: HeldId) {
        if let Some(held) = self.results.change(id) {
            held.candidates.retain(|candidate| candidate.gate != SCOPE);
            held.leave_scope();
            held.counted = true;
            let (before, now) = held.recount();
            self.bytes = self.bytes + now - before;
        }
    }

    /// Above the memory limit: all results of the sessions that have been idle for longest.
    pub(crate) fn memory_victims(&mut self, bytes_max: usize) -> Vec<Vec<HeldId>> {
        if self.bytes <= bytes_max {
            return Vec::new();
        }
        let mut excess = self.bytes - bytes_max + bytes_max * FREED_PERCENT / 100;
        let mut idle: Vec<(Micros, SessionId)> =
            self.rings.iter().map(|(session, ring)| (ring.last_us, *session)).collect();
        idle.sort_unstable();
        // Results whose session has ended are in no ring.
        let ended = self.results.iter().filter(|(_, held)| !self.rings.contains_key(&held.session));
        let mut ended: Vec<HeldId> = ended.map(|(id, _)| id).collect();
        ended.sort_unstable();
        let rings = idle.into_iter().map(|(_, session)| self.of(session).to_vec());
        let mut victims = Vec::new();
        for ids in rings.chain(ended.into_iter().map(|id| vec![id])) {
            if excess == 0 {
                break;
            }
            let bytes: usize = ids.iter().filter_map(|id| self.find(*id)).map(|h| h.bytes).sum();
            excess = excess.saturating_sub(bytes);
            if !ids.is_empty() {
                victims.push(ids);
            }
        }
        self.evictions += victims.iter().map(|ids| ids.len() as u64).sum::<u64>();
        victims
    }

    /// Closes the transaction scope; returns the results that no scope holds any more but did.
    pub(crate) fn end_transaction(&mut self, session: SessionId, transaction: u32) -> Vec<HeldId> {
        let Some(ring) = self.rings.get_mut(&session) else { return Vec::new() };
        ring.declared = None;
        ring.run = None;
        let mut left = Vec::new();
        for id in &ring.results {
            let Some(held) = self.results.change(*id) else { continue };
            // Also earlier ones, should the record of their end have been lost.
            if held.transaction_open && held.transaction <= transaction {
                held.transaction_open = false;
                if !held.trace_open {
                    left.push(*id);
                }
            }
        }
        left
    }

    /// Closes the session; results that a trace holds stay.
    pub(crate) fn end_session(&mut self, session: SessionId) -> Vec<HeldId> {
        let Some(ring) = self.rings.remove(&session) else { return Vec::new() };
        let mut over = Vec::new();
        for id in ring.results {
            if let Some(held) = self.results.change(id) {
                held.transaction_open = false;
                held.chain = None;
                if !held.trace_open {
                    over.push(id);
                }
            }
        }
        over
    }

    /// Closes the trace scope of these results; returns those that no scope holds any more.
    pub(crate) fn end_trace(&mut self, ids: &[HeldId]) -> Vec<HeldId> {
        let mut left = Vec::new();
        for id in ids {
            if let Some(held) = self.results.change(*id) {
                held.trace_open = false;
                if !held.transaction_open {
                    left.push(*id);
                }
            }
        }
        left
    }
}
