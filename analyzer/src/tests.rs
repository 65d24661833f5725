//! Tests of the whole analyzer: books, batches, limits, units, determinism.

use crate::Analyzer;
use crate::limits::Limits;
use crate::record::*;
use crate::snapshot::{Books, Snapshot};
use crate::testing::{Exec, Stream, values};
use crate::value::{Salt, text_key};

/// A small generator of numbers, for streams that are the same on every run.
struct Seed(u64);

impl Seed {
    fn next(&mut self, below: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

const TEXTS: [&str; 6] = [
    "SELECT id FROM orders WHERE id = $1",
    "SELECT name FROM customers WHERE id = $1",
    "UPDATE orders SET total = $1 WHERE id = $2",
    "BEGIN",
    "this is not SQL at all (",
    "SELECT 'unterminated",
];

/// Random statements of every timing and outcome on several sessions.
fn seeded(seed: u64, statements: u64, batched: bool) -> Snapshot {
    let mut stream = Stream::new(Limits { digests_max: 4, ..Limits::default() });
    stream.batched = batched;
    let mut seed = Seed(seed);
    for n in 0..statements {
        let keys = values(seed.next(50) as i64, 20);
        let outcome =
            [Outcome::Ok, Outcome::Ok, Outcome::Error, Outcome::Cancelled, Outcome::Aborted]
                [seed.next(5) as usize];
        let timing = [
            Timing::Exact,
            Timing::Bound,
            Timing::Batch,
            Timing::BatchLast,
            Timing::Empty,
            Timing::Part,
        ][seed.next(6) as usize];
        let exec = Exec {
            session: 1 + seed.next(4),
            transaction: seed.next(3) as u32,
            sql: TEXTS[seed.next(6) as usize],
            binds: &keys[..2],
            columns: &[(10, 1, &keys)],
            us: if timing == Timing::Batch { 0 } else { seed.next(50_000) },
            think_us: seed.next(2_000),
            batch_statements: 1 + seed.next(3) as u32,
            timing,
            outcome,
            ..Exec::default()
        };
        stream.exec(exec);
        if seed.next(20) == 0 {
            stream.commit(1 + seed.next(3), 1 + seed.next(2) as u32);
        }
        if !batched && n % 500 == 499 {
            stream.pass(1_000);
        }
    }
    stream.snapshot()
}

fn assert_books(snapshot: &Snapshot) {
    let books = snapshot.books;
    let terms = books.exact + books.bound + books.batch_members + books.empty + books.aborted;
    assert_eq!(books.statements, terms, "{books:?}");
    let calls: u64 = snapshot.digests.iter().map(|row| row.totals.calls).sum();
    assert_eq!(books.statements, calls + snapshot.other.calls);
    assert_eq!(books.other, snapshot.other.calls);
    let sets: u64 = snapshot.sets.iter().flat_map(|set| set.outcomes).sum();
    assert_eq!(books.statements, sets);
    assert_eq!(snapshot.latency.count, books.exact + books.bound);
    let timed: u64 = snapshot.sets.iter().map(|set| set.duration.count()).sum();
    assert_eq!(timed, books.exact + books.bound);
}

/// All time is in exactly one place: a digest, `other`, or the batches that can't be divided.
fn assert_times(snapshot: &Snapshot) {
    let rows = snapshot.digests.iter().map(|row| row.totals.phases);
    let mut sum = snapshot.other.phases;
    rows.for_each(|phases| sum.add(&phases));
    sum.add(&snapshot.indivisible_batches.phases);
    assert_eq!(sum, snapshot.phases);
    let mut pairs = crate::snapshot::Phases::default();
    snapshot.pairs.iter().for_each(|pair| pairs.add(&pair.phases));
    assert_eq!(pairs, snapshot.phases);
}

#[test]
fn books_and_times_balance() {
    for seed in 1..=5 {
        let snapshot = seeded(seed, 4_000, false);
        assert!(snapshot.books.statements > 3_000);
        assert!(snapshot.books.other > 0, "the digest table is full");
        assert_books(&snapshot);
        assert_times(&snapshot);
    }
}

#[test]
fn the_same_input_gives_the_same_snapshot() {
    let text = |snapshot: Snapshot| format!("{snapshot:?}");
    assert_eq!(text(seeded(7, 3_000, false)), text(seeded(7, 3_000, false)));
    assert_ne!(text(seeded(7, 3_000, false)), text(seeded(8, 3_000, false)));
}

#[test]
fn the_borders_of_batches_change_nothing() {
    // Fewer statements than the first tick of an unbatched stream.
    let (whole, single) = (seeded(7, 400, true), seeded(7, 400, false));
    assert_eq!(format!("{whole:?}"), format!("{single:?}"));
}

#[test]
fn batch_time_belongs_to_a_digest_only_if_all_members_share_it() {
    const A: &str = "SELECT a FROM a WHERE id = $1";
    const B: &str = "SELECT b FROM b WHERE id = $1";
    for (name, members, announced, own, indivisible) in [
        ("one digest", &[A, A, A][..], 3, 900, 0),
        ("two digests", &[A, B, A][..], 3, 0, 900),
        ("a member was lost", &[A, A][..], 3, 0, 900),
        ("one member", &[A][..], 1, 900, 0),
    ] {
        let mut stream = Stream::new(Limits::default());
        let last = members.len() - 1;
        for (at, sql) in members.iter().enumerate() {
            let (timing, us) =
                if at == last { (Timing::BatchLast, 900) } else { (Timing::Batch, 0) };
            stream.exec(Exec { sql, timing, us, batch_statements: announced, ..Exec::default() });
        }
        let snapshot = stream.snapshot();
        let times: u64 = snapshot.digests.iter().map(|row| row.totals.phases.statement_us()).sum();
        assert_eq!(times, own, "{name}");
        assert_eq!(snapshot.indivisible_batches.phases.statement_us(), indivisible, "{name}");
        assert_eq!(snapshot.phases.statement_us(), 900, "{name}");
        assert_eq!(snapshot.latency.count, 0, "{name}");
        assert_eq!(snapshot.books.batch_members, members.len() as u64, "{name}");
    }
}

#[test]
fn every_timing_has_its_term() {
    let books = |timing, outcome| {
        let mut stream = Stream::new(Limits::default());
        stream.exec(Exec { sql: "SELECT 1 FROM t", timing, outcome, ..Exec::default() });
        stream.snapshot().books
    };
    let one = Books { statements: 1, ..Books::default() };
    for (timing, outcome, expected) in [
        (Timing::Exact, Outcome::Ok, Books { exact: 1, ..one }),
        (Timing::Exact, Outcome::Error, Books { exact: 1, ..one }),
        (Timing::Exact, Outcome::Cancelled, Books { exact: 1, ..one }),
        (Timing::Bound, Outcome::Ok, Books { bound: 1, ..one }),
        (Timing::Batch, Outcome::Ok, Books { batch_members: 1, ..one }),
        (Timing::BatchLast, Outcome::Error, Books { batch_members: 1, ..one }),
        (Timing::Empty, Outcome::Ok, Books { empty: 1, ..one }),
        (Timing::Exact, Outcome::Aborted, Books { aborted: 1, ..one }),
        (Timing::Batch, Outcome::Aborted, Books { aborted: 1, ..one }),
        (Timing::Part, Outcome::Ok, Books::default()),
    ] {
        assert_eq!(books(timing, outcome), expected, "{timing:?} {outcome:?}");
    }
}

#[test]
fn an_unknown_text_is_counted_as_such() {
    let mut analyzer = Analyzer::new(Limits::default(), Salt::new(1, 2));
    let record =
        StatementRecord { text: TextKey(99), first_row_us: 10, ..StatementRecord::default() };
    let call = StatementRecord { protocol: Protocol::FunctionCall, ..record };
    let events = vec![Event::Statement(record), Event::Statement(call)];
    analyzer.ingest(&RecordBatch { events, ..RecordBatch::default() });
    let snapshot = analyzer.snapshot(1_000);
    assert_eq!((snapshot.books.statements, snapshot.books.untracked), (2, 1));
    let mut names: Vec<_> = snapshot.digests.iter().map(|row| row.summary.to_string()).collect();
    names.sort();
    assert_eq!(names, ["function call", "unknown text"]);
    assert_eq!(&*snapshot.digests[0].database, "other", "its session was never opened");
}

#[test]
fn members_of_a_text_are_their_own_digests() {
    let mut analyzer = Analyzer::new(Limits::default(), Salt::new(1, 2));
    let sql = b"SELECT a FROM a; UPDATE b SET c = 1";
    let key = text_key(sql);
    let bytes = Span { start: 0, len: sql.len() as u32 };
    let record = |member| {
        Event::Statement(StatementRecord { text: key, member, ..StatementRecord::default() })
    };
    analyzer.ingest(&RecordBatch {
        bytes: sql.to_vec(),
        texts: vec![NewText { key, bytes, cut: false }],
        events: vec![record(0), record(1), record(2)],
        ..RecordBatch::default()
    });
    let snapshot = analyzer.snapshot(1_000);
    let mut texts: Vec<_> = snapshot.digests.iter().map(|row| row.query_text.to_string()).collect();
    texts.sort();
    assert_eq!(
        texts,
        ["SELECT a FROM a", "SELECT a FROM a; UPDATE b SET c = ?", "UPDATE b SET c = ?"]
    );
}

/// A number as a name; the parser's fingerprint takes tables that differ only in digits for one.
fn in_letters(number: u32) -> String {
    number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
}

#[test]
fn a_hundred_thousand_texts_stay_within_small_limits() {
    let limits = Limits {
        texts_max: 1_000,
        text_bytes_max: 256 * 1_024,
        digests_max: 50,
        ..Limits::default()
    };
    let mut analyzer = Analyzer::new(limits.clone(), Salt::new(1, 2));
    for chunk in 0..1_000u32 {
        let mut batch = RecordBatch::default();
        for n in 0..100 {
            // A literal in the one, a new shape in the other.
            let sql = match n % 20 {
                0 => format!("SELECT a FROM t_{} WHERE b = 'x'", in_letters(chunk * 100 + n)),
                _ => format!("SELECT a FROM t WHERE b = '{}'", chunk * 100 + n),
            };
            let key = text_key(sql.as_bytes());
            let bytes = Span { start: batch.bytes.len() as u32, len: sql.len() as u32 };
            batch.bytes.extend_from_slice(sql.as_bytes());
            batch.texts.push(NewText { key, bytes, cut: false });
            batch.events.push(Event::Statement(StatementRecord {
                text: key,
                ..StatementRecord::default()
            }));
        }
        analyzer.ingest(&batch);
        let (texts, bytes) = analyzer.held_texts();
        assert!(texts <= 2 * limits.texts_max, "{texts}");
        // One entry may cross the line before the generation turns.
        assert!(bytes <= 2 * (limits.text_bytes_max + 4_096), "{bytes}");
    }
    let snapshot = analyzer.snapshot(1);
    assert_eq!(snapshot.books.statements, 100_000);
    assert_eq!(snapshot.books.untracked, 0, "every text was known when it ran");
    assert_eq!(snapshot.digests.len(), 50);
    // Shapes 50 … 4,999 found the table full (one row is the common shape).
    assert_eq!(snapshot.books.other, 5_000 - 49);
    assert!(analyzer.text_epoch() >= 99, "{}", analyzer.text_epoch());
    assert_books(&snapshot);
}

#[test]
fn a_full_table_gives_the_place_of_an_idle_digest_to_a_new_one() {
    let mut stream = Stream::new(Limits { digests_max: 2, ..Limits::default() });
    let run = |stream: &mut Stream, table: &str, us| {
        stream.exec(Exec { sql: &format!("SELECT a FROM {table}"), us, ..Exec::default() });
    };
    run(&mut stream, "dear", 5_000);
    run(&mut stream, "cheap", 10);
    run(&mut stream, "late", 10);
    assert_eq!(stream.snapshot().books.other, 1);
    stream.pass(600_000_000);
    run(&mut stream, "late", 10);
    let snapshot = stream.snapshot();
    let summaries: Vec<_> = snapshot.digests.iter().map(|row| row.summary.to_string()).collect();
    assert_eq!(summaries, ["SELECT dear", "SELECT late"]);
    assert_eq!(snapshot.books.other, 2);
    assert_books(&snapshot);
    assert_times(&snapshot);
}

#[test]
fn units_are_traces_then_transactions_then_runs() {
    const TAG: &str =
        "/*traceparent='00-00000000000000000000000000000007-00f067aa0ba902b7-01',route='r'*/";
    let mut stream = Stream::new(Limits::default());
    let auto = Exec { transaction: 0, sql: "SELECT a FROM t", ..Exec::default() };
    // A run of two, a pause, a run of one.
    (0..2).for_each(|_| stream.exec(auto));
    stream.exec(Exec { think_us: 60_000, ..auto });
    // A transaction of three with BEGIN and COMMIT.
    stream.exec(Exec { sql: "BEGIN", tag: Tag::Begin, ..auto });
    stream.exec(Exec { transaction: 1, think_us: 300, ..auto });
    stream.commit(1, 1);
    // A traced transaction: BEGIN and COMMIT belong to the trace; so does a statement of another session.
    let traced = format!("SELECT a FROM t {TAG}");
    stream.exec(Exec { sql: "BEGIN", tag: Tag::Begin, ..auto });
    stream.exec(Exec { sql: &traced, transaction: 2, ..auto });
    stream.commit(1, 2);
    stream.exec(Exec { sql: &traced, session: 2, ..auto });
    stream.pass(10_000_000);
    let snapshot = stream.snapshot();
    let mut routes: Vec<_> = snapshot
        .routes
        .iter()
        .map(|row| (row.route.to_string(), row.units, row.statements, row.think_in_transaction_us))
        .collect();
    routes.sort();
    assert_eq!(routes, [("none".to_owned(), 3, 2 + 1 + 3, 300), ("r".to_owned(), 1, 4, 0)]);
    assert_eq!(snapshot.unit_statements[0].1.count(), 4);
}

#[test]
fn think_time_is_split_by_the_state_before_the_request() {
    let mut stream = Stream::new(Limits::default());
    let auto = Exec { transaction: 0, sql: "SELECT a FROM t", think_us: 100, ..Exec::default() };
    stream.exec(auto);
    stream.exec(Exec { sql: "BEGIN", tag: Tag::Begin, transaction: 1, ..auto });
    stream.exec(Exec { transaction: 1, ..auto });
    stream.commit(1, 1);
    stream.exec(auto);
    let phases = stream.snapshot().phases;
    assert_eq!((phases.think_idle_us, phases.think_in_transaction_us), (300, 100));
}

#[test]
fn labels_are_kept_per_source_and_service() {
    let mut stream = Stream::new(Limits { sources_max: 2, ..Limits::default() });
    for (session, name) in [(4, "worker-1"), (5, "worker-2"), (6, "cron")] {
        stream.open(session, "shop", name);
        stream.exec(Exec { session, sql: "SELECT a FROM t", ..Exec::default() });
    }
    stream.exec(Exec { session: 5, sql: "SELECT a FROM t", ..Exec::default() });
    let snapshot = stream.snapshot();
    let mut services: Vec<_> =
        snapshot.sets.iter().map(|set| (set.service.to_string(), set.outcomes[0])).collect();
    services.sort();
    assert_eq!(services, [("cron".to_owned(), 1), ("worker-?".to_owned(), 3)]);
    let sources: Vec<_> = snapshot.digests[0]
        .sources
        .iter()
        .map(|source| (source.application_name.to_string(), source.calls))
        .collect();
    assert_eq!(sources, [("worker-2".to_owned(), 2), ("worker-1".to_owned(), 1)]);
}

#[test]
fn errors_are_counted_by_state_and_class() {
    let mut stream = Stream::new(Limits::default());
    for outcome in [Outcome::Ok, Outcome::Error, Outcome::Error] {
        stream.exec(Exec { sql: "SELECT a FROM t", outcome, ..Exec::default() });
    }
    let snapshot = stream.snapshot();
    assert_eq!(snapshot.digests[0].totals.errors, 2);
    assert_eq!(snapshot.digests[0].sqlstates, [(*b"23505", 2)]);
    assert_eq!((&*snapshot.errors[0].class, snapshot.errors[0].count), ("23", 2));
}

#[test]
fn an_unchanged_row_is_not_computed_again_but_stays_right() {
    let mut stream = Stream::new(Limits::default());
    stream.exec(Exec { sql: "SELECT a FROM t", us: 500, ..Exec::default() });
    let first = stream.snapshot();
    assert_eq!(format!("{:?}", first.digests), format!("{:?}", stream.snapshot().digests));
    stream.exec(Exec { sql: "SELECT a FROM t", us: 700, ..Exec::default() });
    let row = &stream.snapshot().digests[0];
    assert_eq!((row.totals.calls, row.latency.count, row.latency.max_us), (2, 2, 700));
}

#[test]
fn the_history_adds_up_step_by_step() {
    let mut stream = Stream::new(Limits { history_steps_max: 2, ..Limits::default() });
    let step_us = Limits::default().history_step_us;
    let read = Exec { sql: TEXTS[0], transaction: 0, us: 1_500, ..Exec::default() };
    let failed = Exec { outcome: Outcome::Error, rows: Some(0), ..read };
    stream.pass(step_us);
    for calls in [2, 3] {
        (0..calls).for_each(|_| stream.exec(read));
        stream.exec(failed);
        stream.pass(step_us);
    }
    let snapshot = stream.snapshot();
    let calls: Vec<u64> = snapshot.history.iter().map(|step| step.all.calls).collect();
    assert_eq!(calls, [3, 4], "the first step had to make room");
    let row = &snapshot.digests[0];
    for step in &*snapshot.history {
        assert_eq!(step.point(row.digest, "shop"), Some(step.all));
        assert_eq!(step.point(row.digest, "elsewhere"), Some(crate::snapshot::Point::default()));
        assert_eq!((step.all.errors, step.all.total_us), (1, step.all.calls * 1_500));
        assert!((1_000..=2_000).contains(&step.all.p95_us.expect("timed")));
    }
}

#[test]
fn open_sessions_are_shown_with_what_they_did_last() {
    use crate::snapshot::SessionState::{Active, Idle, IdleInTransaction};
    let mut stream = Stream::new(Limits::default());
    stream.exec(Exec { session: 1, sql: TEXTS[0], transaction: 0, ..Exec::default() });
    stream.begin(2, 1);
    stream.begin(3, 1);
    stream.commit(3, 1);
    let (session, since_us, at_us) = (SessionId(3), stream.now + 1, stream.now + 600_000);
    stream.event(Event::Busy { session, since_us, at_us });
    stream.now = at_us;
    let snapshot = stream.snapshot();
    let shown: Vec<_> = snapshot.sessions.iter().map(|row| (row.id, row.state)).collect();
    assert_eq!(shown, [(3, Active), (2, IdleInTransaction), (1, Idle)]);
    assert_eq!(snapshot.sessions[0].state_since_us, since_us);
    let idle = &snapshot.sessions[2];
    assert_eq!((&*idle.database, &*idle.service, idle.statements), ("shop", "web", 1));
    assert_eq!(idle.last.as_ref().map(|(_, summary)| &**summary), Some("SELECT orders"));
    assert_eq!(snapshot.sessions_open, 3);
}

#[test]
fn a_digest_knows_how_it_comes_and_where_its_bytes_are() {
    let mut stream = Stream::new(Limits::default());
    let sql = "SELECT id, name FROM customers WHERE id = 7";
    stream.describe(sql, &[(20, 1, "id"), (20, 2, "name")]);
    let large = Exec { sql, transaction: 0, widths: &[8, 40], bytes: 50_000, ..Exec::default() };
    stream.exec(large);
    stream.exec(Exec { sql: TEXTS[1], protocol: Protocol::Extended, parsed: true, ..large });
    let snapshot = stream.snapshot();
    let row = snapshot.digests.iter().find(|row| &*row.summary == "SELECT customers").expect("row");
    let columns: Vec<_> = row.columns.iter().map(|column| (&*column.name, column.bytes)).collect();
    assert_eq!(columns, [("customers.id", 8), ("customers.name", 40)]);
    let hygiene = (row.hygiene.simple, row.hygiene.literal, row.hygiene.parsed);
    assert_eq!(hygiene, (1, 1, 0));
}
