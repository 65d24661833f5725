//! The seeded simulation: one seed makes sessions, what they ask, how their bytes are cut and timed, and what goes
//! wrong, on a simulated clock. No sockets: the same watch, tracker, observer, outbox and analyzer as in the
//! proxy, and checkers that know what was asked.
//!
//! One seed gives one run, to the byte: a failure is repeated by its seed alone.

mod script;

use crate::random::Random;
use crate::transcript::{Chunk, Side, open, show};
use pgsonde::hot::outbox::{
    BATCH_CELLS_MAX, BATCH_EVENTS_MAX, Outbox, OutboxCounters, Parcel, counted_statements,
};
use pgsonde::hot::watch::Watch;
use pgsonde_analyzer::Analyzer;
use pgsonde_analyzer::limits::Limits;
use pgsonde_analyzer::record::{
    Event, Outcome, RecordBatch, SessionId, StatementRecord, TextKey, Timing,
};
use pgsonde_analyzer::snapshot::Books;
use pgsonde_analyzer::value::Salt;
use script::{Expected, Script};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, sync_channel};

/// What ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Nothing: all was said.
    None,
    /// The connection is cut after this many chunks.
    Cut(usize),
    /// Nonsense from the server after this many chunks: opaque from there on.
    Nonsense(usize),
}

/// One simulated session on its way.
struct Session {
    watch: Option<Watch>,
    script: Script,
    chunks: std::vec::IntoIter<Chunk>,
    fault: Fault,
    shown: usize,
    client_bytes: usize,
    server_bytes: usize,
    next_us: u64,
    begin_us: u64,
    end_us: u64,
    became_opaque: bool,
}

/// What came out of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// All batches that arrived, in order.
    pub batches: Vec<RecordBatch>,
    /// The analyzer's final snapshot, as printed.
    pub snapshot: String,
    /// Statements that should have been recorded.
    pub expected: u64,
    /// Statements lost with batches that found no room.
    pub dropped: u64,
}

/// Runs the world of `seed` and checks it.
///
/// # Panics
/// If a checker finds something; the message names the seed.
pub fn run(seed: u64) -> Run {
    let mut random = Random::new(seed);
    let is_lossy = random.one_in(8);
    let (full, parcels) = sync_channel(if is_lossy { 1 } else { 65_536 });
    let (_give, spare) = sync_channel(1);
    let counters = Arc::new(OutboxCounters::default());
    let outbox = Rc::new(RefCell::new(Outbox::new(0, full, spare, Arc::clone(&counters))));
    let mut sessions: Vec<Session> =
        (0..=random.below(6)).map(|number| Session::new(number, &mut random, &outbox)).collect();
    while let Some(session) =
        sessions.iter_mut().filter(|session| session.watch.is_some()).min_by_key(|s| s.next_us)
    {
        session.step(&mut random);
    }
    outbox.borrow_mut().send();
    drop(outbox);
    let batches = received(&parcels);
    let dropped = counters.dropped_statements.load(Relaxed);
    let expected = check(seed, &sessions, &batches, is_lossy, dropped);
    let snapshot = analyzed(seed, &batches);
    Run { batches, snapshot, expected, dropped }
}

fn received(parcels: &Receiver<Parcel>) -> Vec<RecordBatch> {
    parcels.try_iter().map(|parcel| parcel.batch).collect()
}

impl Session {
    fn new(number: usize, random: &mut Random, outbox: &Rc<RefCell<Outbox>>) -> Self {
        let script = Script::random(number, random);
        let begin_us = 10 + random.below(5_000) as u64;
        let chunks = script.schedule(random, begin_us);
        let fault = match random.below(4) {
            0 => Fault::Cut(random.below(chunks.len() + 1)),
            1 if random.one_in(2) => Fault::Nonsense(random.below(chunks.len() + 1)),
            _ => Fault::None,
        };
        let watch = open(SessionId(number as u64 + 1), outbox, begin_us);
        let next_us = chunks.first().map_or(begin_us, |chunk| chunk.read_us);
        Self {
            watch: Some(watch),
            script,
            chunks: chunks.into_iter(),
            fault,
            shown: 0,
            client_bytes: 0,
            server_bytes: 0,
            next_us,
            begin_us,
            end_us: begin_us,
            became_opaque: false,
        }
    }

    /// Shows the next chunk, or ends the session.
    fn step(&mut self, random: &mut Random) {
        let Some(watch) = &mut self.watch else { return };
        let is_cut = self.fault == Fault::Cut(self.shown);
        // Nonsense is only nonsense between two frames of the server; else it would be somebody's body.
        let is_boundary = self.script.server_ends_frame(self.server_bytes);
        let is_nonsense =
            matches!(self.fault, Fault::Nonsense(after) if self.shown >= after) && is_boundary;
        let next = if is_cut || is_nonsense { None } else { self.chunks.next() };
        let Some(chunk) = next else {
            if is_nonsense {
                watch.server_bytes(b"C\0\0\0\x02", self.end_us, Some(self.end_us));
                assert!(watch.opaque().is_some(), "nonsense makes the session opaque");
                self.became_opaque = true;
            }
            self.end_us += random.below(500) as u64;
            watch.close_at(self.end_us);
            self.watch = None;
            return;
        };
        show(watch, &chunk);
        match chunk.side {
            Side::Client => self.client_bytes += chunk.bytes.len(),
            Side::Server => self.server_bytes += chunk.bytes.len(),
        }
        self.shown += 1;
        self.end_us = chunk.written_us;
        self.next_us = self.chunks.as_slice().first().map_or(self.end_us, |chunk| chunk.read_us);
        assert!(watch.opaque().is_none(), "a correct conversation stays followed");
    }

    fn expected(&self) -> Vec<Expected> {
        self.script.expected(self.client_bytes, self.server_bytes, self.became_opaque)
    }
}

/// Holds what came against what was asked; gives the number of statements that should have come.
fn check(
    seed: u64,
    sessions: &[Session],
    batches: &[RecordBatch],
    is_lossy: bool,
    dropped: u64,
) -> u64 {
    let texts = texts(batches);
    let mut total = 0;
    for (number, session) in sessions.iter().enumerate() {
        let id = SessionId(number as u64 + 1);
        let records: Vec<StatementRecord> = statements(batches, id).collect();
        let expected = session.expected();
        total += expected.len() as u64;
        check_times(seed, session, &records);
        if is_lossy {
            continue;
        }
        let seen: Vec<(String, Outcome)> = records
            .iter()
            .filter(|record| record.timing != Timing::Part)
            .map(|record| (texts.get(&record.text).cloned().unwrap_or_default(), record.outcome))
            .collect();
        let same = seen.len() == expected.len()
            && seen.iter().zip(&expected).all(|((text, outcome), expected)| {
                *text == expected.text && expected.outcome.is_none_or(|of| of == *outcome)
            });
        assert!(
            same,
            "seed {seed}, session {number} ({:?}): saw {seen:#?}, expected {expected:#?}",
            session.fault
        );
    }
    let arrived: u64 = batches.iter().map(counted_statements).sum();
    assert_eq!(arrived + dropped, total, "seed {seed}: recorded or counted as dropped");
    assert!(is_lossy || dropped == 0, "seed {seed}: nothing is dropped while there is room");
    check_sizes(seed, batches);
    total
}

fn texts(batches: &[RecordBatch]) -> HashMap<TextKey, String> {
    let each = batches.iter().flat_map(|batch| {
        batch.texts.iter().map(|text| {
            (text.key, String::from_utf8_lossy(text.bytes.of(&batch.bytes)).into_owned())
        })
    });
    each.collect()
}

fn statements(batches: &[RecordBatch], id: SessionId) -> impl Iterator<Item = StatementRecord> {
    batches.iter().flat_map(|batch| &batch.events).filter_map(move |event| match event {
        Event::Statement(record) if record.session == id => Some(*record),
        _ => None,
    })
}

/// Times lie inside the session, phases add up, and statements with a time of their own don't overlap.
fn check_times(seed: u64, session: &Session, records: &[StatementRecord]) {
    let mut last_end_us = 0;
    for record in records {
        let sum =
            record.queue_us + record.first_row_us + record.transfer_us + record.client_stall_us;
        assert_eq!(sum, record.end_us() - record.begin_us, "seed {seed}: phases add up");
        assert!(record.begin_us >= session.begin_us, "seed {seed}: {record:?} begins too early");
        assert!(record.end_us() <= session.end_us, "seed {seed}: {record:?} ends too late");
        if record.timing == Timing::Batch {
            assert_eq!(sum, 0, "seed {seed}: a member of a batch has no time");
        }
        let has_own = matches!(record.timing, Timing::Exact | Timing::Bound) && !record.is_portal();
        if has_own {
            assert!(
                record.begin_us >= last_end_us,
                "seed {seed}: {record:?} overlaps {last_end_us}"
            );
            last_end_us = record.end_us();
        }
    }
}

/// Whether the record sums up several windows (a suspended portal), between which other statements may lie.
trait Windows {
    fn is_portal(&self) -> bool;
}

impl Windows for StatementRecord {
    fn is_portal(&self) -> bool {
        self.rows == script::PORTAL_ROWS || self.rows == script::PORTAL_STEP
    }
}

fn check_sizes(seed: u64, batches: &[RecordBatch]) {
    for batch in batches {
        assert!(batch.events.len() <= BATCH_EVENTS_MAX, "seed {seed}: {}", batch.events.len());
        assert!(batch.cells.len() <= 2 * BATCH_CELLS_MAX, "seed {seed}: {}", batch.cells.len());
    }
}

/// The analyzer's view, twice: the same, and its books balance.
fn analyzed(seed: u64, batches: &[RecordBatch]) -> String {
    let analyze = || {
        let mut analyzer = Analyzer::new(Limits::default(), Salt::new(1, 2));
        for (number, batch) in batches.iter().enumerate() {
            analyzer.ingest(batch);
            analyzer.tick(number as u64 * 1_000);
        }
        analyzer.tick(100_000_000);
        analyzer.snapshot(100_000_000)
    };
    let snapshot = analyze();
    let Books { statements, exact, bound, batch_members, empty, aborted, .. } = snapshot.books;
    let arrived: u64 = batches.iter().map(counted_statements).sum();
    assert_eq!(statements, arrived, "seed {seed}: {:?}", snapshot.books);
    let terms = exact + bound + batch_members + empty + aborted;
    assert_eq!(statements, terms, "seed {seed}: {:?}", snapshot.books);
    let printed = format!("{snapshot:?}");
    assert_eq!(
        printed,
        format!("{:?}", analyze()),
        "seed {seed}: the same input, the same snapshot"
    );
    printed
}
