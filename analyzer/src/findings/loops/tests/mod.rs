//! The rules through the analyzer: below, at and above each limit; what must stay silent, and its twin.

mod clean;
mod cost;
mod lookups;
mod reads;
mod savepoints;
mod writes;

use crate::finding::{EvidenceValue, Finding, Kind};
use crate::limits::Limits;
use crate::record::{Outcome, Tag};
use crate::testing::{Exec, Stream};

const LOOK_UP: &str = "SELECT id, name FROM customers WHERE id = $1";
const OTHER_LOOK_UP: &str = "SELECT id, city FROM addresses WHERE customer_id = $1";
const INSERT: &str = "INSERT INTO items (order_id, sku) VALUES ($1, $2)";
const UPDATE: &str = "UPDATE items SET sku = $2 WHERE id = $1";

/// Longer than any pause or trace may be.
const LONG_US: u64 = 15_000_000;

/// A read in autocommit.
fn auto<'a>(sql: &'a str, binds: &'a [i64]) -> Exec<'a> {
    Exec { transaction: 0, sql, binds, rows: Some(1), us: 400, ..Exec::default() }
}

/// A write of one row in autocommit.
fn write<'a>(sql: &'a str, binds: &'a [i64]) -> Exec<'a> {
    let tag = if sql.starts_with("INSERT") { Tag::Insert } else { Tag::Update };
    Exec { tag, ..auto(sql, binds) }
}

/// The findings of a kind in what `send` sends.
fn found(kind: Kind, send: impl FnOnce(&mut Stream)) -> Vec<Finding> {
    found_with(Limits::default(), kind, send)
}

fn found_with(limits: Limits, kind: Kind, send: impl FnOnce(&mut Stream)) -> Vec<Finding> {
    let mut stream = Stream::new(limits);
    send(&mut stream);
    settle(&mut stream);
    let mut findings = stream.findings();
    findings.retain(|finding| finding.kind == kind);
    findings
}

/// Lets everything end that waits for an end, also blocks that were left open.
fn settle(stream: &mut Stream) {
    stream.pass(LONG_US);
    (1..=3).for_each(|session| stream.close(session));
    stream.pass(LONG_US);
}

/// n of the one finding, 0 without one.
fn n_of(findings: &[Finding]) -> u64 {
    assert!(findings.len() <= 1, "{} findings", findings.len());
    findings.first().map_or(0, |finding| finding.n.unwrap_or(u64::MAX))
}

fn count(finding: &Finding, name: &str) -> u64 {
    match finding.evidence.iter().find(|(known, _)| *known == name) {
        Some((_, EvidenceValue::Count(count))) => *count,
        other => panic!("{name}: {other:?}"),
    }
}

fn number(finding: &Finding, name: &str) -> f64 {
    match finding.evidence.iter().find(|(known, _)| *known == name) {
        Some((_, EvidenceValue::Number(number))) => *number,
        other => panic!("{name}: {other:?}"),
    }
}

/// Does it in transaction blocks 1, 2 … of session 1.
fn in_transactions(stream: &mut Stream, times: u32, mut body: impl FnMut(&mut Stream, u32)) {
    for transaction in 1..=times {
        stream.begin(1, transaction);
        body(stream, transaction);
        stream.commit(1, transaction);
    }
}

fn failed(exec: Exec<'_>) -> Exec<'_> {
    Exec { outcome: Outcome::Error, rows: Some(0), ..exec }
}
