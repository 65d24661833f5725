//! One digest as the snapshot shows it.

use super::{ColumnBytes, DigestTotals, Hygiene, Latency, Operation};
use crate::record::Micros;
use std::sync::Arc;

/// One digest in one database.
#[derive(Clone, Debug, Default)]
pub struct DigestRow {
    /// Identity; equal on all proxies and over restarts.
    pub digest: u64,
    /// Database.
    pub database: Arc<str>,
    /// The server's own name for it, `pg_stat_statements.queryid`, where the server was asked; the most called one where
    /// several are one digest.
    pub query_id: Option<i64>,
    /// "SELECT orders customers", at most 120 characters.
    pub summary: Arc<str>,
    /// What it does.
    pub operation: Operation,
    /// Text with literals as `?` and without comments, at most 8 KiB.
    pub query_text: Arc<str>,
    /// Whether the text was cut.
    pub cut: bool,
    /// Whether the parser grouped it (else the lexer's shape did).
    pub parsed: bool,
    /// Tables that it names.
    pub tables: Vec<Arc<str>>,
    /// Sums.
    pub totals: DigestTotals,
    /// Latency of its exactly timed executions.
    pub latency: Latency,
    /// Median time to the first row, in microseconds.
    pub first_row_p50_us: u64,
    /// Median transfer time, in microseconds.
    pub transfer_p50_us: u64,
    /// Latency buckets, [`ROW_BUCKETS_US`] and one above.
    pub buckets: [u64; 25],
    /// Errors by SQLSTATE, at most 8, most frequent first.
    pub sqlstates: Vec<([u8; 5], u64)>,
    /// Who sends it, at most 8, most frequent first; the rest is in the totals only.
    pub sources: Vec<SourceRow>,
    /// How its executions came.
    pub hygiene: Hygiene,
    /// Bytes by column of its large results, by position; empty where none was large.
    pub columns: Vec<ColumnBytes>,
    /// Ids of findings that name it.
    pub findings: Vec<u64>,
    /// Most executions in one unit of work that has ended; 1 where it never repeated.
    pub calls_per_unit_max: u64,
    /// Executions worth looking at; only of the costliest digests.
    pub examples: Option<Arc<crate::events::Examples>>,
    /// First and last execution.
    pub first_seen_us: Micros,
    /// Last execution.
    pub last_seen_us: Micros,
}

/// Where executions of a digest come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceRow {
    /// Database user.
    pub user: Arc<str>,
    /// Raw `application_name`.
    pub application_name: Arc<str>,
    /// Route tag, empty without one.
    pub route: Arc<str>,
    /// Executions.
    pub calls: u64,
    /// Statement time.
    pub total_us: u64,
}
