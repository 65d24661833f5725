//! The frozen image of everything the analyzer knows: plain data, made on a tick, shared as an `Arc`.
//!
//! Renderings (metrics, API, report, page) read it and compute nothing that another rendering would have to
//! compute again. Names carry their unit. Ids are integers here; how they are spelled is the renderer's matter.

mod digest_row;
mod extremes;
mod recent;

pub use digest_row::{DigestRow, SourceRow};
pub use extremes::{LargestUnit, MarkRow};
pub use recent::{
    ColumnBytes, DigestPoint, HistoryStep, Hygiene, Point, SESSIONS_SHOWN_MAX, STEP_DIGESTS_MAX,
    SessionRow, SessionState,
};

use crate::finding::Finding;
use crate::record::Micros;
use std::sync::Arc;

/// Upper bounds in microseconds of [`DigestRow::buckets`] (1-2-5 per decade); one more bucket lies above.
pub const ROW_BUCKETS_US: [u64; 24] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000,
    200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 50_000_000,
];

/// Upper bounds in microseconds of `statement_duration_seconds` (H16 of the metric catalogue).
pub const STATEMENT_BUCKETS_US: [u64; 16] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// Upper bounds in microseconds of `transaction_duration_seconds` (H10t).
pub const TRANSACTION_BUCKETS_US: [u64; 10] =
    [1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000, 10_000_000, 60_000_000];

/// Upper bounds in statements of `unit_statements` (H10u).
pub const UNIT_BUCKETS: [u64; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000];

/// Cumulative-free bucket counts over `N` bounds; the last element of `counts` lies above all bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets<const N: usize> {
    /// Observations per bucket (not cumulative).
    pub counts: [u64; N],
    /// Observations above the last bound.
    pub above: u64,
    /// Sum of all observations.
    pub sum: u64,
}

impl<const N: usize> Default for Buckets<N> {
    fn default() -> Self {
        Self { counts: [0; N], above: 0, sum: 0 }
    }
}

impl<const N: usize> Buckets<N> {
    /// Counts one observation under the first bound that is not below it.
    pub fn observe(&mut self, bounds: &[u64; N], value: u64) {
        match bounds.iter().position(|bound| value <= *bound) {
            Some(index) => self.counts[index] += 1,
            None => self.above += 1,
        }
        self.sum += value;
    }

    /// All observations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.above
    }
}

/// Everything known at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When it was made.
    pub at_us: Micros,
    /// The books: every statement in exactly one of its terms.
    pub books: Books,
    /// Latency of all exactly timed statements.
    pub latency: Latency,
    /// Phase sums over all statements and batches.
    pub phases: Phases,
    /// Digests by total time, costliest first.
    pub digests: Vec<DigestRow>,
    /// What the digest table had no room for, as one row.
    pub other: DigestTotals,
    /// Batches whose members have different digests: their time belongs to no single digest. Only `phases` and
    /// `batch_members` are filled: calls, rows and bytes stand in the rows of the members.
    pub indivisible_batches: DigestTotals,
    /// (database, service) pairs.
    pub pairs: Vec<PairRow>,
    /// (database, service, operation) sets.
    pub sets: Vec<SetRow>,
    /// (database, service, SQLSTATE class) sets.
    pub errors: Vec<ErrorRow>,
    /// Bytes per database.
    pub traffic: Vec<TrafficRow>,
    /// (service, route) rows.
    pub routes: Vec<RouteRow>,
    /// Units that are kept as examples, by id: a typical and the worst one of each route.
    pub units: Vec<Arc<UnitRow>>,
    /// Shapes of transactions, the largest sum of durations first.
    pub transactions: Vec<TransactionRow>,
    /// Transactions whose shape found no place, as one row.
    pub transactions_other: TransactionRow,
    /// What ran under each mark, by name.
    pub marks: Vec<MarkRow>,
    /// Longest time that a client left one transaction waiting without a break, in microseconds.
    pub idle_in_transaction_max_us: u64,
    /// Statements per unit of work, by service.
    pub unit_statements: Vec<(Arc<str>, Buckets<10>)>,
    /// Findings, worst first.
    pub findings: Vec<Finding>,
    /// Findings opened since start, by kind.
    pub findings_opened: Vec<(crate::finding::Kind, u64)>,
    /// N+1 sums by service.
    pub n_plus_one: Vec<NPlusOneRow>,
    /// Rows that a table had no room for, by table name.
    pub overflow: Vec<(&'static str, u64)>,
    /// Open sessions, at most [`SESSIONS_SHOWN_MAX`].
    pub sessions: Vec<SessionRow>,
    /// Sessions open now that have state.
    pub sessions_open: usize,
    /// The recent past, oldest step first.
    pub history: Arc<[Arc<HistoryStep>]>,
    /// Length of a step, in microseconds.
    pub history_step_us: u64,
    /// Sessions seen since start, and how many of them went opaque.
    pub sessions_seen: u64,
    /// Sessions that went opaque since start.
    pub sessions_opaque: u64,
    /// Digests tracked now, and the limit.
    pub digests_tracked: usize,
    /// Limit of digests.
    pub digests_max: usize,
    /// What the analyzer holds.
    pub memory: MemoryUse,
}

/// What the analyzer holds, as it reckons, and what it had to shed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Bytes held.
    pub held_bytes: u64,
    /// Limit of them (`profile.memory_limit`).
    pub max_bytes: u64,
    /// Shedding was not enough: nothing but counters is kept.
    pub is_short: bool,
    /// Times that something was shed.
    pub sheds: u64,
    /// Digests that went to `other` for want of memory.
    pub digests_shed: u64,
}

impl Snapshot {
    /// Takes over findings that are known from elsewhere, for a snapshot of an analyzer without detectors.
    pub fn adopt_findings(&mut self, findings: Vec<Finding>) {
        crate::findings::adopt(self, findings);
    }
}

/// statements = exact + bound + batch + empty + aborted + function calls are inside these by their timing.
///
/// What a full queue dropped and what opaque sessions hid is counted by the forwarding side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// All statements ingested.
    pub statements: u64,
    /// Timed exactly (in histograms).
    pub exact: u64,
    /// Timed by an upper bound (in histograms).
    pub bound: u64,
    /// Members of batches.
    pub batch_members: u64,
    /// Empty queries.
    pub empty: u64,
    /// Ended by a lost connection.
    pub aborted: u64,
    /// Of all statements: those whose text was not known (`untracked`).
    pub untracked: u64,
    /// Of all statements: those counted under `other` because the digest table was full.
    pub other: u64,
    /// Requests that the server skipped after an error; they are no statements.
    pub skipped: u64,
}

/// Quantiles of one histogram, in microseconds (two significant digits).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// Samples.
    pub count: u64,
    /// Smallest.
    pub min_us: u64,
    /// 50 %.
    pub p50_us: u64,
    /// 95 %.
    pub p95_us: u64,
    /// 99 %.
    pub p99_us: u64,
    /// Largest.
    pub max_us: u64,
    /// Mean.
    pub mean_us: f64,
    /// Standard deviation.
    pub stddev_us: f64,
}

/// Phase sums in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Request read to forwarded.
    pub queue_us: u64,
    /// Forwarded to first row or completion.
    pub first_row_us: u64,
    /// First row to completion.
    pub transfer_us: u64,
    /// Client took nothing.
    pub client_stall_us: u64,
    /// Client think time inside transactions.
    pub think_in_transaction_us: u64,
    /// Client think time outside.
    pub think_idle_us: u64,
}

impl Phases {
    /// Adds every phase of `more`.
    pub fn add(&mut self, more: &Self) {
        self.queue_us += more.queue_us;
        self.first_row_us += more.first_row_us;
        self.transfer_us += more.transfer_us;
        self.client_stall_us += more.client_stall_us;
        self.think_in_transaction_us += more.think_in_transaction_us;
        self.think_idle_us += more.think_idle_us;
    }

    /// The four phases that make up statement time.
    pub fn statement_us(&self) -> u64 {
        self.queue_us + self.first_row_us + self.transfer_us + self.client_stall_us
    }
}

/// Sums that any group of statements has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DigestTotals {
    /// Executions.
    pub calls: u64,
    /// Those that failed (error or cancelled).
    pub errors: u64,
    /// Rows returned or affected.
    pub rows: u64,
    /// Bytes of requests.
    pub received_bytes: u64,
    /// Bytes of answers.
    pub sent_bytes: u64,
    /// Phase sums.
    pub phases: Phases,
    /// Executions that were members of batches (no time of their own).
    pub batch_members: u64,
}

impl DigestTotals {
    /// Adds every sum of `more`.
    pub fn add(&mut self, more: &Self) {
        self.calls += more.calls;
        self.errors += more.errors;
        self.rows += more.rows;
        self.received_bytes += more.received_bytes;
        self.sent_bytes += more.sent_bytes;
        self.phases.add(&more.phases);
        self.batch_members += more.batch_members;
    }
}

/// What a statement does; the label `operation` of the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Operation {
    Select,
    Insert,
    Update,
    Delete,
    Merge,
    Copy,
    Transaction,
    Ddl,
    Utility,
    #[default]
    Other,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 10] = [
        Self::Select,
        Self::Insert,
        Self::Update,
        Self::Delete,
        Self::Merge,
        Self::Copy,
        Self::Transaction,
        Self::Ddl,
        Self::Utility,
        Self::Other,
    ];

    /// The operation of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// The label value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Merge => "merge",
            Self::Copy => "copy",
            Self::Transaction => "transaction",
            Self::Ddl => "ddl",
            Self::Utility => "utility",
            Self::Other => "other",
        }
    }
}

/// Sums of one (database, service) pair.
#[derive(Clone, Debug, Default)]
pub struct PairRow {
    /// Database.
    pub database: Arc<str>,
    /// Service.
    pub service: Arc<str>,
    /// Phases with both think times.
    pub phases: Phases,
    /// Transactions by outcome: commit, rollback, error (abandoned ones count as error).
    pub transactions: [u64; 3],
    /// Durations of transactions.
    pub transaction_duration: Buckets<10>,
    /// Prepares: named, unnamed, the same text again.
    pub prepares: [u64; 3],
}

/// Sums of one (database, service, operation) set.
#[derive(Clone, Debug, Default)]
pub struct SetRow {
    /// Database.
    pub database: Arc<str>,
    /// Service.
    pub service: Arc<str>,
    /// Operation.
    pub operation: Operation,
    /// Statements by outcome: ok, error, cancelled.
    pub outcomes: [u64; 3],
    /// Rows.
    pub rows: u64,
    /// Durations of exactly timed statements.
    pub duration: Buckets<16>,
}

/// Errors of one (database, service, SQLSTATE class).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorRow {
    /// Database.
    pub database: Arc<str>,
    /// Service.
    pub service: Arc<str>,
    /// First two characters of the SQLSTATE, or `other`.
    pub class: Arc<str>,
    /// Errors.
    pub count: u64,
}

/// Bytes of one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrafficRow {
    /// Database.
    pub database: Arc<str>,
    /// Read from clients.
    pub client_received: u64,
    /// Written to clients.
    pub client_sent: u64,
    /// Read from the server.
    pub server_received: u64,
    /// Written to the server.
    pub server_sent: u64,
}

/// Units of work of one route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteRow {
    /// Service.
    pub service: Arc<str>,
    /// Route, `none` without a tag.
    pub route: Arc<str>,
    /// Units of work that ended.
    pub units: u64,
    /// Statements in them.
    pub statements: u64,
    /// Time to first rows.
    pub first_row_us: u64,
    /// Transfer time.
    pub transfer_us: u64,
    /// Client think time inside transactions.
    pub think_in_transaction_us: u64,
    /// Round trips in them.
    pub round_trips: u64,
    /// Statements that repeat the digest of an earlier one of their unit.
    pub similar: u64,
    /// Reads that repeat both digest and values of an earlier one of their unit.
    pub duplicate: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of their answers.
    pub sent_bytes: u64,
    /// The largest value of each kind that one unit had.
    pub largest: LargestUnit,
    /// Statements of a unit: median.
    pub statements_p50: u64,
    /// Statements of a unit: 95 %.
    pub statements_p95: u64,
    /// Time of a unit in the database (to first rows and transfer): median.
    pub database_p50_us: u64,
    /// Time of a unit in the database: 95 %.
    pub database_p95_us: u64,
    /// Id of a unit near the median, in [`Snapshot::units`].
    pub typical_unit: Option<u64>,
    /// Id of the unit with the most time in the database.
    pub worst_unit: Option<u64>,
}

impl RouteRow {
    /// Adds the sums of units; quantiles and examples are not sums.
    pub fn add(&mut self, more: &Self) {
        self.units += more.units;
        self.statements += more.statements;
        self.first_row_us += more.first_row_us;
        self.transfer_us += more.transfer_us;
        self.think_in_transaction_us += more.think_in_transaction_us;
        self.round_trips += more.round_trips;
        self.similar += more.similar;
        self.duplicate += more.duplicate;
        self.rows += more.rows;
        self.sent_bytes += more.sent_bytes;
    }
}

/// One unit of work, kept as an example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitRow {
    /// Identity within this process; the trace's where it has one.
    pub id: u64,
    /// Whether a trace held it together.
    pub traced: bool,
    /// Service.
    pub service: Arc<str>,
    /// Route, `none` without a tag.
    pub route: Arc<str>,
    /// Begin of its first statement.
    pub begin_us: Micros,
    /// Begin of the first to end of the last statement.
    pub duration_us: u64,
    /// Time to first rows and transfer.
    pub database_us: u64,
    /// Statements.
    pub statements: u64,
    /// Round trips.
    pub round_trips: u64,
    /// Statements that repeat a digest.
    pub similar: u64,
    /// Reads that repeat digest and values.
    pub duplicate: u64,
    /// Its first statements, at most 200, by begin.
    pub waterfall: Vec<UnitStatement>,
    /// Whether statements are missing in the waterfall.
    pub cut: bool,
}

/// One statement of a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnitStatement {
    /// Begin after the unit's begin.
    pub offset_us: u64,
    /// Request read to forwarded.
    pub queue_us: u64,
    /// Forwarded to first row or completion.
    pub first_row_us: u64,
    /// First row to completion.
    pub transfer_us: u64,
    /// Client took nothing.
    pub client_stall_us: u64,
    /// What was executed.
    pub digest: u64,
    /// Rows.
    pub rows: u64,
}

/// Digests of a transaction's shape that are kept.
pub const TRANSACTION_DIGESTS_MAX: usize = 32;

/// Transactions of one shape: the same statements in the same order, repetitions in a row counted once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionRow {
    /// Hash of the sequence of digests; equal on all proxies and over restarts.
    pub shape: u64,
    /// Database.
    pub database: Arc<str>,
    /// Service.
    pub service: Arc<str>,
    /// The sequence, first 32.
    pub digests: Vec<u64>,
    /// Transactions.
    pub count: u64,
    /// Statements in them, without BEGIN, COMMIT and ROLLBACK.
    pub statements: u64,
    /// Sum of durations.
    pub total_us: u64,
    /// Time of their statements.
    pub busy_us: u64,
    /// Client think time inside.
    pub think_us: u64,
}

/// N+1 sums of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NPlusOneRow {
    /// Service.
    pub service: Arc<str>,
    /// Occurrences proved by data flow.
    pub bursts: u64,
    /// Statements in them that a batched form would not need.
    pub statements: u64,
    /// Time that they took.
    pub busy_us: u64,
}
