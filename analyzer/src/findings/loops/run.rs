//! Runs: executions of one digest in a row on one session. Several go on side by side, for the body of a loop
//! has several statements.

use super::step::{Commits, Scene, Step};
use super::traits::Role;
use super::unit::Bond;
use super::upsert_loop::Upserts;
use super::{looped_lookup, write_loop};
use crate::digest::Statement;
use crate::flow::Sender;
use crate::labels::DatabaseId;
use crate::latency::median;
use crate::record::{Micros, SessionId};
use std::sync::Arc;

/// Execution from which a run keeps its statement and its samples.
const BODY_FROM: u64 = 3;
/// Service times and pauses kept for their medians.
const SAMPLES_MAX: usize = 32;

/// What a run repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeats {
    Lookup,
    Write,
}

/// What only longer runs keep.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) statement: Arc<Statement>,
    pub(super) sender: Sender,
    pub(super) rtt_us: Option<u64>,
    services_us: Vec<u64>,
    thinks_us: Vec<u64>,
}

impl Body {
    pub(super) fn new(step: &Step<'_>) -> Self {
        Self {
            statement: step.seen.statement.clone(),
            sender: Sender::of(step.seen),
            rtt_us: None,
            services_us: Vec::new(),
            thinks_us: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, step: &Step<'_>) {
        self.rtt_us = step.seen.rtt_us.or(self.rtt_us);
        if self.services_us.len() < SAMPLES_MAX {
            self.services_us.push(step.service_us());
            self.thinks_us.push(step.think_us);
        }
    }

    pub(super) fn service_p50_us(&self) -> u64 {
        median(&self.services_us)
    }

    pub(super) fn think_p50_us(&self) -> u64 {
        median(&self.thinks_us)
    }
}

/// Executions of one digest in a row.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) digest: u64,
    pub(super) repeats: Repeats,
    pub(super) database: DatabaseId,
    pub(super) session: SessionId,
    /// Executions, each in its own round trip.
    pub(super) n: u64,
    pub(super) bond: Bond,
    /// Transaction block of the latest, and how many blocks (or none) there were in all.
    pub(super) transaction: u32,
    pub(super) transactions: u32,
    trace: Option<u64>,
    unit: u64,
    round_trip: u32,
    ordinal: u64,
    /// Statements from one execution to the next.
    distance: u64,
    values: u64,
    /// The client has paused since the latest.
    paused: bool,
    /// Service time of the latest, if it counted.
    latest_us: Option<u64>,
    pub(super) first_us: Micros,
    pub(super) last_us: Micros,
    pub(super) busy_us: u64,
    pub(super) rows: u64,
    commits_before: Commits,
    commits: Commits,
    pub(super) body: Option<Box<Body>>,
}

impl Run {
    fn new(step: &Step<'_>, repeats: Repeats, values: u64, bond: Bond, n: u64) -> Self {
        Self {
            digest: step.digest(),
            repeats,
            database: step.seen.database,
            session: step.session(),
            n,
            bond,
            transaction: step.transaction(),
            transactions: 1,
            trace: step.trace,
            unit: step.unit,
            round_trip: step.round_trip(),
            ordinal: step.ordinal,
            distance: 0,
            values,
            paused: false,
            latest_us: (n > 0).then(|| step.service_us()),
            first_us: step.begin_us(),
            last_us: step.end_us(),
            busy_us: step.service_us(),
            rows: step.rows(),
            commits_before: step.commits,
            commits: step.commits,
            body: None,
        }
    }

    /// Everything lies in one transaction block.
    pub(super) fn is_in_one_transaction(&self) -> bool {
        self.transactions == 1 && self.transaction != 0
    }

    /// Everything belongs to one trace.
    pub(super) fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    /// COMMITs between the first and the latest execution.
    pub(super) fn commits(&self) -> Commits {
        Commits {
            count: self.commits.count - self.commits_before.count,
            us: self.commits.us - self.commits_before.us,
        }
    }

    /// Whether the run can still grow after this statement.
    fn goes_on(&self, step: &Step<'_>, scene: &Scene<'_>) -> bool {
        let same = step.digest() == self.digest;
        let away = step.ordinal - self.ordinal;
        if same && (step.round_trip() == self.round_trip || step.rows() > self.rows_max(scene)) {
            return false;
        }
        match self.repeats {
            Repeats::Lookup => {
                let regular =
                    !same || self.n < 2 || self.bond != Bond::Run || away == self.distance;
                self.unit == step.unit
                    && away <= scene.limits.loops.loops_session_max as u64
                    && regular
            }
            Repeats::Write if self.transaction == step.transaction() && self.transaction != 0 => {
                true
            }
            Repeats::Write => {
                let conflict = matches!((self.trace, step.trace), (Some(a), Some(b)) if a != b);
                same && away == 1 && !conflict && !self.paused && !self.is_whole(scene)
            }
        }
    }

    /// A transaction's own loop: what comes in the next one is another occurrence.
    fn is_whole(&self, scene: &Scene<'_>) -> bool {
        self.is_in_one_transaction() && self.n >= scene.limits.loops.write_executions_min
    }

    fn rows_max(&self, scene: &Scene<'_>) -> u64 {
        match self.repeats {
            Repeats::Lookup => scene.limits.loops.looped_rows_max,
            Repeats::Write => 1,
        }
    }

    /// The latest turns out to be the first of a pipelined batch.
    fn take_back(&mut self) {
        if let Some(us) = self.latest_us.take() {
            self.n = self.n.saturating_sub(1);
            self.busy_us = self.busy_us.saturating_sub(us);
        }
    }

    fn add(&mut self, step: &Step<'_>, values: u64) {
        self.transactions +=
            u32::from(step.transaction() != self.transaction || step.transaction() == 0);
        self.transaction = step.transaction();
        self.distance = step.ordinal - self.ordinal;
        self.ordinal = step.ordinal;
        self.round_trip = step.round_trip();
        self.paused = false;
        let told_apart =
            values != self.values || (self.repeats == Repeats::Write && step.traits.inserts);
        self.latest_us = told_apart.then(|| step.service_us());
        if !told_apart {
            return;
        }
        self.values = values;
        self.n += 1;
        self.last_us = step.end_us();
        self.busy_us += step.service_us();
        self.rows += step.rows();
        self.commits = step.commits;
        if self.n >= BODY_FROM {
            self.body.get_or_insert_with(|| Box::new(Body::new(step))).add(step);
        }
    }
}

/// The runs of one session.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    runs: Vec<Run>,
}

impl Runs {
    /// Takes in one execution.
    pub(super) fn step(
        &mut self,
        step: &Step<'_>,
        bond: Bond,
        upserts: &Upserts,
        scene: &mut Scene<'_>,
    ) {
        if !self.runs.is_empty() {
            self.pause(step, upserts, scene);
        }
        if step.traits.role.is_quiet() {
            return;
        }
        let mut pipelined = false;
        let mut at = 0;
        while at < self.runs.len() {
            let run = &self.runs[at];
            if run.goes_on(step, scene) {
                at += 1;
                continue;
            }
            let mut over = self.runs.swap_remove(at);
            if over.digest == step.digest() && over.round_trip == step.round_trip() {
                pipelined = true;
                over.take_back();
            }
            finish(&over, upserts, scene);
        }
        if let Some((repeats, values)) = repeats(step, scene) {
            self.extend(step, repeats, values, bond, pipelined, (upserts, scene));
        }
    }

    fn extend(
        &mut self,
        step: &Step<'_>,
        repeats: Repeats,
        values: u64,
        bond: Bond,
        pipelined: bool,
        (upserts, scene): (&Upserts, &mut Scene<'_>),
    ) {
        if let Some(run) = self.runs.iter_mut().find(|run| run.digest == step.digest()) {
            run.add(step, values);
            return;
        }
        if self.runs.len() >= scene.limits.loops.loops_session_max.max(1) {
            let shortest = (0..self.runs.len()).min_by_key(|at| {
                let run = &self.runs[*at];
                (run.n, run.last_us, run.digest)
            });
            if let Some(at) = shortest {
                finish(&self.runs.swap_remove(at), upserts, scene);
            }
        }
        self.runs.push(Run::new(step, repeats, values, bond, u64::from(!pipelined)));
    }

    /// A pause of the client ends look-ups, and loops that are not held together by a transaction.
    fn pause(&mut self, step: &Step<'_>, upserts: &Upserts, scene: &mut Scene<'_>) {
        let limits = &scene.limits.loops;
        if step.think_us > limits.write_think_max_us {
            self.runs.iter_mut().for_each(|run| run.paused = true);
        }
        if step.think_us > limits.looped_think_max_us {
            self.finish_where(upserts, scene, |run| run.repeats == Repeats::Lookup);
        }
    }

    fn finish_where(
        &mut self,
        upserts: &Upserts,
        scene: &mut Scene<'_>,
        over: impl Fn(&Run) -> bool,
    ) {
        let mut at = 0;
        while at < self.runs.len() {
            if over(&self.runs[at]) {
                finish(&self.runs.swap_remove(at), upserts, scene);
            } else {
                at += 1;
            }
        }
    }

    /// The transaction block ended.
    pub(super) fn transaction(
        &mut self,
        transaction: u32,
        upserts: &Upserts,
        scene: &mut Scene<'_>,
    ) {
        let write_min = scene.limits.loops.write_executions_min;
        self.finish_where(upserts, scene, |run| {
            let whole = run.repeats == Repeats::Lookup || run.n >= write_min;
            run.transaction == transaction && whole && run.is_in_one_transaction()
        });
        // What is left may go on in the next block, as a loop over several.
        let left = self.runs.iter_mut().filter(|run| run.transaction == transaction);
        left.for_each(|run| run.transaction = 0);
    }

    /// Nothing came for longer than a pause may be.
    pub(super) fn tick(&mut self, now: Micros, upserts: &Upserts, scene: &mut Scene<'_>) {
        let (gap_us, think_us) = (scene.limits.unit_gap_us, scene.limits.loops.write_think_max_us);
        self.finish_where(upserts, scene, |run| {
            let quiet_us = now.saturating_sub(run.last_us);
            run.transaction == 0 && quiet_us > gap_us.max(think_us)
        });
    }

    /// The session ended.
    pub(super) fn close(&mut self, upserts: &Upserts, scene: &mut Scene<'_>) {
        self.finish_where(upserts, scene, |_| true);
    }
}

/// What this execution may repeat, and the hash of what tells it from the one before.
fn repeats(step: &Step<'_>, scene: &Scene<'_>) -> Option<(Repeats, u64)> {
    match step.traits.role {
        Role::Read if step.traits.lookup && step.rows() <= scene.limits.loops.looped_rows_max => {
            Some((Repeats::Lookup, step.key()?))
        }
        Role::Write if step.rows() <= 1 => Some((Repeats::Write, step.values())),
        _ => None,
    }
}

fn finish(run: &Run, upserts: &Upserts, scene: &mut Scene<'_>) {
    let (limits, Some(body)) = (&scene.limits.loops, &run.body) else { return };
    let min = match run.repeats {
        Repeats::Lookup => limits.looped_executions_min,
        Repeats::Write => limits.write_executions_min,
    };
    if run.n < min || upserts.cover(run.digest, run.first_us) {
        return;
    }
    let report = match run.repeats {
        Repeats::Lookup => looped_lookup::report(run, body, scene),
        Repeats::Write => write_loop::report(run, body, scene),
    };
    scene.out.push(report);
}
