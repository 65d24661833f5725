//! What the forwarding side tells of an execution besides its times: numbers that no hash can carry. And what
//! that costs per row (`cargo test --release -p pgsonde-tests --test evidence -- --ignored --nocapture`).

use pgsonde::counters::Gauges;
use pgsonde::hot::observe::SessionObserver;
use pgsonde::hot::outbox::{Outbox, OutboxCounters, Parcel};
use pgsonde::hot::watch::Watch;
use pgsonde_analyzer::record::{Event, RecordBatch, SessionId, StatementRecord};
use pgsonde_analyzer::value::Salt;
use pgsonde_tests::transcript::{Chunk, Side, Transcript};
use pgsonde_wire::foreign::StartupParameters;
use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

struct Session {
    watch: Watch,
    outbox: Rc<RefCell<Outbox>>,
    full: Receiver<Parcel>,
    give: SyncSender<RecordBatch>,
}

impl Session {
    fn new() -> Self {
        let (full, batches) = sync_channel(64);
        let (give, spare) = sync_channel(8);
        let outbox = Outbox::new(0, full, spare, Arc::new(OutboxCounters::default()));
        let outbox = Rc::new(RefCell::new(outbox));
        Self { watch: watch(&outbox), outbox, full: batches, give }
    }

    fn show(&mut self, chunks: &[Chunk]) {
        for chunk in chunks {
            let (bytes, at) = (&chunk.bytes, chunk.read_us);
            match chunk.side {
                Side::Client => self.watch.client_bytes(bytes, at, Some(at)),
                Side::Server => self.watch.server_bytes(bytes, at, Some(at)),
            }
        }
    }

    /// Gives batches back empty, as the analyzer's thread does.
    fn drain(&mut self) {
        while let Ok(Parcel { mut batch, .. }) = self.full.try_recv() {
            pgsonde::analysis::clear(&mut batch);
            self.give.try_send(batch).expect("a place for the empty batch");
        }
    }

    fn batch(&mut self, transcript: &str) -> RecordBatch {
        self.show(&Transcript::parse(transcript).chunks);
        assert_eq!(self.watch.opaque(), None, "still followed");
        self.outbox.borrow_mut().send();
        self.full.try_recv().expect("a batch").batch
    }
}

fn watch(outbox: &Rc<RefCell<Outbox>>) -> Watch {
    let labels = StartupParameters { user: "ann".into(), ..StartupParameters::default() };
    let salt = Rc::new(Salt::new(1, 2));
    let observer = SessionObserver::new(SessionId(1), labels, salt, outbox.clone());
    let mut watch = Watch::new(observer, Arc::new(Gauges::default()), None);
    watch.server_bytes(b"Z\0\0\0\x05I", 1, Some(1));
    watch
}

fn records(batch: &RecordBatch) -> Vec<StatementRecord> {
    let statements = batch.events.iter().filter_map(|event| match event {
        Event::Statement(record) => Some(*record),
        _ => None,
    });
    statements.collect()
}

const PREPARED_ALONE: &str = r#"
> 50 Parse s1 "select id from t where id = any($1) and a = $2" 1007 1700
> 50 Describe S s1
> 50 Sync
< 90 ParseComplete
< 90 ParameterDescription 1007 1700
< 90 RowDescription id:16384:1:23
< 90 ReadyForQuery I
> 100 Bind - s1 "{1,2,3}" "5"
> 100 Execute - 2
> 100 Sync
< 150 BindComplete
< 150 DataRow "1"
< 150 DataRow "2"
< 150 PortalSuspended
< 150 ReadyForQuery I
> 200 Bind - s1 "{1}" "5"
> 200 Execute -
> 200 Sync
< 250 BindComplete
< 250 DataRow "1"
< 250 CommandComplete "SELECT 1"
< 250 ReadyForQuery I
> 300 Parse - "select 1 from t" 23
> 300 Bind - - "5"
> 300 Execute -
> 300 Sync
< 350 ParseComplete
< 350 BindComplete
< 350 CommandComplete "SELECT 0"
< 350 ReadyForQuery I
"#;

#[test]
fn parameters_parses_and_row_limits() {
    let mut session = Session::new();
    let batch = session.batch(PREPARED_ALONE);
    let facts: Vec<_> = records(&batch)
        .iter()
        .map(|of| (of.bind_count, of.array_elements, of.row_limited, of.parsed))
        .collect();
    let expected = [
        (2, 3, true, true),   // the part that was read
        (0, 0, true, true),   // the end of the portal at ReadyForQuery, which is what is counted
        (2, 0, false, false), // one element is a look-up, and the Parse is used up
        (1, 0, false, true),
    ];
    assert_eq!(facts, expected);
    let prepared: Vec<u64> = batch
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Prepared { took_us, .. } => Some(*took_us),
            _ => None,
        })
        .collect();
    assert_eq!(prepared, [40], "the Parse with its Execute can't be timed");
    let wide = |event: &Event| matches!(event, Event::WideParameters { parameters: 2, .. });
    assert_eq!(batch.events.iter().filter(|event| wide(event)).count(), 1);
}

/// A result of three columns; the last holds `bytes` a row.
fn documents(rows: usize, bytes: usize) -> String {
    let mut text = String::from("> 100 Query \"select id, title, body from documents\"\n");
    text += "< 150 RowDescription id:16384:1:23 title:16384:2:25 body:16384:3:25\n";
    let body = "x".repeat(bytes);
    for row in 0..rows {
        writeln!(text, "< 150 DataRow \"{}\" \"title\" \"{body}\"", 1_000 + row)
            .expect("a string takes all");
    }
    writeln!(text, "< 150 CommandComplete \"SELECT {rows}\"\n< 150 ReadyForQuery I")
        .expect("a string takes all");
    text
}

#[test]
fn bytes_by_column_of_results_that_matter() {
    for (name, rows, bytes, sampled) in [
        ("a small result", 20, 100, None),
        ("a large one", 100, 1_000, Some(100)),
        ("the first rows only", 200, 1_000, Some(128)),
        ("one row", 1, 40_000, Some(1)),
        ("rows that are cut", 3, 200_000, Some(3)),
    ] {
        let mut session = Session::new();
        let batch = session.batch(&documents(rows, bytes));
        let record = records(&batch)[0];
        let found = record.width_sample(&batch);
        assert_eq!(found.map(|(sample, _)| u64::from(sample.rows)), sampled, "{name}");
        if let (Some((sample, columns)), Some(rows)) = (found, sampled) {
            let expected = [4 * rows, 5 * rows, bytes as u64 * rows];
            assert_eq!(columns, expected, "{name}");
            // tag, length, count and three lengths: 19 bytes a row
            assert_eq!(sample.bytes, expected.iter().sum::<u64>() + 19 * rows, "{name}");
        }
    }
}

#[test]
fn wide_cells_do_not_cut_the_keys_of_a_long_result_short() {
    let mut session = Session::new();
    // id first and last, with a kilobyte between them
    let mut text = String::from("> 100 Query \"select\"\n");
    text += "< 150 RowDescription id:16384:1:23 body:16384:2:17 other_id:16385:1:23\n";
    let body = "x".repeat(1_000);
    for row in 0..600 {
        writeln!(text, "< 150 DataRow \"{row}\" \"{body}\" \"{row}\"").expect("a string takes all");
    }
    text += "< 150 CommandComplete \"SELECT 600\"\n< 150 ReadyForQuery I\n";
    let batch = session.batch(&text);
    let record = records(&batch)[0];
    let columns = record.columns.of(&batch.columns);
    assert_eq!(columns.iter().map(|column| column.cells.len).collect::<Vec<_>>(), [600, 600]);
    assert!(!record.truncated);
}

/// Rows of six columns, three of them key-like.
fn keys(rows: usize) -> String {
    let mut text = String::from("> 100 Query \"select\"\n< 150 RowDescription");
    text +=
        " id:1:1:23 customer_id:1:2:23 item_id:1:3:23 total:1:4:1700 made:1:5:1114 note:1:6:17\n";
    for row in 0..rows {
        let (a, b, c) = (row + 5_000, row + 90_000, row + 70_000);
        writeln!(
            text,
            "< 150 DataRow \"{a}\" \"{b}\" \"{c}\" \"17.50\" \"2024-01-01 00:00:00\" \"none\""
        )
        .expect("a string takes all");
    }
    writeln!(text, "< 150 CommandComplete \"SELECT {rows}\"\n< 150 ReadyForQuery I")
        .expect("a string takes all");
    text
}

#[test]
#[ignore = "prints figures; meaningful in a release build"]
fn cost_per_row() {
    const ROWS: usize = 1_000;
    const ROUNDS: u32 = 200;
    let one_chunk = |text: &str| {
        let mut chunks: Vec<Chunk> = Vec::new();
        for chunk in Transcript::parse(text).chunks {
            match chunks.last_mut() {
                Some(last) if last.side == chunk.side => last.bytes.extend(chunk.bytes),
                _ => chunks.push(chunk),
            }
        }
        chunks
    };
    let time = |text: &str| {
        let chunks = one_chunk(text);
        let mut session = Session::new();
        let mut least = f64::INFINITY;
        for _ in 0..ROUNDS {
            let begin = Instant::now();
            session.show(&chunks);
            least = least.min(begin.elapsed().as_nanos() as f64);
            session.drain();
        }
        least
    };
    let keyed = keys(ROWS);
    let plain = keyed
        .replace("id:1:1:23 customer_id:1:2:23 item_id:1:3:23", "a:1:1:701 b:1:2:701 c:1:3:701");
    let empty = time(&keys(0));
    let per_row = |text: &str| (time(text) - empty) / ROWS as f64;
    let (keyed, plain) = (per_row(&keyed), per_row(&plain));
    println!("frames of a row of 6 columns, 128 of 1,000 rows sampled: {plain:.1} ns a row");
    println!("the same with 3 key columns hashed: {keyed:.1} ns a row");
    println!("so canonicalise, hash and store 3 cells: {:.1} ns a row", keyed - plain);
    for rows in [20, 1_000] {
        let chunks = one_chunk(&keys(rows));
        let session = Session::new();
        let mut kept = None;
        let used = allocation_counter::measure(|| {
            let mut watch = watch(&session.outbox);
            for chunk in &chunks {
                match chunk.side {
                    Side::Client => watch.client_bytes(&chunk.bytes, 100, Some(100)),
                    Side::Server => watch.server_bytes(&chunk.bytes, 150, Some(150)),
                }
            }
            session.outbox.borrow_mut().send();
            kept = Some((watch, session.full.try_recv()));
        });
        let batch = kept.as_ref().and_then(|(_, parcel)| parcel.as_ref().ok());
        let in_batch = batch.map_or(0, |parcel| {
            parcel.batch.cells.capacity() * 4 + parcel.batch.events.capacity() * size_of::<Event>()
        });
        let own = used.bytes_current - in_batch as i64;
        println!(
            "bytes of an idle session after a result of {rows} rows: {own} + {}",
            size_of::<Watch>()
        );
    }
}
