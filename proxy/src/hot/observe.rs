//! Translates what the tracker saw into the analyzer's records: the only file that knows both crates.

mod as_sent;
mod names;

use super::outbox::Outbox;
use super::plan::{BINDS_HASHED_MAX, Formats, Plans, is_wide};
use super::ring::{Kept, ValueRing};
use super::scratch::{RowsMax, Scratch};
use names::{auth_of, driver_of, tag_of};
use pgsonde_analyzer::record::{
    self, Auth, BindCell, Driver, End, Event, Field, Opaque, SessionId, SessionOpened, Setup,
    StatementRecord, TextKey, Timing, TrafficRecord, TransactionRecord,
};
use pgsonde_analyzer::value::{ColumnShape, Salt, SelectedColumns, select_columns, text_key};
use pgsonde_wire::backend::{Column, DataRow, RowDescription};
use pgsonde_wire::foreign::StartupParameters;
use pgsonde_wire::frontend::{Bind, Parse, Text};
use pgsonde_wire::tracker::{self, Ended, Observer, Outcome, Settled, Tally, Transaction};
use pgsonde_wire::{Error, Micros};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Columns described to the analyzer per text.
const DESCRIBED_COLUMNS_MAX: usize = 64;

/// Bytes of a column label or session label that are passed on.
const LABEL_BYTES_MAX: usize = 256;

/// Room for bind cells that a session keeps while no request is on its way, in cells.
const BIND_CELLS_IDLE_MAX: usize = 4_096;

/// Time between two reports of a session's traffic, in microseconds.
const TRAFFIC_PERIOD_US: u64 = 1_000_000;

/// What a statement name stands for: its text, and the plan of (text, parameter types).
#[derive(Clone, Copy, Debug, Default)]
pub struct Prepared {
    text: TextKey,
    plan: u64,
    /// It has a name on its session.
    named: bool,
}

/// A bound portal.
#[derive(Debug, Default)]
pub struct BoundPortal {
    statement: Prepared,
    formats: Formats,
    binds: Vec<BindCell>,
    binds_hash: u64,
    bind_count: u16,
    array_elements: u32,
    values: Kept,
}

/// One execution on its way. Its bind cells lie in the observer's queue at absolute positions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    statement: Prepared,
    formats: Formats,
    binds_start: u64,
    binds_len: u16,
    bind_count: u16,
    array_elements: u32,
    binds_hash: u64,
    parsed: bool,
    values: Kept,
}

/// Whether the latest Parse was of this text, and no execution told of it yet.
fn take_parsed(parsed: &mut TextKey, text: TextKey) -> bool {
    let taken = *parsed == text && text != TextKey::default();
    if taken {
        *parsed = TextKey::default();
    }
    taken
}

/// Observes one session.
pub struct SessionObserver {
    session: SessionId,
    labels: StartupParameters,
    /// Hash of the database's name.
    database: u64,
    client: String,
    asked_us: Micros,
    server_pid: u32,
    server_version: String,
    setup: Setup,
    auth: Auth,
    salt: Rc<Salt>,
    outbox: Rc<RefCell<Outbox>>,
    plans: Plans,
    current: Scratch,
    held: Scratch,
    held_record: StatementRecord,
    held_binds: Vec<BindCell>,
    /// Values of the execution that ended, and its plan.
    held_values: (Kept, u64),
    /// What the server said of the latest error, where that is wanted.
    message: Vec<u8>,
    ring: ValueRing,
    /// Bind cells of requests on their way, oldest first.
    binds: VecDeque<BindCell>,
    /// Absolute position of the first cell in `binds`.
    binds_begin: u64,
    /// The latest text parsed that was not executed since; 0 for none.
    parsed: TextKey,
    driver: Driver,
    is_open: bool,
    /// Bytes and prepares since the last report; the relay adds the bytes.
    pub traffic: TrafficRecord,
    traffic_reported_us: Micros,
}

impl SessionObserver {
    /// Observes session `session`, whose start-up packet said `labels`.
    pub fn new(
        session: SessionId,
        labels: StartupParameters,
        salt: Rc<Salt>,
        outbox: Rc<RefCell<Outbox>>,
    ) -> Self {
        Self {
            session,
            database: text_key(labels.database.as_bytes()).0,
            labels,
            client: String::new(),
            asked_us: 0,
            server_pid: 0,
            server_version: String::new(),
            setup: Setup::default(),
            auth: Auth::default(),
            salt,
            outbox,
            plans: Plans::default(),
            current: Scratch::default(),
            held: Scratch::default(),
            held_record: StatementRecord::default(),
            held_binds: Vec::new(),
            held_values: (Kept::default(), 0),
            message: Vec::new(),
            ring: ValueRing::default(),
            binds: VecDeque::new(),
            binds_begin: 0,
            parsed: TextKey::default(),
            driver: Driver::Unknown,
            is_open: false,
            traffic: TrafficRecord::default(),
            traffic_reported_us: 0,
        }
    }

    /// Says who connects, and when its start-up packet was read.
    #[must_use]
    pub fn asked_by(self, client: String, asked_us: Micros) -> Self {
        Self { client, asked_us, ..self }
    }

    /// Says what connecting came to.
    #[must_use]
    pub fn set_up(self, setup: Setup) -> Self {
        Self { setup, ..self }
    }

    /// Whose session it is.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The session ended, or is not looked at any more.
    pub fn closed(&mut self, tally: Tally, now_us: Micros, opaque: Option<Opaque>, end: End) {
        if self.is_open {
            self.add_tally(tally);
            self.report_traffic(now_us);
            let session = self.session;
            self.outbox.borrow_mut().push(Event::Closed { session, at_us: now_us, opaque, end });
        }
    }

    /// Adds the tracker's counters and reports the traffic if the last report is old enough.
    pub fn note_tally(&mut self, tally: Tally, now_us: Micros) {
        self.add_tally(tally);
        if self.is_open && now_us.saturating_sub(self.traffic_reported_us) >= TRAFFIC_PERIOD_US {
            self.report_traffic(now_us);
        }
    }

    /// Frees what is only needed while the session is followed.
    pub fn forget(&mut self) {
        (self.plans, self.binds) = (Plans::default(), VecDeque::new());
        self.ring = ValueRing::default();
        (self.current, self.held) = (Scratch::default(), Scratch::default());
    }

    /// Bytes of the values of requests on their way.
    pub fn held_bytes(&self) -> usize {
        self.binds.capacity() * size_of::<BindCell>() + self.ring.held_bytes()
    }

    fn add_tally(&mut self, tally: Tally) {
        self.traffic.prepares_named += tally.prepares_named;
        self.traffic.prepares_unnamed += tally.prepares_unnamed;
        self.traffic.skipped += tally.skipped;
    }

    fn report_traffic(&mut self, now_us: Micros) {
        self.traffic_reported_us = now_us;
        let traffic = std::mem::take(&mut self.traffic);
        let event = Event::Traffic(TrafficRecord { session: self.session, ..traffic });
        self.outbox.borrow_mut().push(event);
    }

    fn see_name(&mut self, name: &[u8]) {
        let driver = driver_of(name);
        if self.driver == Driver::Unknown && driver != Driver::Unknown {
            self.driver = driver;
            let event = Event::DriverSeen { session: self.session, driver };
            self.outbox.borrow_mut().push(event);
        }
    }

    /// Tells the analyzer the columns of a text, once per text and database: tables have other OIDs in another one.
    fn describe<'a>(&mut self, text: TextKey, columns: impl Iterator<Item = Column<'a>>) {
        let mut outbox = self.outbox.borrow_mut();
        if !outbox.wants_description(TextKey(text.0 ^ self.database)) {
            return;
        }
        let mut described = [Field::default(); DESCRIBED_COLUMNS_MAX];
        let mut count = 0;
        for (place, column) in described.iter_mut().zip(columns) {
            let Column { label, table_oid, attnum, type_oid, .. } = column;
            *place = Field { table_oid, attnum, type_oid, label: outbox.bytes(cut(label)) };
            count += 1;
        }
        let fields = outbox.fields(described.into_iter().take(count));
        outbox.push(Event::Described { text, fields });
    }

    /// Tells the analyzer which parameters were declared with a type wider than integers, once per text.
    fn tell_wide(&mut self, text: TextKey, parse: &Parse<'_>) {
        let types = parse.types().take(BINDS_HASHED_MAX).enumerate();
        let parameters = types.fold(0, |bits, (at, oid)| bits | u32::from(is_wide(oid)) << at);
        let mut outbox = self.outbox.borrow_mut();
        if parameters != 0 && outbox.wants_parameters(text) {
            outbox.push(Event::WideParameters { text, parameters });
        }
    }

    /// Removes the request's bind cells, and those of skipped requests before it, from the queue.
    fn take_binds(&mut self, request: &Request) {
        self.held_binds.clear();
        let end = request.binds_start + u64::from(request.binds_len);
        while self.binds_begin < end {
            let Some(cell) = self.binds.pop_front() else { break };
            if self.binds_begin >= request.binds_start {
                self.held_binds.push(cell);
            }
            self.binds_begin += 1;
        }
        if self.binds.is_empty() && self.binds.capacity() > BIND_CELLS_IDLE_MAX {
            self.binds = VecDeque::new();
        }
    }

    fn emit(&mut self, settled: &Settled) {
        self.hand_over_values(settled.first_row_us);
        self.hand_over_message();
        let mut outbox = self.outbox.borrow_mut();
        let binds = outbox.binds(&self.held_binds);
        let columns = self.held.place_columns(&mut outbox);
        let sample = self.held.place_sample(&mut outbox);
        let record = StatementRecord {
            begin_us: settled.begin_us,
            queue_us: settled.queue_us,
            first_row_us: settled.first_row_us,
            transfer_us: settled.transfer_us,
            client_stall_us: settled.client_stall_us,
            wait_us: settled.wait_us,
            batch_statements: settled.batch_statements,
            timing: timing(settled.timing),
            truncated: self.held.is_truncated(),
            binds,
            columns,
            sample,
            ..self.held_record
        };
        outbox.push(Event::Statement(record));
    }
}

impl Observer for SessionObserver {
    type Statement = Prepared;
    type Portal = BoundPortal;
    type Request = Request;

    fn parsed(&mut self, parse: &Parse<'_>) -> Prepared {
        let text = text_key(parse.text.bytes);
        self.outbox.borrow_mut().text(text, parse.text.bytes, parse.text.cut);
        self.see_name(parse.name);
        let plan = parse.types().fold(text.0, |key, oid| {
            (key ^ u64::from(oid)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23)
        });
        if self.plans.find(plan).is_some() {
            self.traffic.prepares_again += 1;
        } else {
            let types = &mut self.plans.entry(plan).types;
            types.iter_mut().zip(parse.types()).for_each(|(place, oid)| *place = oid);
            self.tell_wide(text, parse);
        }
        self.parsed = text;
        Prepared { text, plan, named: !parse.name.is_empty() }
    }

    fn prepared(&mut self, statement: Prepared, took_us: u64) {
        let (session, text) = (self.session, statement.text);
        self.outbox.borrow_mut().push(Event::Prepared { session, text, took_us });
    }

    fn bound(
        &mut self,
        portal: &mut BoundPortal,
        statement: Option<Prepared>,
        bind: &Bind<'_>,
    ) -> Result<(), Error> {
        let statement = statement.unwrap_or_default();
        let types =
            self.plans.find(statement.plan).map_or([0; BINDS_HASHED_MAX], |plan| plan.types);
        let salt = &self.salt;
        let BoundPortal { binds, .. } = portal;
        binds.clear();
        // Only where a planner can be asked, or events hold them.
        let mut ring = self.outbox.borrow().wants_values().then_some(&mut self.ring);
        ring.iter_mut().for_each(|ring| ring.begin());
        let mut binds_hash = 0;
        let mut elements = 0;
        let formats = bind.each_value(|index, value| {
            binds_hash = salt.fold(binds_hash, value);
            ring.iter_mut().for_each(|ring| ring.add(bind.formats.is_binary(index), value));
            if let (Some(oid), Some(value)) = (types.get(index), value) {
                let binary = bind.formats.is_binary(index);
                let slot = index as u16 + 1;
                let count = salt.bind(slot, *oid, binary, value, &mut |cell| binds.push(cell));
                elements = elements.max(count);
            }
        })?;
        portal.values = ring.map(ValueRing::end).filter(|_| formats.is_some()).unwrap_or_default();
        portal.statement = statement;
        portal.binds_hash = binds_hash;
        portal.bind_count = bind.values_count;
        // A scalar is no list.
        portal.array_elements =
            u32::try_from(elements).map_or(u32::MAX, |n| if n > 1 { n } else { 0 });
        portal.formats = formats.map_or(Formats::default(), |of| Formats::from_codes(of.bytes()));
        Ok(())
    }

    fn executed(&mut self, portal: Option<&BoundPortal>) -> Request {
        let binds_start = self.binds_begin + self.binds.len() as u64;
        let Some(portal) = portal else { return Request { binds_start, ..Request::default() } };
        self.binds.extend(&portal.binds);
        Request {
            statement: portal.statement,
            formats: portal.formats,
            binds_start,
            binds_len: portal.binds.len() as u16,
            binds_hash: portal.binds_hash,
            bind_count: portal.bind_count,
            array_elements: portal.array_elements,
            parsed: take_parsed(&mut self.parsed, portal.statement.text),
            values: portal.values,
        }
    }

    fn unbound(&mut self, statement: Option<Prepared>) -> Request {
        let statement = statement.unwrap_or_default();
        Request {
            parsed: take_parsed(&mut self.parsed, statement.text),
            statement,
            binds_start: self.binds_begin,
            ..Request::default()
        }
    }

    fn queried(&mut self, text: Text<'_>) -> Request {
        let key = text_key(text.bytes);
        self.outbox.borrow_mut().text(key, text.bytes, text.cut);
        let binds_start = self.binds_begin + self.binds.len() as u64;
        Request {
            statement: Prepared { text: key, ..Prepared::default() },
            binds_start,
            ..Request::default()
        }
    }

    fn called(&mut self) -> Request {
        self.unbound(None)
    }

    fn skipped(&mut self, request: Request) {
        // Everything older has ended or is skipped as well.
        let end = request.binds_start + u64::from(request.binds_len);
        while self.binds_begin < end && self.binds.pop_front().is_some() {
            self.binds_begin += 1;
        }
    }

    fn parameters(&mut self, statement: Prepared, types: &mut dyn Iterator<Item = u32>) {
        let plan = self.plans.entry(statement.plan);
        plan.types.iter_mut().zip(types).for_each(|(place, oid)| *place = oid);
    }

    fn described(&mut self, statement: Prepared, columns: &RowDescription<'_>) {
        self.plans.entry(statement.plan).columns = select(columns);
        self.describe(statement.text, columns.columns());
    }

    fn columns(&mut self, request: Request, columns: &RowDescription<'_>) {
        self.current.begin(select(columns), binary_columns(columns));
        self.describe(request.statement.text, columns.columns());
    }

    fn wants_rows(&self, _request: Request) -> bool {
        !self.current.has_begun() || self.current.wants_more()
    }

    fn row(&mut self, request: Request, row: &DataRow<'_>) {
        if !self.current.has_begun() {
            let columns = self.plans.find(request.statement.plan).map(|plan| plan.columns);
            self.current.begin(columns.unwrap_or_default(), request.formats);
        }
        self.current.add(row, &self.salt);
    }

    fn failing(&mut self, message: &[u8]) {
        self.keep_message(message);
    }

    fn ended(&mut self, request: Request, ended: &Ended<'_>) {
        std::mem::swap(&mut self.current, &mut self.held);
        self.current.clear();
        self.take_binds(&request);
        // What was parsed is told of the execution that is counted, not of a part of it.
        if ended.part && request.parsed && self.parsed == TextKey::default() {
            self.parsed = request.statement.text;
        }
        let tag = tag_of(ended.tag);
        self.held.forget_useless(tag, ended);
        let (outcome, sqlstate) = outcome(ended.outcome);
        let whole =
            !ended.part && (outcome == record::Outcome::Ok || self.outbox.borrow().wants_as_sent());
        self.held_values =
            if whole { (request.values, request.statement.plan) } else { Default::default() };
        self.held_record = StatementRecord {
            session: self.session,
            text: request.statement.text,
            think_us: ended.think_us,
            in_transaction: ended.in_transaction,
            rows: ended.rows,
            sent_bytes: ended.sent_bytes,
            received_bytes: ended.received_bytes,
            binds_hash: request.binds_hash,
            bind_count: request.bind_count,
            array_elements: request.array_elements,
            parsed: request.parsed,
            named: request.statement.named,
            row_limited: ended.row_limited,
            round_trip: ended.round_trip,
            transaction: ended.transaction,
            member: ended.member,
            sqlstate,
            outcome,
            protocol: protocol(ended.protocol),
            tag,
            ..StatementRecord::default()
        };
    }

    fn settled(&mut self, settled: &Settled) {
        self.emit(settled);
    }

    fn transaction(&mut self, transaction: &Transaction) {
        let event = Event::Transaction(TransactionRecord {
            session: self.session,
            transaction: transaction.ordinal,
            begin_us: transaction.begin_us,
            end_us: transaction.end_us,
            think_us: transaction.think_us,
            outcome: transaction_outcome(transaction.outcome),
        });
        self.outbox.borrow_mut().push(event);
    }

    fn parameter_status(&mut self, name: &[u8], value: &[u8]) {
        if name == b"server_version" && !self.is_open {
            self.server_version = String::from_utf8_lossy(cut(value)).into_owned();
        }
        if name != b"application_name" || value == self.labels.application_name.as_bytes() {
            return;
        }
        // Allocates, but only when the application renames itself.
        self.labels.application_name = String::from_utf8_lossy(cut(value)).into_owned();
        if self.is_open {
            let mut outbox = self.outbox.borrow_mut();
            let application_name = outbox.bytes(cut(value));
            let event = Event::Renamed { session: self.session, application_name };
            outbox.push(event);
        }
    }

    fn authentication(&mut self, code: u32, rest: &[u8]) {
        // What is asked for comes first; the last one says that it is enough.
        if self.auth == Auth::Unknown {
            self.auth = auth_of(code, rest);
        }
    }

    fn server_process(&mut self, pid: u32) {
        self.server_pid = pid;
    }

    fn opened(&mut self, now: Micros) {
        self.is_open = true;
        self.traffic_reported_us = now;
        let mut outbox = self.outbox.borrow_mut();
        let event = Event::Opened(SessionOpened {
            session: self.session,
            at_us: now,
            database: outbox.bytes(cut(self.labels.database.as_bytes())),
            user: outbox.bytes(cut(self.labels.user.as_bytes())),
            application_name: outbox.bytes(cut(self.labels.application_name.as_bytes())),
            client: outbox.bytes(cut(self.client.as_bytes())),
            setup_us: now.saturating_sub(self.asked_us),
            mark: outbox.bytes(cut(self.labels.mark.as_bytes())),
            server_pid: self.server_pid,
            server_version: outbox.bytes(std::mem::take(&mut self.server_version).as_bytes()),
            setup: self.setup,
            auth: self.auth,
        });
        outbox.push(event);
    }
}

fn select(columns: &RowDescription<'_>) -> SelectedColumns {
    select_columns((0..).zip(columns.columns()).map(|(field, column)| ColumnShape {
        field,
        table_oid: column.table_oid,
        attnum: column.attnum,
        type_oid: column.type_oid,
        label: column.label,
    }))
}

fn binary_columns(columns: &RowDescription<'_>) -> Formats {
    Formats::from_columns(columns.columns().map(|column| column.binary))
}

fn cut(label: &[u8]) -> &[u8] {
    &label[..label.len().min(LABEL_BYTES_MAX)]
}

fn outcome(outcome: Outcome) -> (record::Outcome, [u8; 5]) {
    match outcome {
        Outcome::Ok => (record::Outcome::Ok, [0; 5]),
        Outcome::Error(sqlstate) if sqlstate == *b"57014" => (record::Outcome::Cancelled, sqlstate),
        Outcome::Error(sqlstate) => (record::Outcome::Error, sqlstate),
        Outcome::Aborted => (record::Outcome::Aborted, [0; 5]),
    }
}

fn protocol(protocol: tracker::Protocol) -> record::Protocol {
    match protocol {
        tracker::Protocol::Simple => record::Protocol::Simple,
        tracker::Protocol::Extended => record::Protocol::Extended,
        tracker::Protocol::FunctionCall => record::Protocol::FunctionCall,
    }
}

fn timing(timing: tracker::Timing) -> Timing {
    match timing {
        tracker::Timing::Exact => Timing::Exact,
        tracker::Timing::Bound => Timing::Bound,
        tracker::Timing::Batch => Timing::Batch,
        tracker::Timing::BatchLast => Timing::BatchLast,
        tracker::Timing::Empty => Timing::Empty,
        tracker::Timing::Part => Timing::Part,
    }
}

fn transaction_outcome(outcome: tracker::TransactionOutcome) -> record::TransactionOutcome {
    match outcome {
        tracker::TransactionOutcome::Commit => record::TransactionOutcome::Commit,
        tracker::TransactionOutcome::Rollback => record::TransactionOutcome::Rollback,
        tracker::TransactionOutcome::Error => record::TransactionOutcome::Error,
        tracker::TransactionOutcome::Abandoned => record::TransactionOutcome::Abandoned,
    }
}
