//! Many proxies, one picture: snapshots that add up, and what adds them.
//!
//! A snapshot file is zstd'd NDJSON (`export/shapes/fleet.rs`); [`write`] makes one, `reader` reads it, `merge` adds
//! any number of them up, one after another.

mod merge;
mod reader;

pub(crate) use merge::{Options, report_of_file, run};
pub(crate) use reader::is_snapshot;

use crate::capture::{Identity, write_finding};
use crate::export::ProxyCounters;
use crate::export::shapes::HASH_VERSION;
use crate::export::shapes::fleet::{
    DigestLine, HeadLine, ProxyFields, RouteLine, SNAPSHOT_SCHEMA, SnapshotLine,
};
use pgsonde_analyzer::Redaction;
use pgsonde_analyzer::merge::Sketched;
use std::cell::Cell;
use std::io::{self, Write};
use std::sync::Arc;

/// Compression of snapshots: small enough to mail, fast enough to be made while somebody waits.
const ZSTD_LEVEL: i32 = 3;

/// Which start of which proxy a snapshot is of.
#[derive(Clone, Debug)]
pub struct Source {
    /// 12 hexadecimal digits, new with every start.
    pub proxy_id: Arc<str>,
    /// Microsecond 0 of the snapshot, in microseconds since 1970.
    pub started_us: u64,
}

/// The snapshot as the bytes of a file.
///
/// # Errors
/// Compression fails; a `Vec` takes everything.
pub fn write(sketched: &Sketched, proxy: &ProxyCounters, source: &Source) -> io::Result<Vec<u8>> {
    let mut out = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    let lines = Cell::new(0);
    let mut put = |line: &SnapshotLine| -> io::Result<()> {
        lines.set(lines.get() + 1);
        serde_json::to_writer(&mut out, line)?;
        out.write_all(b"\n")
    };
    put(&SnapshotLine::Snapshot(Box::new(head(sketched, proxy, source))))?;
    rows(sketched, &mut put)?;
    findings(sketched, proxy.redaction, source, &mut put)?;
    put(&SnapshotLine::End { lines: lines.get() + 1 })?;
    out.finish()
}

type Put<'a> = &'a mut dyn FnMut(&SnapshotLine) -> io::Result<()>;

fn rows(sketched: &Sketched, put: Put<'_>) -> io::Result<()> {
    let snapshot = &sketched.snapshot;
    for (row, sketch) in snapshot.digests.iter().zip(&sketched.digests) {
        let (row, sketch) = (row.clone(), sketch.clone());
        put(&SnapshotLine::DigestRow(Box::new(DigestLine { row, sketch })))?;
    }
    for row in &snapshot.pairs {
        put(&SnapshotLine::Pair { row: row.clone() })?;
    }
    for row in &snapshot.sets {
        put(&SnapshotLine::Set { row: row.clone() })?;
    }
    for row in &snapshot.errors {
        put(&SnapshotLine::Error { row: row.clone() })?;
    }
    for row in &snapshot.traffic {
        put(&SnapshotLine::Traffic { row: row.clone() })?;
    }
    for (row, sketch) in snapshot.routes.iter().zip(&sketched.routes) {
        let (row, sketch) = (row.clone(), sketch.clone());
        put(&SnapshotLine::Route(Box::new(RouteLine { row, sketch })))?;
    }
    for unit in &snapshot.units {
        put(&SnapshotLine::Unit { row: (**unit).clone() })?;
    }
    for row in &snapshot.transactions {
        put(&SnapshotLine::Transaction { row: row.clone() })?;
    }
    put(&SnapshotLine::TransactionsOther { row: snapshot.transactions_other.clone() })?;
    for (row, durations) in snapshot.marks.iter().zip(&sketched.marks) {
        put(&SnapshotLine::Mark { row: row.clone(), durations: durations.clone() })?;
    }
    for (service, buckets) in &snapshot.unit_statements {
        let (service, buckets) = (service.clone(), *buckets);
        put(&SnapshotLine::UnitStatements { service, buckets })?;
    }
    for row in &snapshot.n_plus_one {
        put(&SnapshotLine::NPlusOne { row: row.clone() })?;
    }
    Ok(())
}

fn findings(
    sketched: &Sketched,
    redaction: Redaction,
    source: &Source,
    put: Put<'_>,
) -> io::Result<()> {
    let identity = Identity {
        proxy_id: Arc::clone(&source.proxy_id),
        started_us: source.started_us,
        unit_gap_us: 0,
        redaction,
    };
    let mut bytes = Vec::new();
    for finding in &sketched.snapshot.findings {
        bytes.clear();
        let at_us = sketched.snapshot.at_us;
        write_finding(&identity, finding.state.name(), finding, at_us, &mut bytes);
        if let Ok(line) = serde_json::from_slice(&bytes) {
            put(&SnapshotLine::Finding { line: Box::new(line) })?;
        }
    }
    Ok(())
}

fn head(sketched: &Sketched, proxy: &ProxyCounters, source: &Source) -> HeadLine {
    let snapshot = &sketched.snapshot;
    let opened = snapshot.findings_opened.iter();
    HeadLine {
        schema: SNAPSHOT_SCHEMA,
        hash_version: HASH_VERSION,
        version: proxy.build.version.to_owned(),
        redact: proxy.redaction.name().to_owned(),
        proxy_id: source.proxy_id.to_string(),
        started_us: source.started_us,
        at_us: snapshot.at_us,
        proxy: proxy_fields(proxy),
        books: snapshot.books,
        durations: sketched.all.clone(),
        phases: snapshot.phases,
        other: snapshot.other,
        indivisible_batches: snapshot.indivisible_batches,
        idle_in_transaction_max_us: snapshot.idle_in_transaction_max_us,
        findings_opened: opened.map(|(kind, count)| (kind.name().to_owned(), *count)).collect(),
        overflow: snapshot.overflow.iter().map(|(table, n)| ((*table).to_owned(), *n)).collect(),
        sessions_open: snapshot.sessions_open as u64,
        sessions_seen: snapshot.sessions_seen,
        sessions_opaque: snapshot.sessions_opaque,
    }
}

fn proxy_fields(proxy: &ProxyCounters) -> ProxyFields {
    ProxyFields {
        upstream_host: proxy.upstream.host.clone(),
        upstream_port: proxy.upstream.port,
        upstream_tls: proxy.upstream.tls.clone(),
        uptime_s: proxy.uptime_s,
        events: proxy.events,
        dropped_queue_full: proxy.dropped.queue_full,
        dropped_memory_limit: proxy.dropped.memory_limit,
        dropped_sampled: proxy.dropped.sampled,
        dropped_analyzer_restart: proxy.dropped.analyzer_restart,
        opaque: proxy.opaque.total(),
        active: proxy.client_connections.active,
        idle: proxy.client_connections.idle,
        idle_in_transaction: proxy.client_connections.idle_in_transaction,
        overhead_to_server: proxy.overhead.to_server,
        overhead_to_client: proxy.overhead.to_client,
    }
}
