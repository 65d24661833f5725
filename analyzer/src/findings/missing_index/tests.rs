//! Rules A to E through the analyzer: below, at and above each limit.

use crate::finding::{Finding, Kind, Proof, Severity, State};
use crate::limits::Limits;
use crate::testing::{Exec, Stream, values};

const SLOW: &str = "SELECT id, total FROM orders WHERE email = $1";
const FAST: &str = "SELECT id, total FROM orders WHERE id = $1";
const DAY_US: u64 = 86_400 * 1_000_000;

/// The baseline is 180 us, and nine tenths of a duration are time to the first row. So this is 5,000 us of
/// server time, the least that counts …
const AT_FIVE_MS: u64 = 5_755;
/// … and this is 10,000.
const AT_TEN_MS: u64 = 11_311;

/// What is sent: slow executions of a text, and what surrounds them.
#[derive(Clone, Copy)]
struct Case<'a> {
    sql: &'a str,
    calls: usize,
    us: u64,
    rows: u64,
    bytes: u64,
    /// Durations of five executions of the sibling, if there is one.
    sibling_us: Option<u64>,
    /// Another statement before.
    before: Option<&'a str>,
    /// Server time of something else.
    elsewhere_us: u64,
}

const BASE: Case<'_> = Case {
    sql: SLOW,
    calls: 20,
    us: AT_FIVE_MS,
    rows: 1,
    bytes: 100,
    sibling_us: Some(1_000),
    before: None,
    elsewhere_us: 0,
};

fn send(stream: &mut Stream, case: &Case<'_>) {
    stream.begin(1, 1);
    stream.commit(1, 1);
    let auto = Exec { transaction: 0, rows: Some(1), ..Exec::default() };
    if let Some(sql) = case.before {
        stream.exec(Exec { sql, ..auto });
    }
    if let Some(us) = case.sibling_us {
        (0..5).for_each(|_| stream.exec(Exec { sql: FAST, us, ..auto }));
    }
    if case.elsewhere_us > 0 {
        stream.exec(Exec { sql: "SELECT 1 FROM a, b", us: case.elsewhere_us, ..auto });
    }
    for n in values(0, case.calls) {
        let exec = Exec { sql: case.sql, us: case.us, bytes: case.bytes, ..auto };
        stream.exec(Exec { binds: &[n], rows: Some(case.rows), ..exec });
    }
    stream.pass(1_000);
}

fn suspects(stream: &mut Stream) -> Vec<Finding> {
    let mut findings = stream.findings();
    findings.retain(|finding| finding.kind == Kind::MissingIndex);
    findings
}

fn columns(case: &Case<'_>) -> Vec<String> {
    let mut stream = Stream::new(Limits::default());
    send(&mut stream, case);
    let columns = suspects(&mut stream).into_iter().filter_map(|finding| finding.column);
    columns.map(|column| column.to_string()).collect()
}

#[test]
fn thresholds() {
    for (name, case, fires) in [
        ("at A", BASE, true),
        ("A: 19 calls", Case { calls: 19, ..BASE }, false),
        ("A: 4,999 us", Case { us: AT_FIVE_MS - 1, ..BASE }, false),
        ("A: a hundredth of all time", Case { elsewhere_us: 10_000_000, ..BASE }, true),
        ("A: less than that", Case { elsewhere_us: 12_000_000, ..BASE }, false),
        (
            "A: little share, but a second",
            Case { elsewhere_us: 500_000_000, calls: 201, ..BASE },
            true,
        ),
        ("B: 0.3 MB explain 5,002 us", Case { bytes: 300_000, us: AT_FIVE_MS + 2, ..BASE }, false),
        ("B: but not 5,003", Case { bytes: 300_000, us: AT_FIVE_MS + 3, ..BASE }, true),
        ("C: 1,000 rows", Case { rows: 1_000, us: 50_000, ..BASE }, true),
        ("C: 1,001 rows", Case { rows: 1_001, us: 50_000, ..BASE }, false),
        (
            "D3: the sibling isn't five times as fast",
            Case { sibling_us: Some(1_001), ..BASE },
            false,
        ),
        ("D3: no sibling, 10 ms", Case { sibling_us: None, us: AT_TEN_MS, ..BASE }, true),
        ("D3: no sibling, less", Case { sibling_us: None, us: AT_TEN_MS - 1, ..BASE }, false),
    ] {
        assert_eq!(columns(&case) == ["orders.email"], fires, "{name}: {:?}", columns(&case));
    }
}

#[test]
fn texts_that_are_and_are_not_suspect() {
    let slow = Case { us: 50_000, ..BASE };
    for (sql, expected) in [
        (SLOW, Some("orders.email")),
        ("SELECT id FROM orders WHERE shop = $1 AND at > $2", Some("orders.shop, orders.at")),
        (
            "SELECT id FROM orders WHERE shop = $1 ORDER BY at DESC LIMIT 10",
            Some("orders.shop, orders.at"),
        ),
        (
            "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.email = $1",
            Some("customers.email"),
        ),
        ("UPDATE orders SET seen = true WHERE email = $1", Some("orders.email")),
        ("SELECT id FROM orders WHERE email <> $1", None),
        ("SELECT id FROM orders WHERE id = $1 AND 1 = 1", None),
        ("SELECT id FROM orders", None),
        ("SELECT id, pg_sleep(1) FROM orders WHERE email = $1", None),
        ("SELECT id FROM orders WHERE email = $1 AND pg_advisory_lock(1) IS NULL", None),
        ("SELECT id FROM orders WHERE email = $1 FOR UPDATE", None),
        ("SELECT price(id) FROM orders WHERE email = $1", None),
        ("SELECT relname FROM pg_catalog.pg_class WHERE relname = $1", None),
        ("COPY (SELECT id FROM orders WHERE email = 'x') TO STDOUT", None),
    ] {
        let found = columns(&Case { sql, ..slow });
        assert_eq!(found.first().map(String::as_str), expected, "{sql}");
        assert!(found.len() <= 1, "{sql}");
    }
}

#[test]
fn a_table_that_changes_or_is_temporary_is_left_alone() {
    for before in [
        "ALTER TABLE orders ADD COLUMN x int",
        "CREATE INDEX orders_email ON orders (email)",
        "CREATE TEMP TABLE orders (id int, email text)",
    ] {
        assert_eq!(
            columns(&Case { before: Some(before), us: 50_000, ..BASE }),
            [""; 0],
            "{before}"
        );
    }
    let other = Case { before: Some("ALTER TABLE customers ADD COLUMN x int"), ..BASE };
    assert_eq!(columns(&other), ["orders.email"]);
}

#[test]
fn waits_behind_writers_are_no_missing_index() {
    for (writer, fires) in [(false, true), (true, false)] {
        let mut stream = Stream::new(Limits::default());
        send(&mut stream, &Case { calls: 0, ..BASE });
        if writer {
            let sql = "UPDATE orders SET total = 1 WHERE id = $1";
            stream.exec(Exec { session: 2, transaction: 5, sql, binds: &[1], ..Exec::default() });
        }
        let auto = Exec { transaction: 0, sql: SLOW, rows: Some(1), ..Exec::default() };
        for n in values(0, 30) {
            let us = if n % 5 == 0 { 700 } else { 50_000 };
            stream.exec(Exec { us, binds: &[n], ..auto });
        }
        stream.pass(1_000);
        assert_eq!(!suspects(&mut stream).is_empty(), fires, "writer: {writer}");
    }
}

#[test]
fn some_values_are_slow() {
    for (fast_us, fast_rows, fires) in [(1_400, 1, true), (2_000, 1, false), (1_400, 3, false)] {
        let mut stream = Stream::new(Limits::default());
        send(&mut stream, &Case { calls: 0, sibling_us: None, ..BASE });
        let auto = Exec { transaction: 0, sql: SLOW, ..Exec::default() };
        for n in 0..25 {
            let (value, us, rows) = if n % 5 < 3 { (1, 8_000, 1) } else { (2, fast_us, fast_rows) };
            stream.exec(Exec { binds: &[value], us, rows: Some(rows), ..auto });
        }
        stream.pass(1_000);
        assert_eq!(!suspects(&mut stream).is_empty(), fires, "{fast_us} us, {fast_rows} rows");
    }
}

#[test]
fn times_that_grow_from_day_to_day() {
    for (name, days, fires) in [
        ("grows", &[6_000, 7_000, 8_200][..], true),
        ("hardly", &[6_000, 7_000, 7_700][..], false),
        ("two days only", &[6_000, 9_000][..], false),
    ] {
        let mut stream = Stream::new(Limits::default());
        for us in days {
            send(&mut stream, &Case { sibling_us: None, us: *us, ..BASE });
            stream.pass(DAY_US);
        }
        assert_eq!(!suspects(&mut stream).is_empty(), fires, "{name}");
    }
}

#[test]
fn a_suspect_is_only_a_candidate() {
    let mut stream = Stream::new(Limits::default());
    send(&mut stream, &Case { calls: 30, us: 900_000, ..BASE });
    let finding = &suspects(&mut stream)[0];
    assert_eq!((finding.proof, finding.severity), (Proof::Text, Severity::Warning));
    assert!(finding.sentence.starts_with("Candidate: `orders` may lack an index on (email)"));
    assert!(finding.fix.text.contains("read-only role"), "{}", finding.fix.text);
    assert_eq!((finding.fix.sql.as_ref(), finding.sightings), (None, 30));
    assert!(!finding.fix.text.to_uppercase().contains("CREATE INDEX"));
}

#[test]
fn two_digests_on_the_same_columns_are_one_finding() {
    let mut stream = Stream::new(Limits::default());
    send(&mut stream, &Case { us: 50_000, ..BASE });
    send(
        &mut stream,
        &Case { us: 90_000, sql: "SELECT total FROM orders WHERE email = $1", ..BASE },
    );
    let suspects = suspects(&mut stream);
    assert_eq!(suspects.len(), 1);
    let text = &suspects[0].child.as_ref().unwrap().query_text;
    assert!(text.starts_with("SELECT total"), "the costlier one speaks for both: {text}");
}

#[test]
fn a_suspect_closes_after_a_day_and_comes_back() {
    let mut stream = Stream::new(Limits::default());
    send(&mut stream, &BASE);
    stream.pass(DAY_US - 10_000_000);
    assert_eq!(suspects(&mut stream)[0].state, State::Open);
    stream.pass(20_000_000);
    assert_eq!(suspects(&mut stream)[0].state, State::Resolved);
    send(&mut stream, &BASE);
    let finding = &suspects(&mut stream)[0];
    assert_eq!((finding.state, finding.reopened, finding.sightings), (State::Open, 1, 40));
}
