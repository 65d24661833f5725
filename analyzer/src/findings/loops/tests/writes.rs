//! `write_loop` and `upsert_loop`.

use super::*;
use crate::finding::{Proof, Severity};
use crate::testing::values;

fn rows(stream: &mut Stream, n: usize, exec: Exec<'_>) {
    for value in values(100, n) {
        stream.exec(Exec { binds: &[value, 5], ..exec });
    }
}

fn n(send: impl FnOnce(&mut Stream)) -> u64 {
    n_of(&found(Kind::WriteLoop, send))
}

#[test]
fn limits() {
    let inside = |n: usize| Exec { transaction: 2, rows: Some(n as u64), ..write(INSERT, &[]) };
    // Stream adds 100 us to every pause.
    for (name, count, exec, expected) in [
        ("9 in a transaction", 9, inside(1), 0),
        ("10 in a transaction", 10, inside(1), 10),
        ("11 in a transaction", 11, inside(1), 11),
        ("no row each", 10, inside(0), 10),
        ("2 rows each", 50, inside(2), 0),
        ("a long pause in a transaction", 10, Exec { think_us: 90_000, ..inside(1) }, 10),
        ("9 in autocommit", 9, write(INSERT, &[]), 0),
        ("10 in autocommit", 10, write(INSERT, &[]), 10),
        ("a pause of 20 ms", 10, Exec { think_us: 19_900, ..write(INSERT, &[]) }, 10),
        ("a longer pause", 50, Exec { think_us: 19_901, ..write(INSERT, &[]) }, 0),
        ("updates", 10, write(UPDATE, &[]), 10),
        ("deletes", 10, write("DELETE FROM items WHERE id = $1 AND shop = $2", &[]), 10),
    ] {
        assert_eq!(n(|stream| rows(stream, count, exec)), expected, "{name}");
    }
}

#[test]
fn pipelines_and_pages_are_batches() {
    let executemany = |stream: &mut Stream| {
        for batch in 0..20 {
            for k in 0..50 {
                let binds = [batch * 50 + k, 1];
                stream.exec(Exec {
                    transaction: 1,
                    same_round_trip: k > 0,
                    ..write(INSERT, &binds)
                });
            }
        }
    };
    assert_eq!(n(executemany), 0);
    assert_eq!(n(|s| rows(s, 20, Exec { rows: Some(1_000), ..write(INSERT, &[]) })), 0);
    // Twelve by themselves before the pipeline are a loop all the same.
    let both = |stream: &mut Stream| {
        rows(stream, 12, Exec { transaction: 1, ..write(INSERT, &[]) });
        executemany(stream);
    };
    assert_eq!(n(both), 12);
}

#[test]
fn in_one_transaction_other_statements_may_come_between() {
    for (transaction, expected) in [(1, 12), (0, 0)] {
        let found = n(|stream| {
            for value in values(1, 12) {
                stream.exec(Exec { transaction, ..write(INSERT, &[value, 2]) });
                (0..value % 3).for_each(|_| {
                    stream.exec(Exec { transaction, ..auto("SELECT id FROM news", &[]) });
                });
            }
        });
        assert_eq!(found, expected, "transaction {transaction}");
    }
}

#[test]
fn fixtures_need_ten_of_one_digest() {
    let texts: Vec<String> =
        ('a'..='z').map(|k| format!("INSERT INTO table_{k} (a) VALUES ($1)")).collect();
    let once = |stream: &mut Stream| {
        texts.iter().for_each(|sql| stream.exec(Exec { transaction: 1, ..write(sql, &[1]) }));
    };
    assert_eq!(n(once), 0);
}

#[test]
fn the_same_update_again_is_no_row_by_row() {
    let claim = "UPDATE jobs SET state = 'run' WHERE id = (SELECT id FROM jobs WHERE state = 'new' LIMIT 1)";
    assert_eq!(n(|s| (0..40).for_each(|_| s.exec(write(claim, &[])))), 0);
}

#[test]
fn a_transaction_each_counts_the_commits() {
    let findings = found(Kind::WriteLoop, |stream| {
        in_transactions(stream, 12, |stream, transaction| {
            stream.exec(Exec { transaction, ..write(UPDATE, &[transaction.into(), 5]) });
        });
    });
    let finding = &findings[0];
    assert_eq!(
        (finding.n, finding.proof, finding.severity),
        (Some(12), Proof::Sequence, Severity::Info)
    );
    assert_eq!(count(finding, "commits_between"), 11);
    assert!(finding.sentence.starts_with("Candidate: `items` looks written row by row: 12 times"));
    // 11 commits of 200 us are saved besides the updates of 400 us.
    assert!((finding.cost.saved_high_ms - (11.0 * 0.4 + 11.0 * 0.2)).abs() < 1e-9);
    assert!((number(finding, "commit_share_ratio") - 2.2 / 7.0).abs() < 1e-9);
}

#[test]
fn severity_follows_the_general_scale_in_a_transaction() {
    for (n, times, expected) in [
        (49, 2, Severity::Info),
        (10, 3, Severity::Warning),
        (49, 3, Severity::Warning),
        (50, 3, Severity::Error),
    ] {
        let findings = found(Kind::WriteLoop, |stream| {
            in_transactions(stream, times, |stream, transaction| {
                rows(stream, n, Exec { transaction, ..write(INSERT, &[]) });
            });
        });
        let finding = &findings[0];
        assert_eq!((finding.proof, finding.sightings), (Proof::Observed, times.into()));
        assert_eq!(finding.severity, expected, "{n} rows, {times} times");
        assert!(!finding.sentence.contains("Candidate"), "{}", finding.sentence);
    }
}

const FIND: &str = "SELECT id FROM items WHERE sku = $1";
const NEW: &str = "INSERT INTO items (sku, shop) VALUES ($1, $2)";
const OLD: &str = "UPDATE items SET shop = $2 WHERE sku = $1";

/// One iteration: every third one finds a row.
fn upsert(stream: &mut Stream, value: i64, read: u32, write_in: u32) {
    let hit = value % 3 == 0;
    stream.exec(Exec { transaction: read, rows: Some(hit.into()), ..auto(FIND, &[value]) });
    let sql = if hit { OLD } else { NEW };
    stream.exec(Exec { transaction: write_in, ..write(sql, &[value, 77]) });
}

#[test]
fn upserts_at_their_limit() {
    for (iterations, transaction, expected) in
        [(7, 1, 0), (8, 1, 8), (9, 1, 9), (7, 0, 0), (8, 0, 8)]
    {
        let findings = found(Kind::UpsertLoop, |stream| {
            values(1, iterations)
                .into_iter()
                .for_each(|v| upsert(stream, v, transaction, transaction));
        });
        assert_eq!(n_of(&findings), expected, "{iterations} in {transaction}");
    }
}

#[test]
fn an_upsert_loop_stands_for_its_statements() {
    let mut stream = Stream::new(Limits::default());
    in_transactions(&mut stream, 1, |stream, transaction| {
        values(1, 30).into_iter().for_each(|v| upsert(stream, v, transaction, transaction));
    });
    settle(&mut stream);
    let findings = stream.findings();
    let kinds: Vec<Kind> = findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [Kind::UpsertLoop]);
    let finding = &findings[0];
    assert_eq!((count(finding, "hits"), count(finding, "misses")), (10, 20));
    assert_eq!((finding.proof, finding.n), (Proof::Observed, Some(30)));
    // 60 statements of 400 us, where one would do.
    assert!((finding.cost.saved_high_ms - 59.0 * 0.4).abs() < 1e-9);
    assert!(finding.sentence.starts_with("`items` is asked before every write: 30 times"));
}

#[test]
fn an_entity_saved_at_a_time_is_a_candidate() {
    let findings = found(Kind::UpsertLoop, |stream| {
        for transaction in 1..=12 {
            let value = i64::from(transaction);
            stream.exec(Exec { rows: Some(1), ..auto(FIND, &[value]) });
            stream.begin(1, transaction);
            stream.exec(Exec { transaction, ..write(OLD, &[value, 5]) });
            stream.commit(1, transaction);
        }
    });
    assert_eq!((n_of(&findings), findings[0].proof), (12, Proof::Sequence));
    assert_eq!(
        (findings[0].severity, count(&findings[0], "commits_between")),
        (Severity::Info, 11)
    );
}

#[test]
fn jobs_and_other_tables_are_no_upserts() {
    for (name, send) in [
        (
            "a transaction per job",
            (|stream: &mut Stream| {
                in_transactions(stream, 40, |s, t| upsert(s, t.into(), t, t));
            }) as fn(&mut Stream),
        ),
        ("a queue: the look-up has no value", |stream| {
            for value in values(1, 40) {
                stream.exec(auto("SELECT id FROM items WHERE state = 'new' LIMIT 1", &[]));
                stream.exec(write(OLD, &[value, 5]));
            }
        }),
        ("another table", |stream| {
            for value in values(1, 40) {
                stream.exec(auto(LOOK_UP, &[value]));
                stream.exec(write(OLD, &[value, 5]));
            }
        }),
        ("another value", |stream| {
            for value in values(1, 40) {
                stream.exec(auto(FIND, &[value]));
                stream.exec(write(OLD, &[value + 500, 5]));
            }
        }),
        ("the same value", |stream| (0..40).for_each(|_| upsert(stream, 4, 0, 0))),
        ("several rows", |stream| {
            for value in values(1, 40) {
                stream.exec(Exec { rows: Some(2), ..auto(FIND, &[value]) });
                stream.exec(write(OLD, &[value, 5]));
            }
        }),
        ("long pauses", |stream| {
            for value in values(1, 40) {
                stream.now += 30_000;
                upsert(stream, value, 0, 0);
            }
        }),
    ] {
        assert!(found(Kind::UpsertLoop, send).is_empty(), "{name}");
    }
}
