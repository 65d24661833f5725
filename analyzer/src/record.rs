//! What the forwarding side hands over: plain data, no references, no strings.
//!
//! A [`RecordBatch`] holds events in the order in which one worker saw them. Events of one session are
//! therefore in order; events of different sessions may belong to different workers and are not.
//! Everything of variable length (texts, labels, bind cells, result cells) lies in the batch's arenas, and
//! the events refer to it by [`Span`]. All times are microseconds on one monotonic clock that starts with
//! the process.

mod life;

pub use life::{Auth, End, Opaque, Setup, Tls};

/// Microseconds on the process's monotonic clock.
pub type Micros = u64;

/// Ordinal of a client session since start; never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// Hash of the raw bytes of a statement text ([`crate::value::text_key`]); equal on every worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextKey(pub u64);

/// A range of one arena of the batch, in elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Index of the first element.
    pub start: u32,
    /// Number of elements.
    pub len: u32,
}

impl Span {
    /// The elements, or nothing where the span does not lie inside the arena.
    pub fn of<T>(self, arena: &[T]) -> &[T] {
        let start = self.start as usize;
        arena.get(start..start.saturating_add(self.len as usize)).unwrap_or(&[])
    }
}

/// Events and the arenas they refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordBatch {
    /// The text generation ([`crate::TextEpoch`]) that the sender believed in when it left texts out.
    pub epoch: u32,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// Texts not sent before by this worker in this epoch.
    pub texts: Vec<NewText>,
    /// Arena of text and label bytes.
    pub bytes: Vec<u8>,
    /// Arena of bind cells.
    pub binds: Vec<BindCell>,
    /// Arena of key-like result columns.
    pub columns: Vec<ResultColumn>,
    /// Arena of column descriptions.
    pub fields: Vec<Field>,
    /// Arena of result cell hashes, salted, 32 bit ([`crate::value::Salt`]).
    pub cells: Vec<u32>,
    /// Arena of width samples.
    pub samples: Vec<WidthSample>,
    /// Arena of the bytes per column that width samples hold.
    pub widths: Vec<u64>,
    /// Arena of bind values as they came; empty unless a planner is to be asked with them.
    pub values: ValueArena,
}

/// Bind values as they came. Shown nowhere: also not by `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ValueArena(Vec<u8>);

impl std::fmt::Debug for ValueArena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes of values", self.0.len())
    }
}

impl ValueArena {
    /// Adds the values of one execution: their types (OIDs, little-endian), then the halves of the values themselves.
    pub fn add(&mut self, types: &[u32], halves: [&[u8]; 2]) -> Span {
        let start = self.0.len();
        types.iter().for_each(|oid| self.0.extend_from_slice(&oid.to_le_bytes()));
        halves.iter().for_each(|half| self.0.extend_from_slice(half));
        Span { start: start as u32, len: (self.0.len() - start) as u32 }
    }

    /// The bytes of one execution.
    pub fn of(&self, span: Span) -> &[u8] {
        span.of(&self.0)
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Room for so many bytes without an allocation.
    pub fn make_room(&mut self, bytes: usize) {
        self.0.reserve(bytes.saturating_sub(self.0.len()));
    }

    /// Forgets them, and keeps the room.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// The bind values of one execution, for a planner to be asked with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValuesRecord {
    /// Whose.
    pub session: SessionId,
    /// The text.
    pub text: TextKey,
    /// Time to the first row, microseconds.
    pub first_row_us: u64,
    /// As [`StatementRecord::binds_hash`].
    pub binds_hash: u64,
    /// Values, each with a type.
    pub count: u16,
    /// In the arena `values`: types as u32, then per value its format (1 = binary), its length as i32 (-1 = NULL) and
    /// its bytes; all little-endian.
    pub values: Span,
    /// Whether a planner is to be asked with them; else they are for events alone.
    pub planner: bool,
}

/// A statement text that the analyzer may not know yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewText {
    /// Its identity.
    pub key: TextKey,
    /// The bytes as sent, cut at `profile.max_statement_text`.
    pub bytes: Span,
    /// Whether bytes were cut off.
    pub cut: bool,
}

/// One bind value (or one element of an array bind), canonical and hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindCell {
    /// Parameter number, from 1.
    pub slot: u16,
    /// Type class in the two high bits, floor(log2(|int|)) in the six low bits.
    pub class: u8,
    /// Salted hash of the canonical value.
    pub hash: u32,
}

/// The cells of one key-like column of one result (or part of a result), in row order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResultColumn {
    /// Position in the result, from 0.
    pub field: u16,
    /// Attribute number in its table.
    pub attnum: i16,
    /// OID of its table.
    pub table_oid: u32,
    /// Hashes in the arena `cells`; a cell without a canonical value (NULL) is 0.
    pub cells: Span,
}

/// Where the bytes of a large result are: sums over its first rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WidthSample {
    /// Rows of the sample.
    pub rows: u32,
    /// Bytes of these rows, with what can't be attributed to a column.
    pub bytes: u64,
    /// Bytes by position of the column, in the arena `widths`.
    pub columns: Span,
}

/// One column of a result as RowDescription names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// OID of the table that the column comes from, 0 for an expression.
    pub table_oid: u32,
    /// Attribute number in that table, 0 for an expression.
    pub attnum: i16,
    /// OID of the column's type.
    pub type_oid: u32,
    /// Label in the arena `bytes`.
    pub label: Span,
}

/// Something that happened on a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Start-up is complete: the session may send statements.
    Opened(SessionOpened),
    /// `application_name` changed (ParameterStatus) from here on.
    Renamed {
        /// Whose.
        session: SessionId,
        /// New name in the arena `bytes`.
        application_name: Span,
    },
    /// A prepared-statement name or cursor name gave the driver away.
    DriverSeen {
        /// Whose.
        session: SessionId,
        /// Which.
        driver: Driver,
    },
    /// The columns of a text's result, sent when not sent before in this epoch.
    Described {
        /// The text that was described.
        text: TextKey,
        /// Its columns in the arena `fields`.
        fields: Span,
    },
    /// A Parse was answered by itself.
    Prepared {
        /// On which session.
        session: SessionId,
        /// The text.
        text: TextKey,
        /// Upper bound of what parsing took: the way to the server and back is in it.
        took_us: u64,
    },
    /// The bind values of an execution whose record follows. Not for statistics.
    Values(ValuesRecord),
    /// What the server said of the error of the execution whose record follows. For events alone.
    Message {
        /// On which session.
        session: SessionId,
        /// The message in the arena `bytes`.
        message: Span,
    },
    /// Parameters of a text whose declared types no integer column is compared with by its index.
    /// Sent once per text and epoch.
    WideParameters {
        /// The text.
        text: TextKey,
        /// Bit n-1: parameter n (of the first 32) was declared numeric, float4 or float8.
        parameters: u32,
    },
    /// One execution of one statement (or a part of one, see [`Timing::Part`]).
    Statement(StatementRecord),
    /// A transaction block ended (ReadyForQuery went from T or E to I), or the session ended inside one.
    Transaction(TransactionRecord),
    /// The session stands inside a transaction with nothing in flight: its client has had the latest answer since
    /// `since_us` and sent nothing up to `at_us`. Repeated while it lasts.
    Waiting {
        /// Whose.
        session: SessionId,
        /// Since when.
        since_us: Micros,
        /// Up to when.
        at_us: Micros,
    },
    /// A request of the session is in flight since `since_us` and was not answered up to `at_us`. Repeated while it
    /// lasts.
    Busy {
        /// Whose.
        session: SessionId,
        /// Since when.
        since_us: Micros,
        /// Up to when.
        at_us: Micros,
    },
    /// Bytes and prepares since the session's last such event.
    Traffic(TrafficRecord),
    /// The session ended.
    Closed {
        /// Whose.
        session: SessionId,
        /// When.
        at_us: Micros,
        /// Why it was forwarded unseen at its end, if it was.
        opaque: Option<Opaque>,
        /// Who ended it, and how.
        end: End,
    },
}

/// Labels of a session. Spans lie in the arena `bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionOpened {
    /// Whose.
    pub session: SessionId,
    /// First ReadyForQuery.
    pub at_us: Micros,
    /// Start-up parameter `database`, else `user`.
    pub database: Span,
    /// Start-up parameter `user`.
    pub user: Span,
    /// Start-up parameter `application_name`.
    pub application_name: Span,
    /// Address of the client without its port; `local` for a Unix socket.
    pub client: Span,
    /// Start-up packet read to first ReadyForQuery.
    pub setup_us: u64,
    /// The setting `pgsonde.mark` of the start-up, empty without one.
    pub mark: Span,
    /// Process of the server that serves it; 0 if it was not told.
    pub server_pid: u32,
    /// Parameter `server_version`.
    pub server_version: Span,
    /// What start-up came to.
    pub setup: Setup,
    /// What the server asked the client for.
    pub auth: Auth,
}

/// Which driver a name spelling belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Driver {
    /// Not known.
    #[default]
    Unknown,
    /// `_pg3_N`.
    Psycopg3,
    /// `__asyncpg_stmt_N__`.
    Asyncpg,
    /// `S_N` (also `C_N` portals).
    PgJdbc,
    /// `aN` (the pg gem under ActiveRecord).
    ActiveRecord,
    /// `stmtcache_N`, `lrupsc_N_M`.
    Pgx,
    /// `_auto_N`, `_pN` (Npgsql).
    Npgsql,
    /// `sN` of tokio-postgres and Prisma.
    TokioPostgres,
}

/// How a statement ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// CommandComplete, EmptyQueryResponse or a portal read to its limit.
    #[default]
    Ok,
    /// ErrorResponse.
    Error,
    /// ErrorResponse 57014.
    Cancelled,
    /// The connection ended first.
    Aborted,
}

/// What the times of a record mean (`Exact` and `Bound` enter histograms).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Timing {
    /// The statement's own time.
    #[default]
    Exact,
    /// Upper bound: the client released the reply late.
    Bound,
    /// Member of a batch, not the last: all phases are 0.
    Batch,
    /// Last member of a batch: the phases are those of the whole batch.
    BatchLast,
    /// Empty query: counted, not in latency.
    Empty,
    /// Part of a suspended portal: carries result cells, is not counted; the counted record follows.
    Part,
}

/// Which sub-protocol carried the statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `Query`.
    #[default]
    Simple,
    /// `Execute`.
    Extended,
    /// `FunctionCall`.
    FunctionCall,
}

/// One execution of one statement.
///
/// duration = `queue_us + first_row_us + transfer_us + client_stall_us`, exactly; it begins at `begin_us`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatementRecord {
    /// Whose.
    pub session: SessionId,
    /// The text; 0 where the name was never parsed on this session (SQL `PREPARE`, limits).
    pub text: TextKey,
    /// Request complete, or the previous answer complete if that was later.
    pub begin_us: Micros,
    /// Request read to request forwarded.
    pub queue_us: u64,
    /// Forwarded to first row, or to completion.
    pub first_row_us: u64,
    /// First row to completion.
    pub transfer_us: u64,
    /// Time in which the server was not read because the client took nothing.
    pub client_stall_us: u64,
    /// Previous ReadyForQuery delivered to first byte of this request; only on the first of a round trip.
    pub think_us: u64,
    /// Behind own earlier pipelined statements; not in the duration.
    pub wait_us: u64,
    /// Rows of the completion tag (returned or affected).
    pub rows: u64,
    /// Bytes of the answer.
    pub sent_bytes: u64,
    /// Bytes of the request.
    pub received_bytes: u64,
    /// Salted hash of all bind values with their lengths; 0 without binds.
    pub binds_hash: u64,
    /// Ordinal of the round trip (Sync or simple Query) on the session.
    pub round_trip: u32,
    /// Ordinal of the transaction block on the session; 0 in autocommit.
    pub transaction: u32,
    /// Cells of the binds.
    pub binds: Span,
    /// Key-like columns of the result.
    pub columns: Span,
    /// Its place in the arena `samples`, from 1; 0 where the result was too small to be looked at.
    pub sample: u32,
    /// Elements of the largest array bind; 0 where there is none, or where it can't be told.
    pub array_elements: u32,
    /// Parameter values.
    pub bind_count: u16,
    /// Statements in the batch; only with [`Timing::BatchLast`].
    pub batch_statements: u32,
    /// Position of the statement in its text, from 0 (multi-statement Query).
    pub member: u16,
    /// SQLSTATE of the error, zeros without one.
    pub sqlstate: [u8; 5],
    /// How it ended.
    pub outcome: Outcome,
    /// What the times mean.
    pub timing: Timing,
    /// Sub-protocol.
    pub protocol: Protocol,
    /// First word of the completion tag.
    pub tag: Tag,
    /// Rows or cells beyond the limits were not hashed.
    pub truncated: bool,
    /// The session was inside a transaction block before the request: `think_us` is think_in_transaction.
    pub in_transaction: bool,
    /// The client asked for a limited number of rows at a time (Execute with a row limit).
    pub row_limited: bool,
    /// The text was parsed for this execution: extended protocol, no earlier execution of that Parse.
    pub parsed: bool,
    /// The statement has a name on its session: extended protocol.
    pub named: bool,
}

impl StatementRecord {
    /// Where the bytes of its result are, and the bytes by column.
    pub fn width_sample<'a>(&self, batch: &'a RecordBatch) -> Option<(WidthSample, &'a [u64])> {
        let sample = *batch.samples.get((self.sample as usize).checked_sub(1)?)?;
        Some((sample, sample.columns.of(&batch.widths)))
    }

    /// Sum of the phases.
    pub fn duration_us(&self) -> u64 {
        self.queue_us + self.first_row_us + self.transfer_us + self.client_stall_us
    }

    /// When the answer was complete.
    pub fn end_us(&self) -> Micros {
        self.begin_us + self.duration_us()
    }
}

/// First word of a completion tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tag {
    /// None seen (error, abort, empty query).
    #[default]
    None,
    /// `SELECT n`
    Select,
    /// `INSERT oid n`
    Insert,
    /// `UPDATE n`
    Update,
    /// `DELETE n`
    Delete,
    /// `MERGE n`
    Merge,
    /// `FETCH n`, `MOVE n`
    Fetch,
    /// `COPY n`
    Copy,
    /// `BEGIN`, `START TRANSACTION`
    Begin,
    /// `COMMIT`
    Commit,
    /// `ROLLBACK`
    Rollback,
    /// Anything else.
    Other,
}

/// One transaction block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionRecord {
    /// Whose.
    pub session: SessionId,
    /// Its ordinal on the session, as in [`StatementRecord::transaction`].
    pub transaction: u32,
    /// Begin of the statement that opened it.
    pub begin_us: Micros,
    /// ReadyForQuery that ended it.
    pub end_us: Micros,
    /// Client think time inside.
    pub think_us: u64,
    /// Commit, rollback, error.
    pub outcome: TransactionOutcome,
}

/// How a transaction block ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TransactionOutcome {
    /// COMMIT succeeded.
    #[default]
    Commit,
    /// ROLLBACK of a healthy transaction.
    Rollback,
    /// It failed (state E), or COMMIT did.
    Error,
    /// The session ended inside.
    Abandoned,
}

/// Bytes per leg since the last report, and prepares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficRecord {
    /// Whose.
    pub session: SessionId,
    /// Read from the client.
    pub client_received: u64,
    /// Written to the client.
    pub client_sent: u64,
    /// Read from the server.
    pub server_received: u64,
    /// Written to the server.
    pub server_sent: u64,
    /// Named Parses.
    pub prepares_named: u32,
    /// Unnamed Parses.
    pub prepares_unnamed: u32,
    /// Parses of a text that this session had parsed before.
    pub prepares_again: u32,
    /// Frames skipped by the server after an error (not executed, no record).
    pub skipped: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_stays_small() {
        // 152 and the four facts that detectors of results and texts can't do without.
        assert!(size_of::<StatementRecord>() <= 160, "{} bytes", size_of::<StatementRecord>());
        assert!(size_of::<Event>() <= 160, "{} bytes", size_of::<Event>());
    }
}
