//! Sessions and transactions: each limit just below, at and above; each trap silent beside a twin that fires.

use crate::finding::{EvidenceValue, Finding, Kind, Proof, Severity};
use crate::limits::Limits;
use crate::record::{Event, SessionId, Tag, TransactionOutcome, TransactionRecord};
use crate::testing::{Exec, Stream};

const READ: &str = "SELECT id FROM orders WHERE id = $1";
const LOCK: &str = "SELECT id FROM orders WHERE id = $1 FOR UPDATE";
const WRITE: &str = "UPDATE orders SET total = $1 WHERE id = $2";
const S: u64 = 1_000_000;

fn stream() -> Stream {
    Stream::new(Limits::default())
}

fn work(sql: &str) -> Exec<'_> {
    let tag = if sql.starts_with("UPDATE") { Tag::Update } else { Tag::Select };
    Exec { sql, tag, rows: Some(1), ..Exec::default() }
}

fn end(stream: &mut Stream, begin_us: u64, outcome: TransactionOutcome) {
    let end_us = stream.now;
    stream.event(Event::Transaction(TransactionRecord {
        session: SessionId(1),
        transaction: 1,
        begin_us,
        end_us,
        think_us: 0,
        outcome,
    }));
}

fn of(findings: &[Finding], kind: Kind) -> Option<Finding> {
    let mut found = findings.iter().filter(|finding| finding.kind == kind);
    let first = found.next().cloned();
    assert!(found.next().is_none(), "{kind:?} twice");
    first
}

fn number(finding: &Finding, name: &str) -> f64 {
    match finding.evidence.iter().find(|(known, _)| *known == name) {
        Some((_, EvidenceValue::Number(number))) => *number,
        Some((_, EvidenceValue::Count(count))) => *count as f64,
        other => panic!("{name}: {other:?}"),
    }
}

/// A transaction of one statement, then a pause, then COMMIT.
fn idle(sql: &str, think_us: u64) -> Option<Finding> {
    let mut stream = stream();
    let begin_us = stream.now;
    stream.begin(1, 1);
    stream.exec(work(sql));
    stream.exec(Exec { sql: "COMMIT", tag: Tag::Commit, think_us, ..Exec::default() });
    end(&mut stream, begin_us, TransactionOutcome::Commit);
    of(&stream.findings(), Kind::IdleInTransaction)
}

#[test]
fn idle_at_its_limits() {
    for (sql, think_us, severity) in [
        (READ, S - 1, None),
        (READ, S, Some(Severity::Warning)),
        (WRITE, 10 * S - 1, Some(Severity::Warning)),
        (WRITE, 10 * S, Some(Severity::Error)),
        (LOCK, 10 * S, Some(Severity::Error)),
        (READ, 10 * S, Some(Severity::Warning)),
        (READ, 3_600 * S, Some(Severity::Warning)),
    ] {
        let finding = idle(sql, think_us);
        assert_eq!(finding.as_ref().map(|f| f.severity), severity, "{sql} {think_us}");
        let Some(finding) = finding else { continue };
        assert_eq!(finding.proof, Proof::Observed);
        assert_eq!(number(&finding, "idle_s"), think_us as f64 / 1e6);
        assert_eq!(finding.cost.saved_high_ms, think_us as f64 / 1e3);
        assert_eq!(finding.child.as_ref().map(|child| &*child.query_text), Some(sql));
    }
}

#[test]
fn idle_outside_a_transaction_is_nobodys_business() {
    let mut stream = stream();
    for _ in 0..3 {
        stream.exec(Exec { transaction: 0, think_us: 60 * S, ..work(READ) });
    }
    stream.begin(1, 1);
    stream.exec(work(READ));
    stream.commit(1, 1);
    stream.exec(Exec { transaction: 0, think_us: 60 * S, ..work(WRITE) });
    assert!(of(&stream.findings(), Kind::IdleInTransaction).is_none());
}

#[test]
fn a_long_statement_is_no_idle_time() {
    let mut stream = stream();
    stream.begin(1, 1);
    stream.exec(Exec { us: 60 * S, ..work(WRITE) });
    stream.commit(1, 1);
    assert!(of(&stream.findings(), Kind::IdleInTransaction).is_none());
}

fn waiting(stream: &mut Stream, since_us: u64, us: u64) {
    let session = SessionId(1);
    stream.event(Event::Waiting { session, since_us, at_us: since_us + us });
    stream.now = since_us + us;
}

#[test]
fn a_client_that_never_comes_back_is_seen_while_it_waits() {
    let mut stream = stream();
    stream.begin(1, 1);
    stream.exec(work(WRITE));
    let since_us = stream.now;
    waiting(&mut stream, since_us, S - 1);
    assert!(of(&stream.findings(), Kind::IdleInTransaction).is_none());
    for (us, severity) in
        [(S, Severity::Warning), (9 * S, Severity::Warning), (10 * S, Severity::Error)]
    {
        waiting(&mut stream, since_us, us);
        let finding = of(&stream.findings(), Kind::IdleInTransaction).expect("waits");
        assert_eq!((finding.severity, finding.sightings), (severity, 1), "{us}");
        assert_eq!(finding.cost.busy_total_ms, us as f64 / 1e3);
    }
    // It comes back after all: the same occurrence, with its true length.
    stream.now = since_us;
    stream.exec(Exec { sql: "ROLLBACK", tag: Tag::Rollback, think_us: 12 * S, ..Exec::default() });
    end(&mut stream, since_us, TransactionOutcome::Rollback);
    let finding = of(&stream.findings(), Kind::IdleInTransaction).expect("waited");
    assert_eq!((finding.sightings, finding.cost.busy_total_ms), (1, 12_000.0));
    assert_eq!(finding.cost.saved_high_ms, 12_000.0);
    assert_eq!(finding.examples.len(), 1);
    assert_eq!(finding.examples[0].wall_us, 12 * S);
}

#[test]
fn a_session_that_ends_inside_counts_as_idle_until_then() {
    let mut stream = stream();
    let begin_us = stream.now;
    stream.begin(1, 1);
    stream.exec(work(READ));
    stream.now += 4 * S;
    end(&mut stream, begin_us, TransactionOutcome::Abandoned);
    stream.close(1);
    let finding = of(&stream.findings(), Kind::IdleInTransaction).expect("abandoned");
    assert_eq!(number(&finding, "idle_s"), 4.0);
}

/// A transaction of `statements` that ends `us` after its begin.
fn long(sql: &str, tag: Tag, statements: usize, us: u64) -> Option<Finding> {
    let mut stream = stream();
    let begin_us = stream.now;
    stream.begin(1, 1);
    let each_us = us / statements as u64 - 10_000;
    for _ in 0..statements {
        stream.exec(Exec { us: each_us, tag, ..work(sql) });
    }
    stream.now = begin_us + us;
    end(&mut stream, begin_us, TransactionOutcome::Commit);
    of(&stream.findings(), Kind::LongTransaction)
}

#[test]
fn length_at_its_limits() {
    for (name, found, severity) in [
        ("just below", long(WRITE, Tag::Update, 4, 5 * S - 1), None),
        ("at the limit", long(WRITE, Tag::Update, 4, 5 * S), Some(Severity::Warning)),
        ("below the error", long(WRITE, Tag::Update, 4, 60 * S - 1), Some(Severity::Warning)),
        ("at the error", long(WRITE, Tag::Update, 4, 60 * S), Some(Severity::Error)),
        ("one statement", long(WRITE, Tag::Update, 1, 60 * S), Some(Severity::Info)),
        ("a COPY", long("COPY orders FROM STDIN", Tag::Copy, 2, 60 * S), Some(Severity::Info)),
    ] {
        assert_eq!(found.as_ref().map(|finding| finding.severity), severity, "{name}");
        assert!(found.is_none_or(|finding| finding.sightings == 1), "{name}");
    }
}

#[test]
fn a_transaction_says_how_much_of_it_was_work() {
    let finding = long(WRITE, Tag::Update, 4, 8 * S).expect("long");
    assert_eq!(number(&finding, "duration_s"), 8.0);
    assert_eq!(number(&finding, "statements"), 4.0);
    assert!((number(&finding, "busy_share") - 0.995).abs() < 0.001, "{:?}", finding.evidence);
    assert!(finding.sentence.contains("4 statements"), "{}", finding.sentence);
}

/// `sessions` in one minute from one client, each with `statements`, `closed` of them ended.
fn churn(sessions: u64, statements: usize, closed: u64) -> Option<Finding> {
    let mut stream = stream();
    (1..=3).for_each(|session| stream.close(session));
    stream.pass(120 * S);
    for session in 100..100 + sessions {
        stream.open(session, "shop", "script");
        stream.exec(Exec {
            session,
            transaction: 0,
            sql: "SELECT typname FROM pg_type",
            us: 500,
            ..Exec::default()
        });
        for _ in 0..statements {
            stream.exec(Exec { session, transaction: 0, ..work(READ) });
        }
        if session - 100 < closed {
            stream.close(session);
        }
    }
    stream.pass(60 * S);
    of(&stream.findings(), Kind::ConnectionChurn)
}

#[test]
fn churn_at_its_limits() {
    for (name, found, fires) in [
        ("nine a minute", churn(9, 2, 9), false),
        ("ten a minute", churn(10, 2, 10), true),
        ("five statements", churn(20, 5, 20), true),
        ("six statements", churn(20, 6, 20), false),
        ("a pool that starts and stays", churn(30, 2, 0), false),
        ("half of them stay", churn(20, 2, 10), true),
        ("more than half stay", churn(20, 2, 9), false),
    ] {
        assert_eq!(found.is_some(), fires, "{name}");
    }
    let finding = churn(20, 2, 20).expect("churn");
    // Five milliseconds of set-up and half a millisecond of questions each.
    assert_eq!((finding.cost.saved_low_ms, finding.sightings), (5.5, 20));
    assert_eq!(finding.cost.busy_total_ms, 110.0);
    assert_eq!(number(&finding, "connects_per_min"), 20.0);
    assert_eq!(number(&finding, "introspection_statements"), 1.0);
    assert_eq!(finding.severity, Severity::Info);
}

/// `sessions` short sessions from `from` on.
fn short_sessions(stream: &mut Stream, from: u64, sessions: u64) {
    for session in from..from + sessions {
        stream.open(session, "shop", "script");
        stream.exec(Exec { session, transaction: 0, ..work(READ) });
        stream.close(session);
    }
}

#[test]
fn churn_is_told_at_once_and_wherever_the_minute_begins() {
    let mut stream = stream();
    let to_border = 120 * S - stream.now % (60 * S) - S;
    stream.pass(to_border);
    short_sessions(&mut stream, 100, 8);
    stream.pass(2 * S);
    assert!(of(&stream.findings(), Kind::ConnectionChurn).is_none());
    short_sessions(&mut stream, 200, 7);
    stream.pass(S);
    let sightings = |stream: &mut Stream| {
        of(&stream.findings(), Kind::ConnectionChurn).map(|finding| finding.sightings)
    };
    assert_eq!(sightings(&mut stream), Some(15));
    stream.pass(S);
    assert_eq!(sightings(&mut stream), Some(15), "nothing is counted twice");
    short_sessions(&mut stream, 300, 3);
    stream.pass(S);
    assert_eq!(sightings(&mut stream), Some(18));
    // Nine more, but a minute later.
    stream.pass(70 * S);
    short_sessions(&mut stream, 400, 9);
    stream.pass(S);
    assert_eq!(sightings(&mut stream), Some(18));
}

#[test]
fn clients_are_told_apart() {
    let mut stream = stream();
    stream.pass(120 * S);
    for session in 100..118 {
        let name = if session % 2 == 0 { "even" } else { "odd" };
        stream.open(session, "shop", name);
        stream.exec(Exec { session, transaction: 0, ..work(READ) });
        stream.close(session);
    }
    stream.pass(60 * S);
    assert!(of(&stream.findings(), Kind::ConnectionChurn).is_none());
}

/// `blocks` transactions of `reads` reads of `us` each, and `alone` reads in autocommit.
fn chatter(blocks: u32, reads: usize, alone: usize, us: u64, sql: &str) -> Option<Finding> {
    let mut stream = stream();
    for block in 1..=blocks {
        stream.begin(1, block);
        for _ in 0..reads {
            stream.exec(Exec { transaction: block, us, ..work(sql) });
        }
        stream.commit(1, block);
    }
    for _ in 0..alone {
        stream.exec(Exec { transaction: 0, us, ..work(READ) });
    }
    // Ends the last round trip.
    stream.close(1);
    stream.pass(S);
    of(&stream.findings(), Kind::TxChatter)
}

#[test]
fn chatter_at_its_limits() {
    for (name, found, fires) in [
        ("999 round trips", chatter(333, 1, 0, 1_000, READ), false),
        ("1,000 round trips", chatter(333, 1, 1, 1_000, READ), true),
        ("40 % control", chatter(200, 1, 400, 1_000, READ), true),
        ("less than 40 % control", chatter(200, 1, 401, 1_000, READ), false),
        ("two reads each", chatter(400, 2, 0, 1_000, READ), false),
        ("a write each", chatter(400, 1, 0, 1_000, WRITE), false),
        ("a locking read each", chatter(400, 1, 0, 1_000, LOCK), false),
        ("nothing inside", chatter(500, 0, 0, 1_000, READ), true),
    ] {
        assert_eq!(found.is_some(), fires, "{name}");
    }
}

#[test]
fn chatter_matters_by_its_share_of_time() {
    // Twice 200 microseconds of control beside one read.
    for (us, severity) in
        [(400, Severity::Warning), (401, Severity::Info), (10_000, Severity::Info)]
    {
        let finding = chatter(400, 1, 0, us, READ).expect("chatter");
        assert_eq!(finding.severity, severity, "{us}");
        assert_eq!(finding.n, Some(800));
        assert_eq!(number(&finding, "begin"), 400.0);
        assert_eq!(finding.cost.busy_ms, 160.0);
    }
}

#[test]
fn control_that_travels_with_its_read_costs_nothing() {
    let mut stream = stream();
    for block in 1..=600 {
        stream.begin(1, block);
        stream.exec(Exec { transaction: block, same_round_trip: true, ..work(READ) });
        stream.exec(Exec {
            transaction: block,
            sql: "COMMIT",
            tag: Tag::Commit,
            same_round_trip: true,
            ..Exec::default()
        });
        let end_us = stream.now;
        stream.event(Event::Transaction(TransactionRecord {
            session: SessionId(1),
            transaction: block,
            begin_us: end_us - 1_000,
            end_us,
            ..TransactionRecord::default()
        }));
    }
    stream.exec(Exec { transaction: 0, ..work(READ) });
    (0..500).for_each(|_| stream.exec(Exec { transaction: 0, ..work(READ) }));
    stream.pass(S);
    assert!(of(&stream.findings(), Kind::TxChatter).is_none());
}

/// `pings` of a kind and `reads` in autocommit, a thousand round trips or so.
fn pings(sql: &str, pings: usize, reads: usize) -> Option<Finding> {
    let mut stream = stream();
    for _ in 0..pings {
        stream.exec(Exec { transaction: 0, sql, us: 100, tag: Tag::Other, ..Exec::default() });
    }
    (0..reads).for_each(|_| stream.exec(Exec { transaction: 0, ..work(READ) }));
    stream.close(1);
    stream.pass(S);
    of(&stream.findings(), Kind::PingOverhead)
}

#[test]
fn pings_at_their_limits() {
    for (name, found, fires) in [
        ("40 % select 1", pings("SELECT 1", 400, 600), true),
        ("less", pings("SELECT 1", 400, 601), false),
        ("too few", pings("SELECT 1", 400, 599), false),
        ("resets", pings("DISCARD ALL", 400, 600), true),
        (
            "asyncpg's release",
            pings("SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;", 400, 600),
            true,
        ),
        ("settings are no pings", pings("SET TIME ZONE 'UTC'", 500, 600), false),
        ("real reads", pings("SELECT max(id) FROM orders", 500, 600), false),
    ] {
        assert_eq!(found.is_some(), fires, "{name}");
    }
}

#[test]
fn an_idle_connection_may_ping() {
    for (asked, severity) in [(1_200, Severity::Warning), (1_201, Severity::Info)] {
        let mut stream = stream();
        let brief = |sql| Exec { transaction: 0, us: 100, ..work(sql) };
        (0..asked).for_each(|_| stream.exec(brief("SELECT 1")));
        (0..400).for_each(|_| stream.exec(brief(READ)));
        stream.close(1);
        stream.pass(S);
        let finding = of(&stream.findings(), Kind::PingOverhead).expect("ping overhead");
        assert_eq!(finding.severity, severity, "{asked} pings around 400 reads");
    }
}

#[test]
fn identity_holds_over_sessions_routes_and_times() {
    let ids: Vec<u64> = [("", S), ("/*route='/a'*/", 2 * S), ("/*route='/b'*/", 20 * S)]
        .into_iter()
        .map(|(comment, think_us)| idle(&format!("{WRITE} {comment}"), think_us).expect("idle").id)
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_ne!(idle(READ, S).map(|finding| finding.id), Some(ids[0]));
}
