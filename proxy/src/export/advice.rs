//! What `pgsonde advise` prints: the findings of the API with the fields of an index, or text for people.

mod text;

use super::clock::rfc3339_unix;
use super::shapes::{Cost, Finding, Fix};
use crate::problem::Problem;
use pgsonde_advisor::advice::{Advice, Comparison, Report};
use pgsonde_advisor::catalog::Catalog;
use pgsonde_advisor::ddl;
use pgsonde_advisor::planner::{KeyPart, Plan, PlanNode, Trust};
use pgsonde_advisor::workload::Workload;
use pgsonde_analyzer::finding::EvidenceValue;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What stands beside a cost that HypoPG found.
const HYPOPG_WORDS: &str =
    "HypoPG on the target; its guess of the index's size moves the cost a little";

/// Everything that a rendering needs to know.
pub(crate) struct Known<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) workload: &'a Workload,
    pub(crate) report: &'a Report,
    pub(crate) verification: Option<&'a Verification>,
}

/// Who planned candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlannedBy {
    /// A private scratch server.
    Shadow,
    /// The target, with hypothetical indexes.
    HypoPg,
}

/// What the answers of whoever planned the candidates are worth.
pub(crate) struct Verification {
    pub(crate) by: PlannedBy,
    /// Samples that were compared.
    pub(crate) statements: usize,
    /// Those within 0.1 %.
    pub(crate) exact: usize,
    /// By sample: cost on the target, and as planned without candidates.
    pub(crate) costs: Vec<(f64, Option<f64>)>,
    /// Redacted statement, and why nothing is proved about it.
    pub(crate) doubts: Vec<(String, String)>,
    pub(crate) effort: Effort,
}

/// What a run asked for, and how long it took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Effort {
    /// Building the shadow with all candidates.
    pub(crate) shadow_build: Duration,
    /// EXPLAINs with candidates.
    pub(crate) what_if_explains: u64,
    /// EXPLAINs that the target was sent since the connection was opened.
    pub(crate) target_explains: u64,
    /// Everything after the base plans: candidates, shadow, selection.
    pub(crate) selection: Duration,
}

/// The document of `advise --json`.
#[derive(Debug, Serialize)]
struct Document {
    findings: Vec<IndexFinding>,
    /// Existing indexes that may be unnecessary; nothing is ever dropped.
    existing_indexes: Vec<Existing>,
    notes: Vec<String>,
    /// Absent where no shadow was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<ShadowSummary>,
    /// Absent where HypoPG was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    hypopg: Option<HypoPgSummary>,
}

/// What HypoPG planned on the target.
#[derive(Debug, Serialize)]
struct HypoPgSummary {
    statements: usize,
    unverified: Vec<Unverified>,
    explains: u64,
    explains_on_target: u64,
    selection_ms: u64,
}

/// How well the shadow agrees with the target.
#[derive(Debug, Serialize)]
struct ShadowSummary {
    statements: usize,
    within_0_1_percent: usize,
    unverified: Vec<Unverified>,
    build_ms: u64,
    explains: u64,
    explains_on_target: u64,
    selection_ms: u64,
}

#[derive(Debug, Serialize)]
struct Unverified {
    query_text: String,
    why: String,
}

/// A finding of the API and what only an index has.
#[derive(Debug, Serialize)]
struct IndexFinding {
    #[serde(flatten)]
    finding: Finding,
    index: String,
    table: String,
    columns: Vec<String>,
    include: Vec<String>,
    method: &'static str,
    predicate: Option<String>,
    statements: Vec<Affected>,
    saving_share: f64,
    cost_before: f64,
    cost_after: f64,
    size_bytes: u64,
    write_cost: Writes,
    replaces: Vec<String>,
    reasons_against: Vec<String>,
    hints: Vec<String>,
    /// What the planner said, without values; empty where no planner tried the index.
    plans: Vec<Plans>,
}

/// One statement's plans, and how well whoever planned it knows the statement.
#[derive(Debug, Serialize)]
struct Plans {
    digest: String,
    before: ShownPlan,
    after: ShownPlan,
    cost_on_target: f64,
    /// Absent where no shadow was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_in_shadow: Option<f64>,
}

#[derive(Debug, Serialize)]
struct ShownPlan {
    cost: f64,
    /// Indented lines as EXPLAIN has them, values as `?`.
    lines: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Affected {
    digest: String,
    query_text: String,
    calls: f64,
    cost_before: f64,
    cost_after: f64,
}

#[derive(Debug, Serialize)]
struct Writes {
    entries: f64,
    cost_units: f64,
    wal_bytes: f64,
    loses_hot: bool,
}

#[derive(Debug, Serialize)]
struct Existing {
    table: String,
    index: String,
    kind: &'static str,
    why: String,
}

/// Prints a run's report to standard output, and what should be known about it to standard error or into the document.
///
/// # Errors
/// Standard output can't be written to.
pub(crate) fn print(known: &Known<'_>, notes: &[String], json: bool) -> Result<(), Problem> {
    let report = known.report;
    let all: Vec<String> = notes.iter().chain(&report.notes).cloned().collect();
    let findings: Vec<IndexFinding> =
        report.advice.iter().map(|advice| finding(known, advice)).collect();
    let by = |who| known.verification.filter(|found| found.by == who);
    let shadow = by(PlannedBy::Shadow).map(summary);
    let hypopg = by(PlannedBy::HypoPg).map(hypopg_summary);
    let text = if json {
        let existing_indexes = existing(report);
        let document = Document { findings, existing_indexes, notes: all, shadow, hypopg };
        serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
    } else {
        for note in &all {
            eprintln!("note: {note}");
        }
        text::for_people(&findings, report, shadow.as_ref(), hypopg.as_ref())
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Problem::new(102, format!("cannot print: {error}")))
}

fn doubts(verification: &Verification) -> Vec<Unverified> {
    let of = |(query_text, why): &(String, String)| Unverified {
        query_text: query_text.clone(),
        why: why.clone(),
    };
    verification.doubts.iter().map(of).collect()
}

fn summary(verification: &Verification) -> ShadowSummary {
    ShadowSummary {
        statements: verification.statements,
        within_0_1_percent: verification.exact,
        unverified: doubts(verification),
        build_ms: verification.effort.shadow_build.as_millis() as u64,
        explains: verification.effort.what_if_explains,
        explains_on_target: verification.effort.target_explains,
        selection_ms: verification.effort.selection.as_millis() as u64,
    }
}

fn hypopg_summary(verification: &Verification) -> HypoPgSummary {
    HypoPgSummary {
        statements: verification.statements,
        unverified: doubts(verification),
        explains: verification.effort.what_if_explains,
        explains_on_target: verification.effort.target_explains,
        selection_ms: verification.effort.selection.as_millis() as u64,
    }
}

fn plans(known: &Known<'_>, comparison: &Comparison) -> Option<Plans> {
    let sample = known.workload.sample(comparison.sample)?;
    let verification = known.verification?;
    let (live, planned) = *verification.costs.get(comparison.sample.0)?;
    let planned = planned?;
    Some(Plans {
        digest: known.workload.digests[sample.digest].id.clone(),
        before: shown(&comparison.before),
        after: shown(&comparison.after),
        cost_on_target: live,
        cost_in_shadow: (verification.by == PlannedBy::Shadow).then_some(planned),
    })
}

fn shown(plan: &Plan) -> ShownPlan {
    ShownPlan { cost: plan.cost, lines: plan_lines(plan) }
}

/// A plan as psql shows it, without values.
pub(crate) fn plan_lines(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    add_lines(&plan.tree, 0, &mut lines);
    lines
}

fn add_lines(node: &PlanNode, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    let mut line = format!("{indent}{}", node.kind);
    let bitmap = Some(node.detail.clone()).filter(|_| node.kind == "Bitmap Heap Scan");
    let index = bitmap.filter(|names| !names.is_empty()).or_else(|| node.index.clone());
    for (word, name) in [("using", &index), ("on", &node.relation)] {
        if let Some(name) = name {
            let _ = write!(line, " {word} {name}");
        }
    }
    let _ = write!(line, "  (cost={:.2}..{:.2} rows={:.0})", node.startup, node.total, node.rows);
    lines.push(line);
    lines.extend(node.conditions.iter().map(|text| format!("{indent}  {}", redacted(text))));
    node.children.iter().for_each(|child| add_lines(child, depth + 1, lines));
}

/// A condition without its values: what our lexer calls a literal is one.
fn redacted(condition: &str) -> String {
    let info = pgsonde_analyzer::text::read(
        condition.as_bytes(),
        &pgsonde_analyzer::value::Salt::new(0, 0),
    );
    let parts: Vec<String> = info.parts.iter().map(|part| part.redacted.clone()).collect();
    parts.join("; ")
}

/// What is known of an index, for the finding of a running proxy.
pub(crate) fn advised_evidence(
    known: &Known<'_>,
    advice: &Advice,
) -> Vec<(&'static str, EvidenceValue)> {
    let list = |lines: &[String]| {
        EvidenceValue::List(lines.iter().map(|line| Arc::from(line.as_str())).collect())
    };
    let found = finding(known, advice);
    let number = EvidenceValue::Number;
    let mut evidence = vec![
        ("tier", EvidenceValue::Text(Arc::from(tier(advice.trust)))),
        ("size_bytes", EvidenceValue::Count(found.size_bytes)),
        ("saving_share", number(found.saving_share)),
        ("cost_before", number(found.cost_before)),
        ("cost_after", number(found.cost_after)),
        ("write_entries", number(found.write_cost.entries)),
        ("write_cost_units", number(found.write_cost.cost_units)),
        ("write_wal_bytes", number(found.write_cost.wal_bytes)),
    ];
    let lists = [
        ("reasons_against", &found.reasons_against),
        ("hints", &found.hints),
        ("replaces", &found.replaces),
    ];
    evidence.extend(
        lists
            .iter()
            .filter(|(_, lines)| !lines.is_empty())
            .map(|(name, lines)| (*name, list(lines))),
    );
    if let Some(plans) = found.plans.first() {
        evidence.push(("plan_before", list(&plans.before.lines)));
        evidence.push(("plan_after", list(&plans.after.lines)));
        evidence.push(("cost_on_target", number(plans.cost_on_target)));
        evidence.extend(plans.cost_in_shadow.map(|cost| ("cost_in_shadow", number(cost))));
    }
    let words = known.verification.map(|found| match found.by {
        PlannedBy::Shadow => {
            ("fidelity", format!("{} of {} plans within 0.1 %", found.exact, found.statements))
        }
        PlannedBy::HypoPg => ("planned_by", HYPOPG_WORDS.to_owned()),
    });
    evidence.extend(words.map(|(name, words)| (name, EvidenceValue::Text(Arc::from(words)))));
    evidence
}

fn existing(report: &Report) -> Vec<Existing> {
    let of = |found: &pgsonde_advisor::dispensable::Dispensable| Existing {
        table: found.table.clone(),
        index: found.index.clone(),
        kind: found.kind,
        why: found.why.clone(),
    };
    report.dispensable.iter().map(of).collect()
}

fn tier(trust: Trust) -> &'static str {
    match trust {
        Trust::Formula => "estimated",
        Trust::HypoPg | Trust::Shadow => "verified",
    }
}

fn finding(known: &Known<'_>, advice: &Advice) -> IndexFinding {
    let (catalog, workload, spec) = (known.catalog, known.workload, &advice.spec);
    let relation = catalog.relations.get(&spec.table);
    let columns: Vec<String> = spec
        .keys
        .iter()
        .map(|key| match &key.part {
            KeyPart::Column(text) | KeyPart::Expression(text) => text.clone(),
        })
        .collect();
    let statements: Vec<Affected> = advice
        .statements
        .iter()
        .map(|affected| {
            let digest = &workload.digests[affected.digest];
            Affected {
                digest: digest.id.clone(),
                query_text: digest.text.clone(),
                calls: digest.calls,
                cost_before: affected.before,
                cost_after: affected.after,
            }
        })
        .collect();
    let (before, after) = statements.iter().fold((0.0, 0.0), |(before, after), statement| {
        (
            before + statement.calls * statement.cost_before,
            after + statement.calls * statement.cost_after,
        )
    });
    let text = advice.ddl.join("\n");
    IndexFinding {
        finding: base(catalog, advice, &columns, &text, (before, after)),
        index: ddl::name(catalog, spec),
        table: relation.map(ddl::qualified).unwrap_or_default(),
        columns,
        include: spec.include.clone(),
        method: match spec.method {
            pgsonde_advisor::planner::Method::Btree => "btree",
            pgsonde_advisor::planner::Method::Gin => "gin",
        },
        predicate: (!spec.predicate.is_empty()).then(|| spec.predicate.join(" AND ")),
        statements,
        saving_share: advice.saving_share,
        cost_before: before,
        cost_after: after,
        size_bytes: spec.size_bytes,
        write_cost: Writes {
            entries: advice.write.entries,
            cost_units: advice.write.units,
            wal_bytes: advice.write.wal_bytes,
            loses_hot: advice.write.loses_hot,
        },
        replaces: advice.replaces.clone(),
        reasons_against: advice.reasons_against.clone(),
        hints: advice.hints.clone(),
        plans: advice.plans.iter().filter_map(|found| plans(known, found)).collect(),
    }
}

/// The fields that every finding has. Costs in milliseconds need traffic: without any they are 0 and the evidence has
/// planner units.
fn base(
    catalog: &Catalog,
    advice: &Advice,
    columns: &[String],
    sql: &str,
    cost: (f64, f64),
) -> Finding {
    let relation = catalog.relations.get(&advice.spec.table);
    let table = relation.map(|relation| relation.name.clone()).unwrap_or_default();
    let now =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
    let at = rfc3339_unix(now);
    let verified = advice.trust != Trust::Formula;
    let share = (1.0 - cost.1 / cost.0.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0) * 100.0;
    let sentence = format!(
        "An index on {table} ({}) would cut the cost of {} statement{} by {share:.0} % ({}).",
        columns.join(", "),
        advice.statements.len(),
        if advice.statements.len() == 1 { "" } else { "s" },
        tier(advice.trust),
    );
    let mut evidence = BTreeMap::new();
    evidence.insert("saving_cost_units".to_owned(), advice.saving_units.into());
    evidence.insert("saving_share".to_owned(), advice.saving_share.into());
    evidence.insert("size_bytes".to_owned(), advice.spec.size_bytes.into());
    Finding {
        id: format!("{:012x}", advice.id >> 16),
        kind: "missing_index".to_owned(),
        variant: Some(tier(advice.trust).to_owned()),
        severity: if advice.saving_share >= 0.1 { "warning" } else { "info" }.to_owned(),
        proof: if verified { "plan" } else { "text" }.to_owned(),
        gate: None,
        state: "open".to_owned(),
        muted_until: None,
        mute_reason: None,
        superseded_by: None,
        reopened: 0,
        sentence,
        parent: None,
        child: None,
        n: None,
        n_median: None,
        n_max: None,
        rows_median: None,
        sightings: 1,
        ratio: None,
        coverage: None,
        explained: None,
        order: None,
        cost: unknown_cost(advice.spec.size_bytes),
        route: None,
        routes: Vec::new(),
        service: String::new(),
        mark: None,
        marks: Vec::new(),
        db_name: catalog.database.name.clone(),
        fix: Fix { orm: None, text: fix_text(advice), sql: Some(sql.to_owned()) },
        rule: None,
        column: columns.first().map(|column| format!("{table}.{column}")),
        tier: Some(tier(advice.trust).to_owned()),
        ddl: verified.then(|| sql.to_owned()),
        proposed_ddl: (!verified).then(|| sql.to_owned()),
        evidence,
        first_seen: at.clone(),
        last_seen: at,
        examples: Vec::new(),
    }
}

/// Without traffic nothing is known in milliseconds.
fn unknown_cost(size_bytes: u64) -> Cost {
    Cost {
        saved_low_ms: 0.0,
        saved_high_ms: 0.0,
        saved_low_ms_per_hour: None,
        round_trips: 0,
        saved_high_ms_per_hour: None,
        occurrences_per_hour: None,
        bytes: Some(size_bytes),
        rtt_ms: None,
        service_p50_ms: 0.0,
        busy_ms: 0.0,
        busy_total_ms: 0.0,
    }
}

/// What to do about a missing index, in words.
pub(crate) fn fix_text(advice: &Advice) -> String {
    let mut text = "Build the index outside of a transaction. If the build fails, it leaves an invalid index of that \
        name: drop it and try again."
        .to_owned();
    if advice.ddl.len() > 1 {
        text.push_str(" The table is partitioned: build the parts one by one, then attach them.");
    }
    for hint in &advice.hints {
        let _ = write!(text, " Or: {hint}.");
    }
    text
}
