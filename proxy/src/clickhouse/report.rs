//! A report of the whole fleet out of the store: rows into the snapshot that one proxy would have had.

mod past;
mod sums;
mod units;

use super::client::{Client, Refusal, quoted};
use crate::capture::finding_of;
use crate::export::shapes::lines::FindingLine;
use crate::export::shapes::{Report, UpstreamInfo};
use crate::export::{Build, Lifecycle, ProxyCounters, TimeRange, report_of};
use crate::problem::Problem;
use pgsonde_analyzer::merge::{DigestSketch, Merge, RouteSketch, Sketched};
use pgsonde_analyzer::snapshot::{
    Books, DigestRow, DigestTotals, Operation, Phases, ROW_BUCKETS_US, RouteRow, Snapshot,
    SourceRow,
};
use pgsonde_analyzer::{DurationSketch, Sketch};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// Digests that are read one by one, costliest first.
const DIGESTS_MAX: usize = 20_000;
/// Findings that are read.
const FINDINGS_MAX: usize = 20_000;

/// Whole minutes, as the sums of the store are.
fn whole_minutes(range: TimeRange) -> TimeRange {
    const MINUTE_US: u64 = 60_000_000;
    let from_us = range.from_us - range.from_us % MINUTE_US;
    TimeRange { from_us, to_us: range.to_us.div_ceil(MINUTE_US) * MINUTE_US }
}

/// What a reader of the report would look for in vain.
const NOT_STORED: &str = "Sessions are not read out of the store: a proxy's own page shows them.";

/// The report of everything that all proxies told within the range.
///
/// # Errors
/// PGS0531 to PGS0535.
pub(crate) fn read(client: &Client, range: TimeRange, top: usize) -> Result<Report, Problem> {
    let range = whole_minutes(range);
    let problem = |refusal: Refusal| refusal.problem(client.place());
    let mut merge = Merge::default();
    let (main, events) = statements(client, range).map_err(problem)?;
    merge.add(main, range.from_us);
    for findings in findings(client, range).map_err(problem)? {
        let snapshot = Snapshot { findings, ..Snapshot::default() };
        merge.add(Sketched { snapshot, ..Sketched::default() }, range.from_us);
    }
    let [proxies, dropped] = totals(client, range).map_err(problem)?;
    let (mut snapshot, origin_us) = merge.finish();
    snapshot.at_us = range.to_us - range.from_us;
    past::add(client, range, &mut snapshot).map_err(problem)?;
    let mut proxy = ProxyCounters {
        build: Build { revision: "unknown", rustc: "unknown", ..Build::default() },
        uptime_s: snapshot.at_us / 1_000_000,
        lifecycle: Lifecycle::Ready,
        events: events + dropped,
        ..ProxyCounters::default()
    };
    proxy.dropped.queue_full = dropped;
    let started = UNIX_EPOCH + Duration::from_micros(origin_us);
    let mut report = report_of(&snapshot, &proxy, started, top);
    let host = client.place().url.host_str().unwrap_or_default().to_owned();
    let port = client.place().url.port().unwrap_or(443);
    report.info.upstreams = vec![UpstreamInfo { host, port, tls: "off".into(), connect_ms: None }];
    let note = format!("Out of ClickHouse: {proxies} starts of proxies, sums of whole minutes.");
    report.notes.insert(0, note);
    report.notes.insert(1, NOT_STORED.to_owned());
    Ok(report)
}

fn rows<T: DeserializeOwned>(client: &Client, sql: &str) -> Result<Vec<T>, Refusal> {
    let answer = client.query(&format!("{sql} FORMAT JSONEachRow"))?;
    let row = |line: &str| {
        serde_json::from_str(line).map_err(|error| Refusal::Unknown(format!("its answer: {error}")))
    };
    answer.lines().filter(|line| !line.is_empty()).map(row).collect()
}

fn minutes(range: TimeRange) -> String {
    let (from_s, to_s) = (range.from_us / 1_000_000, range.to_us / 1_000_000);
    format!("minute >= toDateTime({from_s}) AND minute < toDateTime({to_s})")
}

#[derive(Deserialize)]
struct DigestFields {
    digest: String,
    db_name: String,
    db_operation: String,
    n_calls: u64,
    n_errors: u64,
    n_rows: u64,
    received_bytes: u64,
    sent_bytes: u64,
    n_batch_members: u64,
    queue_us: u64,
    first_row_us: u64,
    transfer_us: u64,
    client_stall_us: u64,
    think_us: u64,
    n_timed: u64,
    sum_us: u64,
    sum_squares: f64,
    min_us: u64,
    max_us: u64,
    bounds: Vec<u64>,
    counts: Vec<u64>,
    first_us: u64,
    last_us: u64,
}

#[derive(Default, Deserialize)]
struct Text {
    digest: String,
    summary: String,
    query_text: String,
    cut: u8,
    tables: Vec<String>,
    source: String,
    class: String,
}

#[derive(Deserialize)]
struct SourceFields {
    digest: String,
    db_name: String,
    service: String,
    route: String,
    n: u64,
    total_us: u64,
}

/// Columns of sums, and what they are called here.
const SUMMED: [(&str, &str); 14] = [
    ("calls", "n_calls"),
    ("errors", "n_errors"),
    ("rows_sum", "n_rows"),
    ("received_bytes_sum", "received_bytes"),
    ("sent_bytes_sum", "sent_bytes"),
    ("batch_members", "n_batch_members"),
    ("queue_us_sum", "queue_us"),
    ("first_row_us_sum", "first_row_us"),
    ("transfer_us_sum", "transfer_us"),
    ("client_stall_us_sum", "client_stall_us"),
    ("think_in_transaction_us", "think_us"),
    ("timed", "n_timed"),
    ("duration_us_sum", "sum_us"),
    ("duration_us_squares", "sum_squares"),
];

/// Everything but findings; with the number of executions.
fn statements(client: &Client, range: TimeRange) -> Result<(Sketched, u64), Refusal> {
    let minutes = minutes(range);
    let sums: Vec<String> =
        SUMMED.iter().map(|(column, name)| format!("sumMerge({column}) AS {name}")).collect();
    let sql = format!(
        "SELECT digest, db_name, any(db_operation) AS db_operation, {}, minMerge(duration_us_min) AS min_us, \
         maxMerge(duration_us_max) AS max_us, sumMapMerge(durations) AS d, d.1 AS bounds, d.2 AS counts, \
         minMerge(first_seen_us) AS first_us, maxMerge(last_seen_us) AS last_us \
         FROM pgsonde_minutes WHERE {minutes} GROUP BY digest, db_name \
         ORDER BY sum_us DESC, digest LIMIT {DIGESTS_MAX}",
        sums.join(", ")
    );
    let digests: Vec<DigestFields> = rows(client, &sql)?;
    let texts = texts(client)?;
    let mut sources = sources(client, &minutes)?;
    let mut sketched = Sketched::default();
    let mut states = sqlstates(client, range)?;
    for fields in digests {
        let key = (fields.digest.clone(), fields.db_name.clone());
        let text = texts.get(&fields.digest);
        let (mut row, sketch) = digest(fields, text, range.from_us);
        row.sources = sources.remove(&key).unwrap_or_default();
        row.sqlstates = states.remove(&key).unwrap_or_default();
        let (snapshot, totals) = (&mut sketched.snapshot, &row.totals);
        snapshot.phases.add(&totals.phases);
        snapshot.books = Books {
            statements: snapshot.books.statements + totals.calls,
            exact: snapshot.books.exact + sketch.durations.count,
            batch_members: snapshot.books.batch_members + totals.batch_members,
            empty: snapshot.books.empty
                + totals.calls.saturating_sub(sketch.durations.count + totals.batch_members),
            ..snapshot.books
        };
        sketched.all.add(&sketch.durations);
        sketched.snapshot.digests.push(row);
        sketched.digests.push(sketch);
    }
    routes(client, range, &mut sketched)?;
    units::waterfalls(client, range, &texts, &mut sketched)?;
    sums::transactions(client, range, &mut sketched)?;
    sums::marks(client, range, &mut sketched)?;
    let calls = sketched.snapshot.books.statements;
    Ok((sketched, calls))
}

fn digest(fields: DigestFields, text: Option<&Text>, from_us: u64) -> (DigestRow, DigestSketch) {
    let values: Vec<(u64, u64)> =
        fields.bounds.into_iter().zip(fields.counts).filter(|(_, count)| *count > 0).collect();
    let mut buckets = [0; 25];
    for (value, count) in &values {
        buckets[ROW_BUCKETS_US.partition_point(|bound| bound < value)] += count;
    }
    let text = text.unwrap_or(const { &Text::NONE });
    let row = DigestRow {
        digest: u64::from_str_radix(&fields.digest, 16).unwrap_or(0),
        database: fields.db_name.into(),
        summary: text.summary.as_str().into(),
        operation: Operation::named(&fields.db_operation).unwrap_or_default(),
        query_text: text.query_text.as_str().into(),
        cut: text.cut != 0,
        parsed: text.source == "parser",
        tables: text.tables.iter().map(|name| Arc::from(name.as_str())).collect(),
        totals: DigestTotals {
            calls: fields.n_calls,
            errors: fields.n_errors,
            rows: fields.n_rows,
            received_bytes: fields.received_bytes,
            sent_bytes: fields.sent_bytes,
            phases: Phases {
                queue_us: fields.queue_us,
                first_row_us: fields.first_row_us,
                transfer_us: fields.transfer_us,
                client_stall_us: fields.client_stall_us,
                think_in_transaction_us: fields.think_us,
                think_idle_us: 0,
            },
            batch_members: fields.n_batch_members,
        },
        buckets,
        first_seen_us: fields.first_us.saturating_sub(from_us),
        last_seen_us: fields.last_us.saturating_sub(from_us),
        ..DigestRow::default()
    };
    let durations = DurationSketch {
        sketch: Sketch { coarse: false, values },
        count: fields.n_timed,
        min_us: fields.min_us,
        max_us: fields.max_us,
        sum_us: u128::from(fields.sum_us),
        squares: fields.sum_squares as u128,
    };
    (row, DigestSketch { durations, ..DigestSketch::default() })
}

impl Text {
    const NONE: Self = Self {
        digest: String::new(),
        summary: String::new(),
        query_text: String::new(),
        cut: 0,
        tables: Vec::new(),
        source: String::new(),
        class: String::new(),
    };
}

fn texts(client: &Client) -> Result<BTreeMap<String, Text>, Refusal> {
    let sql = "SELECT digest, argMax(summary, ts_us) AS summary, argMax(query_text, ts_us) AS query_text, \
               argMax(cut, ts_us) AS cut, argMax(tables, ts_us) AS tables, argMax(source, ts_us) AS source, argMax(class, ts_us) AS class \
               FROM pgsonde_digests GROUP BY digest";
    let texts: Vec<Text> = rows(client, sql)?;
    Ok(texts.into_iter().map(|text| (text.digest.clone(), text)).collect())
}

type ByDigest<T> = BTreeMap<(String, String), Vec<T>>;

fn sources(client: &Client, minutes: &str) -> Result<ByDigest<SourceRow>, Refusal> {
    let sql = format!(
        "SELECT digest, db_name, service, route, sumMerge(calls) AS n, sumMerge(queue_us_sum) + \
         sumMerge(first_row_us_sum) + sumMerge(transfer_us_sum) + sumMerge(client_stall_us_sum) AS total_us \
         FROM pgsonde_minutes WHERE {minutes} GROUP BY digest, db_name, service, route ORDER BY n DESC"
    );
    let mut sources: ByDigest<SourceRow> = BTreeMap::new();
    for fields in rows::<SourceFields>(client, &sql)? {
        sources.entry((fields.digest, fields.db_name)).or_default().push(SourceRow {
            user: Arc::from(""),
            application_name: fields.service.into(),
            route: fields.route.into(),
            calls: fields.n,
            total_us: fields.total_us,
        });
    }
    Ok(sources)
}

#[derive(Deserialize)]
struct StateFields {
    digest: String,
    db_name: String,
    err_sqlstate: String,
    n: u64,
}

fn raw(range: TimeRange) -> String {
    format!("ts_us >= {} AND ts_us < {}", range.from_us, range.to_us)
}

fn sqlstates(client: &Client, range: TimeRange) -> Result<ByDigest<([u8; 5], u64)>, Refusal> {
    let sql = format!(
        "SELECT digest, db_name, err_sqlstate, count() AS n FROM pgsonde_statements \
         WHERE {} AND err_sqlstate != '' GROUP BY digest, db_name, err_sqlstate ORDER BY n DESC",
        raw(range)
    );
    let mut states: ByDigest<([u8; 5], u64)> = BTreeMap::new();
    for fields in rows::<StateFields>(client, &sql)? {
        if let Ok(state) = fields.err_sqlstate.into_bytes().try_into() {
            states.entry((fields.digest, fields.db_name)).or_default().push((state, fields.n));
        }
    }
    Ok(states)
}

#[derive(Deserialize)]
struct UnitFields {
    service: String,
    route: String,
    statements: u64,
    database_us: u64,
    units: u64,
    first_row_us: u64,
    transfer_us: u64,
    rows: u64,
    sent_bytes: u64,
}

/// Units by route, as far as single executions are still there.
fn routes(client: &Client, range: TimeRange, sketched: &mut Sketched) -> Result<(), Refusal> {
    let sql = format!(
        "SELECT service, route, statements, database_us, count() AS units, sum(first_row) AS first_row_us, \
         sum(transfer) AS transfer_us, sum(n_rows) AS rows, sum(sent) AS sent_bytes FROM (\
         SELECT any(service) AS service, max(route) AS route, unit_id, proxy_id, count() AS statements, \
         sum(if(timing = 'batch', 0, first_row_us)) AS first_row, sum(if(timing = 'batch', 0, transfer_us)) AS transfer, \
         first_row + transfer AS database_us, sum(rows) AS n_rows, sum(sent_bytes) AS sent \
         FROM pgsonde_statements WHERE {} AND unit_id != '' GROUP BY unit_id, proxy_id) \
         GROUP BY service, route, statements, database_us ORDER BY statements, database_us LIMIT 1000000",
        raw(range)
    );
    let mut routes: BTreeMap<(String, String), (RouteRow, RouteSketch)> = BTreeMap::new();
    for unit in rows::<UnitFields>(client, &sql)? {
        let name = if unit.route.is_empty() { "none".to_owned() } else { unit.route };
        let (row, sketch) = routes.entry((unit.service, name)).or_default();
        row.units += unit.units;
        row.statements += unit.statements * unit.units;
        row.first_row_us += unit.first_row_us;
        row.transfer_us += unit.transfer_us;
        row.rows += unit.rows;
        row.sent_bytes += unit.sent_bytes;
        row.largest.statements = row.largest.statements.max(unit.statements);
        row.largest.database_us = row.largest.database_us.max(unit.database_us);
        let one = |value| Sketch { coarse: true, values: vec![(value, unit.units)] };
        sketch.statements.add(&one(unit.statements));
        sketch.database_us.add(&one(unit.database_us));
    }
    for ((service, route), (row, sketch)) in routes {
        let row = RouteRow { service: service.into(), route: route.into(), ..row };
        sketched.snapshot.routes.push(row);
        sketched.routes.push(sketch);
    }
    Ok(())
}

#[derive(Deserialize)]
struct FindingFields {
    proxy_id: String,
    line: String,
}

/// The findings of each start of a proxy as it told them last.
fn findings(
    client: &Client,
    range: TimeRange,
) -> Result<Vec<Vec<pgsonde_analyzer::finding::Finding>>, Refusal> {
    let sql = format!(
        "SELECT proxy_id, finding, argMax(line, ts_us) AS line FROM pgsonde_findings \
         WHERE {} GROUP BY proxy_id, finding ORDER BY proxy_id, finding LIMIT {FINDINGS_MAX}",
        raw(range)
    );
    let mut proxies: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for fields in rows::<FindingFields>(client, &sql)? {
        let line: Option<FindingLine> = serde_json::from_str(&fields.line).ok();
        let finding = line.and_then(|line| finding_of(&line, range.from_us));
        proxies.entry(fields.proxy_id).or_default().extend(finding);
    }
    Ok(proxies.into_values().collect())
}

/// Starts of proxies, and rows that are missing.
fn totals(client: &Client, range: TimeRange) -> Result<[u64; 2], Refusal> {
    let count = |sql: String| -> Result<u64, Refusal> {
        Ok(client.query(&sql)?.trim().parse().unwrap_or(0))
    };
    let proxies =
        format!("SELECT uniqExact(proxy_id) FROM pgsonde_minutes WHERE {}", minutes(range));
    let dropped = format!(
        "SELECT sum(dropped) FROM pgsonde_gaps WHERE {} AND reason != {}",
        raw(range),
        quoted("max_rate")
    );
    Ok([count(proxies)?, count(dropped)?])
}
