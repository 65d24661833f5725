//! `savepoint_loop`: a savepoint around every single statement of a loop.

use super::report::{Report, subject};
use super::run::Body;
use super::step::{Scene, Step};
use super::traits::Role;
use crate::finding::{EvidenceValue, Kind, Proof};
use crate::findings::cost::OccurrenceCost;
use crate::labels::DatabaseId;
use crate::record::{Micros, Outcome, SessionId};
use std::sync::Arc;

/// Statements outside of savepoints between two of them.
const OUTSIDE_MAX: u64 = 7;
/// Statements told apart inside.
const INSIDE_MAX: usize = 4;

/// A savepoint that is open.
#[derive(Clone, Copy, Debug)]
struct Open {
    round_trip: u32,
    begin_us: Micros,
    service_us: u64,
    statements: u32,
}

/// Savepoints of one transaction.
#[derive(Clone, Debug)]
struct Loop {
    database: DatabaseId,
    session: SessionId,
    transaction: u32,
    n: u64,
    first_us: Micros,
    last_us: Micros,
    control_us: u64,
    ordinal: u64,
    inside: Vec<(u64, u64, Box<Body>)>,
}

/// The savepoints of one session.
#[derive(Clone, Debug, Default)]
pub(super) struct Savepoints {
    open: Option<Open>,
    /// The statement that the open one holds, and whether it is alone in its round trip.
    held: Option<(u64, bool, Box<Body>)>,
    running: Option<Box<Loop>>,
}

impl Savepoints {
    /// Takes in one execution, also of failed statements and control.
    pub(super) fn step(&mut self, step: &Step<'_>, scene: &mut Scene<'_>) {
        match step.traits.role {
            Role::Savepoint => self.begin(step, scene),
            Role::Release => self.release(step, scene),
            role if role.is_quiet() || self.open.is_none() => {}
            _ => self.hold(step),
        }
    }

    fn begin(&mut self, step: &Step<'_>, scene: &mut Scene<'_>) {
        let over = |known: &Loop| {
            known.transaction != step.transaction() || step.ordinal > known.ordinal + OUTSIDE_MAX
        };
        if self.running.as_deref().is_some_and(over) {
            self.finish(scene);
        }
        self.held = None;
        self.open = Some(Open {
            round_trip: step.round_trip(),
            begin_us: step.begin_us(),
            service_us: step.service_us(),
            statements: 0,
        });
    }

    fn hold(&mut self, step: &Step<'_>) {
        let Some(open) = &mut self.open else { return };
        open.statements += 1;
        let alone = open.round_trip != step.round_trip();
        self.held =
            (open.statements == 1).then(|| (step.digest(), alone, Box::new(Body::new(step))));
    }

    fn release(&mut self, step: &Step<'_>, scene: &mut Scene<'_>) {
        let (open, held) = (self.open.take(), self.held.take());
        let ok = step.seen.record.outcome == Outcome::Ok && open.is_some();
        match (open, held) {
            (Some(open), Some((digest, true, body))) if ok => self.count(step, &open, digest, body),
            // An empty savepoint, or one around several statements, is another way of working.
            (Some(_), _) => self.finish(scene),
            _ => {}
        }
    }

    fn count(&mut self, step: &Step<'_>, open: &Open, digest: u64, body: Box<Body>) {
        let running = self.running.get_or_insert_with(|| {
            Box::new(Loop {
                database: step.seen.database,
                session: step.session(),
                transaction: step.transaction(),
                n: 0,
                first_us: open.begin_us,
                last_us: 0,
                control_us: 0,
                ordinal: 0,
                inside: Vec::new(),
            })
        });
        running.n += 1;
        running.ordinal = step.ordinal;
        running.last_us = step.end_us();
        running.control_us += open.service_us + step.service_us();
        match running.inside.iter().position(|(known, ..)| *known == digest) {
            Some(at) => {
                let (_, count, known) = &mut running.inside[at];
                *count += 1;
                known.add(step);
            }
            None if running.inside.len() < INSIDE_MAX => running.inside.push((digest, 1, body)),
            None => {}
        }
    }

    fn finish(&mut self, scene: &mut Scene<'_>) {
        if let Some(over) = self.running.take()
            && over.n >= scene.limits.loops.savepoint_repeats_min
            && let Some(report) = report(&over)
        {
            scene.out.push(report);
        }
    }

    /// The transaction block, or the session, ended.
    pub(super) fn close(&mut self, scene: &mut Scene<'_>) {
        self.open = None;
        self.held = None;
        self.finish(scene);
    }
}

fn report(over: &Loop) -> Option<Report> {
    let most = over.inside.iter().max_by_key(|(digest, count, _)| (*count, *digest));
    let (_, _, body) = most?;
    let mut report =
        Report::new(Kind::SavepointLoop, Proof::Observed, over.database, &body.statement);
    let low_us = (2 * over.n * body.rtt_us.unwrap_or(0)).min(over.control_us);
    report.cost = OccurrenceCost {
        saved_low_us: low_us,
        saved_high_us: low_us,
        rtt_us: body.rtt_us,
        service_p50_us: over.control_us / (2 * over.n).max(1),
        busy_us: over.control_us,
        round_trips: 2 * over.n,
        bytes: None,
    };
    report.sentence = format!(
        "{} single statements (`{}`) had a savepoint each in one transaction: two more round trips for every one.",
        over.n,
        subject(&body.statement)
    );
    let mut inside: Vec<Arc<str>> =
        over.inside.iter().map(|(.., body)| body.statement.summary.clone()).collect();
    inside.sort_unstable();
    report.evidence = vec![
        ("n", EvidenceValue::Count(over.n)),
        ("inside", EvidenceValue::List(inside)),
        ("control_ms", super::report::ms(over.control_us)),
    ];
    (report.sender, report.session) = (body.sender.clone(), over.session);
    (report.n, report.first_us, report.last_us) = (Some(over.n), over.first_us, over.last_us);
    Some(report)
}
