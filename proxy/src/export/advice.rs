//! What `pgsonde advise` prints: the findings of the API with the fields of an index, or text for people.

use super::clock::rfc3339_unix;
use super::shapes::{Cost, Finding, Fix};
use super::text::bytes;
use crate::problem::Problem;
use pgsonde_advisor::advice::{Advice, Report};
use pgsonde_advisor::catalog::Catalog;
use pgsonde_advisor::ddl;
use pgsonde_advisor::planner::{KeyPart, Trust};
use pgsonde_advisor::workload::Workload;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// The document of `advise --json`.
#[derive(Debug, Serialize)]
struct Document {
    findings: Vec<IndexFinding>,
    /// Existing indexes that may be unnecessary; nothing is ever dropped.
    existing_indexes: Vec<Existing>,
    notes: Vec<String>,
}

/// A finding of the API and what only an index has.
#[derive(Debug, Serialize)]
struct IndexFinding {
    #[serde(flatten)]
    finding: Finding,
    tier: &'static str,
    /// There where a planner has chosen the index.
    #[serde(skip_serializing_if = "Option::is_none")]
    ddl: Option<String>,
    /// There where arithmetic has.
    #[serde(skip_serializing_if = "Option::is_none")]
    proposed_ddl: Option<String>,
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
pub(crate) fn print(
    catalog: &Catalog,
    workload: &Workload,
    report: &Report,
    notes: &[String],
    json: bool,
) -> Result<(), Problem> {
    let all: Vec<String> = notes.iter().chain(&report.notes).cloned().collect();
    let findings: Vec<IndexFinding> =
        report.advice.iter().map(|advice| finding(catalog, workload, advice)).collect();
    let text = if json {
        let document = Document { findings, existing_indexes: existing(report), notes: all };
        serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
    } else {
        for note in &all {
            eprintln!("note: {note}");
        }
        for_people(&findings, report)
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Problem::new(102, format!("cannot print: {error}")))
}

fn existing(report: &Report) -> Vec<Existing> {
    let of = |found: &pgsonde_advisor::advice::Dispensable| Existing {
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

fn finding(catalog: &Catalog, workload: &Workload, advice: &Advice) -> IndexFinding {
    let spec = &advice.spec;
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
    let verified = advice.trust != Trust::Formula;
    IndexFinding {
        finding: base(catalog, advice, &columns, &text, (before, after)),
        tier: tier(advice.trust),
        ddl: verified.then(|| text.clone()),
        proposed_ddl: (!verified).then_some(text),
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
        id: format!("{:016x}", advice.id),
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
        saved_high_ms_per_hour: None,
        occurrences_per_hour: None,
        bytes: Some(size_bytes),
        rtt_ms: None,
        service_p50_ms: 0.0,
        busy_ms: 0.0,
        busy_total_ms: 0.0,
    }
}

fn fix_text(advice: &Advice) -> String {
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

fn for_people(findings: &[IndexFinding], report: &Report) -> String {
    let mut text = String::new();
    if findings.is_empty() {
        text.push_str("No index would help this workload enough to be worth its cost.\n");
    }
    for finding in findings {
        let sql = finding.ddl.as_ref().or(finding.proposed_ddl.as_ref());
        let _ = writeln!(text, "{}\n", sql.map_or("", String::as_str));
        for statement in &finding.statements {
            let _ = writeln!(
                text,
                "  helps  {:.0} calls, cost {:.1} -> {:.1}: {}",
                statement.calls, statement.cost_before, statement.cost_after, statement.query_text
            );
        }
        let _ =
            writeln!(text, "  saves  {:.1} % of the workload's cost", finding.saving_share * 100.0);
        let writes = &finding.write_cost;
        let _ = writeln!(
            text,
            "  costs  about {} on disk; {:.0} index entries for this workload's writes",
            bytes(finding.size_bytes),
            writes.entries
        );
        let _ = writeln!(text, "  sure   {}", finding.tier);
        for reason in finding.reasons_against.iter().chain(&finding.hints) {
            let _ = writeln!(text, "  but    {reason}");
        }
        for replaced in &finding.replaces {
            let _ = writeln!(text, "  then   {replaced} is no longer needed");
        }
        text.push('\n');
    }
    for found in &report.dispensable {
        let _ = writeln!(
            text,
            "{} index {} on {}: {}",
            found.kind, found.index, found.table, found.why
        );
    }
    text
}
