//! What the family costs, printed: `cargo test … loops::tests::cost -- --nocapture`.

use super::*;
use crate::Analyzer;
use crate::record::{BindCell, Event, NewText, RecordBatch, SessionId, SessionOpened, Span};
use crate::record::{StatementRecord, Timing};
use crate::value::{Salt, text_key};
use std::time::Instant;

const STATEMENTS: usize = 200_000;
const TEXTS: usize = 40;
const SESSIONS: u64 = 64;

/// Look-ups, pages and writes over many texts and sessions, mostly in autocommit.
fn batch() -> RecordBatch {
    let mut batch = RecordBatch::default();
    let text = |k: usize| match k % 8 {
        0 => format!("INSERT INTO t{k}x (a, b) VALUES ($1, $2)"),
        1 => format!("UPDATE t{k}x SET a = $2 WHERE id = $1"),
        2 => format!("SELECT id FROM t{k}x WHERE id > $1 ORDER BY id LIMIT $2"),
        3 => format!(
            "SELECT o.id, c.name FROM t{k}x o JOIN c ON c.id = o.c WHERE o.id = $1 AND c.up = $2"
        ),
        _ => format!("SELECT id, name FROM t{k}x WHERE id = $1 AND shop = $2"),
    };
    let mut keys = Vec::new();
    for k in 0..TEXTS {
        let text = text(k);
        let start = batch.bytes.len() as u32;
        batch.bytes.extend_from_slice(text.as_bytes());
        keys.push(text_key(text.as_bytes()));
        let bytes = Span { start, len: text.len() as u32 };
        batch.texts.push(NewText { key: keys[k], bytes, cut: false });
    }
    for session in 1..=SESSIONS {
        let opened = SessionOpened { session: SessionId(session), ..SessionOpened::default() };
        batch.events.push(Event::Opened(opened));
    }
    let mut random = 7u64;
    for n in 0..STATEMENTS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let start = batch.binds.len() as u32;
        for slot in 1..=2 {
            let hash = (random >> (20 * slot)) as u32 % 5_000 + 1;
            batch.binds.push(BindCell { slot, class: 0, hash });
        }
        batch.events.push(Event::Statement(StatementRecord {
            session: SessionId(1 + (random >> 40) % SESSIONS),
            text: keys[(random >> 50) as usize % TEXTS],
            begin_us: 1_000_000 + n as u64 * 200,
            first_row_us: 300,
            rows: 1,
            binds_hash: random,
            round_trip: n as u32,
            binds: Span { start, len: 2 },
            timing: Timing::Exact,
            tag: Tag::Select,
            ..StatementRecord::default()
        }));
    }
    batch
}

/// Best of five, so that other work on the machine counts little.
fn nanoseconds(disabled: bool, batch: &RecordBatch) -> u128 {
    let run = || {
        let mut limits = Limits::default();
        if disabled {
            limits.disabled = super::super::KINDS.to_vec();
        }
        let mut analyzer = Analyzer::new(limits, Salt::new(1, 2));
        let begin = Instant::now();
        analyzer.ingest(batch);
        begin.elapsed().as_nanos() / STATEMENTS as u128
    };
    (0..5).map(|_| run()).min().unwrap_or(0)
}

#[test]
fn nanoseconds_per_statement() {
    let batch = batch();
    let (without, with) = (nanoseconds(true, &batch), nanoseconds(false, &batch));
    println!("{without} ns per statement without the loops, {with} ns with them");
}
