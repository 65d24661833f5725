//! Shapes of transactions: which statements they are made of, however often each is repeated in a row.

use crate::Map;
use crate::digest::Statement;
use crate::events::TransactionSums;
use crate::labels::{DatabaseId, Labels, ServiceId};
use crate::record::{StatementRecord, Tag, TransactionRecord};
use crate::snapshot::{TRANSACTION_DIGESTS_MAX, TransactionRow};
use crate::text::{Class, StableHash};

/// How a statement begins that sets a savepoint.
const SAVEPOINT: &[u8] = b"savepoint ";
/// What shapes are hashed for.
const DOMAIN: u64 = 0x7368_6170_6500;

/// The transaction that a session is in.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShapeSoFar {
    transaction: u32,
    hash: Option<StableHash>,
    latest: u64,
    digests: Vec<u64>,
    statements: u64,
    busy_us: u64,
    round_trip: u32,
    sums: TransactionSums,
}

/// What a transaction came to.
#[derive(Clone, Debug)]
pub(crate) struct ShapeFacts {
    pub(crate) hash: u64,
    pub(crate) digests: Vec<u64>,
    pub(crate) statements: u64,
    pub(crate) busy_us: u64,
    pub(crate) sums: TransactionSums,
}

impl ShapeSoFar {
    /// Takes in one statement. BEGIN, COMMIT and ROLLBACK are no part of a shape, nor is a repetition of the statement
    /// before: a loop has the same shape for any number of rounds.
    pub(crate) fn add(&mut self, record: &StatementRecord, statement: &Statement) {
        if record.transaction == 0 {
            return;
        }
        if record.transaction != self.transaction {
            self.clear();
            self.transaction = record.transaction;
        }
        self.sum(record, statement);
        if matches!(record.tag, Tag::Begin | Tag::Commit | Tag::Rollback) {
            return;
        }
        self.statements += 1;
        self.busy_us += record.duration_us();
        if self.latest == statement.digest {
            return;
        }
        self.latest = statement.digest;
        self.hash.get_or_insert_with(|| StableHash::new(DOMAIN)).word(statement.digest);
        if self.digests.len() < TRANSACTION_DIGESTS_MAX {
            self.digests.push(statement.digest);
        }
    }

    /// What is known of a transaction that ends now.
    pub(crate) fn so_far(&mut self, transaction: u32) -> ShapeFacts {
        if self.transaction != transaction {
            self.clear();
        }
        ShapeFacts {
            hash: self.hash.unwrap_or_else(|| StableHash::new(DOMAIN)).finish(),
            digests: self.digests.clone(),
            statements: self.statements,
            busy_us: self.busy_us,
            sums: self.sums,
        }
    }

    fn sum(&mut self, record: &StatementRecord, statement: &Statement) {
        let sums = &mut self.sums;
        sums.round_trips +=
            u64::from(sums.round_trips == 0 || record.round_trip != self.round_trip);
        self.round_trip = record.round_trip;
        sums.rows += record.rows;
        sums.received_bytes += record.received_bytes;
        sums.sent_bytes += record.sent_bytes;
        sums.writes |= statement.class == Class::Write;
        let first = statement.words.as_bytes().get(..SAVEPOINT.len());
        sums.savepoints +=
            u64::from(first.is_some_and(|word| word.eq_ignore_ascii_case(SAVEPOINT)));
        if sums.sqlstate == [0; 5] {
            sums.sqlstate = record.sqlstate;
        }
    }

    fn clear(&mut self) {
        let mut digests = std::mem::take(&mut self.digests);
        digests.clear();
        *self = Self { digests, ..Self::default() };
    }
}

/// Sums per (database, service, shape).
#[derive(Debug)]
pub(super) struct Shapes {
    rows: Map<(DatabaseId, ServiceId, u64), TransactionRow>,
    other: TransactionRow,
    max: usize,
}

impl Shapes {
    pub(super) fn new(max: usize) -> Self {
        Self { rows: Map::default(), other: TransactionRow::default(), max }
    }

    /// Adds a transaction that ended.
    pub(super) fn add(
        &mut self,
        (database, service): (DatabaseId, ServiceId),
        record: &TransactionRecord,
        so_far: &mut ShapeSoFar,
        labels: &Labels,
    ) {
        if so_far.transaction != record.transaction {
            so_far.clear();
        }
        let hash = so_far.hash.unwrap_or_else(|| StableHash::new(DOMAIN));
        let shape = hash.finish();
        let full =
            self.rows.len() >= self.max && !self.rows.contains_key(&(database, service, shape));
        let row = if full {
            &mut self.other
        } else {
            self.rows.entry((database, service, shape)).or_insert_with(|| TransactionRow {
                shape,
                database: labels.database_name(database),
                service: labels.service_name(service),
                digests: so_far.digests.clone(),
                ..TransactionRow::default()
            })
        };
        row.count += 1;
        row.statements += so_far.statements;
        row.total_us += record.end_us.saturating_sub(record.begin_us);
        row.busy_us += so_far.busy_us;
        row.think_us += record.think_us;
        so_far.clear();
    }

    /// All shapes, the longest sum first, and what found no place.
    pub(super) fn rows(&self) -> (Vec<TransactionRow>, TransactionRow) {
        let mut rows: Vec<TransactionRow> = self.rows.values().cloned().collect();
        rows.sort_by(|a, b| {
            let key = |row: &TransactionRow| (std::cmp::Reverse(row.total_us), row.shape);
            key(a)
                .cmp(&key(b))
                .then_with(|| (&a.database, &a.service).cmp(&(&b.database, &b.service)))
        });
        (rows, self.other.clone())
    }
}
