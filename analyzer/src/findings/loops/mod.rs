//! One round trip per row: the same statement again and again.
//!
//! One detector with one look-up of session and digest per statement; each kind is a file that takes in a
//! [`Step`] and puts a [`Report`] out.

mod count_every_page;
mod duplicate_query;
mod looped_lookup;
mod pending;
mod polling;
mod report;
mod run;
mod savepoint_loop;
mod sequential_independent;
mod step;
#[cfg(test)]
mod tests;
mod tiny_fetch;
mod traits;
mod unit;
mod upsert_loop;
mod write_loop;

use super::{Context, Detector};
use crate::Map;
use crate::finding::Kind;
use crate::flow::Occurrence;
use crate::limits::Limits;
use crate::record::{Micros, Outcome, SessionId, TransactionRecord};
use crate::seen::Seen;
use pending::Pending;
use report::Report;
use step::{Commits, Digests, Known, Scene, Step};
use traits::{Role, Traits};
use unit::Unit;

/// A digest without executions for this long makes room for another.
const IDLE_BEFORE_EVICTION_US: u64 = 600 * 1_000_000;

/// Every kind of this family.
const KINDS: [Kind; 9] = [
    Kind::LoopedLookup,
    Kind::WriteLoop,
    Kind::UpsertLoop,
    Kind::SavepointLoop,
    Kind::DuplicateQuery,
    Kind::CountEveryPage,
    Kind::TinyFetch,
    Kind::SequentialIndependent,
    Kind::Polling,
];

/// The detectors of this family: one for all kinds, none if nobody wants any of them.
pub(super) fn detectors(limits: &Limits) -> Vec<Box<dyn Detector>> {
    if KINDS.iter().all(|kind| limits.disabled.contains(kind)) {
        return Vec::new();
    }
    vec![Box::new(Loops::new(limits))]
}

/// What the rules keep of one session.
#[derive(Default)]
struct State {
    unit: Unit,
    last_end_us: Option<Micros>,
    ordinal: u64,
    commits: Commits,
    runs: run::Runs,
    upserts: upsert_loop::Upserts,
    savepoints: savepoint_loop::Savepoints,
    duplicates: duplicate_query::Duplicates,
    cursors: tiny_fetch::Cursors,
    reads: sequential_independent::Reads,
    count: count_every_page::Latest,
}

/// The detector of all kinds of this family.
struct Loops {
    limits: Limits,
    sessions: Map<SessionId, Box<State>>,
    known: Digests,
    pages: count_every_page::Pairs,
    pending: Pending,
    out: Vec<Report>,
}

impl Loops {
    fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            sessions: Map::default(),
            known: Digests::default(),
            pages: count_every_page::Pairs::default(),
            pending: Pending::new(limits),
            out: Vec::new(),
        }
    }

    /// Makes the digest known, as far as there is room.
    fn know(&mut self, seen: &Seen<'_>) -> Option<Known> {
        let key = (seen.database, seen.statement.digest);
        if self.known.contains_key(&key) {
            return None;
        }
        let new = Known::new(Traits::of(seen.statement));
        if self.known.len() < self.limits.digests_max {
            self.known.insert(key, new);
            return None;
        }
        Some(new)
    }

    fn step(&mut self, seen: &Seen<'_>, context: &Context<'_>) {
        let stranger = self.know(seen);
        let known = self.known.get(&(seen.database, seen.statement.digest));
        let Some(known) = known.or(stranger.as_ref()) else { return };
        let state = self.sessions.entry(seen.record.session).or_default();
        let step = state.next(seen, known.traits, &self.limits);
        let mut scene = Scene {
            limits: &self.limits,
            costs: context.costs,
            known: &self.known,
            out: &mut self.out,
        };
        if seen.is_part() {
            state.cursors.step(&step, &mut scene);
        } else if seen.record.outcome == Outcome::Ok {
            known.by(seen.record.session, seen.record.begin_us);
            state.rules(&step, known, &mut scene);
            self.pages.step(&step, &mut state.count, &mut scene);
        } else {
            // Who tries again sends the same values again.
            state.duplicates.clear(step.session(), &mut scene);
            state.savepoints.step(&step, &mut scene);
        }
        if step.traits.role == Role::Commit {
            state.commits.count += 1;
            state.commits.us += step.service_us();
        }
    }

    /// Lets the rules of a session end what is over.
    fn with(
        &mut self,
        session: SessionId,
        context: &Context<'_>,
        end: impl FnOnce(&mut State, &mut Scene<'_>),
    ) {
        if let Some(state) = self.sessions.get_mut(&session) {
            let mut scene = Scene {
                limits: &self.limits,
                costs: context.costs,
                known: &self.known,
                out: &mut self.out,
            };
            end(state, &mut scene);
        }
    }

    fn settle(&mut self, context: &mut Context<'_>) {
        for report in self.out.drain(..) {
            if report.kind == Kind::LoopedLookup {
                self.pending.hold(report, context);
            } else {
                self.pending.claim(report, context);
            }
        }
    }
}

impl State {
    fn next<'a>(&mut self, seen: &'a Seen<'a>, traits: Traits, limits: &Limits) -> Step<'a> {
        let begin_us = seen.record.begin_us;
        let think_us = self.last_end_us.map_or(0, |end| begin_us.saturating_sub(end));
        let part = seen.is_part();
        let fresh = self.unit.step(seen, limits.unit_gap_us);
        let counts = !part && !traits.role.is_quiet() && seen.record.outcome == Outcome::Ok;
        self.ordinal += u64::from(counts);
        self.last_end_us = Some(seen.record.end_us());
        Step {
            seen,
            traits,
            think_us,
            ordinal: self.ordinal,
            unit: self.unit.ordinal,
            fresh,
            trace: self.unit.trace,
            commits: self.commits,
        }
    }

    fn rules(&mut self, step: &Step<'_>, known: &Known, scene: &mut Scene<'_>) {
        let bond = self.unit.bond();
        self.upserts.step(step, scene);
        self.runs.step(step, bond, &self.upserts, scene);
        self.savepoints.step(step, scene);
        self.duplicates.step(step, bond, known, scene);
        self.cursors.step(step, scene);
        self.reads.step(step, scene);
        polling::step(step, known, scene);
    }

    fn end_transaction(&mut self, record: &TransactionRecord, scene: &mut Scene<'_>) {
        self.upserts.transaction(record.transaction, scene);
        self.runs.transaction(record.transaction, &self.upserts, scene);
        self.savepoints.close(scene);
        self.cursors.close(scene);
        self.reads.finish(scene);
        if self.unit.trace.is_none() {
            self.duplicates.clear(record.session, scene);
        }
        self.unit.end_transaction();
    }

    fn close(&mut self, session: SessionId, scene: &mut Scene<'_>) {
        self.upserts.close(scene);
        self.runs.close(&self.upserts, scene);
        self.savepoints.close(scene);
        self.cursors.close(scene);
        self.reads.finish(scene);
        self.duplicates.clear(session, scene);
    }

    fn tick(&mut self, session: SessionId, now: Micros, scene: &mut Scene<'_>) {
        self.upserts.tick(now, scene);
        self.runs.tick(now, &self.upserts, scene);
        self.reads.tick(now, scene);
        if self.unit.is_quiet(now, scene.limits.unit_gap_us) {
            self.duplicates.clear(session, scene);
        }
    }
}

impl Detector for Loops {
    fn statement(&mut self, seen: &Seen<'_>, context: &mut Context<'_>) {
        self.step(seen, context);
        if !self.out.is_empty() {
            self.settle(context);
        }
    }

    fn transaction(&mut self, record: &TransactionRecord, context: &mut Context<'_>) {
        self.with(record.session, context, |state, scene| state.end_transaction(record, scene));
        self.settle(context);
        self.pending.end_transaction(record);
    }

    fn closed(&mut self, session: SessionId, at_us: Micros, context: &mut Context<'_>) {
        self.with(session, context, |state, scene| state.close(session, scene));
        self.sessions.remove(&session);
        self.settle(context);
        self.pending.closed(session, at_us);
    }

    fn occurrence(&mut self, occurrence: &Occurrence, _context: &mut Context<'_>) {
        self.pending.proved(occurrence.database, occurrence.child.digest, occurrence.last_us);
    }

    fn tick(&mut self, now: Micros, context: &mut Context<'_>) {
        let mut ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        ids.sort_unstable();
        for session in ids {
            self.with(session, context, |state, scene| state.tick(session, now, scene));
        }
        self.settle(context);
        self.pending.tick(now, context);
        if self.known.len() >= self.limits.digests_max {
            let old =
                |known: &Known| now.saturating_sub(known.last_us.get()) >= IDLE_BEFORE_EVICTION_US;
            self.known.retain(|_, known| !old(known));
        }
    }
}
