//! The chain gate: every stream beside its twin that breaks one condition.

use super::*;

fn without_burst(change: impl FnOnce(&mut FlowLimits)) -> Stream {
    let mut flow = FlowLimits { burst: false, ..FlowLimits::default() };
    change(&mut flow);
    Stream::new(Limits { flow, ..Limits::default() })
}

/// Statements that have nothing to do with anything.
fn unrelated(stream: &mut Stream, count: i64) {
    for n in 0..count {
        let sql = "SELECT id FROM settings WHERE name = $1";
        stream.exec(Exec { sql, binds: &[500_000 + n], rows: Some(0), ..AUTO });
    }
}

fn pings(stream: &mut Stream, count: usize) {
    for sql in ["SELECT 1", "BEGIN", "COMMIT", "SELECT oid FROM pg_catalog.pg_type"]
        .iter()
        .cycle()
        .take(count)
    {
        stream.exec(Exec { sql, ..AUTO });
    }
}

/// A stream and whether it proves a loop of twenty (or the given number of) customers.
type Case = (&'static str, fn(&mut Stream), Option<u64>);

const CASES: &[Case] = &[
    ("a loop in autocommit", |s| look_ups(s, AUTO, &values(1_000, 20)), Some(20)),
    (
        "a loop, and then requests that ask for some of its values and as many others",
        |s| {
            look_ups(s, AUTO, &values(1_000, 20));
            for key in values(1_000, 10) {
                look_ups(s, AUTO, &[1_019 - (key - 1_000), 900_000 + key]);
            }
        },
        Some(20),
    ),
    (
        "three unrelated statements in between",
        |s| {
            for key in values(1_000, 20) {
                unrelated(s, 3);
                look_ups(s, AUTO, &[key]);
            }
        },
        Some(20),
    ),
    (
        "four unrelated statements in between",
        |s| {
            for key in values(1_000, 20) {
                unrelated(s, 4);
                look_ups(s, AUTO, &[key]);
            }
        },
        None,
    ),
    (
        "the parent again counts as unrelated",
        |s| {
            look_ups(s, AUTO, &values(1_000, 4));
            for _ in 0..4 {
                let columns = [(10, 1, &[7_000_i64, 7_001][..])];
                s.exec(Exec { sql: ORDERS, binds: &[1], columns: &columns, ..AUTO });
            }
            look_ups(s, AUTO, &values(1_004, 16));
        },
        None,
    ),
    (
        "control and catalogue statements never break it",
        |s| {
            for key in values(1_000, 20) {
                pings(s, 8);
                look_ups(s, AUTO, &[key]);
            }
        },
        Some(20),
    ),
    (
        "failed statements never break it",
        |s| {
            for key in values(1_000, 20) {
                for _ in 0..5 {
                    let sql = "SELECT nothing FROM nowhere WHERE a = $1";
                    s.exec(Exec { sql, binds: &[1], outcome: Outcome::Error, ..AUTO });
                }
                look_ups(s, AUTO, &[key]);
            }
        },
        Some(20),
    ),
    (
        "a fed write keeps it alive",
        |s| {
            for key in values(1_000, 20) {
                unrelated(s, 3);
                let sql = "UPDATE customers SET seen = now() WHERE id = $1";
                s.exec(Exec { sql, binds: &[key], tag: Tag::Update, rows: Some(1), ..AUTO });
                unrelated(s, 3);
                look_ups(s, AUTO, &[key]);
            }
        },
        Some(20),
    ),
    (
        "pauses of 249 ms",
        |s| {
            look_ups(s, Exec { think_us: 249_000, ..AUTO }, &values(1_000, 20));
        },
        Some(20),
    ),
    (
        "pauses of 251 ms",
        |s| {
            look_ups(s, Exec { think_us: 251_000, ..AUTO }, &values(1_000, 20));
        },
        None,
    ),
    ("eight values of twenty", |s| look_ups(s, AUTO, &values(1_000, 8)), Some(8)),
    ("seven values of twenty", |s| look_ups(s, AUTO, &values(1_000, 7)), None),
    (
        "four fifths of the executions are explained",
        |s| {
            for key in values(1_000, 20) {
                look_ups(s, AUTO, &[key]);
                if key % 4 == 0 && key != 1_000 {
                    look_ups(s, AUTO, &[900_000 + key]);
                }
            }
        },
        Some(20),
    ),
    (
        "two thirds of the executions are explained",
        |s| {
            for key in values(1_000, 20) {
                look_ups(s, AUTO, &[key]);
                if key % 2 == 0 {
                    look_ups(s, AUTO, &[900_000 + key]);
                }
            }
        },
        None,
    ),
    (
        "each second value twice",
        |s| {
            for key in values(1_000, 20) {
                look_ups(s, AUTO, &[key, key][..1 + (key % 2) as usize]);
            }
        },
        Some(30),
    ),
    (
        "each value twice",
        |s| {
            for key in values(1_000, 20) {
                look_ups(s, AUTO, &[key, key]);
            }
        },
        None,
    ),
    (
        "backwards",
        |s| {
            let mut keys = values(1_000, 20);
            keys.reverse();
            look_ups(s, AUTO, &keys);
        },
        None,
    ),
    (
        "the first twelve in order, the others backwards: twelve in twenty rise",
        |s| {
            let mut keys = values(1_000, 20);
            keys[11..].reverse();
            look_ups(s, AUTO, &keys);
        },
        Some(20),
    ),
    (
        "the first eleven in order, the others backwards and first",
        |s| {
            let mut keys = values(1_000, 20);
            keys[..9].reverse();
            keys[10..].reverse();
            look_ups(s, AUTO, &keys);
        },
        None,
    ),
    (
        "a commit in between",
        |s| {
            for key in values(1_000, 20) {
                s.begin(1, key as u32);
                look_ups(s, Exec { transaction: key as u32, ..AUTO }, &[key]);
                s.commit(1, key as u32);
            }
        },
        Some(20),
    ),
    (
        "on another session",
        |s| {
            look_ups(s, Exec { session: 2, ..AUTO }, &values(1_000, 20));
        },
        None,
    ),
    (
        "one pipeline with the parent",
        |s| {
            look_ups(s, Exec { same_round_trip: true, ..AUTO }, &values(1_000, 20));
        },
        None,
    ),
    (
        "batches of ten",
        |s| {
            let sql = "SELECT id FROM customers WHERE id IN ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)";
            for keys in values(1_000, 20).chunks(10).cycle().take(6) {
                s.exec(Exec { sql, binds: keys, rows: Some(10), ..AUTO });
            }
        },
        None,
    ),
];

#[test]
fn every_condition_of_the_chain_counts() {
    for (name, send, expected) in CASES {
        let mut stream = without_burst(|_| {});
        orders(&mut stream, AUTO, 20);
        send(&mut stream);
        stream.pass(1_000_000);
        let found: Vec<_> =
            found(&mut stream).into_iter().map(|(_, field, n, _)| (field, n)).collect();
        let expected: Vec<_> = expected.iter().map(|n| (1, *n)).collect();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_chain_needs_a_quarter_of_the_values() {
    for (rows, expected) in [(32, 1), (33, 0)] {
        let mut stream = without_burst(|_| {});
        orders(&mut stream, AUTO, rows);
        look_ups(&mut stream, AUTO, &values(1_000, 8));
        stream.pass(1_000_000);
        assert_eq!(found(&mut stream).len(), expected, "{rows}");
    }
}

#[test]
fn a_chain_closes_by_itself_and_says_its_gate() {
    let mut stream = without_burst(|_| {});
    orders(&mut stream, AUTO, 10);
    look_ups(&mut stream, AUTO, &values(1_000, 10));
    assert_eq!(found(&mut stream), []);
    stream.pass(400_000);
    assert_eq!(found(&mut stream), [], "late batches may still come");
    stream.pass(200_000);
    let findings = n_plus_ones(&mut stream);
    assert_eq!((findings.len(), findings[0].gate), (1, Some("chain")));
    assert_eq!((findings[0].order, findings[0].explained), (Some(1.0), Some(1.0)));
}

#[test]
fn two_chains_are_not_one_another_rivals_unless_they_explain_the_same() {
    let mut stream = without_burst(|_| {});
    // Half of the customers stand in the addresses too: they must not take ten of the twenty.
    orders(&mut stream, AUTO, 20);
    let half = values(1_000, 10);
    stream.exec(Exec {
        sql: "SELECT customer_id FROM addresses",
        columns: &[(50, 2, &half)],
        ..AUTO
    });
    look_ups(&mut stream, AUTO, &values(1_000, 20));
    stream.pass(1_000_000);
    let findings = n_plus_ones(&mut stream);
    assert_eq!((findings.len(), findings[0].n), (1, Some(20)));
    assert_eq!(findings[0].parent.as_ref().unwrap().table_oid, 10);
}

#[test]
fn different_traces_exclude_a_chain() {
    let tagged = |sql: &str, trace: u8| {
        format!("{sql} /*traceparent='00-{trace:032x}-00f067aa0ba902b7-01'*/")
    };
    for (child, expected) in [(1, 1), (2, 0)] {
        let mut stream = without_burst(|_| {});
        let ids = values(1, 10);
        stream.exec(Exec {
            sql: &tagged("SELECT id FROM orders", 1),
            columns: &[(10, 1, &ids)],
            ..AUTO
        });
        for id in &ids {
            stream.exec(Exec { sql: &tagged(ITEMS, child), binds: &[*id], rows: Some(1), ..AUTO });
        }
        stream.pass(20_000_000);
        assert_eq!(found(&mut stream).len(), expected, "{child}");
    }
}

#[test]
fn databases_never_pair() {
    let mut stream = without_burst(|_| {});
    orders(&mut stream, AUTO, 10);
    stream.open(1, "other", "web");
    look_ups(&mut stream, AUTO, &values(1_000, 10));
    stream.pass(1_000_000);
    assert_eq!(found(&mut stream), []);
}

#[test]
fn a_refresh_after_a_commit_is_a_chain_and_says_so() {
    let insert = "INSERT INTO orders (total) VALUES ($1) RETURNING id";
    let read = "SELECT id, total FROM orders WHERE id = $1";
    let mut stream = without_burst(|_| {});
    stream.describe(read, &[(10, 1, "id"), (10, 2, "total")]);
    let ids = values(1, 10);
    stream.begin(1, 1);
    for id in &ids {
        let write = Exec { sql: insert, binds: &[90_000], tag: Tag::Insert, ..Exec::default() };
        stream.exec(Exec { columns: &[(10, 1, &[*id])], ..write });
    }
    stream.commit(1, 1);
    stream.begin(1, 2);
    for id in &ids {
        let read = Exec { sql: read, transaction: 2, binds: &[*id], ..Exec::default() };
        stream.exec(Exec { columns: &[(10, 1, &[*id])], ..read });
    }
    stream.commit(1, 2);
    stream.pass(1_000_000);
    let findings = n_plus_ones(&mut stream);
    assert_eq!((findings.len(), findings[0].n), (1, Some(10)));
    assert_eq!((findings[0].variant, findings[0].gate), (Some("refresh"), Some("chain")));
    let word = |name: &str| findings[0].evidence.iter().find(|(key, _)| *key == name).cloned();
    let yes = |name| Some((name, crate::finding::EvidenceValue::Text("yes".into())));
    assert_eq!(word("commit_between"), yes("commit_between"));
    assert_eq!(word("parent_is_returning"), yes("parent_is_returning"));
}

#[test]
fn a_unit_that_is_open_for_long_shows_what_it_has_proved() {
    let mut stream = without_burst(|_| {});
    stream.begin(1, 1);
    orders(&mut stream, Exec::default(), 20);
    look_ups(&mut stream, Exec::default(), &values(1_000, 8));
    stream.pass(11_000_000);
    let so_far = n_plus_ones(&mut stream);
    assert_eq!((so_far[0].n, so_far[0].sightings), (Some(8), 0));
    assert!(so_far[0].evidence.iter().any(|(name, _)| *name == "in_progress"));
    look_ups(&mut stream, Exec::default(), &values(1_008, 12));
    stream.commit(1, 1);
    let done = n_plus_ones(&mut stream);
    assert_eq!((done.len(), done[0].n, done[0].sightings), (1, Some(20), 1));
    assert!(!done[0].evidence.iter().any(|(name, _)| *name == "in_progress"));
}
