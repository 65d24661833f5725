//! The fuzz bodies: any bytes in, an invariant checked, nothing may panic.
//!
//! They are plain functions, so that the same code runs under cargo-fuzz (`tests/fuzz`), over the committed
//! corpus in the ordinary tests, and under a seeded mutator on a stable toolchain.

use crate::random::Random;
use crate::transcript::{Chunk, Detail, Side, observe};
use pgsonde_analyzer::Analyzer;
use pgsonde_analyzer::limits::Limits;
use pgsonde_analyzer::record::{
    BindCell, End, Event, Field, NewText, Opaque, Outcome, RecordBatch, ResultColumn, SessionId,
    SessionOpened, Span, StatementRecord, TextKey, Timing, TransactionRecord,
};
use pgsonde_analyzer::text;
use pgsonde_analyzer::value::Salt;
use pgsonde_wire::frame::{Frame, FrameScanner, FrameSink};
use pgsonde_wire::startup::{Startup, Step};
use pgsonde_wire::{Error, foreign};

/// A fuzz body: its name, which is that of its corpus folder, and its function.
pub type Body = (&'static str, fn(&[u8]));

/// All bodies.
pub const BODIES: [Body; 6] = [
    ("frames", frames),
    ("startup", startup),
    ("exchange", exchange),
    ("lexer", lexer),
    ("ingest", ingest),
    ("config", config),
];

/// Body bytes that the sink of [`frames`] asks for.
const WANTED_BYTES: usize = 100;

#[derive(Default, PartialEq, Debug)]
struct Seen {
    frames: Vec<(u8, u64, Vec<u8>, bool)>,
}

impl FrameSink for Seen {
    fn wanted(&self, _tag: u8) -> usize {
        WANTED_BYTES
    }
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        self.frames.push((frame.tag, frame.size, frame.body.to_vec(), frame.whole));
        Ok(())
    }
}

/// The scanner finds the same frames however the stream is cut, and holds no more than it was asked for.
pub fn frames(data: &[u8]) {
    let scan = |step: usize| {
        let (mut scanner, mut seen) = (FrameScanner::default(), Seen::default());
        let mut result = Ok(());
        for chunk in data.chunks(step.max(1)) {
            result = scanner.feed(chunk, 1, &mut seen);
            assert!(scanner.held_bytes() <= 4 * WANTED_BYTES, "{} bytes", scanner.held_bytes());
            if result.is_err() {
                break;
            }
        }
        (seen, result)
    };
    let whole = scan(data.len());
    for step in [1, 2, 7] {
        assert_eq!(scan(step), whole, "in pieces of {step}");
    }
}

/// Start-up never asks for more than it may hold, and never forwards what isn't there.
pub fn startup(data: &[u8]) {
    let mut machine = Startup::default();
    let mut buffered = Vec::new();
    for byte in data {
        buffered.push(*byte);
        match machine.step(&buffered) {
            Step::More => assert!(buffered.len() < 10_000, "waits beyond the limit"),
            Step::Decline => buffered.clear(),
            Step::Accept | Step::Relay => unreachable!("no certificate, and no relaying"),
            Step::Forward { len, .. } | Step::Cancel { len } => {
                assert_eq!(len, buffered.len(), "byte by byte, nothing lies behind it");
                break;
            }
            Step::Close(_) => break,
        }
    }
    let _at_once = Startup::default().step(data);
    let _labels = foreign::startup_parameters(data);
}

/// Chunks as bytes: `<` or `>`, length (two bytes, big endian), that many bytes. What doesn't fit ends it.
pub fn conversation(mut data: &[u8]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    while let Some(([mark, high, low], rest)) = data.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (bytes, next) = rest.split_at(length);
        let side = if mark & 2 == 0 { Side::Server } else { Side::Client };
        chunks.push(Chunk { side, read_us: 100, written_us: 100, bytes: bytes.to_vec() });
        data = next;
    }
    chunks
}

/// The reverse of [`conversation`], for the corpus.
pub fn spelled(chunks: &[Chunk]) -> Vec<u8> {
    let mut data = Vec::new();
    for chunk in chunks {
        data.push(if chunk.side == Side::Client { b'>' } else { b'<' });
        let length = u16::try_from(chunk.bytes.len()).expect("corpus chunks are short");
        data.extend(length.to_be_bytes());
        data.extend(&chunk.bytes);
    }
    data
}

/// The tracker and the observer give the same records however both streams are cut.
pub fn exchange(data: &[u8]) {
    let chunks = conversation(data);
    let cut = |step: usize| {
        let pieces = chunks.iter().flat_map(|chunk| {
            chunk.bytes.chunks(step).map(|bytes| Chunk { bytes: bytes.to_vec(), ..chunk.clone() })
        });
        observe(&pieces.collect::<Vec<_>>(), Detail::Facts)
    };
    let whole = observe(&chunks, Detail::Facts);
    assert_eq!(cut(1), whole, "byte by byte");
    assert_eq!(cut(3), whole, "in threes");
}

/// Any text gives the same shape twice, and its shape alone is the shape of the full reading.
pub fn lexer(data: &[u8]) {
    let salt = Salt::new(1, 2);
    let read = text::read(data, &salt);
    let again = text::read(data, &salt);
    assert_eq!(format!("{read:?}"), format!("{again:?}"));
    let shapes = text::read_shape(data, &salt);
    let shape =
        |info: &text::TextInfo| info.parts.iter().map(|part| part.shape).collect::<Vec<_>>();
    assert_eq!(shape(&read), shape(&shapes));
    let _cut = text::read_cut(data, &salt);
}

/// Numbers out of bytes; zeros when they run out.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Small most of the time, and up to 2^40 some of the time.
    fn number(&mut self) -> u64 {
        let byte = u64::from(self.byte());
        if byte < 0xC0 { byte } else { u64::from(self.byte()) << (byte & 31) }
    }

    fn span(&mut self) -> Span {
        Span { start: self.number() as u32, len: self.number() as u32 }
    }
}

fn statement(numbers: &mut Numbers<'_>) -> StatementRecord {
    let timings = [
        Timing::Exact,
        Timing::Bound,
        Timing::Batch,
        Timing::BatchLast,
        Timing::Empty,
        Timing::Part,
    ];
    let outcomes = [Outcome::Ok, Outcome::Error, Outcome::Cancelled, Outcome::Aborted];
    StatementRecord {
        session: SessionId(u64::from(numbers.byte() % 4)),
        text: TextKey(u64::from(numbers.byte() % 8)),
        begin_us: numbers.number(),
        queue_us: numbers.number(),
        first_row_us: numbers.number(),
        transfer_us: numbers.number(),
        think_us: numbers.number(),
        rows: numbers.number(),
        round_trip: numbers.number() as u32,
        transaction: numbers.number() as u32,
        binds: numbers.span(),
        columns: numbers.span(),
        batch_statements: numbers.number() as u32,
        member: u16::from(numbers.byte()),
        timing: timings[usize::from(numbers.byte()) % timings.len()],
        outcome: outcomes[usize::from(numbers.byte()) % outcomes.len()],
        ..StatementRecord::default()
    }
}

fn event(numbers: &mut Numbers<'_>) -> Event {
    let session = SessionId(u64::from(numbers.byte() % 4));
    match numbers.byte() % 8 {
        0 => Event::Opened(SessionOpened {
            session,
            at_us: numbers.number(),
            database: numbers.span(),
            user: numbers.span(),
            application_name: numbers.span(),
            ..SessionOpened::default()
        }),
        1 => Event::Closed {
            session,
            at_us: numbers.number(),
            opaque: (numbers.byte() & 1 == 0).then_some(Opaque::Framing),
            end: End::default(),
        },
        2 => Event::Renamed { session, application_name: numbers.span() },
        3 => Event::Described {
            text: TextKey(u64::from(numbers.byte() % 8)),
            fields: numbers.span(),
        },
        4 => Event::Transaction(TransactionRecord {
            session,
            transaction: numbers.number() as u32,
            begin_us: numbers.number(),
            end_us: numbers.number(),
            ..TransactionRecord::default()
        }),
        _ => Event::Statement(statement(numbers)),
    }
}

/// Arenas of `data` itself, and events with spans that may point anywhere.
fn batch(data: &[u8]) -> RecordBatch {
    let mut numbers = Numbers(data);
    let mut batch = RecordBatch { bytes: data.to_vec(), ..RecordBatch::default() };
    batch.cells = data.iter().map(|byte| u32::from(*byte)).collect();
    batch.binds = data
        .iter()
        .map(|byte| BindCell { slot: u16::from(*byte), class: *byte, hash: u32::from(*byte) })
        .collect();
    while !numbers.0.is_empty() && batch.events.len() < 64 {
        match numbers.byte() % 6 {
            0 => batch.texts.push(NewText {
                key: TextKey(u64::from(numbers.byte() % 8)),
                bytes: numbers.span(),
                cut: numbers.byte() & 1 == 1,
            }),
            1 => batch
                .columns
                .push(ResultColumn { cells: numbers.span(), ..ResultColumn::default() }),
            2 => batch.fields.push(Field { label: numbers.span(), ..Field::default() }),
            _ => batch.events.push(event(&mut numbers)),
        }
    }
    batch
}

/// Whatever a batch says, the analyzer counts each statement in exactly one term of the books.
pub fn ingest(data: &[u8]) {
    let batch = batch(data);
    let sent = batch
        .events
        .iter()
        .filter(|event| matches!(event, Event::Statement(record) if record.timing != Timing::Part));
    let sent = sent.count() as u64;
    let mut analyzer = Analyzer::new(Limits::default(), Salt::new(1, 2));
    analyzer.ingest(&batch);
    analyzer.tick(1_000_000);
    let books = analyzer.snapshot(1_000_000).books;
    assert_eq!(books.statements, sent, "each statement once: {books:?}");
    let terms = books.exact + books.bound + books.batch_members + books.empty + books.aborted;
    assert_eq!(terms, sent, "in exactly one term: {books:?}");
}

/// Any configuration is accepted or refused with a message, and never a panic.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Err(problem) = pgsonde::config::Settings::parse(&text) {
        assert!(!problem.to_string().is_empty(), "a refusal says why");
    }
    for line in text.lines().take(8) {
        let _address = pgsonde::config::Address::parse(line);
        let _upstream = pgsonde::config::Upstream::parse(line, "here");
    }
}

/// Another input from one of `corpus`: bytes changed, removed, doubled, or spliced in from another.
pub fn mutated(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    const BYTES_MAX: usize = 4_096;
    let mut data = random.pick(corpus).clone();
    for _ in 0..=random.below(4) {
        let at = random.below(data.len() + 1);
        match random.below(6) {
            0 if at < data.len() => data[at] ^= 1 << random.below(8),
            1 if at < data.len() => data[at] = random.byte(),
            2 if at < data.len() => drop(data.drain(at..(at + random.below(16)).min(data.len()))),
            3 => {
                let interesting = [0, 1, 3, 4, 127, 128, 255];
                data.insert(at, *random.pick(&interesting));
            }
            4 => {
                let end = (at + random.below(64)).min(data.len());
                let copy = data[at..end].to_vec();
                data.splice(at..at, copy);
            }
            _ => {
                let other = random.pick(corpus);
                let from = random.below(other.len() + 1);
                let to = (from + random.below(128)).min(other.len());
                data.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
    data.truncate(BYTES_MAX);
    data
}
