//! Shapes of transactions, and what ran under marks.

use super::{raw, rows};
use crate::clickhouse::client::{Client, Refusal};
use crate::export::TimeRange;
use pgsonde_analyzer::Sketch;
use pgsonde_analyzer::merge::Sketched;
use pgsonde_analyzer::snapshot::{MarkRow, TransactionRow};
use serde::Deserialize;

/// Shapes that are read, costliest first.
const SHAPES_MAX: usize = 1_000;
/// Marks that are read, most statements first.
const MARKS_MAX: usize = 1_000;

#[derive(Deserialize)]
struct ShapeFields {
    db_name: String,
    service: String,
    shape: String,
    sequence: Vec<String>,
    n: u64,
    n_statements: u64,
    total_us: u64,
    in_statements_us: u64,
    thinking_us: u64,
}

/// Transactions by their sequence of statements.
pub(super) fn transactions(
    client: &Client,
    range: TimeRange,
    sketched: &mut Sketched,
) -> Result<(), Refusal> {
    let sql = format!(
        "SELECT db_name, service, shape, any(digests) AS sequence, count() AS n, sum(statements) AS n_statements, \
         sum(duration_us) AS total_us, sum(busy_us) AS in_statements_us, sum(think_us) AS thinking_us \
         FROM pgsonde_transactions WHERE {} GROUP BY db_name, service, shape \
         ORDER BY total_us DESC, shape LIMIT {SHAPES_MAX}",
        raw(range)
    );
    let number = |hex: &str| u64::from_str_radix(hex, 16).unwrap_or(0);
    let row = |fields: ShapeFields| TransactionRow {
        shape: number(&fields.shape),
        database: fields.db_name.into(),
        service: fields.service.into(),
        digests: fields.sequence.iter().map(|digest| number(digest)).collect(),
        count: fields.n,
        statements: fields.n_statements,
        total_us: fields.total_us,
        busy_us: fields.in_statements_us,
        think_us: fields.thinking_us,
    };
    sketched.snapshot.transactions = rows(client, &sql)?.into_iter().map(row).collect();
    Ok(())
}

#[derive(Deserialize)]
struct MarkFields {
    mark: String,
    units: u64,
    n: u64,
    n_failed: u64,
    n_repeated: u64,
    n_rows: u64,
    sent: u64,
    database_us: u64,
    n_timed: u64,
    p95_us: u64,
}

/// Statements by mark. N+1 that was proved under a mark stands with the findings alone.
pub(super) fn marks(
    client: &Client,
    range: TimeRange,
    sketched: &mut Sketched,
) -> Result<(), Refusal> {
    let sql = format!(
        "SELECT mark, uniqExactIf((unit_id, proxy_id), unit_id != '') AS units, count() AS n, \
         countIf(outcome = 'error') AS n_failed, \
         countIf(is_read) - uniqExactIf((unit_id, proxy_id, digest, values_hash), is_read) AS n_repeated, \
         sum(rows) AS n_rows, sum(sent_bytes) AS sent, \
         sum(if(timing = 'batch', 0, duration_us)) AS database_us, countIf(timing = '') AS n_timed, \
         quantileExactIf(0.95)(duration_us, timing = '') AS p95_us \
         FROM (SELECT mark, unit_id, proxy_id, digest, values_hash, outcome, rows, sent_bytes, timing, duration_us, \
         unit_id != '' AND digest GLOBAL IN (SELECT digest FROM pgsonde_digests WHERE class = 'read') AS is_read \
         FROM pgsonde_statements WHERE {} AND mark != '') GROUP BY mark ORDER BY n DESC, mark LIMIT {MARKS_MAX}",
        raw(range)
    );
    for fields in rows::<MarkFields>(client, &sql)? {
        sketched.snapshot.marks.push(MarkRow {
            mark: fields.mark.into(),
            units: fields.units,
            statements: fields.n,
            errors: fields.n_failed,
            duplicates: fields.n_repeated,
            rows: fields.n_rows,
            sent_bytes: fields.sent,
            database_us: fields.database_us,
            timed: fields.n_timed,
            ..MarkRow::default()
        });
        // One value is its own 95 % quantile.
        let values = vec![(fields.p95_us, fields.n_timed)];
        sketched.marks.push(Sketch { coarse: true, values });
    }
    Ok(())
}
