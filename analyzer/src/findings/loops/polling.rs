//! `polling`: the same read at a steady period that mostly finds nothing.
//!
//! Followed per session, and over all sessions of a database, for a pool hands out another one each time.

use super::report::{Report, ms, subject};
use super::run::Body;
use super::step::{Known, Scene, Step};
use super::traits::Role;
use crate::finding::{EvidenceValue, Kind, Proof, Severity};
use crate::findings::cost::Repeated;
use crate::record::{Micros, SessionId};

/// Sessions followed per digest.
const SESSIONS_MAX: usize = 4;
/// Periods kept for their median.
const PERIODS_MAX: usize = 64;

/// The executions of one digest by one session, or by all.
#[derive(Clone, Debug, Default)]
struct Poll {
    session: SessionId,
    begin_us: Micros,
    /// The latest found nothing: so the next comes after a full period.
    empty: bool,
    n: u64,
    empty_n: u64,
    busy_us: u64,
    first_us: Micros,
    periods_us: Vec<u64>,
}

/// Who may be polling by one digest.
#[derive(Clone, Debug, Default)]
pub(super) struct Polls {
    all: Poll,
    /// The latest window of all was that of a poll.
    steady: bool,
    sessions: Vec<Poll>,
}

/// Takes in one execution; `polls` is that of its digest.
pub(super) fn step(step: &Step<'_>, known: &Known, scene: &mut Scene<'_>) {
    if step.traits.role != Role::Read || !step.traits.has_tables() {
        return;
    }
    let polls = known.polls.take();
    // Who never finds nothing is not polling.
    let Some(mut polls) = polls.or_else(|| (step.rows() == 0).then(Box::default)) else { return };
    polls.step(step, scene);
    known.polls.set(Some(polls));
}

impl Polls {
    fn step(&mut self, step: &Step<'_>, scene: &mut Scene<'_>) {
        let (gap_us, ripe) = (scene.limits.unit_gap_us, scene.limits.loops.polling_executions_min);
        self.all.add(step, gap_us);
        if let Some(window) = self.all.take(ripe) {
            let found = window.report(step, scene);
            self.steady = found.is_some();
            scene.out.extend(found);
        }
        let own = self.of(step.session());
        own.add(step, gap_us);
        let window = own.take(ripe);
        // What all of them do at one period is said once.
        if let Some(window) = window.filter(|_| !self.steady) {
            let found = window.report(step, scene);
            scene.out.extend(found);
        }
    }

    /// The session's entry; the one that came longest ago makes room.
    fn of(&mut self, session: SessionId) -> &mut Poll {
        let known = self.sessions.iter().position(|poll| poll.session == session);
        let at = known.unwrap_or_else(|| {
            if self.sessions.len() >= SESSIONS_MAX {
                let oldest = (0..SESSIONS_MAX).min_by_key(|at| self.sessions[*at].begin_us);
                oldest.into_iter().for_each(|at| drop(self.sessions.swap_remove(at)));
            }
            self.sessions.push(Poll { session, ..Poll::default() });
            self.sessions.len() - 1
        });
        &mut self.sessions[at]
    }
}

impl Poll {
    fn add(&mut self, step: &Step<'_>, gap_us: u64) {
        let begin_us = step.begin_us();
        let period_us = begin_us.saturating_sub(self.begin_us);
        let empty = step.rows() == 0;
        let after_empty = std::mem::replace(&mut self.empty, empty);
        if self.n > 0 && period_us < gap_us {
            // Still the same unit: a loop, or the rest of what was found.
            self.begin_us = begin_us;
            return;
        }
        if self.n == 0 {
            self.first_us = begin_us;
        } else if after_empty && self.periods_us.len() < PERIODS_MAX {
            self.periods_us.push(period_us);
        }
        self.begin_us = begin_us;
        self.n += 1;
        self.empty_n += u64::from(empty);
        self.busy_us += step.service_us();
    }

    /// A full window; the next one begins.
    fn take(&mut self, executions_min: u64) -> Option<Self> {
        if self.n < executions_min {
            return None;
        }
        let next = Self {
            session: self.session,
            begin_us: self.begin_us,
            empty: self.empty,
            ..Self::default()
        };
        Some(std::mem::replace(self, next))
    }

    /// Median period and mean deviation from it, as a share of it.
    fn steadiness(&self) -> (u64, f64) {
        let median_us = crate::latency::median(&self.periods_us).max(1);
        let deviation: u64 = self.periods_us.iter().map(|us| us.abs_diff(median_us)).sum();
        let mean = deviation as f64 / self.periods_us.len().max(1) as f64;
        (median_us, mean / median_us as f64)
    }

    fn report(&self, step: &Step<'_>, scene: &Scene<'_>) -> Option<Report> {
        let limits = &scene.limits.loops;
        let empty_share = self.empty_n as f64 / self.n.max(1) as f64;
        let (period_us, jitter) = self.steadiness();
        if empty_share < limits.polling_empty_min_ratio || jitter > limits.polling_jitter_max_ratio
        {
            return None;
        }
        let (statement, n) = (&step.seen.statement, self.n);
        let mut report = Report::new(Kind::Polling, Proof::Sequence, step.seen.database, statement);
        report.severity_max = Severity::Info;
        let p50_us = self.busy_us / n.max(1);
        let plan_floor_us = scene.costs.plan_floor_us(step.seen.database, step.end_us());
        report.cost = Repeated {
            n,
            batched: 0,
            busy_us: self.busy_us,
            p50_us,
            rtt_us: step.seen.rtt_us,
            plan_floor_us,
        }
        .cost();
        report.sentence = format!(
            "Candidate: `{}` looks polled: {n} reads about every {:.1} s, {:.0} % of them found nothing.",
            subject(statement),
            period_us as f64 / 1_000_000.0,
            empty_share * 100.0
        );
        report.evidence = vec![
            ("n", EvidenceValue::Count(n)),
            ("period_ms", ms(period_us)),
            ("jitter_ratio", EvidenceValue::Number(jitter)),
            ("empty_share_ratio", EvidenceValue::Number(empty_share)),
        ];
        (report.sender, report.session) = (Body::new(step).sender, step.session());
        (report.n, report.first_us, report.last_us) = (Some(n), self.first_us, step.end_us());
        Some(report)
    }
}
