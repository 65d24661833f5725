//! Two reports, statement by statement and finding by finding.

use super::FailOn;
use super::significance::{ALPHA, Outcome, SAMPLES_MIN, holm, mann_whitney};
use crate::export::shapes::diff::{
    DiffDocument, FindingName, FindingsDiff, Side, StatementDiff, StatementSide, TestUsed,
};
use crate::export::shapes::{Finding, Report, StatementDetail, is_proved};
use std::collections::{BTreeMap, BTreeSet};

/// Share by which the median must have changed to be called slower or faster.
const CHANGE_SHARE: f64 = 0.1;
/// Rows per call must have grown by this share, and by one row at least.
const ROWS_SHARE: f64 = 0.2;

/// The whole comparison.
pub(super) fn document(
    sources: [&str; 2],
    reports: &[Report; 2],
    fail_on: &[FailOn],
) -> DiffDocument {
    let [base, head] = reports;
    let statements = statements(base, head);
    let findings = findings(base, head);
    let comparisons = statements.iter().filter(|diff| diff.p_value.is_some()).count() as u64;
    let failures =
        fail_on.iter().flat_map(|rule| failures(*rule, &statements, &findings, head)).collect();
    DiffDocument {
        base: side(sources[0], base),
        head: side(sources[1], head),
        test: TestUsed {
            name: "Mann-Whitney U on histogram buckets, Holm's correction".to_owned(),
            alpha: ALPHA,
            samples_min: SAMPLES_MIN,
            comparisons,
        },
        statements,
        findings,
        failures,
        notes: notes(base, head),
    }
}

fn side(source: &str, report: &Report) -> Side {
    Side {
        source: source.to_owned(),
        from: report.summary.from.clone(),
        to: report.summary.to.clone(),
        statements: report.summary.books.statements,
    }
}

fn notes(base: &Report, head: &Report) -> Vec<String> {
    let of = |name: &str, report: &Report| -> Vec<String> {
        report.notes.iter().map(|note| format!("{name}: {note}")).collect()
    };
    let mut notes = of("base", base);
    notes.extend(of("head", head));
    notes
}

/// One digest of one report; over several databases their sum.
struct Summed<'a> {
    /// The one with most calls: its quantiles stand for all.
    leading: &'a StatementDetail,
    buckets: Vec<u64>,
    side: StatementSide,
}

fn summed<'a>(report: &'a Report) -> BTreeMap<&'a str, Summed<'a>> {
    let mut found: BTreeMap<&str, Vec<&StatementDetail>> = BTreeMap::new();
    for detail in &report.statements.items {
        found.entry(&detail.item.digest).or_default().push(detail);
    }
    let summed = |(digest, details): (&'a str, Vec<&'a StatementDetail>)| {
        let leading = details.iter().max_by_key(|detail| detail.item.calls).copied()?;
        Some((digest, Summed { leading, buckets: buckets(&details), side: sum(leading, &details) }))
    };
    found.into_iter().filter_map(summed).collect()
}

fn buckets(details: &[&StatementDetail]) -> Vec<u64> {
    let length = details.iter().map(|detail| detail.histogram.len()).max().unwrap_or(0);
    let at = |index: usize| {
        details.iter().filter_map(|detail| Some(detail.histogram.get(index)?.count)).sum()
    };
    (0..length).map(at).collect()
}

#[allow(clippy::cast_precision_loss)]
fn sum(leading: &StatementDetail, details: &[&StatementDetail]) -> StatementSide {
    let items = || details.iter().map(|detail| &detail.item);
    let calls: u64 = items().map(|item| item.calls).sum();
    let rows: u64 = items().map(|item| item.rows).sum();
    StatementSide {
        calls,
        total_ms: items().map(|item| item.total_ms).sum(),
        p50_ms: leading.item.p50_ms,
        p95_ms: leading.item.p95_ms,
        rows_per_call: (calls > 0).then(|| rows as f64 / calls as f64),
        calls_per_unit_max: items().map(|item| item.calls_per_unit_max).max().unwrap_or(0),
    }
}

/// Whether the report shows all its statements by themselves.
fn is_whole(report: &Report) -> bool {
    report.statements.total as usize <= report.statements.items.len()
        && report.statements.other.as_ref().is_none_or(|other| other.digests.calls == 0)
}

fn statements(base: &Report, head: &Report) -> Vec<StatementDiff> {
    let (old, new) = (summed(base), summed(head));
    let digests: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    let mut diffs = Vec::new();
    let mut asked: Vec<(usize, Outcome)> = Vec::new();
    for digest in digests {
        let (before, after) = (old.get(digest), new.get(digest));
        let Some(known) = after.or(before) else { continue };
        let mut diff = StatementDiff {
            digest: digest.to_owned(),
            summary: known.leading.item.summary.clone(),
            verdicts: Vec::new(),
            not_judged: None,
            base: before.map(|summed| summed.side.clone()),
            head: after.map(|summed| summed.side.clone()),
            time_ratio: None,
            p_value: None,
        };
        match (before, after) {
            (Some(before), Some(after)) => {
                if let Some(outcome) = both(&mut diff, before, after) {
                    asked.push((diffs.len(), outcome));
                }
            }
            (None, _) => alone(&mut diff, "new", is_whole(base), "base"),
            (_, None) => alone(&mut diff, "gone", is_whole(head), "head"),
        }
        diffs.push(diff);
    }
    let p_values: Vec<f64> = asked.iter().map(|(_, outcome)| outcome.p).collect();
    for ((index, outcome), significant) in asked.into_iter().zip(holm(&p_values)) {
        judge_time(&mut diffs[index], outcome, significant);
    }
    let weight = |diff: &StatementDiff| {
        diff.head.as_ref().or(diff.base.as_ref()).map_or(0.0, |side| side.total_ms)
    };
    diffs.sort_by(|a, b| {
        let changed = |diff: &StatementDiff| !diff.verdicts.is_empty();
        changed(b)
            .cmp(&changed(a))
            .then(weight(b).total_cmp(&weight(a)))
            .then(a.digest.cmp(&b.digest))
    });
    diffs
}

/// A statement that only one side shows; nothing can be said where the other side doesn't show all of its own.
fn alone(diff: &mut StatementDiff, verdict: &str, other_is_whole: bool, other: &str) {
    if other_is_whole {
        diff.verdicts.push(verdict.to_owned());
    } else {
        diff.not_judged =
            Some(format!("{other} shows only its costliest statements by themselves"));
    }
}

fn both(diff: &mut StatementDiff, before: &Summed<'_>, after: &Summed<'_>) -> Option<Outcome> {
    let (old, new) = (&before.side, &after.side);
    diff.time_ratio =
        old.p50_ms.zip(new.p50_ms).filter(|(old, _)| *old > 0.0).map(|(old, new)| new / old);
    if new.calls_per_unit_max > old.calls_per_unit_max && old.calls_per_unit_max > 0 {
        diff.verdicts.push("more_calls".to_owned());
    }
    if let (Some(old), Some(new)) = (old.rows_per_call, new.rows_per_call)
        && new > old * (1.0 + ROWS_SHARE)
        && new >= old + 1.0
    {
        diff.verdicts.push("more_rows".to_owned());
    }
    let outcome = mann_whitney(&before.buckets, &after.buckets);
    match outcome {
        Some(outcome) => diff.p_value = Some(outcome.p),
        None => {
            diff.not_judged =
                Some(format!("fewer than {SAMPLES_MIN} timed executions on one side"));
        }
    }
    outcome
}

/// Slower or faster: significant, and the median moved in the same direction by enough to matter.
fn judge_time(diff: &mut StatementDiff, outcome: Outcome, significant: bool) {
    let Some(ratio) = diff.time_ratio.filter(|_| significant) else { return };
    if outcome.slower > 0.5 && ratio > 1.0 + CHANGE_SHARE {
        diff.verdicts.insert(0, "slower".to_owned());
    } else if outcome.slower < 0.5 && ratio < 1.0 / (1.0 + CHANGE_SHARE) {
        diff.verdicts.insert(0, "faster".to_owned());
    }
}

fn findings(base: &Report, head: &Report) -> FindingsDiff {
    let open = |report: &Report| -> BTreeMap<String, FindingName> {
        let open = report.findings.items.iter().filter(|finding| finding.state == "open");
        open.map(|finding| (finding.id.clone(), name(finding))).collect()
    };
    let (old, new) = (open(base), open(head));
    let only = |these: &BTreeMap<String, FindingName>, those: &BTreeMap<String, FindingName>| {
        these
            .iter()
            .filter(|(id, _)| !those.contains_key(*id))
            .map(|(_, name)| name.clone())
            .collect()
    };
    FindingsDiff { new: only(&new, &old), gone: only(&old, &new) }
}

fn name(finding: &Finding) -> FindingName {
    FindingName {
        finding: finding.id.clone(),
        kind: finding.kind.clone(),
        severity: finding.severity.clone(),
        sentence: finding.sentence.clone(),
    }
}

/// What a rule of `--fail-on` finds.
fn failures(
    rule: FailOn,
    statements: &[StatementDiff],
    findings: &FindingsDiff,
    head: &Report,
) -> Vec<String> {
    let with = |verdict: &str| -> Vec<&StatementDiff> {
        statements.iter().filter(|diff| diff.verdicts.iter().any(|v| v == verdict)).collect()
    };
    let named = |verdict: &str, diffs: Vec<&StatementDiff>| -> Vec<String> {
        diffs.iter().map(|diff| format!("{verdict}: {} ({})", diff.summary, diff.digest)).collect()
    };
    match rule {
        FailOn::Slower(share) => {
            let enough =
                |diff: &&StatementDiff| diff.time_ratio.is_some_and(|ratio| ratio > 1.0 + share);
            named("slower", with("slower").into_iter().filter(enough).collect())
        }
        FailOn::New => named("new", with("new")),
        FailOn::Gone => named("gone", with("gone")),
        FailOn::MoreCalls => named("more calls", with("more_calls")),
        FailOn::MoreRows => named("more rows", with("more_rows")),
        FailOn::NPlusOne => {
            let proved = |finding: &&FindingName| {
                let found = head.findings.items.iter().find(|known| known.id == finding.finding);
                finding.kind == "n_plus_one" && found.is_some_and(|known| is_proved(&known.proof))
            };
            findings
                .new
                .iter()
                .filter(proved)
                .map(|finding| format!("N+1: {}", finding.sentence))
                .collect()
        }
        FailOn::Findings => {
            let counts = |finding: &&FindingName| finding.severity != "info";
            findings
                .new
                .iter()
                .filter(counts)
                .map(|finding| format!("{}: {}", finding.kind, finding.sentence))
                .collect()
        }
    }
}
