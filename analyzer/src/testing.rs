//! A stream of records as tests write it: SQL, binds, results, times.

use crate::Analyzer;
use crate::finding::Finding;
use crate::limits::Limits;
use crate::record::*;
use crate::snapshot::Snapshot;
use crate::value::{Salt, text_key};
use std::collections::{BTreeMap, BTreeSet};

/// One column of a result: table OID, attribute number, integers.
pub(crate) type Cells<'a> = (u32, i16, &'a [i64]);

/// One execution; everything has a default.
#[derive(Clone, Copy)]
pub(crate) struct Exec<'a> {
    pub(crate) session: u64,
    pub(crate) transaction: u32,
    pub(crate) sql: &'a str,
    pub(crate) binds: &'a [i64],
    pub(crate) columns: &'a [Cells<'a>],
    /// Rows; by default the length of the first column.
    pub(crate) rows: Option<u64>,
    pub(crate) us: u64,
    pub(crate) think_us: u64,
    pub(crate) timing: Timing,
    pub(crate) outcome: Outcome,
    pub(crate) tag: Tag,
    pub(crate) same_round_trip: bool,
    pub(crate) truncated: bool,
    pub(crate) batch_statements: u32,
    pub(crate) bytes: u64,
    /// Bytes by column of a sample of all rows.
    pub(crate) widths: &'a [u64],
    pub(crate) protocol: Protocol,
    /// Parameters; by default the length of `binds`.
    pub(crate) bind_count: Option<u16>,
    pub(crate) row_limited: bool,
    pub(crate) parsed: bool,
    /// Of `us`, first to last row; by default a tenth.
    pub(crate) transfer_us: Option<u64>,
}

impl Default for Exec<'_> {
    fn default() -> Self {
        Self {
            session: 1,
            transaction: 1,
            sql: "",
            binds: &[],
            columns: &[],
            rows: None,
            us: 1_000,
            think_us: 0,
            timing: Timing::Exact,
            outcome: Outcome::Ok,
            tag: Tag::Select,
            same_round_trip: false,
            truncated: false,
            batch_statements: 0,
            bytes: 100,
            widths: &[],
            protocol: Protocol::Simple,
            bind_count: None,
            row_limited: false,
            parsed: false,
            transfer_us: None,
        }
    }
}

/// An analyzer and the stream that feeds it, one event per batch.
pub(crate) struct Stream {
    pub(crate) analyzer: Analyzer,
    pub(crate) now: Micros,
    salt: Salt,
    sent: BTreeSet<u64>,
    round_trips: BTreeMap<u64, u32>,
    /// Keeps everything in one batch until [`Self::flush`].
    pub(crate) batched: bool,
    batch: RecordBatch,
}

impl Stream {
    /// Sessions 1 to 3 are open on database `shop` as service `web`.
    pub(crate) fn new(limits: Limits) -> Self {
        let salt = Salt::new(1, 2);
        let mut stream = Self {
            analyzer: Analyzer::new(limits, salt.clone()),
            now: 1_000_000,
            salt,
            sent: BTreeSet::new(),
            round_trips: BTreeMap::new(),
            batched: false,
            batch: RecordBatch::default(),
        };
        (1..=3).for_each(|session| stream.open(session, "shop", "web"));
        stream
    }

    pub(crate) fn bytes(&mut self, text: &str) -> Span {
        let start = self.batch.bytes.len() as u32;
        self.batch.bytes.extend_from_slice(text.as_bytes());
        Span { start, len: text.len() as u32 }
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.batch.events.push(event);
        if !self.batched {
            self.flush();
        }
    }

    pub(crate) fn flush(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.analyzer.ingest(&batch);
    }

    pub(crate) fn open(&mut self, session: u64, database: &str, application_name: &str) {
        let opened = SessionOpened {
            session: SessionId(session),
            at_us: self.now,
            database: self.bytes(database),
            user: self.bytes("app"),
            application_name: self.bytes(application_name),
            client: self.bytes("10.0.0.1"),
            setup_us: 5_000,
            ..SessionOpened::default()
        };
        self.event(Event::Opened(opened));
    }

    pub(crate) fn close(&mut self, session: u64) {
        self.event(Event::Closed {
            session: SessionId(session),
            at_us: self.now,
            opaque: None,
            end: End::default(),
        });
    }

    fn text(&mut self, sql: &str) -> TextKey {
        let key = text_key(sql.as_bytes());
        if self.sent.insert(key.0) {
            let bytes = self.bytes(sql);
            self.batch.texts.push(NewText { key, bytes, cut: false });
        }
        key
    }

    /// The columns of a text's result: table OID, attribute number, label.
    pub(crate) fn describe(&mut self, sql: &str, fields: &[(u32, i16, &str)]) {
        let text = self.text(sql);
        let start = self.batch.fields.len() as u32;
        for (table_oid, attnum, label) in fields {
            let label = self.bytes(label);
            let field = Field { table_oid: *table_oid, attnum: *attnum, type_oid: 23, label };
            self.batch.fields.push(field);
        }
        self.event(Event::Described { text, fields: Span { start, len: fields.len() as u32 } });
    }

    fn hash(&self, value: i64) -> u32 {
        self.salt.cell(20, true, &value.to_be_bytes())
    }

    fn arenas(&mut self, exec: &Exec<'_>) -> (Span, Span) {
        let binds = Span { start: self.batch.binds.len() as u32, len: exec.binds.len() as u32 };
        for (index, value) in exec.binds.iter().enumerate() {
            let class = (1 << 6) | value.unsigned_abs().max(1).ilog2() as u8;
            let cell = BindCell { slot: index as u16 + 1, class, hash: self.hash(*value) };
            self.batch.binds.push(cell);
        }
        let columns =
            Span { start: self.batch.columns.len() as u32, len: exec.columns.len() as u32 };
        for (field, (table_oid, attnum, values)) in exec.columns.iter().enumerate() {
            let cells = Span { start: self.batch.cells.len() as u32, len: values.len() as u32 };
            let hashes: Vec<u32> = values.iter().map(|value| self.hash(*value)).collect();
            self.batch.cells.extend(hashes);
            self.batch.columns.push(ResultColumn {
                field: field as u16,
                attnum: *attnum,
                table_oid: *table_oid,
                cells,
            });
        }
        (binds, columns)
    }

    /// A Parse of the text was answered by itself.
    pub(crate) fn prepared(&mut self, session: u64, sql: &str, took_us: u64) {
        let text = self.text(sql);
        self.event(Event::Prepared { session: SessionId(session), text, took_us });
    }

    /// Parameters of the text were declared numeric or float.
    pub(crate) fn wide_parameters(&mut self, sql: &str, parameters: u32) {
        let text = self.text(sql);
        self.event(Event::WideParameters { text, parameters });
    }

    fn sample(&mut self, widths: &[u64], rows: u64) -> u32 {
        if widths.is_empty() {
            return 0;
        }
        let columns = Span { start: self.batch.widths.len() as u32, len: widths.len() as u32 };
        self.batch.widths.extend(widths);
        let bytes = widths.iter().sum();
        self.batch.samples.push(WidthSample { rows: rows as u32, bytes, columns });
        self.batch.samples.len() as u32
    }

    /// One execution; time goes on by its duration and 100 microseconds.
    pub(crate) fn exec(&mut self, exec: Exec<'_>) {
        let text = self.text(exec.sql);
        let (binds, columns) = self.arenas(&exec);
        let fold = |hash, value: &i64| self.salt.fold(hash, Some(&value.to_be_bytes()));
        let binds_hash = exec.binds.iter().fold(0, fold);
        let round_trip = self.round_trips.entry(exec.session).or_insert(0);
        *round_trip += u32::from(!exec.same_round_trip);
        let round_trip = *round_trip;
        self.now += 100 + exec.think_us;
        let first_row_us = exec.us - exec.transfer_us.unwrap_or(exec.us / 10);
        let sample = self.sample(exec.widths, exec.rows.unwrap_or(1));
        let record = StatementRecord {
            session: SessionId(exec.session),
            text,
            begin_us: self.now,
            first_row_us,
            transfer_us: exec.us - first_row_us,
            think_us: exec.think_us,
            rows: exec
                .rows
                .unwrap_or(exec.columns.first().map_or(0, |column| column.2.len() as u64)),
            sent_bytes: exec.bytes,
            received_bytes: 50,
            binds_hash,
            round_trip,
            transaction: exec.transaction,
            binds,
            columns,
            sample,
            protocol: exec.protocol,
            bind_count: exec.bind_count.unwrap_or(exec.binds.len() as u16),
            row_limited: exec.row_limited,
            parsed: exec.parsed,
            batch_statements: exec.batch_statements,
            outcome: exec.outcome,
            sqlstate: if exec.outcome == Outcome::Error { *b"23505" } else { [0; 5] },
            timing: exec.timing,
            tag: exec.tag,
            truncated: exec.truncated,
            in_transaction: exec.transaction != 0 && exec.tag != Tag::Begin,
            ..StatementRecord::default()
        };
        self.now = record.end_us();
        self.event(Event::Statement(record));
    }

    pub(crate) fn begin(&mut self, session: u64, transaction: u32) {
        self.exec(Exec {
            session,
            transaction,
            sql: "BEGIN",
            tag: Tag::Begin,
            us: 200,
            ..Exec::default()
        });
    }

    pub(crate) fn commit(&mut self, session: u64, transaction: u32) {
        self.exec(Exec {
            session,
            transaction,
            sql: "COMMIT",
            tag: Tag::Commit,
            us: 200,
            ..Exec::default()
        });
        let end_us = self.now;
        self.event(Event::Transaction(TransactionRecord {
            session: SessionId(session),
            transaction,
            begin_us: end_us.saturating_sub(10_000),
            end_us,
            ..TransactionRecord::default()
        }));
    }

    /// Lets time pass, with a tick.
    pub(crate) fn pass(&mut self, us: u64) {
        self.flush();
        self.now += us;
        self.analyzer.tick(self.now);
    }

    pub(crate) fn snapshot(&mut self) -> Snapshot {
        self.flush();
        self.analyzer.snapshot(self.now)
    }

    pub(crate) fn findings(&mut self) -> Vec<Finding> {
        self.snapshot().findings
    }
}

/// `count` integers from `first`.
pub(crate) fn values(first: i64, count: usize) -> Vec<i64> {
    (first..).take(count).collect()
}
