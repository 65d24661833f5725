//! The data-flow proof: were the parameters of many statements values of one column of one earlier result?
//!
//! Results are held per session (and found by trace from other sessions); every later statement's binds are
//! looked up in them. Where they are found, a candidate collects evidence. When the unit of work is over
//! (transaction, trace or session ended, or memory is needed), the candidates are judged, and what a gate
//! lets through becomes an [`Occurrence`].

mod candidate;
mod domain;
mod gate;
mod held;
mod judge;
mod scope;
mod slots;
mod store;

pub(crate) use candidate::Sender;
pub(crate) use judge::{Occurrence, Source};

use crate::Map;
use crate::labels::DatabaseId;
use crate::limits::Limits;
use crate::record::{Micros, SessionId, Tag};
use crate::seen::Seen;
use crate::text::Class;
use domain::Domains;
use gate::GATES;
use held::{Held, HeldId};
use slots::Slots;
use std::sync::Arc;
use store::Store;

/// A parent result that ended: one more chance for an occurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParentEnded {
    pub(crate) database: DatabaseId,
    pub(crate) digest: u64,
    pub(crate) route: Option<Arc<str>>,
}

/// A trace without statements for this long, whose only session has moved on to another trace, is over.
const MOVED_IDLE_US: u64 = 1_000_000;

/// A trace in progress.
#[derive(Debug)]
struct Trace {
    results: Vec<HeldId>,
    last_us: Micros,
    session: SessionId,
    /// Statements came over several sessions.
    shared: bool,
    /// Its session sends statements of another trace.
    moved: bool,
}

/// The detector's state.
#[derive(Debug)]
pub(crate) struct Flow {
    limits: Limits,
    store: Store,
    traces: Map<u64, Trace>,
    slots: Slots,
    /// Scratch space.
    visible: Vec<HeldId>,
    domains: Domains,
    /// Occurrences since they were last taken.
    pub(crate) occurrences: Vec<Occurrence>,
    /// Parents that ended since they were last taken.
    pub(crate) ended: Vec<ParentEnded>,
}

impl Flow {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            store: Store::default(),
            traces: Map::default(),
            slots: Slots::default(),
            visible: Vec::new(),
            domains: Domains::new(limits.digests_max),
            occurrences: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// Takes in one execution. Those of a session must come in order.
    pub(crate) fn statement(&mut self, seen: &Seen<'_>) {
        self.trace_step(seen);
        if seen.statement.starts_with("DECLARE") {
            self.store.ring(seen.record.session).declare(seen);
        }
        if !seen.takes_part() {
            return;
        }
        let fed = !seen.is_part() && self.feed(seen);
        if held::may_be_held(seen) && GATES.iter().any(|gate| gate.keeps(seen)) {
            self.hold(seen, fed);
        } else {
            self.store.end_run(seen.record.session);
        }
    }

    /// Looks the binds up in every visible result; true if any was found.
    fn feed(&mut self, seen: &Seen<'_>) -> bool {
        self.slots.fill(seen);
        if self.slots.is_empty() {
            return false;
        }
        let traced = seen.trace().and_then(|trace| self.traces.get(&trace));
        let traced = traced.map_or(&[][..], |trace| &trace.results);
        let mut visible = std::mem::take(&mut self.visible);
        self.store.visible(seen.record.session, traced, &mut visible);
        let mut fed = false;
        self.slots.explained.clear();
        for id in visible.iter().copied() {
            let (slots, limits) = (&mut self.slots, &self.limits.flow);
            fed |= self.store.with(id, |held| {
                let gate = GATES.iter().position(|gate| gate.applies(held, seen));
                match gate.filter(|_| held.statement.digest != seen.statement.digest) {
                    Some(gate) => held.feed(seen, slots, gate, limits),
                    None => false,
                }
            });
        }
        self.visible = visible;
        if !fed && seen.statement.may_be_child() {
            self.domains.note(seen, &self.slots);
        }
        fed
    }

    /// Remembers the result, or appends it to the one that it continues.
    fn hold(&mut self, seen: &Seen<'_>, fed: bool) {
        if let Some(id) = self.store.continued(seen) {
            self.store.append(id, seen, &self.limits.flow);
        } else {
            let victim =
                self.store.ring_victim(seen.record.session, self.limits.flow.ring_results_max);
            if let Some(victim) = victim {
                self.judge(&[victim]);
            }
            let id = self.store.insert(seen, fed, &self.limits.flow);
            if let Some(trace) = seen.trace().and_then(|trace| self.traces.get_mut(&trace)) {
                trace.results.push(id);
            }
        }
        let bytes_max = self.limits.flow.ring_total_max_kib * 1_024;
        while let Some(victims) = self.store.memory_victims(bytes_max) {
            self.judge(&victims);
        }
    }

    fn trace_step(&mut self, seen: &Seen<'_>) {
        let session = seen.record.session;
        let Some(id) = seen.trace() else { return };
        let earlier = self.store.ring(session).trace.replace(id);
        if let Some(earlier) = earlier.filter(|earlier| *earlier != id)
            && let Some(trace) = self.traces.get_mut(&earlier)
        {
            trace.moved = true;
        }
        if self.traces.len() >= self.limits.traces_max && !self.traces.contains_key(&id) {
            let quiet = |(id, trace): (&u64, &Trace)| (trace.last_us, *id);
            if let Some((_, oldest)) = self.traces.iter().map(quiet).min() {
                self.close_trace(oldest);
            }
        }
        let trace = self.traces.entry(id).or_insert_with(|| Trace {
            results: Vec::new(),
            last_us: 0,
            session,
            shared: false,
            moved: false,
        });
        trace.last_us = trace.last_us.max(seen.record.end_us());
        trace.shared |= trace.session != session;
        trace.moved &= trace.session != session;
    }

    /// The session's transaction ended.
    pub(crate) fn close_transaction(&mut self, session: SessionId, transaction: u32) {
        let over = self.store.end_transaction(session, transaction);
        self.judge(&over);
    }

    /// The session ended: nothing of it can be fed any more but through its traces.
    pub(crate) fn close_session(&mut self, session: SessionId) {
        let over = self.store.end_session(session);
        self.judge(&over);
        for trace in self.traces.values_mut() {
            trace.moved |= trace.session == session;
        }
    }

    fn close_trace(&mut self, id: u64) {
        if let Some(trace) = self.traces.remove(&id) {
            let over = self.store.end_trace(&trace.results);
            self.judge(&over);
        }
    }

    /// Closes traces that have gone quiet.
    pub(crate) fn tick(&mut self, now: Micros) {
        let idle_us = self.limits.trace_idle_us;
        let over = |trace: &Trace| {
            let enough =
                if trace.moved && !trace.shared { MOVED_IDLE_US.min(idle_us) } else { idle_us };
            now.saturating_sub(trace.last_us) >= enough
        };
        let mut quiet: Vec<(Micros, u64)> = self
            .traces
            .iter()
            .filter(|(_, trace)| over(trace))
            .map(|(id, trace)| (trace.last_us, *id))
            .collect();
        quiet.sort_unstable();
        for (_, id) in quiet {
            self.close_trace(id);
        }
    }

    /// Judges results together and forgets them.
    fn judge(&mut self, ids: &[HeldId]) {
        let results: Vec<Held> = ids.iter().filter_map(|id| self.store.remove(*id)).collect();
        for held in &results {
            if held.widest() >= self.limits.flow.distinct_values_min {
                self.ended.push(ParentEnded {
                    database: held.database,
                    digest: held.statement.digest,
                    route: held.route.clone(),
                });
            }
        }
        self.occurrences.extend(judge::judge(&results, &self.domains, &self.limits.flow));
    }

    /// Bytes of all held results, and how many results lost their place for memory.
    pub(crate) fn memory(&self) -> (usize, u64) {
        (self.store.bytes(), self.store.evictions)
    }
}

/// Whether a record is a FETCH from a cursor.
fn is_fetch(seen: &Seen<'_>) -> bool {
    seen.record.tag == Tag::Fetch && seen.statement.class == Class::Read
}

#[cfg(test)]
mod tests;
