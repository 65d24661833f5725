//! Reads snapshot files, line by line.

use crate::capture::{finding_of, lasting};
use crate::export::shapes::HASH_VERSION;
use crate::export::shapes::fleet::{AnyHead, HeadLine, SNAPSHOT_SCHEMA, SnapshotLine, Versions};
use crate::problem::Problem;
use pgsonde_analyzer::finding::Kind;
use pgsonde_analyzer::merge::Sketched;
use pgsonde_analyzer::snapshot::Snapshot;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

/// Code of what is no whole snapshot.
const NO_SNAPSHOT: u16 = 521;
/// Code of a snapshot of another version.
const OTHER_VERSION: u16 = 522;
/// Most bytes of a snapshot, unpacked: 100,000 digests with full distributions are less.
const BYTES_MAX: u64 = 2 << 30;
/// First bytes of a zstd frame.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// How every snapshot begins.
const BEGIN: &[u8] = b"{\"snapshot\":";

/// A snapshot as it was saved.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) head: HeadLine,
    pub(super) sketched: Sketched,
}

/// Whether a file begins like a snapshot.
pub(crate) fn is_snapshot(path: &Path) -> bool {
    let begin = || -> std::io::Result<Vec<u8>> {
        let mut begin = Vec::new();
        opened(File::open(path)?)?.take(BEGIN.len() as u64).read_to_end(&mut begin)?;
        Ok(begin)
    };
    path.is_file() && begin().is_ok_and(|begin| begin == BEGIN)
}

/// Packed or not.
fn opened<'a>(source: impl Read + 'a) -> std::io::Result<Box<dyn BufRead + 'a>> {
    let mut source = BufReader::new(source);
    if source.fill_buf()?.starts_with(&ZSTD_MAGIC) {
        Ok(Box::new(BufReader::new(zstd::stream::read::Decoder::with_buffer(source)?)))
    } else {
        Ok(Box::new(source))
    }
}

fn no_snapshot(name: &str, why: &str) -> Problem {
    Problem::new(NO_SNAPSHOT, format!("{name} is not a whole snapshot: {why}"))
        .help("curl -o NAME.snapshot.zst http://127.0.0.1:9635/api/v1/snapshot writes one")
}

/// Reads a snapshot; `name` is what messages call it.
///
/// # Errors
/// PGS0521 what is no whole snapshot, PGS0522 one of another version.
pub(super) fn read(source: impl Read, name: &str) -> Result<Saved, Problem> {
    let unreadable = |error: std::io::Error| {
        let text = error.to_string();
        no_snapshot(name, text.split(" (os error").next().unwrap_or(&text))
    };
    let mut source = opened(source).map_err(unreadable)?.take(BYTES_MAX);
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| -> Result<bool, Problem> {
        line.clear();
        source.read_until(b'\n', line).map_err(unreadable)?;
        Ok(line.last() == Some(&b'\n'))
    };
    if !next(&mut line)? {
        return Err(no_snapshot(name, "its first line is not complete"));
    }
    let head = head(&line, name)?;
    let mut saved = Saved::new(head);
    let mut lines = 1;
    loop {
        if !next(&mut line)? {
            return Err(no_snapshot(name, "its end is missing"));
        }
        lines += 1;
        let bad = |error: serde_json::Error| no_snapshot(name, &format!("line {lines}: {error}"));
        match serde_json::from_slice(&line).map_err(bad)? {
            SnapshotLine::End { lines: said } if said == lines => return Ok(saved),
            SnapshotLine::End { .. } => return Err(no_snapshot(name, "lines are missing")),
            row => saved.take(row),
        }
    }
}

fn head(line: &[u8], name: &str) -> Result<HeadLine, Problem> {
    let any: AnyHead = serde_json::from_slice(line)
        .map_err(|_| no_snapshot(name, "its first line says nothing of a snapshot"))?;
    let Versions { schema, hash_version, version } = any.snapshot;
    if schema != SNAPSHOT_SCHEMA || hash_version != HASH_VERSION {
        let (shown, own) = (version.escape_debug(), env!("CARGO_PKG_VERSION"));
        return Err(Problem::new(
            OTHER_VERSION,
            format!("{name} is a snapshot of pgsonde {shown}, which does not add up with this version's"),
        )
        .note(format!(
            "it has schema {schema} and digests of version {hash_version}; pgsonde {own} reads schema \
             {SNAPSHOT_SCHEMA} and digests of version {HASH_VERSION}"
        ))
        .help("merge it with the version that wrote it, or bring the proxies to one version"));
    }
    match serde_json::from_slice(line) {
        Ok(SnapshotLine::Snapshot(head)) => Ok(*head),
        Ok(_) => Err(no_snapshot(name, "its first line is no head")),
        Err(error) => Err(no_snapshot(name, &format!("its first line: {error}"))),
    }
}

impl Saved {
    fn new(head: HeadLine) -> Self {
        let opened = head.findings_opened.iter();
        let snapshot = Snapshot {
            at_us: head.at_us,
            books: head.books,
            phases: head.phases,
            other: head.other,
            indivisible_batches: head.indivisible_batches,
            idle_in_transaction_max_us: head.idle_in_transaction_max_us,
            findings_opened: opened
                .filter_map(|(kind, n)| Some((Kind::named(kind)?, *n)))
                .collect(),
            overflow: head.overflow.iter().map(|(table, n)| (lasting(table), *n)).collect(),
            sessions_open: usize::try_from(head.sessions_open).unwrap_or(usize::MAX),
            sessions_seen: head.sessions_seen,
            sessions_opaque: head.sessions_opaque,
            ..Snapshot::default()
        };
        let all = head.durations.clone();
        Self { head, sketched: Sketched { snapshot, all, ..Sketched::default() } }
    }

    fn take(&mut self, line: SnapshotLine) {
        let Sketched { snapshot, digests, routes, marks, .. } = &mut self.sketched;
        match line {
            SnapshotLine::DigestRow(line) => {
                snapshot.digests.push(line.row);
                digests.push(line.sketch);
            }
            SnapshotLine::Pair { row } => snapshot.pairs.push(row),
            SnapshotLine::Set { row } => snapshot.sets.push(row),
            SnapshotLine::Error { row } => snapshot.errors.push(row),
            SnapshotLine::Traffic { row } => snapshot.traffic.push(row),
            SnapshotLine::Route(line) => {
                snapshot.routes.push(line.row);
                routes.push(line.sketch);
            }
            SnapshotLine::Unit { row } => snapshot.units.push(Arc::new(row)),
            SnapshotLine::Transaction { row } => snapshot.transactions.push(row),
            SnapshotLine::TransactionsOther { row } => snapshot.transactions_other = row,
            SnapshotLine::Mark { row, durations } => {
                snapshot.marks.push(row);
                marks.push(durations);
            }
            SnapshotLine::UnitStatements { service, buckets } => {
                snapshot.unit_statements.push((service, buckets));
            }
            SnapshotLine::NPlusOne { row } => snapshot.n_plus_one.push(row),
            SnapshotLine::Finding { line } => {
                snapshot.findings.extend(finding_of(&line, self.head.started_us));
            }
            // Only ever first and last.
            SnapshotLine::Snapshot(_) | SnapshotLine::End { .. } => {}
        }
    }
}
