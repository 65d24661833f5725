//! The observing side of the forwarding path allocates nothing once an exchange has become routine.

use pgsonde::counters::Gauges;
use pgsonde::hot::observe::SessionObserver;
use pgsonde::hot::outbox::{Outbox, OutboxCounters, Parcel};
use pgsonde::hot::watch::Watch;
use pgsonde_analyzer::record::{RecordBatch, SessionId};
use pgsonde_analyzer::value::Salt;
use pgsonde_tests::transcript::{Chunk, Side, Transcript};
use pgsonde_wire::foreign::StartupParameters;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Exchanges before the count begins: batches, queues and scratch space reach their size.
const WARM_UP: u64 = 2_000;
const COUNTED: u64 = 5_000;

const SIMPLE: &str = r#"
> 100 Query "select id, name from t where id = 7"
< 150 RowDescription id:16384:1:23 name:16384:2:25
< 150 DataRow "7" "seven"
< 150 DataRow "8" "eight"
< 150 CommandComplete "SELECT 2"
< 150 ReadyForQuery I
"#;

const UNNAMED: &str = r#"
> 100 Parse - "select id from t where id = $1 and name = $2" 23 25
> 100 Bind - - "5" "five"
> 100 Describe P -
> 100 Execute -
> 100 Sync
< 150 ParseComplete
< 150 BindComplete
< 150 RowDescription id:16384:1:23
< 150 DataRow "5"
< 150 DataRow "6"
< 150 CommandComplete "SELECT 2"
< 150 ReadyForQuery I
"#;

/// Runs behind a Parse of `s1` that happened once.
const PREPARED: &str = r#"
> 100 Bind - s1 "5"
> 100 Execute -
> 100 Bind - s1 "6"
> 100 Execute -
> 100 Sync
< 150 BindComplete
< 150 DataRow "5"
< 150 CommandComplete "SELECT 1"
< 150 BindComplete
< 150 DataRow "6"
< 150 CommandComplete "SELECT 1"
< 150 ReadyForQuery I
"#;

const PARSE_ONCE: &str = r#"
> 50 Parse s1 "select id from t where id = $1" 23
> 50 Describe S s1
> 50 Sync
< 60 ParseComplete
< 60 ParameterDescription 23
< 60 RowDescription id:16384:1:23
< 60 ReadyForQuery I
"#;

struct Bench {
    watch: Watch,
    full: Receiver<Parcel>,
    give: SyncSender<RecordBatch>,
}

impl Bench {
    fn new() -> Self {
        let (full, batches) = sync_channel(64);
        let (give, spare) = sync_channel(8);
        let outbox = Outbox::new(0, full, spare, Arc::new(OutboxCounters::default()));
        let outbox = Rc::new(RefCell::new(outbox));
        let labels = StartupParameters { user: "ann".into(), ..StartupParameters::default() };
        let observer = SessionObserver::new(SessionId(1), labels, Rc::new(Salt::new(1, 2)), outbox);
        let mut watch = Watch::new(observer, Arc::new(Gauges::default()), None);
        watch.server_bytes(b"Z\0\0\0\x05I", 1, Some(1));
        Self { watch, full: batches, give }
    }

    /// One exchange; then does what the analyzer's thread does with a batch: empties it and gives it back.
    fn exchange(&mut self, chunks: &[Chunk]) {
        for chunk in chunks {
            match chunk.side {
                Side::Client => {
                    self.watch.client_bytes(&chunk.bytes, chunk.read_us, Some(chunk.read_us));
                }
                Side::Server => {
                    self.watch.server_bytes(&chunk.bytes, chunk.read_us, Some(chunk.read_us));
                }
            }
        }
        while let Ok(Parcel { mut batch, .. }) = self.full.try_recv() {
            pgsonde::analysis::clear(&mut batch);
            self.give.try_send(batch).expect("a place for the empty batch");
        }
    }
}

#[test]
fn routine_exchanges_allocate_nothing() {
    let one = allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8])));
    assert_eq!(one.count_total, 1, "the counter counts");
    for (name, before, exchange) in
        [("simple", "", SIMPLE), ("unnamed", "", UNNAMED), ("prepared", PARSE_ONCE, PREPARED)]
    {
        let mut bench = Bench::new();
        bench.exchange(&Transcript::parse(before).chunks);
        let chunks = Transcript::parse(exchange).chunks;
        (0..WARM_UP).for_each(|_| bench.exchange(&chunks));
        let counted = allocation_counter::measure(|| {
            (0..COUNTED).for_each(|_| bench.exchange(&chunks));
        });
        assert_eq!(bench.watch.opaque(), None, "{name}: still followed");
        assert_eq!(
            counted.count_total, 0,
            "{name}: allocations in {COUNTED} exchanges: {counted:?}"
        );
    }
}
