//! Reports on their way into the register: look-ups wait until the data-flow proof has had its say, and no kind
//! with a scale of its own matters before it was seen often enough.

use super::report::Report;
use crate::Map;
use crate::finding::{Kind, Severity};
use crate::findings::Context;
use crate::findings::hour::Hour;
use crate::labels::DatabaseId;
use crate::limits::Limits;
use crate::record::{Micros, SessionId, TransactionRecord};

/// Look-ups that wait at once; beyond that the oldest is claimed early.
const WAITING_MAX: usize = 1_024;
/// After the end of its scope a look-up waits for this long.
const WAIT_US: u64 = 1_000_000;

/// A look-up that an n_plus_one may still claim.
#[derive(Debug)]
struct Waiting {
    report: Report,
    /// Transaction block that must end first; 0 if none.
    transaction: u32,
    ready_us: Micros,
}

/// How often a claim was made, and what it would have saved in the last hour.
#[derive(Debug, Default)]
struct Tally {
    sightings: u64,
    saved: Hour<1>,
}

/// What has been found and not been claimed, and what has been claimed before.
#[derive(Debug)]
pub(super) struct Pending {
    limits: Limits,
    waiting: Vec<Waiting>,
    /// Children of proved n_plus_one, with the latest time.
    proved: Map<(DatabaseId, u64), Micros>,
    tallies: Map<u64, Tally>,
}

impl Pending {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            waiting: Vec::new(),
            proved: Map::default(),
            tallies: Map::default(),
        }
    }

    /// Keeps a look-up until its scope is over.
    pub(super) fn hold(&mut self, report: Report, context: &mut Context<'_>) {
        if self.is_proved(&report) {
            return;
        }
        if self.waiting.len() >= WAITING_MAX {
            let oldest = self.waiting.remove(0);
            self.claim(oldest.report, context);
        }
        let (transaction, traced) = report.scope;
        let trace_us = if traced { self.limits.trace_idle_us } else { 0 };
        let ready_us = report.last_us + trace_us + WAIT_US;
        self.waiting.push(Waiting { report, transaction, ready_us });
    }

    fn is_proved(&self, report: &Report) -> bool {
        self.proved.contains_key(&(report.database, report.statement.digest))
    }

    /// An n_plus_one has proved where this child's values come from: they are its executions.
    pub(super) fn proved(&mut self, database: DatabaseId, digest: u64, at_us: Micros) {
        let room = self.proved.len() < self.limits.digests_max;
        if room || self.proved.contains_key(&(database, digest)) {
            let latest = self.proved.entry((database, digest)).or_default();
            *latest = at_us.max(*latest);
        }
        self.waiting.retain(|waiting| {
            waiting.report.database != database || waiting.report.statement.digest != digest
        });
    }

    /// The transaction block ended.
    pub(super) fn end_transaction(&mut self, record: &TransactionRecord) {
        for waiting in &mut self.waiting {
            let own = waiting.report.session == record.session;
            if own && waiting.transaction == record.transaction {
                waiting.transaction = 0;
                waiting.ready_us = waiting.ready_us.max(record.end_us + WAIT_US);
            }
        }
    }

    /// The session ended, and all its scopes with it.
    pub(super) fn closed(&mut self, session: SessionId, at_us: Micros) {
        for waiting in self.waiting.iter_mut().filter(|w| w.report.session == session) {
            waiting.transaction = 0;
            waiting.ready_us = waiting.ready_us.max(at_us + WAIT_US);
        }
    }

    /// Claims what nothing else has claimed.
    pub(super) fn tick(&mut self, now: Micros, context: &mut Context<'_>) {
        let (ready, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| waiting.transaction == 0 && waiting.ready_us <= now);
        self.waiting = waiting;
        let ready: Vec<Waiting> = ready;
        for waiting in ready {
            self.claim(waiting.report, context);
        }
        let forget_us = self.limits.close_after_us;
        self.proved.retain(|_, at_us| now.saturating_sub(*at_us) < forget_us);
    }

    /// Puts a report into the register.
    pub(super) fn claim(&mut self, mut report: Report, context: &mut Context<'_>) {
        if let Some(own) = report.severity_own {
            report.severity_own = Some(self.severity(&report, own, context));
        }
        report.claim_into(context);
    }

    /// Not above info before it was seen often enough; a duplicate is an error by its share of all time.
    fn severity(&mut self, report: &Report, own: Severity, context: &Context<'_>) -> Severity {
        let id = report.identity(&context.labels.database_name(report.database));
        if self.tallies.len() >= self.limits.findings_max && !self.tallies.contains_key(&id) {
            return Severity::Info;
        }
        let tally = self.tallies.entry(id).or_default();
        tally.sightings += 1;
        tally.saved.add(report.last_us, [report.cost.saved_low_us]);
        if tally.sightings < self.limits.flow.sightings_min {
            return Severity::Info;
        }
        let long_enough = context.costs.window_us(report.last_us) >= self.limits.rate_window_min_us;
        let wait_us = context.costs.wait_us(report.last_us);
        let share = tally.saved.sums(report.last_us)[0] as f64 / wait_us.max(1) as f64;
        let error = long_enough && share >= self.limits.severity.error_share_min_ratio;
        if report.kind == Kind::DuplicateQuery && error { Severity::Error } else { own }
    }
}
