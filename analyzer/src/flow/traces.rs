//! Traces in progress: which results they hold, and when they are over.

use super::held::HeldId;
use crate::Map;
use crate::record::{Micros, SessionId};

/// A trace without statements for this long, whose only session has moved on to another trace, is over.
const MOVED_IDLE_US: u64 = 1_000_000;

/// Results of one trace that are looked at, over all its sessions.
const RESULTS_MAX: usize = 32;

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

/// All traces in progress.
#[derive(Debug)]
pub(super) struct Traces {
    traces: Map<u64, Trace>,
    max: usize,
    idle_us: u64,
}

impl Traces {
    pub(super) fn new(max: usize, idle_us: u64) -> Self {
        Self { traces: Map::default(), max, idle_us }
    }

    /// One more statement of a trace, on a session that had sent for `earlier` before. Returns the trace that has to
    /// be closed to make room for it.
    pub(super) fn step(
        &mut self,
        id: u64,
        earlier: Option<u64>,
        session: SessionId,
        end_us: Micros,
    ) -> Option<u64> {
        if let Some(earlier) = earlier.filter(|earlier| *earlier != id)
            && let Some(trace) = self.traces.get_mut(&earlier)
        {
            trace.moved = true;
        }
        let full = self.traces.len() >= self.max && !self.traces.contains_key(&id);
        let quiet = |(id, trace): (&u64, &Trace)| (trace.last_us, *id);
        let oldest = if full { self.traces.iter().map(quiet).min() } else { None };
        let trace = self.traces.entry(id).or_insert_with(|| Trace {
            results: Vec::new(),
            last_us: 0,
            session,
            shared: false,
            moved: false,
        });
        trace.last_us = trace.last_us.max(end_us);
        trace.shared |= trace.session != session;
        trace.moved &= trace.session != session;
        oldest.map(|(_, id)| id)
    }

    /// Results of a trace.
    pub(super) fn results(&self, id: u64) -> &[HeldId] {
        self.traces.get(&id).map_or(&[], |trace| &trace.results)
    }

    /// Adds a result; at the limit those that are not held any more are forgotten, else the oldest.
    pub(super) fn add_result(&mut self, id: u64, result: HeldId, held: impl Fn(HeldId) -> bool) {
        let Some(trace) = self.traces.get_mut(&id) else { return };
        if trace.results.len() >= RESULTS_MAX {
            trace.results.retain(|id| held(*id));
        }
        if trace.results.len() >= RESULTS_MAX {
            trace.results.remove(0);
        }
        trace.results.push(result);
    }

    /// The session of these traces ended.
    pub(super) fn session_ended(&mut self, session: SessionId) {
        for trace in self.traces.values_mut() {
            trace.moved |= trace.session == session;
        }
    }

    /// Forgets a trace; returns its results.
    pub(super) fn close(&mut self, id: u64) -> Vec<HeldId> {
        self.traces.remove(&id).map(|trace| trace.results).unwrap_or_default()
    }

    /// Traces that have gone quiet, the quietest first.
    pub(super) fn quiet(&self, now: Micros) -> Vec<u64> {
        let over = |trace: &Trace| {
            let alone = trace.moved && !trace.shared;
            let enough = if alone { MOVED_IDLE_US.min(self.idle_us) } else { self.idle_us };
            now.saturating_sub(trace.last_us) >= enough
        };
        let quiet = self.traces.iter().filter(|(_, trace)| over(trace));
        let mut quiet: Vec<(Micros, u64)> = quiet.map(|(id, t)| (t.last_us, *id)).collect();
        quiet.sort_unstable();
        quiet.into_iter().map(|(_, id)| id).collect()
    }
}
