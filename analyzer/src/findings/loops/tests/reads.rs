//! `duplicate_query`, `sequential_independent`, `count_every_page`, `polling`.

use super::*;
use crate::finding::{Proof, Severity};
use crate::testing::values;

const SETTINGS: &str = "SELECT value FROM settings WHERE name = $1";

fn times(stream: &mut Stream, n: usize, exec: Exec<'_>) {
    (0..n).for_each(|_| stream.exec(exec));
}

#[test]
fn duplicates_at_their_limits() {
    let read = Exec { transaction: 1, ..auto(SETTINGS, &[4]) };
    for (n, expected) in [(2, 0), (3, 3), (4, 4)] {
        let findings = found(Kind::DuplicateQuery, |stream| times(stream, n, read));
        assert_eq!(n_of(&findings), expected);
    }
    for (n, expected) in [(9, Severity::Info), (10, Severity::Warning), (90, Severity::Warning)] {
        let findings = found(Kind::DuplicateQuery, |stream| {
            in_transactions(stream, 3, |stream, transaction| {
                times(stream, n, Exec { transaction, ..read });
            });
        });
        assert_eq!((findings[0].proof, findings[0].severity), (Proof::Duplicate, expected), "{n}");
    }
}

#[test]
fn what_makes_a_duplicate_and_what_does_not() {
    let around = |between: &'static str| {
        move |stream: &mut Stream| {
            for _ in 0..6 {
                stream.exec(Exec { transaction: 1, ..auto(SETTINGS, &[4]) });
                if !between.is_empty() {
                    stream.exec(Exec { transaction: 1, rows: Some(1), ..auto(between, &[]) });
                }
            }
        }
    };
    for (name, between, expected) in [
        ("nothing", "", 6),
        ("another read", "SELECT id FROM news", 6),
        ("a write elsewhere", "UPDATE news SET seen = true WHERE id = 1", 6),
        ("a write", "UPDATE settings SET value = 'x' WHERE name = 'y'", 0),
        ("a write with its schema", "DELETE FROM public.settings WHERE name = 'y'", 0),
        (
            "a write in a CTE",
            "WITH x AS (DELETE FROM settings RETURNING name) SELECT name FROM x",
            0,
        ),
        ("a call", "CALL refresh()", 0),
        ("DDL", "TRUNCATE settings", 0),
        ("another tenant", "SET app.tenant = '5'", 0),
        ("a pool's reset", "DISCARD ALL", 6),
        ("a ping", "SELECT 1", 6),
    ] {
        let findings = found(Kind::DuplicateQuery, around(between));
        let own =
            findings.iter().find(|f| f.child.as_ref().unwrap().query_text.contains("settings"));
        assert_eq!(own.and_then(|finding| finding.n).unwrap_or(0), expected, "{name}");
    }
}

#[test]
fn reads_that_are_never_duplicates() {
    for sql in [
        "SELECT value FROM settings WHERE name = $1 FOR UPDATE",
        "SELECT value FROM settings WHERE at < now() AND name = $1",
        "SELECT random() FROM settings WHERE name = $1",
        "SELECT nextval('s') FROM settings WHERE name = $1",
        "SELECT own_function(value) FROM settings WHERE name = $1",
        "SELECT value FROM settings WHERE day = CURRENT_DATE AND name = $1",
        "SELECT pg_advisory_lock($1)",
        "SELECT relname FROM pg_class WHERE oid = $1",
    ] {
        let findings = found(Kind::DuplicateQuery, |stream| {
            times(stream, 20, Exec { transaction: 1, ..auto(sql, &[4]) });
        });
        assert!(findings.is_empty(), "{sql}");
    }
}

#[test]
fn values_and_round_trips_tell_duplicates() {
    let literal = |value: &str| format!("SELECT value FROM settings WHERE weight > {value}");
    let tagged = |value: &str, k: usize| {
        format!("{} /*traceparent='00-{:032x}-{k:016x}-01'*/", literal(value), 7)
    };
    let one_text: Vec<String> = (0..6).map(|_| literal("1.5")).collect();
    let other_values: Vec<String> = (0..6).map(|k| literal(&format!("1.{k}"))).collect();
    let tags: Vec<String> = (0..6).map(|k| tagged("15", k)).collect();
    let tagged_values: Vec<String> = (0..6).map(|k| tagged(&format!("{k}.5"), k)).collect();
    let tagged_integers: Vec<String> = (0..6).map(|k| tagged(&k.to_string(), k)).collect();
    for (name, texts, expected) in [
        ("one text", &one_text, 6),
        ("other values", &other_values, 0),
        ("one value under fresh tags", &tags, 6),
        ("values that have no hash, under fresh tags", &tagged_values, 0),
        ("other values under fresh tags", &tagged_integers, 0),
    ] {
        let findings = found(Kind::DuplicateQuery, |stream| {
            texts.iter().for_each(|sql| stream.exec(Exec { transaction: 1, ..auto(sql, &[]) }));
        });
        assert_eq!(n_of(&findings), expected, "{name}");
    }
    let pipelined = found(Kind::DuplicateQuery, |stream| {
        times(stream, 20, Exec { transaction: 1, same_round_trip: true, ..auto(SETTINGS, &[4]) });
    });
    assert!(pipelined.is_empty());
    let other_binds = found(Kind::DuplicateQuery, |stream| {
        values(1, 20)
            .into_iter()
            .for_each(|v| stream.exec(Exec { transaction: 1, ..auto(SETTINGS, &[v]) }));
    });
    assert!(other_binds.is_empty());
}

#[test]
fn a_retry_is_no_duplicate() {
    for (fails, expected) in [(true, 0), (false, 4)] {
        let findings = found(Kind::DuplicateQuery, |stream| {
            for _ in 0..4 {
                stream.exec(Exec { transaction: 1, ..auto(SETTINGS, &[4]) });
                let update = Exec { transaction: 1, ..write("UPDATE news SET a = 1", &[]) };
                stream.exec(if fails { failed(update) } else { update });
            }
        });
        assert_eq!(n_of(&findings), expected, "fails: {fails}");
    }
}

#[test]
fn units_part_duplicates() {
    let each = found(Kind::DuplicateQuery, |stream| {
        in_transactions(stream, 30, |stream, transaction| {
            times(stream, 2, Exec { transaction, ..auto(SETTINGS, &[4]) });
        });
    });
    assert!(each.is_empty());
    let traced = |traces: usize| {
        let text = |k: usize| {
            format!("{SETTINGS} /*traceparent='00-{:032x}-{k:016x}-01'*/", k % traces + 1)
        };
        let texts: Vec<String> = (0..12).map(text).collect();
        n_of(&found(Kind::DuplicateQuery, |s| texts.iter().for_each(|sql| s.exec(auto(sql, &[4])))))
    };
    // The text differs by its tag, and a parameter's value is no literal: with tags it is told by the values.
    assert_eq!((traced(1), traced(12)), (12, 0));
}

#[test]
fn in_autocommit_most_runs_must_repeat_it() {
    for (name, repeating, single, expected) in
        [("all", 3, 0, 1), ("a quarter", 3, 9, 1), ("fewer", 3, 10, 0), ("too few", 2, 0, 0)]
    {
        let findings = found(Kind::DuplicateQuery, |stream| {
            for _ in 0..single {
                stream.exec(auto(SETTINGS, &[4]));
                stream.pass(60_000);
            }
            for _ in 0..repeating {
                times(stream, 12, auto(SETTINGS, &[4]));
                stream.pass(60_000);
            }
        });
        assert_eq!(findings.len(), expected, "{name}");
        assert!(
            findings.iter().all(|f| (f.proof, f.severity) == (Proof::Sequence, Severity::Info))
        );
    }
}

#[test]
fn duplicates_are_bounded_per_unit() {
    let limits = Limits::default();
    let max = limits.loops.duplicates_unit_max as i64;
    for (first, expected) in [(max, 3), (max + 1, 0)] {
        let findings = found(Kind::DuplicateQuery, |stream| {
            values(1, first as usize)
                .into_iter()
                .for_each(|v| stream.exec(Exec { transaction: 1, ..auto(SETTINGS, &[v]) }));
            times(stream, 2, Exec { transaction: 1, ..auto(SETTINGS, &[first]) });
        });
        assert_eq!(n_of(&findings), expected, "{first} before");
    }
}

#[test]
fn a_share_of_all_time_makes_an_error() {
    for (elsewhere_us, expected) in [(0, Severity::Error), (900_000_000, Severity::Info)] {
        let findings = found(Kind::DuplicateQuery, |stream| {
            stream.exec(auto("SELECT id FROM news", &[]));
            stream.now += 400_000_000;
            stream.exec(Exec { us: elsewhere_us + 1, ..auto("SELECT id FROM news", &[]) });
            in_transactions(stream, 4, |stream, transaction| {
                times(stream, 4, Exec { transaction, us: 50_000, ..auto(SETTINGS, &[4]) });
            });
        });
        assert_eq!(findings[0].severity, expected, "{elsewhere_us} us elsewhere");
        assert!((findings[0].cost.saved_low_ms - 150.0).abs() < 1e-9);
    }
}

/// Slow reads of different tables, one after another.
fn reports(stream: &mut Stream, us: &[u64], change: impl Fn(usize, Exec<'_>) -> Exec<'_>) {
    for (k, us) in us.iter().enumerate() {
        let sql = format!("SELECT sum(a) FROM report_{k} WHERE shop = $1");
        let exec = Exec { us: *us, ..auto(&sql, &[900]) };
        stream.exec(change(k, exec));
    }
}

#[test]
fn independent_reads_at_their_limits() {
    let kind = Kind::SequentialIndependent;
    for (name, us, expected) in [
        ("two", &[90_000, 200_000][..], 0),
        ("three", &[50_000, 50_000, 60_000][..], 1),
        ("saved 99.999 ms", &[49_999, 50_000, 60_000][..], 0),
        ("29.999 ms each", &[29_999; 9][..], 0),
        ("30 ms each", &[30_000; 5][..], 1),
    ] {
        assert_eq!(found(kind, |s| reports(s, us, |_, exec| exec)).len(), expected, "{name}");
    }
    let pause = |think_us| {
        found(kind, |s| reports(s, &[60_000; 3], |_, exec| Exec { think_us, ..exec })).len()
    };
    assert_eq!((pause(19_900), pause(19_901)), (1, 0));
}

#[test]
fn dependent_reads_and_other_orders_are_silent() {
    let kind = Kind::SequentialIndependent;
    let fed = |truncated: bool| {
        found(kind, |stream| {
            reports(stream, &[60_000; 3], |k, exec| match k {
                0 => Exec { columns: &[(9, 1, &[900, 901])], truncated, ..exec },
                _ => exec,
            });
        })
        .len()
    };
    // The shop of the others was in the first result, so only two are left that can be told apart.
    assert_eq!((fed(false), fed(true)), (0, 0));
    let unfed = |truncated: bool| {
        found(kind, |stream| {
            reports(stream, &[60_000; 3], |k, exec| Exec {
                truncated: truncated && k == 0,
                ..exec
            });
        })
        .len()
    };
    assert_eq!((unfed(false), unfed(true)), (1, 0), "what was not kept can't be judged");
    let chain = |stream: &mut Stream| {
        for k in 0..6 {
            let sql = format!("SELECT id FROM level_{k} WHERE parent = $1");
            let binds = [k];
            let exec = Exec { us: 60_000, ..auto(&sql, &binds) };
            stream.exec(Exec { columns: &[(9, 1, &[k + 1])], ..exec });
        }
    };
    assert!(found(kind, chain).is_empty(), "each was given what the one before returned");
    let same =
        |s: &mut Stream| (0..6).for_each(|_| s.exec(Exec { us: 60_000, ..auto(SETTINGS, &[1]) }));
    assert!(found(kind, same).is_empty(), "one digest");
    let fast = |s: &mut Stream| {
        for k in 0..6 {
            let sql = format!("SELECT a FROM report_{k}");
            s.exec(Exec { us: 60_000, ..auto(&sql, &[]) });
            s.exec(auto(SETTINGS, &[k]));
        }
    };
    assert!(found(kind, fast).is_empty(), "not in a row");
    let wrote = |s: &mut Stream| {
        s.exec(Exec { transaction: 1, ..write(INSERT, &[1, 2]) });
        reports(s, &[60_000; 4], |_, exec| Exec { transaction: 1, ..exec });
    };
    assert!(found(kind, wrote).is_empty(), "another connection would not see the write");
}

#[test]
fn independent_reads_are_candidates() {
    let findings = found(Kind::SequentialIndependent, |stream| {
        for _ in 0..3 {
            reports(stream, &[60_000, 70_000, 50_000], |_, exec| exec);
            stream.pass(60_000);
        }
    });
    let finding = &findings[0];
    assert_eq!((finding.proof, finding.severity), (Proof::Sequence, Severity::Warning));
    assert!((finding.cost.saved_high_ms - 110.0).abs() < 1e-9);
    assert!(finding.sentence.starts_with("Candidate: 3 slow reads"), "{}", finding.sentence);
}

const COUNT: &str = "SELECT count(*) FROM orders WHERE shop = $1";
const PAGE: &str = "SELECT id FROM orders WHERE shop = $1 ORDER BY id LIMIT 20 OFFSET $2";

fn page(stream: &mut Stream, number: i64, count_us: u64, sql: &str) {
    stream.exec(Exec { us: count_us, ..auto(COUNT, &[3]) });
    stream.exec(Exec { rows: Some(20), ..auto(sql, &[3, number * 20]) });
    stream.pass(200_000);
}

#[test]
fn counts_before_pages_at_their_limits() {
    for (name, pages, us, sql, expected) in [
        ("4 pages", 4, 20_000, PAGE, 0),
        ("5 pages", 5, 20_000, PAGE, 5),
        ("6 pages", 6, 20_000, PAGE, 6),
        ("10 ms", 5, 10_000, PAGE, 5),
        ("9.999 ms", 5, 9_999, PAGE, 0),
        ("another table", 9, 20_000, "SELECT id FROM items WHERE shop = $1 LIMIT $2", 0),
        ("no page", 9, 20_000, "SELECT id FROM orders WHERE shop = $1 AND id = $2", 0),
        ("one row", 9, 20_000, "SELECT id FROM orders WHERE shop = $1 AND a = $2 LIMIT 1", 0),
    ] {
        let findings = found(Kind::CountEveryPage, |stream| {
            (0..pages).for_each(|number| page(stream, number, us, sql));
        });
        let sightings = findings.first().map_or(0, |finding| finding.sightings);
        assert_eq!(sightings, expected, "{name}");
        let grades = |f: &Finding| {
            (f.proof, f.severity)
                == (Proof::Sequence, if us < 20_000 { Severity::Info } else { Severity::Warning })
        };
        assert!(findings.iter().all(grades), "{name}");
    }
}

#[test]
fn a_count_elsewhere_is_not_before_the_page() {
    for (name, gap_us, between, expected) in [
        ("directly", 0, "", 1),
        ("a ping between", 0, "SELECT 1", 1),
        ("a read between", 0, "SELECT id FROM news", 0),
        ("another unit", 60_000, "", 0),
    ] {
        let findings = found(Kind::CountEveryPage, |stream| {
            for number in 0..8 {
                stream.exec(Exec { us: 20_000, ..auto(COUNT, &[3]) });
                stream.now += gap_us;
                if !between.is_empty() {
                    stream.exec(auto(between, &[]));
                }
                stream.exec(auto(PAGE, &[3, number * 20]));
                stream.pass(200_000);
            }
        });
        assert_eq!(findings.len(), expected, "{name}");
    }
}

const OUTBOX: &str = "SELECT id FROM outbox WHERE sent = false ORDER BY id LIMIT 10";

/// Reads at these periods, from that many sessions in turn; every `full`-th finds something.
fn poll(stream: &mut Stream, n: u64, sessions: u64, full: u64, period_us: impl Fn(u64) -> u64) {
    for k in 0..n {
        let rows = u64::from(full != 0 && k % full == full - 1);
        stream.exec(Exec { session: 1 + k % sessions, rows: Some(rows), ..auto(OUTBOX, &[]) });
        stream.now += period_us(k) - 500;
    }
}

#[test]
fn polls_at_their_limits() {
    type Period = fn(u64) -> u64;
    let steady: Period = |_| 1_000_000;
    for (name, n, sessions, full, period, expected) in [
        ("19 reads", 19, 1, 0, steady, 0),
        ("20 reads", 20, 1, 0, steady, 1),
        ("over three sessions", 20, 3, 0, steady, 1),
        ("20 % found something", 20, 1, 5, steady, 1),
        ("25 % found something", 20, 1, 4, steady, 0),
        ("20 % jitter", 20, 1, 0, |k| [1_000_000, 1_316_666, 683_334][k as usize % 3], 1),
        ("more jitter", 20, 1, 0, |k| [1_000_000, 1_316_668, 683_332][k as usize % 3], 0),
        ("one unit", 40, 1, 0, |_| 40_000, 0),
    ] {
        let findings = found(Kind::Polling, |s| poll(s, n, sessions, full, period));
        assert_eq!(findings.len(), expected, "{name}");
        assert!(
            findings.iter().all(|f| (f.proof, f.severity) == (Proof::Sequence, Severity::Info))
        );
    }
}

#[test]
fn several_pollers_with_a_session_each_are_found() {
    let findings = found(Kind::Polling, |stream| {
        for _ in 0..25 {
            for (session, pause_us) in [(1, 130_000), (2, 620_000), (3, 248_500)] {
                stream.exec(Exec { session, rows: Some(0), ..auto(OUTBOX, &[]) });
                stream.now += pause_us;
            }
        }
    });
    assert_eq!(findings.len(), 1);
    assert!((number(&findings[0], "period_ms") - 1_000.0).abs() < 1.0);
}
