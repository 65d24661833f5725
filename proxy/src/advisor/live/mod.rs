//! The live advisor: a thread of its own beside the traffic.
//!
//! It wakes once a second and mostly sleeps on. A run over a database is due when the wire suspects an index that nobody
//! has judged, when DDL passed by, and every few hours. What it finds goes to the analyzer, whose findings show it;
//! what keeps it from finding more stands in its status. A panic ends one run, not the thread.

mod after;
mod decode;
mod lines;
mod plan;
mod query_ids;
mod runner;
mod samples;
mod state;
mod words;

pub use plan::{PlanRequest, Planned};
pub use state::AdvisorState;

use crate::config::{AdvisorSettings, Secret};
use crate::export::{AdvisorProblem, Mode};
use crate::orders::AnalyzerOrder;
use crate::problem::Problem;
use crate::shared::Shared;
use after::Watched;
use lines::Target;
use pgsonde_analyzer::Redaction;
use pgsonde_analyzer::digest::query_ids::QueryId;
use pgsonde_analyzer::finding::{IndexVerdict, Kind, State};
use pgsonde_analyzer::snapshot::{DigestRow, Operation, Snapshot};
use query_ids::QueryIds;
use runner::{Judged, Runner};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The parser recurses; its trees can be deep.
const STACK_BYTES: usize = 8 << 20;
/// Between two looks at what passed.
const TICK: Duration = Duration::from_secs(1);
/// Shortest time between two runs over one database.
const RUN_PAUSE: Duration = Duration::from_secs(10);
/// Time after the first traffic of a database to the first run, if nothing is suspected before.
const FIRST_RUN_AFTER: Duration = Duration::from_secs(60);
/// Time between runs that nothing calls for.
const RUN_PERIOD: Duration = Duration::from_secs(6 * 3_600);
/// How often the catalogue is asked for new indexes while some are advised.
const LOOK_PERIOD: Duration = Duration::from_secs(60);
/// Longest pause after a failure; the first is a second.
const BACK_OFF_MAX: Duration = Duration::from_secs(600);
/// Databases (with users and search paths) that are looked at.
const TARGETS_MAX: usize = 8;
/// Why a look at the catalogue is due that costs one query.
const OPEN: &str = "advice is open";
/// `nice` of the thread.
const NICE: i32 = 10;

/// What the thread needs of the process.
pub(crate) struct Live {
    pub(crate) shared: Arc<Shared>,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) orders: Sender<AnalyzerOrder>,
}

impl Live {
    /// Starts the thread; it ends when the proxy's state says stop.
    ///
    /// # Errors
    /// The thread can't be made.
    pub(crate) fn spawn(self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new()
            .name("pgsonde-advisor".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || self.run())
    }

    fn run(self) {
        // On Linux this is the thread's own.
        let _ = rustix::process::nice(NICE);
        self.shared.advisor.attend();
        let mut known = Known::default();
        while !self.shared.advisor.is_stopped() {
            let settings = self.shared.current().settings.findings.clone();
            let mode = self.shared.mode.mode();
            let on = settings.missing_index_enabled && mode == Mode::Full;
            let side = settings.advisor.side_connection.clone().filter(|_| on);
            let values = side.is_some() && settings.advisor.capture_values;
            self.shared.outbox.values_wanted.store(values, Relaxed);
            self.shared.advisor.keep_samples(values);
            match &side {
                Some(side) => self.step(&mut known, side, &settings.advisor),
                None => self.rest(&mut known, on),
            }
            if let Some(request) = self.shared.advisor.take_request() {
                let planned = self.plan(&mut known, &request);
                request.answer(planned);
            }
            std::thread::park_timeout(TICK);
        }
        known.runner = None;
    }

    /// Nobody to ask: what was said before is taken back.
    fn rest(&self, known: &mut Known, on: bool) {
        if known.runner.is_some() || !known.verdicts.is_empty() {
            *known = Known::default();
            self.publish(known);
            let _ = self.orders.send(AnalyzerOrder::QueryIds(Vec::new()));
        }
        let problems = on.then(words::no_side_connection).into_iter().collect();
        self.shared.advisor.show(if on { "suspect" } else { "off" }, problems);
    }

    fn step(&self, known: &mut Known, side: &Secret, settings: &AdvisorSettings) {
        if known.settings.as_ref() != Some(settings) {
            *known = Known { settings: Some(settings.clone()), ..Known::default() };
            known.runner = Some(Runner::new(self.shared.advisor.clone(), side, settings));
        }
        let snapshot = self.snapshots.borrow().clone();
        known.note_traffic(&snapshot);
        if let Some(ids) = known.ask_query_ids(&snapshot, &self.shared.advisor) {
            // The analyzer ends only with the process.
            let _ = self.orders.send(AnalyzerOrder::QueryIds(ids));
        }
        let due = known.due(&snapshot, &self.shared.advisor);
        let Some((target, why)) = due else {
            if known.measure(&snapshot) {
                self.publish(known);
            }
            return self.shared.advisor.show(known.tier(), known.problems());
        };
        let Some(runner) = known.runner.as_mut() else { return };
        if why == OPEN && !runner.has_new_indexes(&target) {
            return;
        }
        tracing::debug!(database = %target.origin.database, why, "the index advisor looks");
        let judged = catch_unwind(AssertUnwindSafe(|| runner.judge(&target, &snapshot)));
        let judged = judged.unwrap_or_else(|_| {
            tracing::error!("the index advisor failed on this workload");
            runner.forget(&target);
            Judged::failed(words::failed())
        });
        known.take(&target, judged, &snapshot);
        self.publish(known);
        self.shared.advisor.show(known.tier(), known.problems());
    }

    fn plan(&self, known: &mut Known, request: &PlanRequest) -> Result<Planned, Problem> {
        let Some(runner) = known.runner.as_mut() else {
            return Err(words::unplanned(&words::no_side_connection()));
        };
        if self.shared.current().settings.profile.redact == Redaction::AllText {
            return Err(words::unplanned(&words::no_plans_shown()));
        }
        let snapshot = self.snapshots.borrow().clone();
        let row = snapshot.digests.iter().find(|row| request.wants(row));
        let targets = targets(&snapshot, &self.shared.advisor);
        let serves = |target: &&Target, row: &DigestRow| {
            target.origin.database == row.database && target.serves(row.digest)
        };
        let found = row.and_then(|row| {
            targets.iter().find(|target| serves(target, row)).map(|target| (target, row))
        });
        let Some((target, row)) = found else { return Err(words::unknown_statement()) };
        catch_unwind(AssertUnwindSafe(|| runner.plan(target, row))).unwrap_or_else(|_| {
            tracing::error!("the index advisor failed on this statement");
            runner.forget(target);
            Err(words::unplanned(&words::failed()))
        })
    }

    fn publish(&self, known: &Known) {
        // The analyzer ends only with the process.
        let _ = self.orders.send(AnalyzerOrder::Advice(known.verdicts.values().cloned().collect()));
    }
}

/// One database, user and search_path, over time.
#[derive(Default)]
struct Course {
    first: Option<Instant>,
    run: Option<Instant>,
    looked: Option<Instant>,
    failures: u32,
    /// Suspects that were judged.
    judged: BTreeSet<u64>,
    problems: Vec<AdvisorProblem>,
    tier: Option<&'static str>,
    /// Statements of DDL that had passed at the latest run.
    ddl: u64,
    /// Findings that the latest run spoke of.
    told: BTreeSet<u64>,
}

impl Course {
    fn rested(&self) -> bool {
        let back_off = Duration::from_secs(1 << self.failures.saturating_sub(1).min(10));
        let pause = match self.failures {
            0 => RUN_PAUSE,
            _ => back_off.min(BACK_OFF_MAX),
        };
        self.run.is_none_or(|run| run.elapsed() >= pause)
    }
}

/// What the thread knows.
#[derive(Default)]
struct Known {
    settings: Option<AdvisorSettings>,
    runner: Option<Runner>,
    courses: BTreeMap<samples::Origin, Course>,
    verdicts: BTreeMap<u64, IndexVerdict>,
    watched: Vec<Watched>,
    ddl: u64,
    query_ids: QueryIds,
}

impl Known {
    fn note_traffic(&mut self, snapshot: &Snapshot) {
        let ddl = snapshot.digests.iter().filter(|row| row.operation == Operation::Ddl);
        self.ddl = ddl.map(|row| row.totals.calls).sum();
    }

    fn ask_query_ids(&mut self, snapshot: &Snapshot, state: &AdvisorState) -> Option<Vec<QueryId>> {
        let runner = self.runner.as_mut()?;
        self.query_ids.step(runner, &targets(snapshot, state))
    }

    /// What is to be looked at next, and why.
    fn due(&mut self, snapshot: &Snapshot, state: &AdvisorState) -> Option<(Target, &'static str)> {
        let targets = targets(snapshot, state);
        let ddl = self.ddl;
        for target in targets {
            let advised = self.watched.iter().any(|watched| watched.waits_in(&target));
            let course = self.courses.entry(target.origin.clone()).or_default();
            let first = *course.first.get_or_insert_with(Instant::now);
            if !course.rested() {
                continue;
            }
            let unjudged = suspects(snapshot, &target).any(|id| !course.judged.contains(&id));
            let since = |at: Option<Instant>, period| at.is_none_or(|at| at.elapsed() >= period);
            let why = if unjudged {
                "suspects"
            } else if course.run.is_some() && course.ddl != ddl {
                "ddl"
            } else if advised && since(course.looked, LOOK_PERIOD) {
                course.looked = Some(Instant::now());
                OPEN
            } else if course.failures > 0 {
                "again"
            } else if first.elapsed() >= FIRST_RUN_AFTER && since(course.run, RUN_PERIOD) {
                "time"
            } else {
                continue;
            };
            course.ddl = ddl;
            return Some((target, why));
        }
        None
    }

    fn take(&mut self, target: &Target, judged: Judged, snapshot: &Snapshot) {
        let course = self.courses.entry(target.origin.clone()).or_default();
        course.run = Some(Instant::now());
        course.looked = course.run;
        course.failures = if judged.failed { course.failures + 1 } else { 0 };
        course.problems = judged.problems;
        course.tier = Some(judged.tier);
        course.judged.extend(judged.considered);
        if judged.failed {
            return;
        }
        // What was said before and is said no more is over, unless its index is being measured.
        let own = self.watched.iter_mut().filter(|watched| watched.origin == target.origin);
        let measured: Vec<u64> = own
            .filter_map(|watched| {
                let built = watched.look(&judged.indexes, snapshot);
                built.then_some(watched.id)
            })
            .collect();
        let told: BTreeSet<u64> = judged.verdicts.iter().map(|verdict| verdict.id).collect();
        let over = |id: &u64| !measured.contains(id) && !told.contains(id);
        let before = std::mem::replace(&mut course.told, told.clone());
        course.told.extend(&measured);
        self.watched.retain(|watched| !before.contains(&watched.id) || !over(&watched.id));
        self.verdicts.retain(|id, _| !before.contains(id) || !over(id));
        for watched in judged.watched {
            if !self.watched.iter().any(|known| known.id == watched.id) {
                self.watched.push(watched);
            }
        }
        for verdict in judged.verdicts {
            if !measured.contains(&verdict.id) {
                self.verdicts.insert(verdict.id, verdict);
            }
        }
        self.measure(snapshot);
    }

    /// Compares latencies before and after; true where something changed.
    fn measure(&mut self, snapshot: &Snapshot) -> bool {
        let mut changed = false;
        for watched in &mut self.watched {
            if let (Some(verdict), Some(known)) =
                (watched.verdict(snapshot), self.verdicts.get_mut(&watched.id))
                && *known != verdict
            {
                *known = verdict;
                changed = true;
            }
        }
        changed
    }

    fn tier(&self) -> &'static str {
        let tiers = ["suspect", "estimated", "verified"];
        let best = self.courses.values().filter_map(|course| course.tier);
        best.filter_map(|tier| tiers.iter().position(|known| *known == tier))
            .max()
            .map_or("suspect", |at| tiers[at])
    }

    fn problems(&self) -> Vec<AdvisorProblem> {
        let mut found: Vec<AdvisorProblem> = Vec::new();
        for problem in self.courses.values().flat_map(|course| &course.problems) {
            if !found.contains(problem) {
                found.push(problem.clone());
            }
        }
        found
    }
}

fn targets(snapshot: &Snapshot, state: &AdvisorState) -> Vec<Target> {
    let mut targets = lines::targets(&state.samples(), snapshot);
    targets.truncate(TARGETS_MAX);
    targets
}

/// Ids of the open suspects of a database.
fn suspects<'a>(snapshot: &'a Snapshot, target: &'a Target) -> impl Iterator<Item = u64> + 'a {
    let open = |finding: &&pgsonde_analyzer::finding::Finding| {
        finding.kind == Kind::MissingIndex
            && finding.state != State::Resolved
            && finding.database == target.origin.database
            && finding.child.as_ref().is_some_and(|child| target.serves(child.digest))
    };
    snapshot.findings.iter().filter(open).map(|finding| finding.id)
}
