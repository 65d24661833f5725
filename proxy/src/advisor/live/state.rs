//! What the advisor's thread shares with the analyzer's thread and with the renderings.

use super::plan::PlanRequest;
use super::samples::Samples;
use crate::export::{AdvisorDatabase, AdvisorProblem, AdvisorStatus};
use pgsonde_analyzer::Analyzer;
use pgsonde_analyzer::record::RecordBatch;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

/// Reasons for leaving something out that are told apart.
const REASONS_MAX: usize = 16;

/// Samples, status and the stop sign.
#[derive(Default)]
pub struct AdvisorState {
    samples: Mutex<Samples>,
    keeps: AtomicBool,
    stopped: AtomicBool,
    status: Mutex<AdvisorStatus>,
    /// A plan that somebody waits for, and the thread that asks for it.
    request: Mutex<Option<PlanRequest>>,
    thread: OnceLock<Thread>,
    skipped: Mutex<BTreeMap<&'static str, u64>>,
}

/// Values are shown nowhere.
impl fmt::Debug for AdvisorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdvisorState")
    }
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AdvisorState {
    /// Looks through a batch that the analyzer has taken in, if samples are kept.
    pub fn hear(&self, batch: &RecordBatch, analyzer: &mut Analyzer) {
        if self.keeps.load(Relaxed) {
            open(&self.samples).take(batch, analyzer);
        }
    }

    /// Asks for a plan; whoever waited for another one gets no answer.
    pub fn ask(&self, request: PlanRequest) {
        *open(&self.request) = Some(request);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(super) fn take_request(&self) -> Option<PlanRequest> {
        open(&self.request).take()
    }

    /// The thread that looks here says so.
    pub(super) fn attend(&self) {
        // One thread per process.
        let _ = self.thread.set(std::thread::current());
    }

    /// Whether the thread should end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    /// The proxy ends.
    pub fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    /// Keeps samples from now on, or drops those that there are.
    pub(super) fn keep_samples(&self, keep: bool) {
        if self.keeps.swap(keep, Relaxed) && !keep {
            *open(&self.samples) = Samples::default();
        }
    }

    pub(super) fn samples(&self) -> MutexGuard<'_, Samples> {
        open(&self.samples)
    }

    /// What it can say, and what keeps it from saying more. Each problem is logged once.
    pub(super) fn show(&self, tier: &'static str, problems: Vec<AdvisorProblem>) {
        let mut status = open(&self.status);
        for problem in problems.iter().filter(|problem| !status.problems.contains(problem)) {
            let database = problem.database.as_deref().unwrap_or_default();
            match tier {
                // Nobody asked for more.
                "off" | "suspect" if problem.database.is_none() => {}
                _ => tracing::warn!(
                    database,
                    what = problem.what,
                    remedy = problem.remedy,
                    "index advice"
                ),
            }
        }
        (status.tier, status.problems) = (tier, problems);
    }

    /// What a run over a database came to.
    pub(super) fn ran(&self, database: AdvisorDatabase) {
        let mut status = open(&self.status);
        status.databases.retain(|known| known.name != database.name);
        status.databases.push(database);
        status.databases.sort_by(|one, other| one.name.cmp(&other.name));
    }

    /// An EXPLAIN on the target ended so.
    pub(crate) fn explained(&self, outcome: &'static str) {
        let mut status = open(&self.status);
        if let Some((_, count)) = status.explains.iter_mut().find(|(name, _)| *name == outcome) {
            *count += 1;
        }
    }

    /// Something was left out.
    pub(crate) fn skip(&self, reason: &'static str) {
        let mut skipped = open(&self.skipped);
        if skipped.len() < REASONS_MAX || skipped.contains_key(reason) {
            *skipped.entry(reason).or_insert(0) += 1;
        }
    }

    /// For the renderings.
    pub fn status(&self) -> AdvisorStatus {
        let mut status = open(&self.status).clone();
        let skipped = open(&self.skipped);
        status.skipped = skipped.iter().map(|(reason, count)| (*reason, *count)).collect();
        let left_out = open(&self.samples).left_out;
        if left_out > 0 {
            status.skipped.push(("no_sample", left_out));
        }
        status
    }
}
