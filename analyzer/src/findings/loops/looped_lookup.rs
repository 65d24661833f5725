//! `looped_lookup`: one read by key again and again, without a visible parent.
//!
//! Always a candidate. In autocommit without a trace a busy endpoint on one connection looks the same, so there
//! it only rises above info where nobody else runs the digest and the pauses are those of a program's loop.

use super::report::{Report, ms, subject};
use super::run::{Body, Run};
use super::step::Scene;
use super::unit::Bond;
use crate::facts::PredicateClass;
use crate::finding::{EvidenceValue, Kind, Proof, Severity};
use crate::findings::cost::{BATCH_KEYS_MAX, Repeated};

/// Median pause of a loop in a program that does nothing in between; a request takes longer to arrive.
pub(super) const TIGHT_THINK_US: u64 = 500;

/// Whether repetition in autocommit can hardly be that of separate requests.
pub(super) fn is_tight(run: &Run, body: &Body, scene: &Scene<'_>) -> bool {
    run.n >= scene.limits.loops.looped_warning_n_min
        && body.think_p50_us() <= TIGHT_THINK_US
        && !scene.is_shared(run.database, run.digest, run.first_us)
}

/// The run as an occurrence.
pub(super) fn report(run: &Run, body: &Body, scene: &Scene<'_>) -> Report {
    let mut report =
        Report::new(Kind::LoopedLookup, Proof::Sequence, run.database, &body.statement);
    let convincing = run.bond != Bond::Run || is_tight(run, body, scene);
    let many = run.n >= scene.limits.loops.looped_warning_n_min;
    report.severity_own = Some(if convincing && many { Severity::Warning } else { Severity::Info });
    report.slot = key_slot(&report);
    report.scope = (run.transaction, run.is_traced());
    report.cost = Repeated {
        n: run.n,
        batched: run.n.div_ceil(BATCH_KEYS_MAX),
        busy_us: run.busy_us,
        p50_us: body.service_p50_us(),
        rtt_us: body.rtt_us,
        plan_floor_us: scene.costs.plan_floor_us(run.database, run.last_us),
    }
    .cost();
    report.sentence = sentence(run, &report);
    report.evidence = vec![
        ("n", EvidenceValue::Count(run.n)),
        ("think_p50_ms", ms(body.think_p50_us())),
        ("rows", EvidenceValue::Count(run.rows)),
        ("bond", EvidenceValue::Text(run.bond.name().into())),
    ];
    (report.sender, report.session) = (body.sender.clone(), run.session);
    (report.n, report.first_us, report.last_us) = (Some(run.n), run.first_us, run.last_us);
    report
}

fn key_slot(report: &Report) -> Option<u16> {
    let facts = report.statement.facts.as_ref()?;
    let by_key = |class| matches!(class, PredicateClass::Eq | PredicateClass::In);
    facts
        .predicates
        .iter()
        .find(|found| by_key(found.class))
        .and_then(|found| found.slots.first().copied())
}

fn sentence(run: &Run, report: &Report) -> String {
    let table = subject(&report.statement);
    let by = report.column().map(|column| format!(" by `{column}`")).unwrap_or_default();
    let place = match run.bond {
        Bond::Transaction => "in one transaction",
        Bond::Trace => "in one traced request",
        Bond::Run => "in a row on one connection",
    };
    format!(
        "Candidate: `{table}` looks read one value at a time: {} look-ups{by} {place}, each with another value \
         and in its own round trip. No earlier result that supplied the values was seen.",
        run.n
    )
}
