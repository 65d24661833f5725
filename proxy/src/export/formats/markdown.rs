//! The report as Markdown: findings, statements, routes and marks, for a merge request.

use super::{open, title};
use crate::export::shapes::{Finding, Mark, Report, Rest, RouteDetail, StatementDetail};
use crate::export::text::{bytes, clean, count, cut, duration, duration_or_dash, moments, percent};
use crate::export::words;
use std::fmt::Write as _;

/// Findings told in full.
const FINDINGS_MAX: usize = 50;
/// Characters of a name in a table.
const NAME_MAX: usize = 100;

/// The whole report.
pub(crate) fn render(report: &Report, source: &str) -> String {
    let mut out = String::from("# pgsonde report\n\n");
    let summary = &report.summary;
    let _ = writeln!(
        out,
        "{} statements from {} · p95 {} · {} · literals removed\n",
        count(summary.books.statements),
        cell(source),
        duration_or_dash(summary.p95_ms),
        moments(&summary.from, &summary.to),
    );
    for note in &report.notes {
        let _ = writeln!(out, "> {}\n", cell(note));
    }
    findings(&mut out, report, FINDINGS_MAX);
    statements(&mut out, report, usize::MAX);
    routes(&mut out, report.routes.as_ref().map_or(&[], |list| &list.items));
    marks(&mut out, report.marks.as_ref().map_or(&[], |list| &list.items));
    out
}

/// The worst open findings.
pub(crate) fn findings(out: &mut String, report: &Report, most: usize) {
    let all: Vec<&Finding> = open(report).collect();
    let _ = writeln!(out, "## Findings ({} open)\n", all.len());
    if all.is_empty() {
        out.push_str("Nothing found.\n\n");
    }
    for finding in all.iter().take(most) {
        one(out, finding);
    }
    if all.len() > most {
        let _ = writeln!(out, "… and {} more.\n", all.len() - most);
    }
}

fn one(out: &mut String, finding: &Finding) {
    let _ =
        writeln!(out, "### {} · {} `{}`\n", cell(&title(finding)), finding.severity, finding.id);
    let _ = writeln!(out, "{}\n", plain(&finding.sentence));
    let mut line = |name: &str, text: &str| {
        if !text.is_empty() {
            let _ = writeln!(out, "- **{name}:** {}", plain(text));
        }
    };
    line("Where", &words::place(finding));
    line("Evidence", &words::evidence(finding).join("; "));
    line("Cost", &words::cost(finding));
    line("Fix", &finding.fix.text);
    if let Some(child) = &finding.child {
        let _ = writeln!(out, "\n{}", fenced(&child.query_text));
    }
    if let Some(sql) = &finding.fix.sql {
        let _ = writeln!(out, "\n{}", fenced(sql));
    }
    out.push('\n');
}

/// The costliest statements; the last row makes the sum whole.
pub(crate) fn statements(out: &mut String, report: &Report, most: usize) {
    let _ = writeln!(out, "## Statements\n");
    out.push_str("| Share | Time | Calls | Mean | p95 | Rows/call | Statement |\n");
    out.push_str("| ---: | ---: | ---: | ---: | ---: | ---: | --- |\n");
    let shown = &report.statements.items;
    for detail in shown.iter().take(most) {
        statement(out, detail);
    }
    let mut rest = Rest::default();
    if let Some(other) = &report.statements.other {
        for part in [&other.digests, &other.indivisible_batches] {
            add(&mut rest, part.calls, part.total_ms, part.share);
        }
    }
    for detail in shown.iter().skip(most) {
        add(&mut rest, detail.item.calls, detail.item.total_ms, detail.item.share);
    }
    if rest.total_ms > 0.0 || rest.calls > 0 {
        let (share, time, calls) =
            (percent(rest.share), duration(rest.total_ms), count(rest.calls));
        let _ = writeln!(out, "| {share} | {time} | {calls} | | | | other |");
    }
    out.push('\n');
}

fn add(rest: &mut Rest, calls: u64, total_ms: f64, share: f64) {
    rest.calls += calls;
    rest.total_ms += total_ms;
    rest.share += share;
}

fn statement(out: &mut String, detail: &StatementDetail) {
    let item = &detail.item;
    let _ = writeln!(
        out,
        "| {} | {} | {} | {} | {} | {} | {} `{}` |",
        percent(item.share),
        duration(item.total_ms),
        count(item.calls),
        duration_or_dash(item.mean_ms),
        duration_or_dash(item.p95_ms),
        item.rows_per_call.map_or("–".to_owned(), |rows| format!("{rows:.1}")),
        cell(&cut(&item.summary, NAME_MAX)),
        item.digest,
    );
}

fn routes(out: &mut String, routes: &[RouteDetail]) {
    if routes.is_empty() {
        return;
    }
    out.push_str(
        "## Routes\n\n| Service | Route | Units | Statements/unit | Largest | Time/unit | p95 |\n",
    );
    out.push_str("| --- | --- | ---: | ---: | ---: | ---: | ---: |\n");
    for RouteDetail { item, .. } in routes {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            cell(&item.service),
            cell(&cut(&item.route, NAME_MAX)),
            count(item.units),
            item.statements_per_unit.map_or("–".to_owned(), |value| format!("{value:.1}")),
            count(item.largest.statements),
            duration_or_dash(item.db_ms_per_unit),
            duration_or_dash(item.p95_ms),
        );
    }
    out.push('\n');
}

fn marks(out: &mut String, marks: &[Mark]) {
    if marks.is_empty() {
        return;
    }
    out.push_str("## Marks\n\n| Mark | Statements | Repeated | N+1 | Rows | Sent | Time | p95 |\n");
    out.push_str("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    for mark in marks {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            cell(&cut(&mark.mark, NAME_MAX)),
            count(mark.statements),
            count(mark.duplicates),
            count(mark.n_plus_one),
            count(mark.rows),
            bytes(mark.sent_bytes),
            duration(mark.db_ms),
            duration_or_dash(mark.p95_ms),
        );
    }
    out.push('\n');
}

/// SQL in a fence that is longer than any run of backticks in it.
fn fenced(sql: &str) -> String {
    let longest = sql.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}sql\n{}\n{fence}", clean(sql))
}

/// Text of ours in which names of the application stand in backticks.
fn plain(text: &str) -> String {
    clean(text).replace('<', "&lt;").replace('\n', " ")
}

/// A name of the application in a table or heading: no markup of its own.
pub(crate) fn cell(text: &str) -> String {
    let mut out = String::new();
    for letter in clean(text).chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\n' => out.push(' '),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' | '!' => {
                out.push('\\');
                out.push(letter);
            }
            letter => out.push(letter),
        }
    }
    out
}
