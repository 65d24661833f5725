//! The figures of docs/scaling.md: `make bench-exports`. They are printed and judge nothing.

use pgsonde_tests::clickhouse::{ClickHouse, is_installed, is_modern_installed};
use pgsonde_tests::exporting::{exported, exporting, server};
use pgsonde_tests::{Proxy, eventually, paths, run_ok};
use std::process::Command;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(180);
const PROXIES: usize = 3;
/// pgbench runs this long, seconds.
const LOAD_S: &str = "20";

#[test]
#[ignore = "prints figures and judges nothing"]
fn figures() {
    let postgres = server();
    postgres.pgbench(postgres.port(), &["-i", "-s", "2", "-q"], LIMIT);
    if is_installed() {
        of_store("18.16: gzip on the wire, LZ4 on disk", &ClickHouse::start("", None));
    }
    if is_modern_installed() {
        of_store("a current engine: zstd on the wire and on disk", &ClickHouse::start_modern());
    }
}

/// Three proxies before one PostgreSQL write into the store.
fn of_store(name: &str, clickhouse: &ClickHouse) {
    let url = clickhouse.url();
    let mut init = Command::new(paths::pgsonde());
    run_ok(init.args(["clickhouse", "init", &url]).env("CLICKHOUSE_PASSWORD", ""), "", LIMIT);
    let folders: Vec<_> =
        (0..PROXIES).map(|_| tempfile::tempdir().expect("a temporary folder")).collect();
    let start =
        |folder: &tempfile::TempDir| exporting(folder.path(), &url, "batch_interval = \"1s\"");
    let proxies: Vec<Proxy> = folders.iter().map(start).collect();
    std::thread::scope(|scope| {
        for proxy in &proxies {
            let load = ["-c", "4", "-M", "prepared", "-T", LOAD_S, "-n"];
            scope.spawn(move || server().pgbench(proxy.port(), &load, LIMIT));
        }
    });
    proxies.iter().for_each(Proxy::settle);
    eventually("the spools are empty", LIMIT, || {
        proxies.iter().all(|proxy| exported(proxy, "spool_bytes") == 0.0).then_some(())
    });
    let sum = |of: &dyn Fn(&Proxy) -> f64| proxies.iter().map(of).sum::<f64>();
    let rows = sum(&|proxy| exported(proxy, "rows_total"));
    let wire = sum(&|proxy| exported(proxy, "bytes_total"));
    let busy = sum(&|proxy| proxy.processor_seconds(&["pgsonde-export", "pgsonde-post"]));
    println!("{name}");
    println!("  {rows:>9} rows by {PROXIES} proxies, {:.1} bytes of the wire per row", wire / rows);
    println!("  {:>9.0} rows a second per core of the exporters", rows / busy);
    for table in ["statements", "transactions", "minutes"] {
        bytes_on_disk(clickhouse, table);
    }
    inserts_per_core(clickhouse);
}

fn bytes_on_disk(clickhouse: &ClickHouse, table: &str) {
    clickhouse.query(&format!("OPTIMIZE TABLE pgsonde_{table} FINAL"));
    let parts = format!("FROM system.parts WHERE active AND table = 'pgsonde_{table}'");
    let [rows, bytes] = ["rows", "bytes_on_disk"]
        .map(|what| clickhouse.number(&format!("SELECT sum({what}) {parts}")) as f64);
    let per_row = bytes / rows.max(1.0);
    println!("  {rows:>9} rows in pgsonde_{table}, {per_row:.1} bytes of the disk per row");
}

/// Batches of 10,000 rows one after another, by the processor time that the store takes for them.
fn inserts_per_core(clickhouse: &ClickHouse) {
    const BATCHES: u32 = 40;
    let sample =
        clickhouse.query("SELECT * FROM pgsonde_statements LIMIT 10000 FORMAT JSONEachRow");
    let lines = sample.lines().count();
    println!("  {:>9} bytes in a line of the store's own", sample.len() / lines.max(1));
    let sql = format!("INSERT INTO pgsonde_statements FORMAT JSONEachRow\n{sample}");
    let (before, started) = (clickhouse.processor_seconds(), Instant::now());
    for _ in 0..BATCHES {
        assert_eq!(clickhouse.query(&sql), "");
    }
    let (busy, wall) = (clickhouse.processor_seconds() - before, started.elapsed().as_secs_f64());
    let rows = lines as f64 * f64::from(BATCHES);
    println!("  {:>9.0} rows a second inserted by the wall clock", rows / wall);
    println!("  {:>9.0} rows a second inserted per core, sums by minute included", rows / busy);
}
