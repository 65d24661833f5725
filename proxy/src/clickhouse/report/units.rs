//! Waterfalls: the typical and the worst unit of work of each route, statement by statement.

use super::{Text, raw, rows};
use crate::clickhouse::client::{Client, Refusal, quoted};
use crate::export::TimeRange;
use pgsonde_analyzer::merge::Sketched;
use pgsonde_analyzer::snapshot::{UnitRow, UnitStatement};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Routes whose units are shown, costliest first.
const ROUTES_MAX: usize = 100;
/// Units of a route among which the typical one is looked for.
const UNITS_MAX: usize = 10_000;
/// Statements of a waterfall.
const WATERFALL_MAX: usize = 200;

/// A unit on one proxy: proxies number theirs by themselves.
type Key = (String, String);

#[derive(Deserialize)]
struct RouteFields {
    service: String,
    route: String,
    typical_unit: String,
    typical_proxy: String,
    worst_unit: String,
    worst_proxy: String,
}

#[derive(Deserialize)]
struct StatementFields {
    unit_id: String,
    proxy_id: String,
    traced: u8,
    ts_us: u64,
    session: String,
    round_trip: u64,
    digest: String,
    values_hash: String,
    duration_us: u64,
    queue_us: u64,
    first_row_us: u64,
    transfer_us: u64,
    client_stall_us: u64,
    timing: String,
    rows: u64,
}

/// Adds the units to the snapshot, and their ids to its routes.
pub(super) fn waterfalls(
    client: &Client,
    range: TimeRange,
    texts: &BTreeMap<String, Text>,
    sketched: &mut Sketched,
) -> Result<(), Refusal> {
    let chosen = chosen(client, range)?;
    let keys: BTreeSet<Key> = chosen.values().flatten().cloned().collect();
    let mut units: BTreeMap<Key, Vec<StatementFields>> = BTreeMap::new();
    for fields in statements(client, range, &keys)? {
        let key = (fields.unit_id.clone(), fields.proxy_id.clone());
        units.entry(key).or_default().push(fields);
    }
    let snapshot = &mut sketched.snapshot;
    for row in &mut snapshot.routes {
        let route = if &*row.route == "none" { "" } else { &*row.route };
        let Some(keys) = chosen.get(&(row.service.to_string(), route.to_owned())) else { continue };
        let known = |key: &Key| units.contains_key(key).then(|| id(key));
        (row.typical_unit, row.worst_unit) = (known(&keys[0]), known(&keys[1]));
        for key in keys {
            if let Some(statements) = units.get(key) {
                let mut unit = unit(key, statements, range.from_us);
                (unit.service, unit.route) = (row.service.clone(), row.route.clone());
                (unit.similar, unit.duplicate) = repetitions(statements, texts);
                snapshot.units.push(Arc::new(unit));
            }
        }
    }
    Ok(())
}

/// By service and route: the unit in the middle, and the one with the most time in the database.
fn chosen(
    client: &Client,
    range: TimeRange,
) -> Result<BTreeMap<(String, String), [Key; 2]>, Refusal> {
    let sql = format!(
        "SELECT service, route, arraySort(groupArray({UNITS_MAX})((database_us, unit_id, proxy_id))) AS units, \
         units[intDiv(length(units) + 1, 2)] AS typical, typical.2 AS typical_unit, typical.3 AS typical_proxy, \
         argMax((unit_id, proxy_id), database_us) AS worst, worst.1 AS worst_unit, worst.2 AS worst_proxy FROM (\
         SELECT any(service) AS service, max(route) AS route, unit_id, proxy_id, \
         sum(if(timing = 'batch', 0, first_row_us + transfer_us)) AS database_us \
         FROM pgsonde_statements WHERE {} AND unit_id != '' GROUP BY unit_id, proxy_id) \
         GROUP BY service, route ORDER BY sum(database_us) DESC LIMIT {ROUTES_MAX}",
        raw(range)
    );
    // Only what is read: the list of all units stays with the engine.
    let sql = format!(
        "SELECT service, route, typical_unit, typical_proxy, worst_unit, worst_proxy FROM ({sql})"
    );
    let of = |fields: RouteFields| {
        let typical = (fields.typical_unit, fields.typical_proxy);
        ((fields.service, fields.route), [typical, (fields.worst_unit, fields.worst_proxy)])
    };
    Ok(rows::<RouteFields>(client, &sql)?.into_iter().map(of).collect())
}

fn statements(
    client: &Client,
    range: TimeRange,
    keys: &BTreeSet<Key>,
) -> Result<Vec<StatementFields>, Refusal> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let pairs: Vec<String> =
        keys.iter().map(|(unit, proxy)| format!("({}, {})", quoted(unit), quoted(proxy))).collect();
    let sql = format!(
        "SELECT unit_id, proxy_id, traced, ts_us, session, round_trip, digest, \
         values_hash, duration_us, queue_us, first_row_us, transfer_us, client_stall_us, \
         timing, rows FROM pgsonde_statements WHERE {} AND (unit_id, proxy_id) IN ({}) \
         ORDER BY unit_id, proxy_id, ts_us, seq LIMIT {} BY unit_id, proxy_id",
        raw(range),
        pairs.join(", "),
        WATERFALL_MAX + 1
    );
    rows(client, &sql)
}

/// Identity of a unit over all proxies.
fn id((unit, proxy): &Key) -> u64 {
    let number = |hex: &str| u64::from_str_radix(hex, 16).unwrap_or(0);
    number(unit) ^ number(proxy).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Sums of a unit that is longer than its waterfall are those of the waterfall.
fn unit(key: &Key, statements: &[StatementFields], from_us: u64) -> UnitRow {
    let cut = statements.len() > WATERFALL_MAX;
    let statements = &statements[..statements.len().min(WATERFALL_MAX)];
    let begin_us = statements.iter().map(|one| one.ts_us).min().unwrap_or(0);
    let end_us = statements.iter().map(|one| one.ts_us + one.duration_us).max().unwrap_or(0);
    let trips: BTreeSet<_> = statements.iter().map(|one| (&one.session, one.round_trip)).collect();
    let timed = statements.iter().filter(|one| one.timing != "batch");
    UnitRow {
        id: id(key),
        traced: statements.iter().any(|one| one.traced != 0),
        begin_us: begin_us.saturating_sub(from_us),
        duration_us: end_us - begin_us,
        database_us: timed.map(|one| one.first_row_us + one.transfer_us).sum(),
        statements: statements.len() as u64,
        round_trips: trips.len() as u64,
        waterfall: statements.iter().map(|one| step(one, begin_us)).collect(),
        cut,
        ..UnitRow::default()
    }
}

/// Statements that repeat a digest, and reads that repeat digest and values: those of the application.
fn repetitions(statements: &[StatementFields], texts: &BTreeMap<String, Text>) -> (u64, u64) {
    let class = |digest: &String| texts.get(digest).map_or("", |text| &text.class);
    let own = |one: &&StatementFields| !matches!(class(&one.digest), "control" | "catalogue");
    let (mut digests, mut reads) = (BTreeSet::new(), BTreeSet::new());
    let (mut similar, mut duplicate) = (0, 0);
    for one in statements.iter().take(WATERFALL_MAX).filter(own) {
        similar += u64::from(!digests.insert(&one.digest));
        let is_read = class(&one.digest) == "read";
        duplicate += u64::from(is_read && !reads.insert((&one.digest, &one.values_hash)));
    }
    (similar, duplicate)
}

fn step(fields: &StatementFields, begin_us: u64) -> UnitStatement {
    UnitStatement {
        offset_us: fields.ts_us - begin_us,
        queue_us: fields.queue_us,
        first_row_us: fields.first_row_us,
        transfer_us: fields.transfer_us,
        client_stall_us: fields.client_stall_us,
        digest: u64::from_str_radix(&fields.digest, 16).unwrap_or(0),
        rows: fields.rows,
    }
}
