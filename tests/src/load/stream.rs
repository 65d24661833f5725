//! Requests onto connections, statements into the batches of workers, batches into the analyzer.

use super::chance::{Chance, mixed};
use super::scores::Watch;
use super::script::{Script, Step};
use super::{Config, Mode, Observed, Protocol, Truth, handlers};
use pgsonde_analyzer::Analyzer;
use pgsonde_analyzer::limits::Limits;
use pgsonde_analyzer::record::*;
use pgsonde_analyzer::snapshot::Snapshot;
use pgsonde_analyzer::value::{Salt, text_key};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};

/// Workers that batch on their own.
const WORKERS: usize = 4;
/// A batch leaves with so many events …
const BATCH_EVENTS: usize = 64;
/// … or when it is so old, in microseconds.
const BATCH_AGE_US: u64 = 100_000;
/// Time between two snapshots, in microseconds.
const TICK_US: u64 = 500_000;
/// Connections that one request may use.
const LANES: usize = 4;

/// What happened, before it is a record.
#[derive(Debug)]
enum Happening {
    Opened,
    Statement(Box<Step>, Placed),
    Transaction(TransactionRecord),
}

/// Where and when a statement ran.
#[derive(Clone, Copy, Debug)]
struct Placed {
    begin_us: u64,
    transaction: u32,
    round_trip: u32,
    /// 0 = none.
    trace: u64,
}

/// By end, then in the order of making.
type Pending = Reverse<(u64, u64, usize)>;

#[derive(Debug, Default)]
struct Connection {
    free_us: u64,
    transactions: u32,
    round_trips: u32,
}

#[derive(Default)]
struct Worker {
    batch: RecordBatch,
    since_us: u64,
    sent: HashSet<TextKey>,
}

/// A stream under way.
pub struct Load {
    config: Config,
    chance: Chance,
    salt: Salt,
    connections: Vec<Connection>,
    pending: BinaryHeap<Pending>,
    happenings: BTreeMap<u64, (u64, Happening)>,
    made: u64,
    statements: u64,
    workers: Vec<Worker>,
    truths: Vec<Truth>,
    traces: u64,
}

/// What a stream led to.
pub struct Outcome {
    /// The last snapshot.
    pub snapshot: Snapshot,
    /// Planted loops.
    pub truths: Vec<Truth>,
    /// Occurrences that findings showed, snapshot by snapshot.
    pub observed: Vec<Observed>,
    /// Statements sent.
    pub statements: u64,
    /// Most bytes of held results at any tick.
    pub held_bytes_max: usize,
}

impl Load {
    /// A stream that has not begun.
    pub fn new(config: Config) -> Self {
        let mut connections = Vec::new();
        connections.resize_with(config.connections, Connection::default);
        let mut workers = Vec::new();
        workers.resize_with(WORKERS, Worker::default);
        Self {
            chance: Chance::new(config.seed),
            salt: Salt::new(config.seed, 2),
            connections,
            pending: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            made: 0,
            statements: 0,
            workers,
            truths: Vec::new(),
            traces: 0,
            config,
        }
    }

    /// Runs the stream through an analyzer.
    pub fn run(config: Config, limits: Limits) -> Outcome {
        let mut load = Self::new(config);
        let mut analyzer = Analyzer::new(limits, load.salt.clone());
        let mut watch = Watch::default();
        let mut held_bytes_max = 0;
        load.each(|now, batch| match batch {
            Some(batch) => {
                analyzer.ingest(batch);
                Some(analyzer.text_epoch())
            }
            None => {
                analyzer.tick(now);
                held_bytes_max = held_bytes_max.max(analyzer.held_bytes());
                if config.dirty_us.is_some() {
                    watch.look(&analyzer.snapshot(now));
                }
                None
            }
        });
        let snapshot = analyzer.snapshot(u64::MAX / 4);
        let (truths, statements) = (std::mem::take(&mut load.truths), load.statements);
        Outcome { snapshot, truths, observed: watch.observed, statements, held_bytes_max }
    }

    /// All batches of the stream, to be run again and again.
    pub fn batches(config: Config) -> (Salt, Vec<RecordBatch>) {
        let mut load = Self::new(config);
        let mut batches = Vec::new();
        load.each(|_, batch| {
            batches.extend(batch.cloned());
            None
        });
        (load.salt, batches)
    }

    /// Hands out each batch with the time of its end, and `None` on each tick; `send` returns the text epoch.
    pub fn each(&mut self, mut send: impl FnMut(u64, Option<&RecordBatch>) -> Option<u32>) {
        let mut now = 1_000_000;
        for connection in 0..self.connections.len() {
            self.happens(now, connection, Happening::Opened);
        }
        let (mut next_dirty, mut next_tick) = (now, now + TICK_US);
        while self.statements < self.config.statements {
            now += self.chance.wait(self.config.arrival_us);
            let dirty = self.config.dirty_us.is_some() && now >= next_dirty;
            if dirty {
                next_dirty = now + self.chance.wait(self.config.dirty_us.unwrap_or(0));
            }
            self.request(now, dirty);
            while next_tick <= now {
                self.deliver(next_tick, &mut send);
                send(next_tick, None);
                next_tick += TICK_US;
            }
            self.deliver(now, &mut send);
        }
        // Whatever was begun comes to its end, and to its judgement.
        for _ in 0..60 {
            self.deliver(next_tick, &mut send);
            send(next_tick, None);
            next_tick += TICK_US;
        }
    }

    fn happens(&mut self, end_us: u64, connection: usize, what: Happening) {
        self.made += 1;
        self.happenings.insert(self.made, (end_us, what));
        self.pending.push(Reverse((end_us, self.made, connection)));
    }

    /// A request takes connections that are free, the last used first, and runs its script.
    fn request(&mut self, now: u64, dirty: bool) {
        let script = if dirty {
            handlers::dirty(&mut self.chance, self.config.fan_out)
        } else {
            handlers::clean(&mut self.chance)
        };
        let lanes = script.groups.iter().flatten().map(|step| step.lane + 1).max().unwrap_or(1);
        let taken = self.take_connections(now, lanes);
        let mut clocks = [now; LANES];
        for (lane, connection) in taken.iter().enumerate() {
            clocks[lane] = clocks[lane].max(self.connections[*connection].free_us + 20);
        }
        clocks[0] = clocks[..lanes].iter().copied().max().unwrap_or(now);
        self.traces += 1;
        let Script { groups, truths, .. } = script;
        for group in groups {
            self.group(group, &taken, &mut clocks);
        }
        for (lane, connection) in taken.iter().enumerate() {
            self.connections[*connection].free_us = clocks[lane];
        }
        self.truths.extend(truths);
    }

    fn take_connections(&self, now: u64, lanes: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.connections.len()).collect();
        let key = |at: &usize| {
            let free_us = self.connections[*at].free_us;
            let busy = free_us > now;
            // Of the free ones the last used, else the first that becomes free.
            (busy, if busy { free_us } else { u64::MAX - free_us }, *at)
        };
        order.sort_unstable_by_key(key);
        order.truncate(lanes);
        order
    }

    fn group(&mut self, steps: Vec<Step>, taken: &[usize], clocks: &mut [u64; LANES]) {
        if steps.is_empty() {
            return;
        }
        let wraps = self.config.mode == Mode::Transactions;
        let begin_us = clocks[0];
        if wraps {
            self.connections[taken[0]].transactions += 1;
            self.control("BEGIN", Tag::Begin, taken[0], &mut clocks[0]);
        }
        for step in steps {
            let lane = step.lane.min(taken.len() - 1);
            clocks[lane] = clocks[lane].max(clocks[0]);
            self.place(step, taken[lane], &mut clocks[lane], wraps && lane == 0);
        }
        let joined = clocks[..taken.len()].iter().copied().max().unwrap_or(0);
        clocks[0] = clocks[0].max(joined);
        if wraps {
            self.control("COMMIT", Tag::Commit, taken[0], &mut clocks[0]);
            let record = TransactionRecord {
                session: session_of(taken[0]),
                transaction: self.connections[taken[0]].transactions,
                begin_us,
                end_us: clocks[0],
                ..TransactionRecord::default()
            };
            self.happens(clocks[0], taken[0], Happening::Transaction(record));
        }
    }

    fn control(&mut self, sql: &str, tag: Tag, connection: usize, clock: &mut u64) {
        static CONTROL: super::shop::Query =
            super::shop::Query { sql: "", columns: &[], tag: Tag::Begin, us: 100 };
        static COMMIT: super::shop::Query =
            super::shop::Query { sql: "", columns: &[], tag: Tag::Commit, us: 100 };
        let step = Step {
            query: if tag == Tag::Begin { &CONTROL } else { &COMMIT },
            sql: sql.to_owned(),
            binds: Vec::new(),
            cells: Vec::new(),
            rows: 0,
            us: 150,
            think_us: 30,
            lane: 0,
        };
        self.place(step, connection, clock, true);
    }

    fn place(&mut self, step: Step, connection: usize, clock: &mut u64, inside: bool) {
        let begin_us = *clock + step.think_us;
        *clock = begin_us + step.us;
        let state = &mut self.connections[connection];
        state.round_trips += 1;
        let placed = Placed {
            begin_us,
            transaction: if inside { state.transactions } else { 0 },
            round_trip: state.round_trips,
            trace: if self.config.mode == Mode::Traces { self.traces } else { 0 },
        };
        self.happens(*clock, connection, Happening::Statement(Box::new(step), placed));
    }

    /// Everything that ended by now goes to its worker; full and old batches leave.
    fn deliver(
        &mut self,
        now: u64,
        send: &mut impl FnMut(u64, Option<&RecordBatch>) -> Option<u32>,
    ) {
        while self.pending.peek().is_some_and(|Reverse((end_us, ..))| *end_us <= now) {
            let Some(Reverse((_, key, connection))) = self.pending.pop() else { return };
            let Some((end_us, what)) = self.happenings.remove(&key) else { continue };
            self.record(end_us, connection, what);
            self.leave(end_us, send);
        }
        self.leave(now, send);
    }

    fn leave(&mut self, now: u64, send: &mut impl FnMut(u64, Option<&RecordBatch>) -> Option<u32>) {
        for at in 0..self.workers.len() {
            let worker = &mut self.workers[at];
            let events = worker.batch.events.len();
            if events < BATCH_EVENTS && (events == 0 || now < worker.since_us + BATCH_AGE_US) {
                continue;
            }
            let batch = std::mem::take(&mut worker.batch);
            worker.batch.epoch = batch.epoch;
            let epoch = send(now, Some(&batch));
            if epoch.is_some_and(|epoch| epoch != batch.epoch) {
                for worker in &mut self.workers {
                    worker.sent.clear();
                    worker.batch.epoch = epoch.unwrap_or(0);
                }
            }
        }
    }

    fn record(&mut self, end_us: u64, connection: usize, what: Happening) {
        let session = session_of(connection);
        let worker = &mut self.workers[connection % WORKERS];
        if worker.batch.events.is_empty() {
            worker.since_us = end_us;
        }
        match what {
            Happening::Opened => {
                let [database, user, application_name, client] =
                    ["shop", "app", "web", "10.0.0.7"].map(|text| bytes(&mut worker.batch, text));
                let opened = SessionOpened {
                    session,
                    at_us: end_us,
                    database,
                    user,
                    application_name,
                    client,
                    setup_us: 2_000,
                    mark: Default::default(),
                };
                worker.batch.events.push(Event::Opened(opened));
            }
            Happening::Transaction(record) => worker.batch.events.push(Event::Transaction(record)),
            Happening::Statement(step, placed) => {
                self.statements += 1;
                let sql = spelled(&step, placed.trace, self.config.protocol);
                let binds = self.config.protocol == Protocol::Binds;
                worker.statement(&step, &sql, session, placed, &self.salt, binds);
            }
        }
    }
}

fn session_of(connection: usize) -> SessionId {
    SessionId(connection as u64 + 1)
}

/// The text as the mode and the protocol spell it.
fn spelled(step: &Step, trace: u64, protocol: Protocol) -> String {
    let mut sql = step.sql.clone();
    if protocol == Protocol::Literals {
        for (at, value) in step.binds.iter().enumerate().rev() {
            sql = sql.replace(&format!("${}", at + 1), &value.to_string());
        }
    }
    if trace != 0 {
        let id = u128::from(mixed(trace)) << 64 | u128::from(trace);
        sql.push_str(&format!(" /*traceparent='00-{id:032x}-00f067aa0ba902b7-01'*/"));
    }
    sql
}

fn bytes(batch: &mut RecordBatch, text: &str) -> Span {
    let start = batch.bytes.len() as u32;
    batch.bytes.extend_from_slice(text.as_bytes());
    Span { start, len: text.len() as u32 }
}

impl Worker {
    fn text(&mut self, step: &Step, sql: &str) -> TextKey {
        let text = text_key(sql.as_bytes());
        if self.sent.insert(text) {
            let sql = bytes(&mut self.batch, sql);
            self.batch.texts.push(NewText { key: text, bytes: sql, cut: false });
            let start = self.batch.fields.len() as u32;
            for (table_oid, attnum, label) in step.query.columns {
                let label = bytes(&mut self.batch, label);
                let field = Field { table_oid: *table_oid, attnum: *attnum, type_oid: 20, label };
                self.batch.fields.push(field);
            }
            let fields = Span { start, len: step.query.columns.len() as u32 };
            if fields.len > 0 {
                self.batch.events.push(Event::Described { text, fields });
            }
        }
        text
    }

    fn statement(
        &mut self,
        step: &Step,
        sql: &str,
        session: SessionId,
        placed: Placed,
        salt: &Salt,
        with_binds: bool,
    ) {
        let text = self.text(step, sql);
        let bound: &[i64] = if with_binds { &step.binds } else { &[] };
        let binds = Span { start: self.batch.binds.len() as u32, len: bound.len() as u32 };
        let mut binds_hash = 0;
        for (at, value) in bound.iter().enumerate() {
            let bytes = value.to_be_bytes();
            binds_hash = salt.fold(binds_hash, Some(&bytes));
            let hash = salt.cell(20, true, &bytes);
            self.batch.binds.push(BindCell { slot: at as u16 + 1, class: 0, hash });
        }
        let columns = Span { start: self.batch.columns.len() as u32, len: step.cells.len() as u32 };
        for (at, values) in step.cells.iter().enumerate() {
            let cells = Span { start: self.batch.cells.len() as u32, len: values.len() as u32 };
            let hashes = values.iter().map(|value| salt.cell(20, true, &value.to_be_bytes()));
            self.batch.cells.extend(hashes);
            let (table_oid, attnum, _) = step.query.columns.get(at).copied().unwrap_or_default();
            self.batch.columns.push(ResultColumn { field: at as u16, attnum, table_oid, cells });
        }
        let transfer_us = step.rows.min(step.us / 2);
        self.batch.events.push(Event::Statement(StatementRecord {
            session,
            text,
            begin_us: placed.begin_us,
            first_row_us: step.us - transfer_us,
            transfer_us,
            think_us: step.think_us,
            rows: step.rows,
            sent_bytes: 60 + step.rows * 80,
            received_bytes: 60,
            binds_hash,
            round_trip: placed.round_trip,
            transaction: placed.transaction,
            binds,
            columns,
            protocol: if with_binds {
                pgsonde_analyzer::record::Protocol::Extended
            } else {
                pgsonde_analyzer::record::Protocol::Simple
            },
            tag: step.query.tag,
            in_transaction: placed.transaction != 0 && step.query.tag != Tag::Begin,
            ..StatementRecord::default()
        }));
    }
}
