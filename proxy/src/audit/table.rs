//! The verdict in a few lines, for stderr and the head of the summary.

use crate::export::shapes::audit::{AuditDocument, JudgedFinding, JudgedLimit, Totals};
use crate::export::text::{bytes, clean, count, cut, duration};
use std::fmt::Write as _;

/// Failed limits that are listed.
const FAILED_MAX: usize = 20;
/// Characters of a limit's words and of its value, to which the columns are filled.
const LIMIT_WIDTH: usize = 31;
const VALUE_WIDTH: usize = 10;

/// A value in the words of its unit.
#[allow(clippy::cast_precision_loss)]
pub(super) fn value(unit: &str, value: u64) -> String {
    match unit {
        "us" => duration(value as f64 / 1e3),
        "bytes" => bytes(value),
        _ => count(value),
    }
}

/// `/orders statements ≤ 12`
pub(super) fn limit_words(limit: &JudgedLimit) -> String {
    let subject =
        limit.subject.as_deref().map_or(String::new(), |subject| format!("{} ", clean(subject)));
    let relation = if limit.limit == 0 { "=" } else { "≤" };
    let scope = if limit.scope == "findings" { "findings " } else { "" };
    format!("{scope}{subject}{} {relation} {}", limit.key, value(&limit.unit, limit.limit))
}

fn head(totals: &Totals) -> String {
    let mut words = Vec::new();
    if totals.marks > 0 {
        words.push(format!("{} marks", count(totals.marks)));
    }
    words.push(format!("{} statements", count(totals.statements)));
    words.push(format!("{} in database", duration(totals.db_ms)));
    words.push(format!("upstream {}", clean(&totals.upstreams.join(" "))));
    words.join("  ")
}

/// The whole table; `report` is where the report lies, `init` that budget and baseline were to be written.
pub(super) fn table(document: &AuditDocument, report: &str, init: bool) -> String {
    let mut out = format!("pgsonde audit   {}\n", head(&document.totals));
    for warning in &document.warnings {
        let _ = writeln!(out, "  note  {}", clean(warning));
    }
    let of = |verdict: &'static str| {
        document.limits.iter().filter(move |limit| limit.verdict == verdict)
    };
    for limit in of("fail").take(FAILED_MAX) {
        line(&mut out, "FAIL", limit, &limit.detail);
    }
    let failed = of("fail").count();
    if failed > FAILED_MAX {
        let _ = writeln!(out, "  FAIL  … and {} more", failed - FAILED_MAX);
    }
    let known = document
        .findings
        .iter()
        .filter(|judged| judged.known && judged.beyond_baseline == 0)
        .count();
    let unjudged = of("not judged").count();
    let passed = of("pass").count();
    let mut tail = Vec::new();
    if passed > 1 {
        tail.push(format!("{} other limits passed", passed - 1));
    }
    if unjudged > 0 {
        tail.push(format!("{unjudged} not judged"));
    }
    if known > 0 {
        tail.push(format!("{known} known findings unchanged"));
    }
    match of("pass").next() {
        Some(limit) => line(&mut out, "pass", limit, &tail.join(", ")),
        None if !tail.is_empty() => {
            let _ = writeln!(out, "        {}", tail.join(", "));
        }
        None => {}
    }
    if init && document.exit_reason != "ok" {
        out.push_str("  note  --init wrote no budget, because the run failed\n");
    } else if !init && document.limits.is_empty() {
        let _ = writeln!(out, "  note  {}", no_budget(document));
    }
    let _ = writeln!(
        out,
        "  report {}   exit {} ({})",
        clean(report),
        document.exit_code,
        ending(document)
    );
    out
}

fn no_budget(document: &AuditDocument) -> String {
    let counts = |judged: &&JudgedFinding| !judged.known && judged.ignored.is_none();
    let open = document.findings.iter().filter(counts).count();
    format!(
        "no budget: {open} open findings, nothing judged; `pgsonde audit --init -- COMMAND` writes one"
    )
}

fn line(out: &mut String, verdict: &str, limit: &JudgedLimit, rest: &str) {
    let words = cut(&limit_words(limit), LIMIT_WIDTH * 2);
    let measured = limit.measured.map_or("–".to_owned(), |measured| value(&limit.unit, measured));
    let text =
        format!("  {verdict}  {words:<LIMIT_WIDTH$} {measured:<VALUE_WIDTH$} {}", clean(rest));
    let _ = writeln!(out, "{}", text.trim_end());
}

/// Why the exit code is what it is.
fn ending(document: &AuditDocument) -> &'static str {
    match document.exit_reason.as_str() {
        "ok" => "child passed, nothing failed",
        "budget" => "child passed, budget failed",
        "child" => "of the child",
        _ => "of pgsonde",
    }
}
