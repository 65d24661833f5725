//! `upsert_loop`: per row, a look-up by a value, then an INSERT or UPDATE of the same table that carries it.
//!
//! A job in a transaction of its own (look-up and write together) is no loop, however many jobs there are.

use super::looped_lookup::TIGHT_THINK_US;
use super::report::{Report, hex, subject};
use super::run::Body;
use super::step::{Commits, Scene, Step};
use super::traits::{Role, Tables};
use super::write_loop::BATCH_ROWS_MAX;
use crate::digest::Statement;
use crate::finding::{EvidenceValue, Kind, Proof, Severity};
use crate::findings::cost::{OccurrenceCost, Repeated};
use crate::labels::DatabaseId;
use crate::record::{Micros, SessionId};
use std::sync::Arc;

/// Values of a look-up that are compared with those of the write.
const VALUES_MAX: usize = 4;
/// Loops followed per session.
const LOOPS_MAX: usize = 2;
/// Ended loops whose statements stay claimed.
const ENDED_MAX: usize = 4;

/// The latest look-up, as the first half of an iteration.
#[derive(Clone, Copy, Debug)]
struct Asked {
    digest: u64,
    tables: Tables,
    values: [u32; VALUES_MAX],
    found: bool,
    ordinal: u64,
    round_trip: u32,
    transaction: u32,
    begin_us: Micros,
    service_us: u64,
}

/// Iterations of one look-up on one session.
#[derive(Clone, Debug)]
struct Loop {
    read: u64,
    /// Digests of UPDATE and INSERT.
    writes: [u64; 2],
    database: DatabaseId,
    session: SessionId,
    trace: Option<u64>,
    transaction: u32,
    one_transaction: bool,
    ordinal: u64,
    value: u32,
    iterations: u64,
    hits: u64,
    misses: u64,
    first_us: Micros,
    last_us: Micros,
    busy_us: u64,
    commits_before: Commits,
    commits: Commits,
    read_statement: Arc<Statement>,
    body: Box<Body>,
}

/// The look-up and write loops of one session.
#[derive(Clone, Debug, Default)]
pub(super) struct Upserts {
    asked: Option<(Asked, Option<Arc<Statement>>)>,
    paused: bool,
    loops: Vec<Loop>,
    /// Digests that a reported loop consisted of, and its end.
    ended: Vec<([u64; 3], Micros)>,
    min: u64,
}

impl Loop {
    fn digests(&self) -> [u64; 3] {
        [self.read, self.writes[0], self.writes[1]]
    }

    /// Whether this iteration belongs to it.
    fn goes_on(&self, step: &Step<'_>, asked: &Asked, paused: bool, away_max: u64) -> bool {
        if self.trace != step.trace && self.trace.is_some() && step.trace.is_some() {
            return false;
        }
        if self.one_transaction && self.transaction == step.transaction() {
            return asked.ordinal - self.ordinal <= away_max;
        }
        let own_job = asked.transaction != 0 && asked.transaction == step.transaction();
        asked.ordinal == self.ordinal + 1 && !paused && !own_job && !self.one_transaction
    }
}

impl Upserts {
    /// Takes in one execution.
    pub(super) fn step(&mut self, step: &Step<'_>, scene: &mut Scene<'_>) {
        self.min = scene.limits.loops.upsert_iterations_min;
        self.paused |= step.think_us > scene.limits.loops.write_think_max_us;
        match step.traits.role {
            role if role.is_quiet() => {}
            Role::Read if step.traits.lookup && step.rows() <= 1 => self.ask(step),
            Role::Write if step.traits.upserts && step.rows() <= 1 => {
                if let Some((asked, statement)) = self.asked.take() {
                    self.write(step, &asked, statement, scene);
                }
            }
            _ => self.asked = None,
        }
    }

    fn ask(&mut self, step: &Step<'_>) {
        let mut values = [0; VALUES_MAX];
        let slots = step.traits.key_slots();
        let of_key = step.seen.binds().filter(|cell| slots.contains(&step.seen.slot_of(cell.slot)));
        values.iter_mut().zip(of_key).for_each(|(place, cell)| *place = cell.hash);
        let known = self.loops.iter().any(|known| known.read == step.digest());
        // The statement is only wanted once: for a loop that begins here.
        let statement = (!known).then(|| step.seen.statement.clone());
        let asked = Asked {
            digest: step.digest(),
            tables: step.traits.tables,
            values,
            found: step.rows() == 1,
            ordinal: step.ordinal,
            round_trip: step.round_trip(),
            transaction: step.transaction(),
            begin_us: step.begin_us(),
            service_us: step.service_us(),
        };
        self.asked = Some((asked, statement));
    }

    fn write(
        &mut self,
        step: &Step<'_>,
        asked: &Asked,
        statement: Option<Arc<Statement>>,
        scene: &mut Scene<'_>,
    ) {
        let adjacent = asked.ordinal + 1 == step.ordinal && asked.round_trip != step.round_trip();
        let shared = step
            .seen
            .binds()
            .map(|cell| cell.hash)
            .find(|hash| *hash != 0 && asked.values.contains(hash));
        let (Some(value), true) =
            (shared, adjacent && asked.tables.hold_first_of(&step.traits.tables))
        else {
            return;
        };
        let paused = std::mem::take(&mut self.paused);
        let known = self.loops.iter().position(|known| known.read == asked.digest);
        let away_max = scene.limits.loops.loops_session_max as u64;
        if let Some(at) = known {
            let going = &mut self.loops[at];
            if going.goes_on(step, asked, paused, away_max) {
                going.add(step, asked, value);
                return;
            }
            let over = self.loops.swap_remove(at);
            let read_statement = over.read_statement.clone();
            self.finish(&over, scene);
            self.begin(step, asked, value, read_statement, scene);
        } else if let Some(statement) = statement {
            self.begin(step, asked, value, statement, scene);
        }
    }

    fn begin(
        &mut self,
        step: &Step<'_>,
        asked: &Asked,
        value: u32,
        read_statement: Arc<Statement>,
        scene: &mut Scene<'_>,
    ) {
        if self.loops.len() >= LOOPS_MAX {
            let least = (0..LOOPS_MAX).min_by_key(|at| (self.loops[*at].iterations, *at));
            if let Some(at) = least {
                let over = self.loops.swap_remove(at);
                self.finish(&over, scene);
            }
        }
        let transaction = step.transaction();
        let mut new = Loop {
            read: asked.digest,
            writes: [0; 2],
            database: step.seen.database,
            session: step.session(),
            trace: step.trace,
            transaction,
            one_transaction: transaction != 0 && asked.transaction == transaction,
            ordinal: 0,
            value: 0,
            iterations: 0,
            hits: 0,
            misses: 0,
            first_us: asked.begin_us,
            last_us: 0,
            busy_us: 0,
            commits_before: step.commits,
            commits: step.commits,
            read_statement,
            body: Box::new(Body::new(step)),
        };
        new.add(step, asked, value);
        self.loops.push(new);
    }

    /// Whether a loop that began then, or one that goes on, explains this digest's executions.
    pub(super) fn cover(&self, digest: u64, first_us: Micros) -> bool {
        let going =
            |known: &Loop| known.iterations >= self.min && known.digests().contains(&digest);
        self.loops.iter().any(going)
            || self.ended.iter().any(|(digests, end)| *end >= first_us && digests.contains(&digest))
    }

    fn finish(&mut self, over: &Loop, scene: &mut Scene<'_>) {
        if over.iterations < scene.limits.loops.upsert_iterations_min {
            return;
        }
        if self.ended.len() >= ENDED_MAX {
            self.ended.remove(0);
        }
        self.ended.push((over.digests(), over.last_us));
        let report = report(over, scene);
        scene.out.push(report);
    }

    fn finish_where(&mut self, scene: &mut Scene<'_>, over: impl Fn(&Loop) -> bool) {
        while let Some(at) = self.loops.iter().position(&over) {
            let gone = self.loops.swap_remove(at);
            self.finish(&gone, scene);
        }
    }

    /// The transaction block ended.
    pub(super) fn transaction(&mut self, transaction: u32, scene: &mut Scene<'_>) {
        self.finish_where(scene, |known| known.one_transaction && known.transaction == transaction);
    }

    /// Nothing came for longer than a pause may be.
    pub(super) fn tick(&mut self, now: Micros, scene: &mut Scene<'_>) {
        let think_us = scene.limits.loops.write_think_max_us.max(scene.limits.unit_gap_us);
        self.finish_where(scene, |known| {
            !known.one_transaction && now.saturating_sub(known.last_us) > think_us
        });
    }

    /// The session ended.
    pub(super) fn close(&mut self, scene: &mut Scene<'_>) {
        self.finish_where(scene, |_| true);
    }
}

impl Loop {
    fn add(&mut self, step: &Step<'_>, asked: &Asked, value: u32) {
        self.ordinal = step.ordinal;
        self.transaction = step.transaction();
        if value == self.value {
            return;
        }
        self.value = value;
        self.iterations += 1;
        self.hits += u64::from(asked.found);
        self.misses += u64::from(!asked.found);
        self.writes[usize::from(step.traits.inserts)] = step.digest();
        self.last_us = step.end_us();
        self.busy_us += asked.service_us + step.service_us();
        self.commits = step.commits;
        self.body.add(step);
    }
}

fn report(over: &Loop, scene: &Scene<'_>) -> Report {
    let proof = if over.one_transaction { Proof::Observed } else { Proof::Sequence };
    let statement = &over.read_statement;
    let mut report = Report::new(Kind::UpsertLoop, proof, over.database, statement);
    let tight = over.iterations >= scene.limits.loops.looped_warning_n_min
        && over.body.think_p50_us() <= TIGHT_THINK_US
        && !scene.is_shared(over.database, over.read, over.first_us);
    if !over.one_transaction && over.trace.is_none() && !tight {
        report.severity_max = Severity::Info;
    }
    report.cost = cost(over, scene);
    let table = subject(statement);
    let (n, hits, misses) = (over.iterations, over.hits, over.misses);
    let what = format!("{n} times a look-up of one row and then a write of it");
    report.sentence = if over.one_transaction {
        format!(
            "`{table}` is asked before every write: {what}, in one transaction ({hits} found, {misses} not)."
        )
    } else {
        format!(
            "Candidate: `{table}` looks asked before every write: {what} ({hits} found, {misses} not)."
        )
    };
    let commits = over.commits.count - over.commits_before.count;
    report.evidence = vec![
        ("n", EvidenceValue::Count(n)),
        ("hits", EvidenceValue::Count(hits)),
        ("misses", EvidenceValue::Count(misses)),
        ("read_digest", hex(over.read)),
        ("commits_between", EvidenceValue::Count(commits)),
    ];
    for (name, digest) in ["update_digest", "insert_digest"].into_iter().zip(over.writes) {
        if digest != 0 {
            report.evidence.push((name, hex(digest)));
        }
    }
    (report.sender, report.session) = (over.body.sender.clone(), over.session);
    (report.n, report.first_us, report.last_us) = (Some(n), over.first_us, over.last_us);
    report
}

/// As for a write loop, with two statements per row where one for all would do.
fn cost(over: &Loop, scene: &Scene<'_>) -> OccurrenceCost {
    let statements = 2 * over.iterations;
    let rows = Repeated {
        n: statements,
        batched: over.iterations.div_ceil(BATCH_ROWS_MAX),
        busy_us: over.busy_us,
        p50_us: over.busy_us / statements.max(1),
        rtt_us: over.body.rtt_us,
        plan_floor_us: scene.costs.plan_floor_us(over.database, over.last_us),
    }
    .cost();
    let commits_us = over.commits.us - over.commits_before.us;
    OccurrenceCost {
        saved_low_us: rows.saved_low_us + commits_us,
        saved_high_us: rows.saved_high_us + commits_us,
        busy_us: rows.busy_us + commits_us,
        round_trips: rows.round_trips + over.commits.count - over.commits_before.count,
        ..rows
    }
}
