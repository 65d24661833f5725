//! What each piece costs by itself: `make pieces`. Compare two versions on one machine (`--save-baseline`, `--baseline`);
//! absolute figures say more about the machine.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pgsonde::config::MetricSettings;
use pgsonde::export::metrics::Exporter;
use pgsonde::export::{ProxyCounters, ProxyStatus};
use pgsonde_analyzer::Analyzer;
use pgsonde_analyzer::limits::Limits;
use pgsonde_analyzer::text;
use pgsonde_analyzer::value::Salt;
use pgsonde_tests::load::{Config, Load, Mode};
use pgsonde_tests::routine::{KINDS, Watched, clear, knowing};
use pgsonde_wire::Error;
use pgsonde_wire::frame::{Frame, FrameScanner, FrameSink};
use std::hint::black_box;
use std::sync::Arc;
use tokio::sync::watch;

/// Statements of the stream that is taken in again and again.
const STREAM_STATEMENTS: u64 = 20_000;
/// Digests of a full table.
const DIGESTS: usize = 5_000;
/// Rows of a result that is only walked over.
const ROWS: usize = 1_000;

/// The defaults: the hundred busiest digests have series of their own.
const CEILINGS: MetricSettings = MetricSettings {
    digests: 100,
    digest_histograms: false,
    routes: 128,
    findings: 200,
    pairs: 64,
    statement_sets: 256,
    error_sets: 256,
};

struct Blind;

impl FrameSink for Blind {
    fn wanted(&self, _tag: u8) -> usize {
        0
    }

    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        black_box(frame.tag);
        Ok(())
    }
}

/// The frames of a result, nothing looked at.
fn scanner(criterion: &mut Criterion) {
    let row = b"D\0\0\0\x14\0\x02\0\0\0\x017\0\0\0\x05seven";
    let result = row.repeat(ROWS);
    let mut group = criterion.benchmark_group("scanner");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("rows", |bench| {
        let mut scanner = FrameScanner::default();
        bench.iter(|| scanner.feed(black_box(&result), 1, &mut Blind));
    });
}

/// Scanner, tracker, record and batch: all that the worker does with an exchange but moving its bytes.
fn watching(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("watch");
    for kind in KINDS {
        let mut session = Watched::new(kind);
        group.bench_function(kind.name, |bench| bench.iter(|| session.exchange(clear)));
    }
}

/// The lexer with and without the texts that it can make.
fn lexer(criterion: &mut Criterion) {
    let salt = Salt::new(1, 2);
    let sql = b"SELECT o.id, o.total FROM orders o JOIN customers c ON c.id = o.customer_id \
        WHERE c.email = 'ann@example.com' AND o.state IN (1, 2, 3) ORDER BY o.id DESC LIMIT 20";
    let mut group = criterion.benchmark_group("lexer");
    group.throughput(Throughput::Bytes(sql.len() as u64));
    group.bench_function("known shape", |bench| {
        bench.iter(|| text::read_shape(black_box(sql), &salt));
    });
    group.bench_function("new shape", |bench| bench.iter(|| text::read(black_box(sql), &salt)));
}

/// A stream of requests through digests, units and every detector.
fn ingest(criterion: &mut Criterion) {
    let (salt, batches) = Load::batches(Config::clean(1, Mode::Transactions, STREAM_STATEMENTS));
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(Throughput::Elements(STREAM_STATEMENTS)).sample_size(10);
    group.bench_function("clean stream", |bench| {
        bench.iter_batched(
            || Analyzer::new(Limits::default(), salt.clone()),
            |mut analyzer| {
                batches.iter().for_each(|batch| analyzer.ingest(batch));
                analyzer
            },
            BatchSize::PerIteration,
        );
    });
}

struct Quiet;

impl ProxyStatus for Quiet {
    fn proxy(&self) -> ProxyCounters {
        ProxyCounters::default()
    }
}

/// What is made of a full table of digests.
fn renderings(criterion: &mut Criterion) {
    let (mut analyzer, now_us) = knowing(DIGESTS);
    let mut group = criterion.benchmark_group("5000 digests");
    group.sample_size(20);
    group.bench_function("snapshot", |bench| bench.iter(|| analyzer.snapshot(now_us)));
    let (_keep, snapshots) = watch::channel(Arc::new(analyzer.snapshot(now_us)));
    let exporter = Exporter::new(Arc::new(snapshots), Arc::new(Quiet), CEILINGS);
    let exporter = exporter.expect("a right catalogue");
    group.bench_function("scrape", |bench| bench.iter(|| exporter.text()));
}

criterion_group!(pieces, scanner, watching, lexer, ingest, renderings);
criterion_main!(pieces);
