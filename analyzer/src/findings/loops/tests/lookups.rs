//! `looped_lookup`.

use super::*;
use crate::finding::{Proof, Severity};
use crate::record::Timing;
use crate::testing::values;

/// How the loop is sent.
#[derive(Clone, Copy)]
struct Case {
    sql: &'static str,
    n: i64,
    think_us: u64,
    rows: u64,
    transaction: u32,
    /// The value of the k-th execution.
    value: fn(i64) -> i64,
    /// Sent after each one.
    between: Option<&'static str>,
    pipelined: bool,
}

const BASE: Case = Case {
    sql: LOOK_UP,
    n: 10,
    think_us: 0,
    rows: 1,
    transaction: 0,
    value: |k| 1_000 + k,
    between: None,
    pipelined: false,
};

fn send(stream: &mut Stream, case: &Case) {
    for k in 0..case.n {
        let binds = [(case.value)(k)];
        let exec = Exec {
            transaction: case.transaction,
            think_us: case.think_us,
            ..auto(case.sql, &binds)
        };
        let same_round_trip = case.pipelined && k > 0;
        stream.exec(Exec { rows: Some(case.rows), same_round_trip, ..exec });
        if let Some(sql) = case.between {
            stream.exec(Exec { transaction: case.transaction, ..auto(sql, &binds) });
        }
    }
}

fn n(case: &Case) -> u64 {
    n_of(&found(Kind::LoopedLookup, |stream| send(stream, case)))
}

#[test]
fn limits_and_traps() {
    let same: fn(i64) -> i64 = |_| 7;
    let keyset = "SELECT id FROM orders WHERE shop = $1 AND id > $2 ORDER BY id LIMIT 10";
    let paged = "SELECT id FROM orders WHERE shop = 1 ORDER BY id LIMIT 10 OFFSET $1";
    // Stream adds 100 us to every pause.
    for (name, case, expected) in [
        ("9", Case { n: 9, ..BASE }, 0),
        ("10", BASE, 10),
        ("11", Case { n: 11, ..BASE }, 11),
        ("a pause of 6 ms", Case { think_us: 5_900, ..BASE }, 10),
        ("a longer pause", Case { think_us: 5_901, ..BASE }, 0),
        ("10 rows each", Case { rows: 10, ..BASE }, 10),
        ("11 rows each", Case { rows: 11, ..BASE }, 0),
        ("in one transaction", Case { transaction: 3, ..BASE }, 10),
        ("the same value", Case { value: same, n: 50, ..BASE }, 0),
        ("every value twice", Case { value: |k| k / 2, n: 20, ..BASE }, 10),
        ("one round trip", Case { pipelined: true, n: 50, ..BASE }, 0),
        ("control in between", Case { between: Some("SELECT 1"), ..BASE }, 10),
        ("catalogue in between", Case { between: Some("SELECT oid FROM pg_type"), ..BASE }, 10),
        ("resets in between", Case { between: Some("DISCARD ALL"), ..BASE }, 10),
        ("keyset pages", Case { sql: keyset, n: 50, ..BASE }, 0),
        ("pages by offset", Case { sql: paged, n: 50, ..BASE }, 0),
        ("a list of one", Case { sql: "SELECT id FROM customers WHERE id IN ($1)", ..BASE }, 10),
        ("no condition", Case { sql: "SELECT id FROM customers", n: 50, ..BASE }, 0),
        ("a ping", Case { sql: "SELECT $1", n: 50, ..BASE }, 0),
    ] {
        assert_eq!(self::n(&case), expected, "{name}");
    }
}

#[test]
fn interleaved_loops_are_all_found() {
    for (statements, expected) in [(2, 2), (8, 8), (9, 0)] {
        let texts: Vec<String> =
            (0..statements).map(|k| format!("SELECT id FROM table_{k} WHERE id = $1")).collect();
        let findings = found(Kind::LoopedLookup, |stream| {
            for value in values(1, 12) {
                let binds = [value];
                texts.iter().for_each(|sql| stream.exec(auto(sql, &binds)));
            }
        });
        assert_eq!(findings.len(), expected, "{statements} statements");
        assert!(findings.iter().all(|finding| finding.n == Some(12)));
    }
}

#[test]
fn an_irregular_mix_in_autocommit_is_no_loop() {
    for (transaction, expected) in [(0, 0), (4, 1)] {
        let findings = found(Kind::LoopedLookup, |stream| {
            for k in 0..40 {
                let (binds, others) = ([k], k % 3);
                stream.exec(Exec { transaction, ..auto(LOOK_UP, &binds) });
                (0..others).for_each(|_| {
                    stream.exec(Exec { transaction, ..auto("SELECT id FROM news", &[]) });
                });
            }
        });
        assert_eq!(findings.len(), expected, "transaction {transaction}");
    }
}

#[test]
fn borders_end_a_run() {
    for (name, border, expected) in [
        ("none", (|_: &mut Stream| {}) as fn(&mut Stream), 16),
        ("a failed statement", |s| s.exec(failed(auto("SELECT x FROM broken", &[]))), 16),
        ("an idle gap", |s| s.now += 50_000, 0),
        (
            "another name",
            |s| {
                let bytes = s.bytes("worker");
                s.event(crate::record::Event::Renamed {
                    session: crate::record::SessionId(1),
                    application_name: bytes,
                });
            },
            0,
        ),
        (
            "a transaction",
            |s| {
                s.begin(1, 9);
                s.commit(1, 9);
            },
            0,
        ),
    ] {
        let findings = found(Kind::LoopedLookup, |stream| {
            send(stream, &Case { n: 8, ..BASE });
            border(stream);
            send(stream, &Case { n: 8, value: |k| 5_000 + k, ..BASE });
        });
        assert_eq!(n_of(&findings), expected, "{name}");
    }
}

#[test]
fn literals_are_values_too() {
    let texts: Vec<String> =
        (0..12).map(|k| format!("SELECT id, name FROM customers WHERE id = {k}")).collect();
    let findings =
        found(Kind::LoopedLookup, |s| texts.iter().for_each(|sql| s.exec(auto(sql, &[]))));
    assert_eq!(n_of(&findings), 12);
}

#[test]
fn trace_ids_hold_and_part() {
    for (name, traces, expected) in [("one trace", 1, 12), ("a trace each", 12, 0)] {
        let texts: Vec<String> = (0..12)
            .map(|k| {
                format!(
                    "{LOOK_UP} /*traceparent='00-{:032x}-00f067aa0ba902b7-01'*/",
                    1 + k % traces
                )
            })
            .collect();
        let findings = found(Kind::LoopedLookup, |stream| {
            for (k, sql) in texts.iter().enumerate() {
                stream.exec(auto(sql, &[k as i64]));
            }
        });
        assert_eq!(n_of(&findings), expected, "{name}");
    }
}

#[test]
fn severity_by_count_and_by_what_holds_it_together() {
    for (name, n, transaction, think_us, others, expected) in [
        ("49 in a transaction", 49, true, 0, false, Severity::Info),
        ("50 in a transaction", 50, true, 0, false, Severity::Warning),
        ("50 in autocommit, tight and alone", 50, false, 400, false, Severity::Warning),
        ("50 in autocommit, not tight", 50, false, 401, false, Severity::Info),
        ("50 in autocommit, others too", 50, false, 0, true, Severity::Info),
    ] {
        let findings = found(Kind::LoopedLookup, |stream| {
            for round in 1..=3 {
                let transaction = if transaction { round } else { 0 };
                send(stream, &Case { n: n / 2, transaction, think_us, ..BASE });
                if others {
                    stream.exec(Exec { session: 2, ..auto(LOOK_UP, &[1]) });
                    stream.now -= 500;
                }
                let rest = Case { n: n - n / 2, value: |k| 9_000 + k, ..BASE };
                send(stream, &Case { transaction, think_us, ..rest });
                stream.pass(LONG_US);
            }
        });
        assert_eq!(findings.len(), 1, "{name}");
        assert_eq!((findings[0].sightings, findings[0].severity), (3, expected), "{name}");
        assert_eq!(findings[0].proof, Proof::Sequence);
    }
}

#[test]
fn twice_is_not_often_enough_for_a_warning() {
    let findings = found(Kind::LoopedLookup, |stream| {
        for transaction in 1..=2 {
            send(stream, &Case { n: 80, transaction, ..BASE });
        }
    });
    assert_eq!((findings[0].sightings, findings[0].severity), (2, Severity::Info));
}

#[test]
fn a_reader_can_believe_it() {
    let findings = found(Kind::LoopedLookup, |stream| {
        in_transactions(stream, 1, |stream, transaction| {
            send(stream, &Case { n: 25, transaction, ..BASE });
        });
    });
    let finding = &findings[0];
    assert!(
        finding.sentence.starts_with(
            "Candidate: `customers` looks read one value at a time: 25 look-ups by `id` in one transaction"
        ),
        "{}",
        finding.sentence
    );
    assert_eq!(
        finding.fix.sql.as_deref(),
        Some("SELECT id, name FROM customers WHERE id = ANY($1)")
    );
    let child = finding.child.as_ref().unwrap();
    assert_eq!((child.table.as_deref(), child.column.as_deref()), (Some("customers"), Some("id")));
    assert_eq!((child.slot, finding.route.as_deref()), (1, None));
    // 25 look-ups of 400 us over a floor of 200 us; one batch would do.
    assert!((finding.cost.saved_high_ms - 9.6).abs() < 1e-9, "{}", finding.cost.saved_high_ms);
    assert!(finding.cost.saved_low_ms >= 24.0 * 0.2);
    assert!((number(finding, "think_p50_ms") - 0.1).abs() < 1e-9);
}

#[test]
fn an_n_plus_one_takes_its_children() {
    const PARENT: &str = "SELECT id, customer_id FROM orders WHERE shop = $1";
    for (from, kinds) in [(1_000, &[Kind::NPlusOne][..]), (5_000, &[Kind::LoopedLookup][..])] {
        let mut stream = Stream::new(Limits::default());
        for transaction in 1..=2 {
            stream.begin(1, transaction);
            let ids = values(1_000, 20);
            let parent =
                Exec { transaction, sql: PARENT, columns: &[(50, 1, &ids)], ..Exec::default() };
            stream.exec(parent);
            for value in values(from, 20) {
                stream.exec(Exec { transaction, ..auto(LOOK_UP, &[value]) });
            }
            // The transaction stays open while nothing happens.
            stream.pass(LONG_US);
            stream.commit(1, transaction);
        }
        settle(&mut stream);
        let mut found: Vec<Kind> = stream.findings().iter().map(|finding| finding.kind).collect();
        found.retain(|kind| *kind != Kind::LongTransaction);
        assert_eq!(found, kinds, "from {from}");
    }
}

#[test]
fn lists_are_batches() {
    let list = "SELECT id FROM customers WHERE id IN ($1, $2)";
    let findings = found(Kind::LoopedLookup, |stream| {
        values(1, 50).into_iter().for_each(|v| stream.exec(auto(list, &[2 * v, 2 * v + 1])));
    });
    assert!(findings.is_empty());
}

#[test]
fn parts_of_a_portal_are_no_loop() {
    let findings = found(Kind::LoopedLookup, |stream| {
        for _ in 0..30 {
            stream.exec(Exec { timing: Timing::Part, ..auto(LOOK_UP, &[5]) });
        }
        stream.exec(auto(LOOK_UP, &[5]));
    });
    assert!(findings.is_empty());
}

#[test]
fn both_tables_of_a_loop_may_be_asked() {
    let findings = found(Kind::LoopedLookup, |stream| {
        for value in values(1, 15) {
            stream.exec(auto(LOOK_UP, &[value]));
            stream.exec(auto(OTHER_LOOK_UP, &[value]));
        }
    });
    assert_eq!(findings.len(), 2);
}
