//! A healthy application hears nothing that matters.

use super::*;
use crate::finding::Severity;
use crate::testing::values;

/// A small source of numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A page of one customer: three reads, hot keys, on whatever connection is free.
fn detail(stream: &mut Stream, session: u64, key: i64) {
    for sql in [LOOK_UP, OTHER_LOOK_UP, SETTINGS] {
        let key = if sql == SETTINGS { 1 } else { key };
        stream.exec(Exec { session, ..auto(sql, &[key]) });
    }
}

const SETTINGS: &str = "SELECT value FROM settings WHERE name = $1";

/// A queue worker: claims a job, does it, all in a transaction per job.
fn job(stream: &mut Stream, transaction: u32, id: i64) {
    stream.begin(1, transaction);
    let claim = "SELECT id FROM jobs WHERE state = 'new' LIMIT 1 FOR UPDATE SKIP LOCKED";
    stream.exec(Exec { transaction, columns: &[(7, 1, &[id])], ..auto(claim, &[]) });
    stream.exec(Exec { transaction, ..auto("SELECT payload FROM jobs WHERE id = $1", &[id]) });
    stream
        .exec(Exec { transaction, ..write("UPDATE jobs SET state = 'done' WHERE id = $1", &[id]) });
    stream.commit(1, transaction);
}

fn loader(stream: &mut Stream, first: i64) {
    let ids = values(first, 50);
    let list: Vec<String> = (1..=50).map(|k| format!("${k}")).collect();
    let sql = format!("SELECT id, order_id FROM items WHERE order_id IN ({})", list.join(", "));
    stream.exec(Exec { rows: Some(200), ..auto(&sql, &ids) });
}

fn retry(stream: &mut Stream, transaction: u32) {
    for attempt in 0..3 {
        stream.exec(Exec { transaction: transaction + attempt, ..auto(LOOK_UP, &[9]) });
        stream.exec(failed(Exec { transaction: transaction + attempt, ..write(UPDATE, &[9, 9]) }));
    }
}

fn anything(stream: &mut Stream, dice: &mut Dice, k: u32) {
    let key = (dice.below(40) * dice.below(40)) as i64;
    let session = 1 + dice.below(3);
    match dice.below(9) {
        0..=3 => detail(stream, session, key),
        4 => job(stream, 1_000 + k, i64::from(k)),
        5 => {
            let sql = "SELECT id FROM orders WHERE id > $1 ORDER BY id LIMIT 100";
            (0..6).for_each(|page| {
                stream.exec(Exec { session, rows: Some(100), ..auto(sql, &[page * 100]) });
            });
        }
        6 => (0..3).for_each(|chunk| loader(stream, chunk * 50)),
        7 => retry(stream, 500_000 + 3 * k),
        _ => (0..20).for_each(|_| stream.exec(Exec { session, ..auto("SELECT 1", &[]) })),
    }
    stream.now += dice.below(8_000);
}

#[test]
fn a_mixed_clean_stream_hears_nothing_that_matters() {
    let own = |kind: Kind| super::super::KINDS.contains(&kind);
    for seed in 1..=3 {
        let (mut stream, mut dice) = (Stream::new(Limits::default()), Dice(seed));
        for k in 0..4_000 {
            anything(&mut stream, &mut dice, k);
            if k % 100 == 0 {
                stream.pass(100_000);
            }
        }
        settle(&mut stream);
        for finding in stream.findings().iter().filter(|finding| own(finding.kind)) {
            assert_eq!(finding.severity, Severity::Info, "{seed}: {}", finding.sentence);
        }
    }
}

#[test]
fn one_pattern_at_a_time() {
    type Send = fn(&mut Stream);
    let patterns: [(&str, Send); 7] = [
        ("a busy endpoint on several connections", |s| {
            (0..300).for_each(|k| detail(s, 1 + k as u64 % 3, k % 17));
        }),
        ("a queue worker", |s| (0..40).for_each(|k| job(s, k, k.into()))),
        ("batched loaders", |s| (0..40).for_each(|k| loader(s, k * 50))),
        ("pings", |s| (0..400).for_each(|_| s.exec(auto("SELECT 1", &[])))),
        ("retries", |s| (0..40).for_each(|k| retry(s, 1 + 3 * k))),
        ("an event log under load", |s| {
            (0..300)
                .for_each(|k| s.exec(Exec { session: 1 + k as u64 % 3, ..write(INSERT, &[k, 5]) }));
        }),
        ("resets of a pool", |s| {
            (0..60).for_each(|k| {
                let session = 1 + k as u64 % 3;
                s.exec(Exec { session, ..auto(SETTINGS, &[k % 50]) });
                let reset = "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;";
                s.exec(Exec { session, ..auto(reset, &[]) });
            });
        }),
    ];
    for (name, send) in patterns {
        let mut stream = Stream::new(Limits::default());
        for _ in 0..4 {
            send(&mut stream);
            stream.pass(LONG_US);
        }
        settle(&mut stream);
        // A stream of nothing but pings is rightly called that.
        let pings = |finding: &Finding| finding.kind == Kind::PingOverhead && name == "pings";
        for finding in stream.findings().into_iter().filter(|finding| !pings(finding)) {
            assert_eq!(finding.severity, Severity::Info, "{name}: {}", finding.sentence);
        }
    }
}
