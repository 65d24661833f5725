//! `savepoint_loop` and `tiny_fetch`.

use super::*;
use crate::finding::{Proof, Severity};
use crate::record::Timing;
use crate::testing::values;

/// A control statement of 200 us.
fn control<'a>(transaction: u32, sql: &'a str) -> Exec<'a> {
    Exec { transaction, sql, tag: Tag::Other, us: 200, rows: Some(0), ..Exec::default() }
}

fn guarded(stream: &mut Stream, transaction: u32, name: i64, inside: &[Exec<'_>]) {
    let (open, close) = (format!("SAVEPOINT s1_x{name}"), format!("RELEASE SAVEPOINT s1_x{name}"));
    stream.exec(control(transaction, &open));
    inside.iter().for_each(|exec| stream.exec(*exec));
    stream.exec(control(transaction, &close));
}

#[test]
fn savepoints_at_their_limit() {
    let statement = Exec { transaction: 1, ..write(INSERT, &[1, 2]) };
    let ping = control(1, "SELECT 1");
    for (name, n, inside, expected) in [
        ("9", 9, &[statement][..], 0),
        ("10", 10, &[statement][..], 10),
        ("11", 11, &[statement][..], 11),
        ("a failed one", 10, &[failed(statement)][..], 10),
        ("a ping beside it", 10, &[statement, ping][..], 10),
        ("two statements each", 40, &[statement, statement][..], 0),
        ("nothing inside", 40, &[][..], 0),
    ] {
        let findings = found(Kind::SavepointLoop, |stream| {
            in_transactions(stream, 1, |stream, transaction| {
                values(1, n).into_iter().for_each(|k| guarded(stream, transaction, k, inside));
            });
        });
        assert_eq!(n_of(&findings), expected, "{name}");
    }
}

#[test]
fn savepoints_of_other_shapes() {
    for (name, others, transactions, expected) in [
        ("seven others in between", 7, 1, 12),
        ("eight others in between", 8, 1, 0),
        ("one per transaction", 0, 12, 0),
    ] {
        let findings = found(Kind::SavepointLoop, |stream| {
            in_transactions(stream, transactions, |stream, transaction| {
                let times = if transactions == 1 { 12 } else { 1 };
                for k in 0..times {
                    let binds = [k, 2];
                    let exec = Exec { transaction, ..write(INSERT, &binds) };
                    guarded(stream, transaction, k, &[exec]);
                    (0..others).for_each(|_| {
                        stream.exec(Exec { transaction, ..auto("SELECT id FROM news", &[]) });
                    });
                }
            });
        });
        assert_eq!(n_of(&findings), expected, "{name}");
    }
}

#[test]
fn savepoints_cost_two_round_trips_each() {
    let findings = found(Kind::SavepointLoop, |stream| {
        in_transactions(stream, 3, |stream, transaction| {
            for k in 0..10 {
                let binds = [k, 2];
                let exec = Exec { transaction, ..write(INSERT, &binds) };
                guarded(stream, transaction, k, &[exec]);
            }
        });
    });
    let finding = &findings[0];
    assert_eq!((finding.proof, finding.severity), (Proof::Observed, Severity::Warning));
    assert!((finding.cost.saved_high_ms - 20.0 * 0.2).abs() < 1e-9);
    assert_eq!(finding.child.as_ref().unwrap().table.as_deref(), Some("items"));
}

#[test]
fn savepoints_in_a_pipeline_cost_nothing() {
    let findings = found(Kind::SavepointLoop, |stream| {
        for k in 0..40 {
            stream.exec(control(1, "SAVEPOINT auto"));
            stream.exec(Exec { transaction: 1, same_round_trip: true, ..write(INSERT, &[k, 2]) });
            stream.exec(Exec { same_round_trip: true, ..control(1, "RELEASE SAVEPOINT auto") });
        }
    });
    assert!(findings.is_empty());
}

fn fetch(stream: &mut Stream, transaction: u32, sql: &str, rows: u64) {
    let exec =
        Exec { transaction, sql, tag: Tag::Fetch, rows: Some(rows), us: 300, ..Exec::default() };
    stream.exec(exec);
}

#[test]
fn cursors_at_their_limits() {
    for (name, fetches, rows, expected) in [
        ("49 fetches", 49, 10, 0),
        ("50 fetches", 50, 10, 50),
        ("51 fetches", 51, 1, 51),
        ("11 rows each", 200, 11, 0),
        ("a client's page", 200, 2_000, 0),
    ] {
        let findings = found(Kind::TinyFetch, |stream| {
            in_transactions(stream, 1, |stream, transaction| {
                stream.exec(control(transaction, "DECLARE c_1 CURSOR FOR SELECT id FROM orders"));
                (0..fetches)
                    .for_each(|_| fetch(stream, transaction, "FETCH FORWARD 10 FROM c_1", rows));
                stream.exec(control(transaction, "CLOSE c_1"));
            });
        });
        assert_eq!(n_of(&findings), expected, "{name}");
        if let Some(finding) = findings.first() {
            assert_eq!(finding.proof, Proof::Observed);
            let child = finding.child.as_ref().unwrap();
            assert_eq!(child.table.as_deref(), Some("orders"), "the cursor's query speaks for it");
            let spared = fetches - (fetches * rows).div_ceil(500);
            assert!((finding.cost.saved_low_ms - spared as f64 * 0.2).abs() < 1e-9);
        }
    }
}

#[test]
fn short_cursors_one_after_another_are_not_added_up() {
    let findings = found(Kind::TinyFetch, |stream| {
        in_transactions(stream, 20, |stream, transaction| {
            stream.exec(control(transaction, "DECLARE c_1 CURSOR FOR SELECT id FROM orders"));
            (0..10).for_each(|_| fetch(stream, transaction, "FETCH FORWARD 10 FROM c_1", 10));
        });
    });
    assert!(findings.is_empty());
}

#[test]
fn of_two_cursors_none_is_named() {
    let findings = found(Kind::TinyFetch, |stream| {
        in_transactions(stream, 1, |stream, transaction| {
            stream.exec(control(transaction, "DECLARE a CURSOR FOR SELECT id FROM orders"));
            stream.exec(control(transaction, "DECLARE b CURSOR FOR SELECT id FROM customers"));
            for _ in 0..60 {
                fetch(stream, transaction, "FETCH 1 FROM a", 1);
                fetch(stream, transaction, "FETCH 1 FROM b", 1);
            }
        });
    });
    assert_eq!(findings[0].child.as_ref().unwrap().table, None);
    assert_eq!((findings.len(), findings[0].sightings), (1, 2));
}

#[test]
fn portals_read_in_parts() {
    for (parts, rows, same_round_trip, expected) in
        [(48, 10, false, 0), (49, 10, false, 50), (49, 11, false, 0), (99, 10, true, 100)]
    {
        let findings = found(Kind::TinyFetch, |stream| {
            let read = Exec { transaction: 1, sql: "SELECT id FROM orders", ..Exec::default() };
            for _ in 0..parts {
                let part = Exec { timing: Timing::Part, rows: Some(rows), ..read };
                stream.exec(Exec { same_round_trip, ..part });
            }
            stream.exec(Exec { rows: Some(parts * rows + 3), same_round_trip, ..read });
        });
        assert_eq!(n_of(&findings), expected, "{parts} parts of {rows}");
        assert!(findings.iter().all(|finding| count(finding, "rows") == parts * rows + 3));
    }
}
