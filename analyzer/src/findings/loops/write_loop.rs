//! `write_loop`: rows written one by one, each in its own round trip. A pipelined batch is one round trip and
//! many rows in one statement are none either.

use super::looped_lookup::is_tight;
use super::report::{Report, ms, share, subject};
use super::run::{Body, Run};
use super::step::Scene;
use crate::finding::{EvidenceValue, Kind, Proof, Severity};
use crate::findings::cost::{OccurrenceCost, Repeated};

/// Rows that one batched statement may write.
pub(super) const BATCH_ROWS_MAX: u64 = 1_000;

/// The run as an occurrence.
pub(super) fn report(run: &Run, body: &Body, scene: &Scene<'_>) -> Report {
    let whole = run.is_in_one_transaction();
    let proof = if whole { Proof::Observed } else { Proof::Sequence };
    let mut report = Report::new(Kind::WriteLoop, proof, run.database, &body.statement);
    if !whole && !run.is_traced() && !is_tight(run, body, scene) {
        report.severity_max = Severity::Info;
    }
    report.cost = cost(run, body, scene);
    report.sentence = sentence(run, &report);
    let commits = run.commits();
    report.evidence = vec![
        ("n", EvidenceValue::Count(run.n)),
        ("commits_between", EvidenceValue::Count(commits.count)),
        ("commit_share_ratio", share(commits.us, run.busy_us + commits.us)),
        ("think_p50_ms", ms(body.think_p50_us())),
    ];
    (report.sender, report.session) = (body.sender.clone(), run.session);
    (report.n, report.first_us, report.last_us) = (Some(run.n), run.first_us, run.last_us);
    report
}

/// The statements that a batch saves, and the COMMITs between them.
fn cost(run: &Run, body: &Body, scene: &Scene<'_>) -> OccurrenceCost {
    let commits = run.commits();
    let rows = Repeated {
        n: run.n,
        batched: run.n.div_ceil(BATCH_ROWS_MAX),
        busy_us: run.busy_us,
        p50_us: body.service_p50_us(),
        rtt_us: body.rtt_us,
        plan_floor_us: scene.costs.plan_floor_us(run.database, run.last_us),
    }
    .cost();
    OccurrenceCost {
        saved_low_us: rows.saved_low_us + commits.us,
        saved_high_us: rows.saved_high_us + commits.us,
        busy_us: rows.busy_us + commits.us,
        round_trips: rows.round_trips + commits.count,
        ..rows
    }
}

fn sentence(run: &Run, report: &Report) -> String {
    let table = subject(&report.statement);
    let verb = report.statement.operation.name().to_uppercase();
    let n = run.n;
    if report.proof == Proof::Observed {
        return format!(
            "`{table}` is written row by row: {n} times the same {verb} of one row in one transaction, each in \
             its own round trip."
        );
    }
    let commits = match run.commits().count {
        0 => String::new(),
        1 => " and 1 COMMIT between them".to_owned(),
        count => format!(" and {count} COMMITs between them"),
    };
    format!(
        "Candidate: `{table}` looks written row by row: {n} times the same {verb} of one row in a row on one \
         connection{commits}, each in its own round trip."
    )
}
