//! The one-file report: the page with the answers inside, and plain tables for readers without JavaScript.

use super::{open, title};
use crate::export::shapes::{Finding, List, Mark, Other, Report, RouteDetail, StatementDetail};
use crate::export::text::{bytes, clean, count, cut, duration, duration_or_dash, moments, percent};
use crate::export::{web, words};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Statements by themselves in one file; the rest is folded into `other`.
pub(crate) const STATEMENTS_MAX: usize = 200;
/// Rows of each plain table but that of the statements.
const ROWS_MAX: usize = 100;
/// Characters of a statement's text in the plain table.
const TEXT_MAX: usize = 160;

/// The file.
pub(crate) fn render(report: &Report, source: &str) -> String {
    let report = &folded(report, STATEMENTS_MAX);
    web::one_file(&answers(report), &plain(report, source), &format!("pgsonde: {}", clean(source)))
}

/// The report with at most `most` statements by themselves.
pub(crate) fn folded(report: &Report, most: usize) -> Report {
    let mut report = report.clone();
    if report.statements.items.len() <= most {
        return report;
    }
    let cut = report.statements.items.split_off(most);
    let rest = &mut report.statements.other.get_or_insert_with(Other::default).digests;
    for StatementDetail { item, .. } in &cut {
        rest.calls += item.calls;
        rest.total_ms += item.total_ms;
        rest.share += item.share;
        rest.rows += item.rows;
        rest.errors += item.errors;
        rest.sent_bytes += item.sent_bytes;
        rest.received_bytes += item.received_bytes;
    }
    let folded = cut.len();
    report.notes.push(format!(
        "The {most} costliest statements stand by themselves; {folded} cheaper ones are folded into `other`."
    ));
    report
}

fn list_of<T, U: Serialize>(list: &List<T>, item: impl Fn(&T) -> U) -> Value {
    value(&List {
        from: list.from.clone(),
        to: list.to.clone(),
        items: list.items.iter().map(item).collect(),
        other: list.other.clone(),
        total: list.total,
        next_cursor: None,
        loss: list.loss,
    })
}

fn value<T: Serialize>(of: &T) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

/// API path to answer, as the page asks for them.
pub(crate) fn answers(report: &Report) -> BTreeMap<String, Value> {
    let mut map = BTreeMap::new();
    let mut put = |path: &str, answer: Value| map.insert(format!("/api/v1/{path}"), answer);
    put("info", value(&report.info));
    put("summary", value(&report.summary));
    put("statements", list_of(&report.statements, |detail| detail.item.clone()));
    for detail in &report.statements.items {
        put(&format!("statements/{}", detail.item.digest), value(detail));
    }
    put("findings", value(&report.findings));
    if let Some(routes) = &report.routes {
        put("routes", list_of(routes, |detail| detail.item.clone()));
        for detail in &routes.items {
            let (service, route) = (encoded(&detail.item.service), encoded(&detail.item.route));
            put(&format!("routes/{service}/{route}"), value(detail));
        }
    }
    let lists = [
        ("transactions", report.transactions.as_ref().map(value)),
        ("tables", report.tables.as_ref().map(value)),
        ("errors", report.errors.as_ref().map(value)),
        ("marks", report.marks.as_ref().map(value)),
        ("series", report.series.as_ref().map(value)),
        ("flame", report.flame.as_ref().map(value)),
        ("notes", Some(value(&report.notes))),
    ];
    for (path, answer) in lists {
        if let Some(answer) = answer {
            put(path, answer);
        }
    }
    map
}

/// As JavaScript's `encodeURIComponent`.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Text in HTML.
fn escaped(text: &str) -> String {
    super::junit::escaped(&clean(text))
}

/// The tables for readers without JavaScript.
pub(crate) fn plain(report: &Report, source: &str) -> String {
    let summary = &report.summary;
    let mut out = format!(
        "<h1>pgsonde report</h1>\n<p>{} statements from {}, {}. p95 {}. Source version {}, literals removed.</p>\n",
        count(summary.books.statements),
        escaped(source),
        escaped(&moments(&summary.from, &summary.to)),
        duration_or_dash(summary.p95_ms),
        escaped(&report.info.version),
    );
    for note in &report.notes {
        let _ = writeln!(out, "<p><strong>Note:</strong> {}</p>", escaped(note));
    }
    findings(&mut out, report);
    statements(&mut out, report);
    routes(&mut out, report.routes.as_ref().map_or(&[], |list| &list.items));
    marks(&mut out, report.marks.as_ref().map_or(&[], |list| &list.items));
    out
}

/// Columns of words: they are read from the left and may wrap; all others are numbers.
const WORDS: [&str; 10] =
    ["Kind", "Severity", "What", "Where", "Cost", "Fix", "Text", "Service", "Route", "Mark"];

fn class(head: &str) -> &'static str {
    if WORDS.contains(&head) { " class=\"words\"" } else { "" }
}

fn table(out: &mut String, caption: &str, heads: &[&str], rows: &[Vec<String>]) {
    let _ = write!(out, "<table><caption>{caption}</caption><thead><tr>");
    for head in heads {
        let _ = write!(out, "<th scope=\"col\"{}>{head}</th>", class(head));
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (head, cell) in heads.iter().zip(row) {
            let _ = write!(out, "<td{}>{}</td>", class(head), escaped(cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table>\n");
}

fn findings(out: &mut String, report: &Report) {
    let row = |finding: &Finding| {
        vec![
            title(finding),
            finding.severity.clone(),
            finding.sentence.clone(),
            words::place(finding),
            words::cost(finding),
            finding.fix.text.clone(),
        ]
    };
    let rows: Vec<_> = open(report).take(ROWS_MAX).map(row).collect();
    if rows.is_empty() {
        out.push_str("<p>Nothing found.</p>\n");
        return;
    }
    table(out, "Findings", &["Kind", "Severity", "What", "Where", "Cost", "Fix"], &rows);
}

fn statements(out: &mut String, report: &Report) {
    let row = |StatementDetail { item, .. }: &StatementDetail| {
        vec![
            percent(item.share),
            duration(item.total_ms),
            count(item.calls),
            duration_or_dash(item.mean_ms),
            duration_or_dash(item.p95_ms),
            count(item.rows),
            cut(&item.query_text, TEXT_MAX),
        ]
    };
    let mut rows: Vec<_> = report.statements.items.iter().take(STATEMENTS_MAX).map(row).collect();
    if let Some(other) = &report.statements.other {
        for (rest, name) in [
            (&other.digests, "other: everything else"),
            (&other.indivisible_batches, "batches of different statements"),
        ] {
            let sums = [percent(rest.share), duration(rest.total_ms), count(rest.calls)];
            let blank = [String::new(), String::new()];
            let tail = [count(rest.rows), name.to_owned()];
            rows.push(sums.into_iter().chain(blank).chain(tail).collect());
        }
    }
    table(out, "Statements", &["Share", "Time", "Calls", "Mean", "p95", "Rows", "Text"], &rows);
}

fn routes(out: &mut String, routes: &[RouteDetail]) {
    let row = |RouteDetail { item, .. }: &RouteDetail| {
        vec![
            item.service.clone(),
            item.route.clone(),
            count(item.units),
            item.statements_per_unit.map_or("–".to_owned(), |value| format!("{value:.1}")),
            duration_or_dash(item.db_ms_per_unit),
            duration_or_dash(item.p95_ms),
        ]
    };
    let rows: Vec<_> = routes.iter().take(ROWS_MAX).map(row).collect();
    if !rows.is_empty() {
        let heads = ["Service", "Route", "Units", "Statements/unit", "Time/unit", "p95"];
        table(out, "Routes", &heads, &rows);
    }
}

fn marks(out: &mut String, marks: &[Mark]) {
    let row = |mark: &Mark| {
        vec![
            mark.mark.clone(),
            count(mark.statements),
            count(mark.duplicates),
            count(mark.n_plus_one),
            bytes(mark.sent_bytes),
            duration(mark.db_ms),
        ]
    };
    let rows: Vec<_> = marks.iter().take(ROWS_MAX).map(row).collect();
    if !rows.is_empty() {
        table(out, "Marks", &["Mark", "Statements", "Repeated", "N+1", "Sent", "Time"], &rows);
    }
}
