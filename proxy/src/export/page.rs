//! The page without JavaScript: the same JSON shapes as the API, put into templates. Names are escaped there.

use super::api::{FindingQuery, Page, StatementQuery, View};
use super::shapes::{Bucket, Finding, Rest, Statement, StatementDetail, Summary, kind_words};
use super::text::{
    amount, bytes, clean, clean_lines, count, counted, duration, duration_or_dash, moments,
    percent, span, three_digits,
};
use super::words;
use crate::problem::Problem;
use askama::Template;

/// Rows of the statements table.
const STATEMENTS_MAX: usize = 200;
/// Findings on the page.
const FINDINGS_MAX: usize = 500;

/// The style of the tables.
pub(crate) const STYLE: &str = include_str!("../../templates/style.css");

/// Renders pages.
pub(crate) struct Pages {
    /// Where applications connect.
    pub(crate) listen: String,
}

/// A number that people look at first.
struct Tile {
    value: String,
    label: String,
}

/// A stretch of a sentence; names stand in backticks there.
#[derive(Debug, PartialEq, Eq)]
struct Stretch {
    code: bool,
    text: String,
}

/// Splits a sentence at its backticks; where they don't pair up it is plain text.
fn stretches(text: &str) -> Vec<Stretch> {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return vec![Stretch { code: false, text: text.to_owned() }];
    }
    let parts = parts.into_iter().enumerate();
    let stretch =
        |(index, part): (usize, &str)| Stretch { code: index % 2 == 1, text: part.to_owned() };
    parts.map(stretch).filter(|stretch| !stretch.text.is_empty()).collect()
}

struct Card {
    id: String,
    words: String,
    grade: &'static str,
    severity: String,
    state: String,
    sentence: Vec<Stretch>,
    place: String,
    seen: String,
    cost: String,
    evidence: Vec<String>,
    statements: Vec<Sql>,
    fix: Vec<Stretch>,
    fix_sql: Option<String>,
}

struct Sql {
    caption: &'static str,
    digest: String,
    text: String,
}

struct Row {
    link: Option<(String, String)>,
    summary: String,
    database: String,
    share_percent: String,
    share_meter: String,
    total: String,
    calls: String,
    mean: String,
    p95: String,
    p99: String,
    rows_per_call: String,
    transfer: String,
    errors: String,
}

struct RouteLine {
    service: String,
    route: String,
    units: String,
    statements_per_unit: String,
    time_per_unit: String,
}

#[derive(Template)]
#[template(path = "index.html")]
struct Index<'a> {
    style: &'a str,
    listen: &'a str,
    range: String,
    tiles: Vec<Tile>,
    warnings: Vec<String>,
    findings: Vec<Card>,
    found: String,
    nothing_found: String,
    statements: Vec<Row>,
    routes: Vec<RouteLine>,
    about: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct Refusal<'a> {
    style: &'a str,
    title: &'a str,
    what: &'a str,
    help: Option<&'a str>,
}

struct Bar {
    label: String,
    count: String,
    meter: String,
}

#[derive(Template)]
#[template(path = "statement.html")]
struct StatementPage<'a> {
    style: &'a str,
    digest: &'a str,
    summary: String,
    database: String,
    text: String,
    cut: bool,
    numbers: Vec<(&'static str, String)>,
    phases: Vec<(&'static str, String)>,
    bars: Vec<Bar>,
    sources: Vec<(String, String, String, String, String)>,
    sqlstates: Vec<(String, String)>,
    findings: Vec<(String, String)>,
}

impl Pages {
    pub(crate) fn index(&self, view: &View<'_>) -> Result<String, askama::Error> {
        let summary = view.summary();
        let query = StatementQuery::costliest(Page::first(STATEMENTS_MAX));
        let statements = view.statements(&query);
        let findings = view
            .findings(&FindingQuery { page: Page::first(FINDINGS_MAX), ..FindingQuery::default() });
        let mut rows: Vec<Row> = statements.items.iter().map(row).collect();
        if let Some(other) = &statements.other {
            rows.extend(rest_row("everything else", &other.digests));
            rows.extend(rest_row("batches, not divisible", &other.indivisible_batches));
        }
        let page = Index {
            style: STYLE,
            listen: &self.listen,
            range: format!(
                "{} ({})",
                moments(&summary.from, &summary.to),
                span(view.proxy.uptime_s)
            ),
            tiles: tiles(&summary),
            warnings: warnings(view),
            findings: findings.items.iter().map(card).collect(),
            found: found(&findings.items),
            nothing_found: format!(
                "Nothing found in {} statements since {}. Looked for: {}.",
                count(summary.books.statements),
                summary.from,
                words::kinds_looked_for()
            ),
            statements: rows,
            routes: routes(&summary),
            about: about(view, &summary),
        };
        page.render()
    }

    pub(crate) fn statement(
        &self,
        view: &View<'_>,
        detail: &StatementDetail,
    ) -> Result<String, askama::Error> {
        let item = &detail.item;
        let page = StatementPage {
            style: STYLE,
            digest: &item.digest,
            summary: clean(&item.summary),
            database: clean(&item.database),
            text: clean_lines(&item.query_text),
            cut: item.query_text_cut,
            numbers: numbers(item),
            phases: phases(detail),
            bars: bars(&detail.histogram),
            sources: sources(item),
            sqlstates: item
                .sqlstates
                .iter()
                .map(|s| (s.sqlstate.clone(), count(s.count)))
                .collect(),
            findings: item.findings.iter().map(|id| (id.clone(), told(view, id))).collect(),
        };
        page.render()
    }
}

/// What a person sees who asked for a page that isn't there, or in a wrong way.
pub(crate) fn refusal(title: &str, problem: &Problem) -> Result<String, askama::Error> {
    Refusal { style: STYLE, title, what: problem.what(), help: problem.help_text() }.render()
}

/// A finding in a line; its id where it is gone meanwhile.
fn told(view: &View<'_>, id: &str) -> String {
    let finding = u64::from_str_radix(id, 16).ok().and_then(|id| view.finding_by_id(id));
    finding.map_or_else(
        || id.to_owned(),
        |finding| {
            let sentence = finding.sentence.replace('`', "");
            format!("{}: {}", clean(kind_words(&finding.kind)), clean(&sentence))
        },
    )
}

fn found(findings: &[Finding]) -> String {
    let open = findings.iter().filter(|finding| finding.state == "open").count();
    match findings.len() - open {
        0 => format!("{open} open"),
        resolved => format!("{open} open, {resolved} resolved"),
    }
}

fn tiles(summary: &Summary) -> Vec<Tile> {
    let avoidable = summary.avoidable_ms_per_day.map_or("–".to_owned(), duration);
    let known = summary.avoidable_ms_per_day.is_some();
    let open = summary.findings.error + summary.findings.warning + summary.findings.info;
    let avoidable_label = match (known, open) {
        (true, _) => "avoidable per day, at least",
        (false, 0) => "avoidable per day: nothing found",
        (false, _) => "avoidable per day: too early to tell",
    };
    let failed = match summary.error_share {
        Some(share) if share > 0.0 => percent(share),
        Some(_) => "none".to_owned(),
        None => "–".to_owned(),
    };
    let tile = |value: String, label: &str| Tile { value, label: label.to_owned() };
    let all = count(summary.books.statements);
    vec![
        tile(
            three_digits(summary.statements_per_s),
            &format!("statements per second, {all} in all"),
        ),
        tile(duration_or_dash(summary.p95_ms), "or less for 95 % of statements"),
        tile(failed, "of the statements failed"),
        tile(three_digits(summary.active_statements), "statements running at once, on average"),
        tile(avoidable, avoidable_label),
    ]
}

fn warnings(view: &View<'_>) -> Vec<String> {
    let loss = view.loss();
    let mut warnings = Vec::new();
    if loss.dropped > 0 {
        warnings.push(format!(
            "{} of {} were dropped: the numbers are too low.",
            count(loss.dropped),
            counted(loss.events, "event")
        ));
    }
    if loss.opaque_sessions > 0 {
        warnings.push(format!(
            "{} forwarded without being read: the statements are missing.",
            counted(loss.opaque_sessions, "session")
        ));
    }
    if view.proxy.mode != super::status::Mode::Full {
        warnings.push(format!("Profiling mode is {}.", view.proxy.mode.name()));
    }
    if let Some(error) = view.proxy.upstream.last_error.as_ref().filter(|_| !view.proxy.upstream.ok)
    {
        warnings.push(format!("The server cannot be reached: {}", clean(error)));
    }
    warnings
}

fn card(finding: &Finding) -> Card {
    let parent = finding.parent.as_ref().map(|parent| Sql {
        caption: "Parent, runs once",
        digest: parent.digest.clone(),
        text: clean_lines(&parent.query_text),
    });
    let child = finding.child.as_ref().map(|child| Sql {
        caption: if finding.parent.is_some() { "Child, runs again and again" } else { "Statement" },
        digest: child.digest.clone(),
        text: clean_lines(&child.query_text),
    });
    Card {
        id: finding.id.clone(),
        words: clean(kind_words(&finding.kind)),
        grade: words::grade(finding),
        severity: finding.severity.clone(),
        state: finding.state.clone(),
        sentence: stretches(&clean(&finding.sentence)),
        place: clean(&words::place(finding)),
        seen: words::seen(finding),
        cost: words::cost(finding),
        evidence: words::evidence(finding).iter().map(|phrase| clean(phrase)).collect(),
        statements: parent.into_iter().chain(child).collect(),
        fix: stretches(&clean(&finding.fix.text)),
        fix_sql: finding.fix.sql.as_deref().map(clean_lines),
    }
}

fn row(item: &Statement) -> Row {
    Row {
        link: Some((item.digest.clone(), url_encoded(&item.database))),
        summary: clean(&item.summary),
        database: clean(&item.database),
        share_percent: percent(item.share),
        share_meter: meter(item.share),
        total: duration(item.total_ms),
        calls: count(item.calls),
        mean: duration_or_dash(item.mean_ms),
        p95: duration_or_dash(item.p95_ms),
        p99: duration_or_dash(item.p99_ms),
        rows_per_call: item.rows_per_call.map_or("–".to_owned(), amount),
        transfer: item.transfer_share.map_or("–".to_owned(), percent),
        errors: count(item.errors),
    }
}

fn rest_row(name: &str, rest: &Rest) -> Option<Row> {
    let dash = || "–".to_owned();
    (rest.calls > 0 || rest.total_ms > 0.0).then(|| Row {
        link: None,
        summary: name.to_owned(),
        database: dash(),
        share_percent: percent(rest.share),
        share_meter: meter(rest.share),
        total: duration(rest.total_ms),
        calls: count(rest.calls),
        mean: dash(),
        p95: dash(),
        p99: dash(),
        rows_per_call: dash(),
        transfer: dash(),
        errors: count(rest.errors),
    })
}

fn meter(share: f64) -> String {
    format!("{:.4}", share.clamp(0.0, 1.0))
}

fn url_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn routes(summary: &Summary) -> Vec<RouteLine> {
    let lines = summary.routes.iter().map(|route| RouteLine {
        service: clean(&route.service),
        route: clean(&route.route),
        units: count(route.units),
        statements_per_unit: route.statements_per_unit.map_or("–".to_owned(), three_digits),
        time_per_unit: duration_or_dash(route.db_ms_per_unit),
    });
    lines.collect()
}

fn about(view: &View<'_>, summary: &Summary) -> Vec<(String, String)> {
    let info = view.info();
    let books = &summary.books;
    let servers: Vec<String> =
        info.upstreams.iter().map(|u| format!("{}:{}", u.host, u.port)).collect();
    let us = |value: Option<f64>| value.map_or("–".to_owned(), |us| duration(us / 1e3));
    let mut lines = vec![
        ("Version".to_owned(), format!("{} ({})", info.version, info.revision)),
        ("Up".to_owned(), span(info.uptime_s)),
        ("Server".to_owned(), clean(&servers.join(", "))),
        ("Mode".to_owned(), info.mode),
        ("Privacy".to_owned(), "literals are removed before anything is stored".to_owned()),
        (
            "Own delay".to_owned(),
            format!(
                "half within {}, 99 % within {}",
                us(info.overhead.p50_us),
                us(info.overhead.p99_us)
            ),
        ),
        (
            "Sessions now".to_owned(),
            format!(
                "{} active, {} idle, {} idle in a transaction",
                summary.connections.active,
                summary.connections.idle,
                summary.connections.idle_in_transaction
            ),
        ),
        (
            "Statements".to_owned(),
            format!(
                "{} = {} timed exactly + {} by an upper bound + {} in batches + {} empty + {} cut off",
                count(books.statements),
                count(books.exact),
                count(books.bound),
                count(books.batch_members),
                count(books.empty),
                count(books.aborted)
            ),
        ),
        (
            "Lost".to_owned(),
            format!(
                "{} dropped, {} forwarded unread",
                counted(info.loss.dropped, "event"),
                counted(info.loss.opaque_sessions, "session")
            ),
        ),
    ];
    lines.extend(
        info.limits
            .iter()
            .map(|(name, value)| (format!("Limit {}", name.replace('_', " ")), count(*value))),
    );
    lines
}

fn numbers(item: &Statement) -> Vec<(&'static str, String)> {
    vec![
        ("Calls", count(item.calls)),
        ("Share of all time", percent(item.share)),
        ("Total", duration(item.total_ms)),
        ("Mean", duration_or_dash(item.mean_ms)),
        ("Median", duration_or_dash(item.p50_ms)),
        ("95 %", duration_or_dash(item.p95_ms)),
        ("99 %", duration_or_dash(item.p99_ms)),
        ("Longest", duration_or_dash(item.max_ms)),
        ("Rows per call", item.rows_per_call.map_or("–".to_owned(), amount)),
        ("Bytes sent", bytes(item.sent_bytes)),
        ("Errors", count(item.errors)),
        ("Tables", clean(&item.tables.join(", "))),
        ("Seen", moments(&item.first_seen, &item.last_seen)),
    ]
}

fn phases(detail: &StatementDetail) -> Vec<(&'static str, String)> {
    let phases = &detail.phases_ms;
    vec![
        ("In the proxy, before the server had it", duration(phases.queue)),
        ("At the server, to the first row", duration(phases.first_row)),
        ("Transfer of the rest", duration(phases.transfer)),
        ("Waiting for the client to read", duration(phases.client_stall)),
    ]
}

/// From the first filled bucket to the last.
fn bars(buckets: &[Bucket]) -> Vec<Bar> {
    let filled = |bucket: &Bucket| bucket.count > 0;
    let (Some(first), Some(last)) =
        (buckets.iter().position(filled), buckets.iter().rposition(filled))
    else {
        return Vec::new();
    };
    let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(1);
    let bar = |bucket: &Bucket| Bar {
        label: bucket.le_ms.map_or("longer".to_owned(), |le| format!("≤ {}", duration(le))),
        count: count(bucket.count),
        meter: meter(ratio(bucket.count, most)),
    };
    buckets[first..=last].iter().map(bar).collect()
}

#[allow(clippy::cast_precision_loss)]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

fn sources(item: &Statement) -> Vec<(String, String, String, String, String)> {
    let line = |source: &super::shapes::Source| {
        (
            clean(&source.application_name),
            clean(&source.user),
            source.route.as_deref().map_or("–".to_owned(), clean),
            count(source.calls),
            duration(source.total_ms),
        )
    };
    item.sources.iter().map(line).collect()
}

#[cfg(test)]
mod tests;
