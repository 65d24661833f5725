//! What is open now, and the recent past.

use crate::record::{Driver, Micros};
use std::sync::Arc;

/// Most sessions in a snapshot: those inside transactions and at work first, then the latest used.
pub const SESSIONS_SHOWN_MAX: usize = 500;

/// Most digests in one step of the history, costliest first.
pub const STEP_DIGESTS_MAX: usize = 200;

/// What a session does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SessionState {
    /// A request is in flight, for half a second at least.
    Active,
    /// Inside a transaction with nothing in flight.
    IdleInTransaction,
    /// Outside a transaction with nothing in flight, as far as was heard.
    #[default]
    Idle,
}

/// One open session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionRow {
    /// Ordinal since the start.
    pub id: u64,
    /// What it does.
    pub state: SessionState,
    /// Since when.
    pub state_since_us: Micros,
    /// End of its start-up.
    pub opened_us: Micros,
    /// Database.
    pub database: Arc<str>,
    /// Service after its application name.
    pub service: Arc<str>,
    /// Database user.
    pub user: Arc<str>,
    /// Raw `application_name`.
    pub application_name: Arc<str>,
    /// Address of the client, without its port.
    pub client: Arc<str>,
    /// Driver, if a name gave it away.
    pub driver: Driver,
    /// Statements so far.
    pub statements: u64,
    /// Digest and summary of the latest statement that is complete.
    pub last: Option<(u64, Arc<str>)>,
    /// Its route tag.
    pub route: Option<Arc<str>>,
}

/// Sums of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// Executions.
    pub calls: u64,
    /// Failed ones.
    pub errors: u64,
    /// Rows.
    pub rows: u64,
    /// Statement time in microseconds.
    pub total_us: u64,
    /// Bytes from clients.
    pub received_bytes: u64,
    /// Bytes to clients.
    pub sent_bytes: u64,
    /// 95 % of the exactly timed executions took at most about this long; interpolated within a bucket of
    /// [`super::ROW_BUCKETS_US`]. `None` without any.
    pub p95_us: Option<u64>,
}

/// One digest in one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DigestPoint {
    /// Digest.
    pub digest: u64,
    /// Database.
    pub database: Arc<str>,
    /// Its sums.
    pub point: Point,
}

/// One step of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryStep {
    /// Its begin.
    pub begin_us: Micros,
    /// Its end.
    pub end_us: Micros,
    /// Everything.
    pub all: Point,
    /// The costliest digests, at most [`STEP_DIGESTS_MAX`], by digest and database.
    pub digests: Vec<DigestPoint>,
    /// Whether other digests ran as well.
    pub cut: bool,
}

impl HistoryStep {
    /// What a digest did in the step; `None` where that is not known because only the costliest were kept.
    pub fn point(&self, digest: u64, database: &str) -> Option<Point> {
        let key = |row: &DigestPoint| (row.digest, row.database.clone());
        let found = self.digests.binary_search_by(|row| key(row).cmp(&(digest, database.into())));
        match found {
            Ok(at) => Some(self.digests[at].point),
            Err(_) => (!self.cut).then(Point::default),
        }
    }
}

/// How executions of a digest came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hygiene {
    /// Executions for which the text was parsed.
    pub parsed: u64,
    /// Executions over the simple protocol.
    pub simple: u64,
    /// Executions whose text held literals.
    pub literal: u64,
}

impl Hygiene {
    /// Adds sums.
    pub fn add(&mut self, more: &Self) {
        self.parsed += more.parsed;
        self.simple += more.simple;
        self.literal += more.literal;
    }
}

/// One column of large results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnBytes {
    /// `table.column` or the label; "column 3" where neither is known.
    pub name: Arc<str>,
    /// Bytes in the samples.
    pub bytes: u64,
}
