//! The profile in a terminal: what to do first, then where the time goes, then each statement. 80 columns.
//!
//! The rank table is the one that database people know from pt-query-digest; its rows add up to 100 %.

use super::shapes::{Bucket, Finding, Report, Rest, StatementDetail, kind_words};
use super::text::{
    amount, bytes, clean, clean_lines, count, counted, cut, duration, duration_or_dash, moments,
    percent, short_count, span, three_digits, wrap,
};
use super::words;
use std::fmt::Write as _;

/// Columns of the report.
const WIDTH: usize = 80;
/// Lines of a statement's text that are shown.
const TEXT_LINES_MAX: usize = 12;
/// Statements that are shown one by one, below the table that has them all.
const STATEMENTS_SHOWN_MAX: usize = 10;
/// Longest bar of a histogram, in characters.
const BAR_MAX: u64 = 60;

/// The whole report.
pub(crate) fn render(report: &Report, source: &str) -> String {
    let mut out = String::new();
    header(&mut out, report, source);
    findings(&mut out, &report.findings.items);
    profile(&mut out, report);
    for (index, detail) in report.statements.items.iter().take(STATEMENTS_SHOWN_MAX).enumerate() {
        statement(&mut out, index + 1, detail);
    }
    more_statements(&mut out, report.statements.items.len());
    out
}

fn line(out: &mut String, name: &str, text: &str) {
    let wrapped = wrap(&clean(text), WIDTH - 1, "            ");
    let first = wrapped.trim_start();
    let _ = writeln!(out, "{name:<11} {}", first.trim_end_matches('\n'));
}

fn title(out: &mut String, text: &str) {
    let _ = writeln!(out, "\n# {}\n", cut(text, WIDTH - 3));
}

fn header(out: &mut String, report: &Report, source: &str) {
    let (info, summary) = (&report.info, &report.summary);
    let _ = writeln!(out, "# pgsonde {} profile\n", clean(&info.version));
    line(out, "Source", source);
    let servers: Vec<String> =
        info.upstreams.iter().map(|server| format!("{}:{}", server.host, server.port)).collect();
    line(out, "Server", &servers.join(", "));
    let range = moments(&summary.from, &summary.to);
    line(out, "Range", &format!("{range} ({})", span(info.uptime_s)));
    let errors = summary.error_share.map_or("–".to_owned(), percent);
    let rate = three_digits(summary.statements_per_s);
    let statements = count(summary.books.statements);
    line(
        out,
        "Statements",
        &format!(
            "{statements} ({rate}/s), errors {errors}, {} running at once on average",
            three_digits(summary.active_statements)
        ),
    );
    line(
        out,
        "Latency",
        &format!(
            "p50 {}, p95 {}, p99 {}",
            duration_or_dash(summary.p50_ms),
            duration_or_dash(summary.p95_ms),
            duration_or_dash(summary.p99_ms),
        ),
    );
    line(out, "Timed", &books(report));
    line(out, "Loss", &loss(report));
    // What was lost stands there already.
    let told = words::losses(&report.info.loss);
    let notes = report.notes.iter().filter(|note| !told.contains(note));
    notes.for_each(|note| line(out, "Note", note));
}

fn books(report: &Report) -> String {
    let books = &report.summary.books;
    let mut text = format!("{} exactly", count(books.exact));
    let rest = [
        (books.bound, "by an upper bound"),
        (books.batch_members, "in batches"),
        (books.empty, "empty"),
        (books.aborted, "cut off"),
    ];
    for (value, words) in rest.iter().filter(|(value, _)| *value > 0) {
        let _ = write!(text, " + {} {words}", count(*value));
    }
    for (value, words) in
        [(books.untracked, "without text"), (books.other, "beyond the digest limit")]
    {
        if value > 0 {
            let _ = write!(text, "; {} of them {words}", count(value));
        }
    }
    text
}

fn loss(report: &Report) -> String {
    let loss = &report.info.loss;
    if loss.dropped == 0 && loss.opaque_sessions == 0 {
        return "none".to_owned();
    }
    format!(
        "LOSSY: {} of {} dropped, {} forwarded unread",
        count(loss.dropped),
        counted(loss.events, "event"),
        counted(loss.opaque_sessions, "session")
    )
}

fn findings(out: &mut String, all: &[Finding]) {
    let open: Vec<&Finding> = all.iter().filter(|finding| finding.state == "open").collect();
    let resolved = match all.len() - open.len() {
        0 => String::new(),
        resolved => format!(", {resolved} resolved"),
    };
    title(out, &format!("Findings: {} open{resolved}", open.len()));
    if open.is_empty() {
        let kinds = format!("Nothing found. Looked for: {}.", words::kinds_looked_for());
        out.push_str(&wrap(&kinds, WIDTH, ""));
    }
    for (index, finding) in open.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        one_finding(out, index + 1, finding);
    }
}

fn one_finding(out: &mut String, number: usize, finding: &Finding) {
    let kind = clean(kind_words(&finding.kind));
    let grade = words::grade(finding);
    let (severity, id) = (&finding.severity, &finding.id);
    let _ = writeln!(out, "{number}. {kind} · {grade} · {severity} · {id}");
    out.push_str(&wrap(&clean(&finding.sentence), WIDTH - 1, "   "));
    out.push('\n');
    field(out, "Where", &words::place(finding));
    field(out, "Seen", &words::seen(finding));
    field(out, "Evidence", &words::evidence(finding).join("; "));
    field(out, "Cost", &words::cost(finding));
    field(out, "Fix", &finding.fix.text);
    if let Some(sql) = &finding.fix.sql {
        field(out, "Fix SQL", sql);
    }
    if let Some(parent) = &finding.parent {
        field(out, "Parent SQL", &named_sql(&parent.query_text, &parent.digest));
    }
    if let Some(child) = &finding.child {
        let name = if finding.parent.is_some() { "Child SQL" } else { "Statement" };
        field(out, name, &named_sql(&child.query_text, &child.digest));
    }
}

/// A name in its column, and its text wrapped beside it.
fn field(out: &mut String, name: &str, text: &str) {
    let wrapped = wrap(&clean(text), WIDTH - 1, "              ");
    if !wrapped.is_empty() {
        let _ = writeln!(out, "   {name:<10} {}", wrapped.trim());
    }
}

fn named_sql(text: &str, digest: &str) -> String {
    format!("{} [{digest}]", shortened(text))
}

fn shortened(text: &str) -> String {
    cut(&text.split_whitespace().collect::<Vec<_>>().join(" "), 400)
}

fn profile(out: &mut String, report: &Report) {
    title(out, "Profile");
    if report.statements.items.is_empty() {
        out.push_str("No statements yet. Point an app at the proxy's port (usually 6435).\n");
        return;
    }
    out.push_str("Rank Digest           Response time     Calls   R/Call V/M ms Item\n");
    out.push_str(
        "==== ================ ================ ====== ======== ====== ==================\n",
    );
    for (index, detail) in report.statements.items.iter().enumerate() {
        let item = &detail.item;
        rank_row(
            out,
            &(index + 1).to_string(),
            &item.digest,
            item.total_ms,
            item.share,
            item.calls,
            item.mean_ms,
            item.variance_to_mean,
            &item.summary,
        );
    }
    let Some(other) = &report.statements.other else { return };
    let others = report.statements.total.saturating_sub(report.statements.items.len() as u64);
    rest_row(out, "other", &other.digests, &counted(others, "more digest"));
    if other.indivisible_batches.total_ms > 0.0 {
        rest_row(out, "batches", &other.indivisible_batches, "mixed batches");
    }
}

fn rest_row(out: &mut String, name: &str, rest: &Rest, words: &str) {
    let mean = if rest.calls == 0 { None } else { Some(rest.total_ms / as_float(rest.calls)) };
    rank_row(out, "", name, rest.total_ms, rest.share, rest.calls, mean, None, words);
}

#[allow(clippy::too_many_arguments)]
fn rank_row(
    out: &mut String,
    rank: &str,
    digest: &str,
    total_ms: f64,
    share: f64,
    calls: u64,
    mean_ms: Option<f64>,
    variance: Option<f64>,
    item: &str,
) {
    let variance = variance.map_or_else(|| "–".to_owned(), three_digits);
    let row = format!(
        "{rank:>4} {:<16} {:>8} {:>7} {:>6} {:>8} {:>6} {}",
        cut(&clean(digest), 16),
        duration(total_ms),
        percent(share),
        short_count(calls),
        duration_or_dash(mean_ms),
        cut(&variance, 6),
        cut(&clean(item), 18),
    );
    let _ = writeln!(out, "{}", row.trim_end());
}

#[allow(clippy::cast_precision_loss)]
fn as_float(value: u64) -> f64 {
    value as f64
}

fn statement(out: &mut String, rank: usize, detail: &StatementDetail) {
    let item = &detail.item;
    title(out, &format!("Statement {rank}: {} in database {}", item.digest, clean(&item.database)));
    for (index, text) in wrap(&clean_lines(&item.query_text), WIDTH - 1, "  ").lines().enumerate() {
        if index == TEXT_LINES_MAX {
            out.push_str("  …\n");
            break;
        }
        let _ = writeln!(out, "{text}");
    }
    out.push('\n');
    attributes(out, detail);
    out.push('\n');
    line(out, "Seen", &moments(&item.first_seen, &item.last_seen));
    if !item.tables.is_empty() {
        line(out, "Tables", &item.tables.join(", "));
    }
    for source in &item.sources {
        let route =
            source.route.as_deref().map_or(String::new(), |route| format!(", route {route}"));
        let calls = counted(source.calls, "call");
        line(
            out,
            "Source",
            &format!(
                "{} as {}{route}: {calls}, {}",
                source.application_name,
                source.user,
                duration(source.total_ms)
            ),
        );
    }
    for state in &item.sqlstates {
        line(out, "SQLSTATE", &format!("{}: {}", state.sqlstate, counted(state.count, "error")));
    }
    if !item.findings.is_empty() {
        line(out, "Findings", &item.findings.join(", "));
    }
    histogram(out, &detail.histogram);
}

fn more_statements(out: &mut String, listed: usize) {
    let more = listed.saturating_sub(STATEMENTS_SHOWN_MAX);
    if more > 0 {
        let statements = counted(u64::try_from(more).unwrap_or(u64::MAX), "more statement");
        title(out, &statements);
        out.push_str("In the profile above; the page and --format json have their details.\n");
    }
}

fn attributes(out: &mut String, detail: &StatementDetail) {
    let item = &detail.item;
    out.push_str(
        "Attribute    pct    total      min      max      avg      95%   stddev   median\n",
    );
    out.push_str(
        "========= ====== ======== ======== ======== ======== ======== ======== ========\n",
    );
    let times = [item.min_ms, item.max_ms, item.mean_ms, item.p95_ms, item.stddev_ms, item.p50_ms];
    let times = times.map(duration_or_dash);
    let dash = || "–".to_owned();
    let unknown = || [dash(), dash(), dash(), dash(), dash(), dash()];
    attribute(out, "Calls", "", &short_count(item.calls), &std::array::from_fn(|_| String::new()));
    attribute(out, "Time", &percent(item.share), &duration(item.total_ms), &times);
    let mut first = unknown();
    first[5] = duration_or_dash(item.first_row_p50_ms);
    let phases = &detail.phases_ms;
    attribute(out, "First row", "", &duration(phases.first_row), &first);
    let mut transfer = unknown();
    transfer[5] = duration_or_dash(item.transfer_p50_ms);
    let share = item.transfer_share.map_or_else(String::new, percent);
    attribute(out, "Transfer", &share, &duration(phases.transfer), &transfer);
    let mut rows = unknown();
    rows[2] = item.rows_per_call.map_or_else(dash, amount);
    attribute(out, "Rows", "", &short_count(item.rows), &rows);
    attribute(out, "Sent", "", &bytes(item.sent_bytes), &unknown());
    attribute(out, "Errors", "", &short_count(item.errors), &unknown());
}

/// min, max, avg, 95 %, stddev, median
fn attribute(out: &mut String, name: &str, share: &str, total: &str, values: &[String; 6]) {
    let mut row = format!("{name:<9} {share:>6} {total:>8}");
    for value in values {
        let _ = write!(row, " {value:>8}");
    }
    let _ = writeln!(out, "{}", row.trim_end());
}

/// Decades as pt-query-digest prints them, from the first filled one to the last: a row holds what took more
/// than its name and at most ten times that.
fn histogram(out: &mut String, buckets: &[Bucket]) {
    const NAMES: [&str; 8] = ["1us", "10us", "100us", "1ms", "10ms", "100ms", "1s", "10s+"];
    const TOPS_MS: [f64; 7] = [0.01, 0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0];
    let mut rows = [0_u64; 8];
    for bucket in buckets {
        let decade = bucket.le_ms.and_then(|le| TOPS_MS.iter().position(|top| le <= *top));
        rows[decade.unwrap_or(7)] += bucket.count;
    }
    let most = rows.iter().copied().max().unwrap_or(0);
    let filled = |count: &u64| *count > 0;
    let (Some(first), Some(last)) = (rows.iter().position(filled), rows.iter().rposition(filled))
    else {
        return;
    };
    out.push_str("\nTime distribution\n");
    for (name, count) in NAMES[first..=last].iter().zip(&rows[first..=last]) {
        let length = (count * BAR_MAX).div_ceil(most);
        let bar = "#".repeat(usize::try_from(length).unwrap_or(0));
        let _ = writeln!(out, "{}", format!("{name:>6}  {bar}").trim_end());
    }
}

#[cfg(test)]
mod tests;
