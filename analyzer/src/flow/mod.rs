//! The data-flow proof: were the parameters of many statements values of one column of one earlier result?
//!
//! Results are held per session (and found by trace from other sessions); every later statement's binds are
//! looked up in them. Where they are found, a candidate collects evidence. When the unit of work is over
//! (transaction, trace, chain or session ended, or memory is needed), the candidates are judged, and what a gate
//! lets through becomes an [`Occurrence`]. The burst gate works apart from that: it looks back.

mod burst;
mod candidate;
mod chain;
mod column;
mod deferred;
mod domain;
mod gate;
mod held;
mod judge;
mod nested;
mod order;
mod rank;
mod results;
mod scope;
mod slots;
mod store;
mod taken;
mod traces;

pub(crate) use candidate::Sender;
pub(crate) use judge::{Occurrence, Source};

use crate::labels::DatabaseId;
use crate::limits::Limits;
use crate::record::{Micros, SessionId, Tag, TransactionRecord};
use crate::reorder::Reorder;
use crate::seen::Seen;
use crate::text::Class;
use burst::Bursts;
use deferred::{Deferred, Execution};
use domain::Domains;
use gate::GATES;
use held::{Held, HeldId};
use judge::{Court, Which};
use slots::Slots;
use std::sync::Arc;
use store::Store;
use taken::Taken;
use traces::Traces;

/// A parent result that ended: one more chance for an occurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParentEnded {
    pub(crate) database: DatabaseId,
    pub(crate) digest: u64,
    pub(crate) route: Option<Arc<str>>,
}

/// The detector's state.
#[derive(Debug)]
pub(crate) struct Flow {
    limits: Limits,
    store: Store,
    traces: Traces,
    waiting: Reorder<Deferred>,
    bursts: Bursts,
    slots: Slots,
    /// Ordinal of the latest execution.
    execution: u32,
    /// Scratch space: results that an execution can see, and the roots of those that fed it.
    visible: Vec<HeldId>,
    roots: Vec<HeldId>,
    domains: Domains,
    taken: Taken,
    /// Occurrences since they were last taken.
    pub(crate) occurrences: Vec<Occurrence>,
    /// Parents that ended since they were last taken.
    pub(crate) ended: Vec<ParentEnded>,
}

impl Flow {
    pub(crate) fn new(limits: &Limits) -> Self {
        let flow = &limits.flow;
        let kib = 1_024;
        Self {
            limits: limits.clone(),
            store: Store::default(),
            traces: Traces::new(limits.traces_max, limits.trace_idle_us),
            waiting: Reorder::new(
                flow.reorder_max_us,
                flow.reorder_records_max,
                flow.reorder_max_kib * kib,
            ),
            bursts: Bursts::new(flow),
            slots: Slots::default(),
            execution: 0,
            visible: Vec::new(),
            roots: Vec::new(),
            domains: Domains::new(limits.digests_max, flow),
            taken: Taken::default(),
            occurrences: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// Forgets what it holds and goes on under these limits; what was left out stays counted.
    pub(crate) fn begin_anew(&mut self, limits: &Limits) {
        let mut fresh = Self::new(limits);
        fresh.store.evictions = self.store.evictions;
        fresh.waiting.overflowed = self.waiting.overflowed;
        fresh.bursts.overflowed = self.bursts.overflowed;
        *self = fresh;
    }

    /// Takes in one execution. Those of a session must come in order.
    pub(crate) fn statement(&mut self, seen: &Seen<'_>) {
        self.execution = self.execution.wrapping_add(1);
        let session = seen.record.session;
        self.waiting.advance(seen.record.end_us());
        if seen.trace().is_some() || self.waiting.holds(session) {
            let execution = Box::new(Execution::of(seen));
            let (at_us, bytes) = (execution.at_us(), execution.bytes());
            let deferred = Deferred::Statement(execution, self.execution);
            self.waiting.push(session, at_us, bytes, deferred);
        } else {
            self.in_order(seen, self.execution);
        }
        self.release();
    }

    /// Handles what has waited for long enough.
    fn release(&mut self) {
        while let Some(deferred) = self.waiting.pop() {
            match deferred {
                Deferred::Statement(execution, ordinal) => {
                    self.in_order(&execution.seen(), ordinal);
                }
                Deferred::TransactionEnded(session, transaction) => {
                    self.transaction_ended(session, transaction);
                }
                Deferred::SessionEnded(session) => self.session_ended(session),
            }
        }
    }

    fn in_order(&mut self, seen: &Seen<'_>, execution: u32) {
        let session = seen.record.session;
        self.trace_step(seen);
        if seen.statement.starts_with("DECLARE") {
            self.store.ring(session).declare(seen);
        }
        if !seen.takes_part() {
            return;
        }
        let (begin_us, flow) = (seen.record.begin_us, &self.limits.flow);
        let mut broken = self.store.break_idle_chains(session, begin_us, flow.chain_idle_max_us);
        self.slots.fill(seen);
        self.slots.execution = execution;
        self.roots.clear();
        let continued = self.store.continued(seen);
        if !seen.is_part() {
            self.feed(seen);
            let unrelated_max = self.limits.flow.chain_unrelated_max;
            broken |= self.store.chain_step(seen, &self.roots, continued, unrelated_max);
        }
        if broken {
            self.judge_ripe(session);
        }
        if held::may_be_held(seen, !self.roots.is_empty()) {
            self.hold(seen, continued);
        } else {
            self.store.end_run(session);
        }
        self.bursts.note(seen, &self.slots);
    }

    /// Looks the binds up in every visible result; collects the roots of those that have any.
    fn feed(&mut self, seen: &Seen<'_>) {
        if self.slots.is_empty() {
            return;
        }
        let traced = seen.trace().map_or(&[][..], |trace| self.traces.results(trace));
        self.store.visible(seen.record.session, traced, &mut self.visible);
        self.slots.explained.clear();
        for at in 0..self.visible.len() {
            let id = self.visible[at];
            let (slots, limits) = (&mut self.slots, &self.limits.flow);
            let mut root = id;
            let fed = self.store.with(id, |held| {
                root = held.root.unwrap_or(id);
                let gate = GATES.iter().position(|gate| gate.applies(held, seen));
                match gate.filter(|_| held.statement.digest != seen.statement.digest) {
                    Some(gate) => held.feed(seen, slots, gate, limits),
                    None => false,
                }
            });
            if fed && !self.roots.contains(&root) {
                self.roots.push(root);
            }
        }
        if self.roots.is_empty() && seen.statement.may_be_child() {
            self.domains.note(seen, &self.slots);
        }
    }

    /// Remembers the result, or appends it to the one that it continues or the level that it belongs to.
    fn hold(&mut self, seen: &Seen<'_>, continued: Option<HeldId>) {
        let (level, root) = self.store.level(seen, &self.visible, &self.roots);
        if let Some(id) = continued.or(level) {
            self.store.append(id, seen, &self.slots, &self.limits.flow);
        } else {
            let id = self.store.insert(seen, root, &self.slots, &self.limits.flow);
            if let Some(trace) = seen.trace() {
                self.traces.add_result(trace, id, |id| self.store.find(id).is_some());
            }
            if let Some(held) = self.store.find(id).filter(|held| held.root.is_none()) {
                self.bursts.parent(seen, held, id);
            }
        }
        while let Some(victim) = self.store.ring_victim(seen.record.session, &self.limits.flow) {
            self.give_up(&[victim]);
        }
        let bytes_max = self.limits.flow.ring_total_max_kib * 1_024;
        for victims in self.store.memory_victims(bytes_max) {
            self.give_up(&victims);
        }
    }

    fn trace_step(&mut self, seen: &Seen<'_>) {
        let session = seen.record.session;
        let Some(id) = seen.trace() else { return };
        let earlier = self.store.ring(session).trace.replace(id);
        if let Some(oldest) = self.traces.step(id, earlier, session, seen.record.end_us()) {
            self.close_trace(oldest);
        }
    }

    /// The session's transaction ended.
    pub(crate) fn close_transaction(&mut self, record: &TransactionRecord) {
        let (session, transaction) = (record.session, record.transaction);
        if self.waiting.holds(session) {
            let ended = Deferred::TransactionEnded(session, transaction);
            self.waiting.push(session, record.end_us, 0, ended);
        } else {
            self.transaction_ended(session, transaction);
        }
    }

    fn transaction_ended(&mut self, session: SessionId, transaction: u32) {
        let left = self.store.end_transaction(session, transaction);
        self.leave_scope(&left);
    }

    /// The session ended: nothing of it can be fed any more but through its traces.
    pub(crate) fn close_session(&mut self, session: SessionId, at_us: Micros) {
        if self.waiting.holds(session) {
            self.waiting.push(session, at_us, 0, Deferred::SessionEnded(session));
        } else {
            self.session_ended(session);
        }
    }

    fn session_ended(&mut self, session: SessionId) {
        let over = self.store.end_session(session);
        self.give_up(&over);
        self.traces.session_ended(session);
    }

    fn close_trace(&mut self, id: u64) {
        let results = self.traces.close(id);
        let left = self.store.end_trace(&results);
        self.leave_scope(&left);
    }

    /// Closes what has gone quiet, and shows what has been open for long.
    pub(crate) fn tick(&mut self, now: Micros) {
        self.waiting.advance(now);
        self.release();
        for trace in self.traces.quiet(now) {
            self.close_trace(trace);
        }
        let flow = &self.limits.flow;
        let (late_us, idle_us, progress_us) =
            (now.saturating_sub(flow.reorder_max_us), flow.chain_idle_max_us, flow.progress_us);
        for session in self.store.sessions() {
            if self.store.break_idle_chains(session, late_us, idle_us) {
                self.judge_ripe(session);
            }
            self.progress(session, now.saturating_sub(progress_us));
        }
        self.burst_tick(late_us);
    }

    /// Judges the parents whose time for a burst is over.
    fn burst_tick(&mut self, late_us: Micros) {
        let court = Court { domains: &self.domains, limits: &self.limits.flow };
        let (store, taken) = (&self.store, &mut self.taken);
        self.bursts.tick(late_us, court, store, taken, &mut self.occurrences);
    }

    /// Publishes what units that have been open for long have proved so far.
    fn progress(&mut self, session: SessionId, before_us: Micros) {
        let flow = &self.limits.flow;
        let long = |held: &Held| {
            (held.transaction_open || held.trace_open)
                && held.first_end_us <= before_us
                && held.candidates.iter().any(|c| c.hits() >= flow.executions_min as u64)
        };
        let store = &self.store;
        if store.of(session).iter().filter_map(|id| store.find(*id)).any(long) {
            let ids = store.of(session).to_vec();
            self.judge(&ids, Which::Progress);
        }
    }

    /// A scope of these results ended: what it proved is published; what a chain still feeds is kept.
    fn leave_scope(&mut self, ids: &[HeldId]) {
        self.judge(ids, Which::Left);
        for id in ids {
            if self.store.find(*id).is_some_and(Held::is_over) {
                self.store.remove(*id);
            } else {
                self.store.leave_scope(*id);
            }
        }
    }

    fn judge_ripe(&mut self, session: SessionId) {
        let ripe = self.store.ripe(session);
        self.give_up(&ripe);
    }

    /// Judges results together and forgets them.
    fn give_up(&mut self, ids: &[HeldId]) {
        self.judge(ids, Which::All);
        for id in ids {
            self.store.remove(*id);
        }
    }

    fn judge(&mut self, ids: &[HeldId], which: Which) {
        let store = &self.store;
        let found = |ids: &[HeldId]| -> Vec<(HeldId, &Held)> {
            ids.iter().filter_map(|id| Some((*id, store.find(*id)?))).collect()
        };
        let (results, family) = (found(ids), found(&store.family(ids)));
        if which != Which::Progress {
            let wide = |held: &&Held| {
                !held.counted && held.widest() >= self.limits.flow.distinct_values_min
            };
            let wide = results.iter().map(|(_, held)| *held).filter(wide);
            self.ended.extend(wide.map(|held| ParentEnded {
                database: held.database,
                digest: held.statement.digest,
                route: held.route.clone(),
            }));
        }
        let court = Court { domains: &self.domains, limits: &self.limits.flow };
        for mut occurrence in court.judge(&results, &family, which, &mut self.taken) {
            if let Some(nesting) = &mut occurrence.nesting {
                let root = nesting.root.and_then(|root| store.find(root));
                nesting.root_digest = root.map(|root| root.statement.digest);
            }
            self.occurrences.push(occurrence);
        }
    }

    /// Bytes of all held results.
    pub(crate) fn held_bytes(&self) -> usize {
        self.store.bytes()
    }

    /// What limits left out, by table.
    pub(crate) fn overflow(&self) -> [(&'static str, u64); 3] {
        [
            ("held_results", self.store.evictions),
            ("reorder", self.waiting.overflowed),
            ("bursts", self.bursts.overflowed),
        ]
    }
}

/// Whether a record is a FETCH from a cursor.
fn is_fetch(seen: &Seen<'_>) -> bool {
    seen.record.tag == Tag::Fetch && seen.statement.class == Class::Read
}

#[cfg(test)]
mod tests;
