//! Golden transcripts: a conversation frame by frame, with times, and the records that it must give.
//!
//! ```text
//! # comment
//! > 100 Query "select 1"            the client's frame was read at 100 us, and forwarded at once
//! > 100..130 Query "select 1"       … forwarded only at 130 us
//! < 180 DataRow "1"                 the server's frame was read at 180 us
//! = statement "select 1" exact …    what must come out, in order
//! ```
//!
//! Every conversation begins after a start-up that ended at 10 us and ends with the close of both sides. Strings
//! are JSON strings; `-` is the unnamed statement or portal.

use pgsonde::hot::observe::SessionObserver;
use pgsonde::hot::outbox::{Outbox, OutboxCounters, Parcel};
use pgsonde::hot::watch::Watch;
use pgsonde_analyzer::record::Opaque;
use pgsonde_analyzer::record::{Event, RecordBatch, SessionId, StatementRecord, TextKey, Timing};
use pgsonde_analyzer::value::Salt;
use pgsonde_wire::foreign::StartupParameters;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

mod spell;

/// Which stream a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Client to server.
    Client,
    /// Server to client.
    Server,
}

/// Bytes of one side that were read at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Whose.
    pub side: Side,
    /// When they were read, in microseconds.
    pub read_us: u64,
    /// When the other side's socket had taken them.
    pub written_us: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A conversation and what must come out of it.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    /// One chunk per line.
    pub chunks: Vec<Chunk>,
    /// The lines that begin with `=`.
    pub expected: Vec<String>,
}

impl Transcript {
    /// Reads a transcript.
    ///
    /// # Panics
    /// On a line that makes no sense, naming it.
    pub fn parse(text: &str) -> Self {
        let mut transcript = Self::default();
        for line in text.lines().map(str::trim) {
            match line.split_at_checked(1) {
                None | Some(("#", _)) => {}
                Some(("=", rest)) => transcript.expected.push(rest.trim().to_owned()),
                Some((">", rest)) => transcript.chunks.push(chunk(Side::Client, rest)),
                Some(("<", rest)) => transcript.chunks.push(chunk(Side::Server, rest)),
                _ => panic!("neither comment, frame nor expectation: {line}"),
            }
        }
        transcript
    }
}

fn chunk(side: Side, line: &str) -> Chunk {
    let (time, frame) = line.trim().split_once(' ').unwrap_or_else(|| panic!("no time in: {line}"));
    let (read, written) = time.split_once("..").unwrap_or((time, time));
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("not a time: {line}"));
    Chunk {
        side,
        read_us: number(read),
        written_us: number(written),
        bytes: spell::frame(side, frame),
    }
}

/// How much of the records is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Everything.
    Times,
    /// Without what depends on the moment at which a chunk was read.
    Facts,
}

/// Watches the chunks in their order and prints the records.
pub fn observe(chunks: &[Chunk], detail: Detail) -> Vec<String> {
    let (batches, opaque) = batches(chunks);
    let mut lines = print(&batches, detail);
    lines.extend(opaque.map(|reason| format!("opaque {}", reason.name())));
    lines
}

/// Watches the chunks in their order; gives the batches of records, and why the session became opaque.
pub fn batches(chunks: &[Chunk]) -> (Vec<RecordBatch>, Option<Opaque>) {
    let (full, batches) = sync_channel(4_096);
    let (_give, spare) = sync_channel(1);
    let outbox = Outbox::new(0, full, spare, Arc::new(OutboxCounters::default()));
    let outbox = Rc::new(RefCell::new(outbox));
    let mut watch = open(SessionId(1), &outbox, 10);
    chunks.iter().for_each(|chunk| show(&mut watch, chunk));
    let opaque = watch.opaque();
    let end_us = chunks.last().map_or(10, |chunk| chunk.written_us);
    watch.close_at(end_us);
    outbox.borrow_mut().send();
    drop((watch, outbox));
    (batches.try_iter().map(|parcel: Parcel| parcel.batch).collect(), opaque)
}

/// A session whose start-up ended at `open_us`.
pub fn open(session: SessionId, outbox: &Rc<RefCell<Outbox>>, open_us: u64) -> Watch {
    let salt = Rc::new(Salt::new(1, 2));
    let labels = StartupParameters { user: "ann".into(), ..StartupParameters::default() };
    let observer = SessionObserver::new(session, labels, salt, Rc::clone(outbox));
    let mut watch = Watch::new(observer, Arc::default(), None);
    let startup = [
        spell::frame(Side::Server, "AuthenticationOk"),
        spell::frame(Side::Server, "ReadyForQuery I"),
    ];
    watch.server_bytes(&startup.concat(), open_us, Some(open_us));
    watch
}

/// Shows one chunk, and that it was forwarded.
pub fn show(watch: &mut Watch, chunk: &Chunk) {
    let at_once = (chunk.read_us == chunk.written_us).then_some(chunk.written_us);
    match chunk.side {
        Side::Client => watch.client_bytes(&chunk.bytes, chunk.read_us, at_once),
        Side::Server => watch.server_bytes(&chunk.bytes, chunk.read_us, at_once),
    }
    match (at_once, chunk.side) {
        (Some(_), _) => {}
        (None, Side::Client) => watch.client_forwarded(chunk.written_us),
        (None, Side::Server) => watch.server_forwarded(chunk.written_us),
    }
}

fn print(batches: &[RecordBatch], detail: Detail) -> Vec<String> {
    let mut texts = HashMap::new();
    let mut lines = Vec::new();
    for batch in batches {
        for text in &batch.texts {
            let bytes = text.bytes.of(&batch.bytes);
            texts.insert(text.key, String::from_utf8_lossy(bytes).into_owned());
        }
        let events = batch.events.iter().filter_map(|event| line(event, batch, &texts, detail));
        lines.extend(events);
    }
    lines
}

fn line(
    event: &Event,
    batch: &RecordBatch,
    texts: &HashMap<TextKey, String>,
    detail: Detail,
) -> Option<String> {
    match event {
        Event::Statement(record) => {
            let text = texts.get(&record.text).map_or("?", String::as_str);
            Some(statement(record, batch, text, detail))
        }
        Event::Transaction(transaction) => {
            let mut line =
                format!("transaction {} {:?}", transaction.transaction, transaction.outcome);
            if detail == Detail::Times {
                let (begin, end) = (transaction.begin_us, transaction.end_us);
                write!(line, " begin={begin} end={end} think={}", transaction.think_us)
                    .expect("a String takes everything");
            }
            Some(line)
        }
        Event::Traffic(traffic) if traffic.skipped > 0 => {
            Some(format!("skipped {}", traffic.skipped))
        }
        _ => None,
    }
}

fn statement(record: &StatementRecord, batch: &RecordBatch, text: &str, detail: Detail) -> String {
    let mut line = format!("statement {text:?} {:?} {:?}", timing(record, detail), record.outcome);
    let mut add = |name: &str, value: u64| {
        if value > 0 {
            write!(line, " {name}={value}").expect("a String takes everything");
        }
    };
    add("rows", record.rows);
    add("tx", record.transaction.into());
    add("member", record.member.into());
    add("batch", record.batch_statements.into());
    add("binds", record.binds.len.into());
    let columns = record.columns.of(&batch.columns);
    add("columns", columns.len() as u64);
    add("cells", columns.iter().map(|column| u64::from(column.cells.len)).sum());
    if detail == Detail::Times {
        add("begin", record.begin_us);
        add("queue", record.queue_us);
        add("first_row", record.first_row_us);
        add("transfer", record.transfer_us);
        add("stall", record.client_stall_us);
        add("wait", record.wait_us);
        add("think", record.think_us);
    }
    if record.sqlstate != [0; 5] {
        let state = String::from_utf8_lossy(&record.sqlstate);
        write!(line, " sqlstate={state}").expect("a String takes everything");
    }
    line
}

/// Whether a lone statement counts as exact or bound depends on stamps.
fn timing(record: &StatementRecord, detail: Detail) -> Timing {
    match (record.timing, detail) {
        (Timing::Bound, Detail::Facts) => Timing::Exact,
        (timing, _) => timing,
    }
}
