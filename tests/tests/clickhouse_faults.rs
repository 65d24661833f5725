//! What may go wrong between proxy and store: nothing of the application is touched, nothing is counted twice, and
//! what is lost is a number.

use pgsonde_tests::clickhouse::{ClickHouse, is_installed};
use pgsonde_tests::exporting::{
    Between, Trouble, each_once, exported, exporting, exporting_to_a_full_disk, load, server, table,
};
use pgsonde_tests::{Proxy, eventually, paths, run_ok, signal};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// A store with its tables.
fn store() -> ClickHouse {
    let store = ClickHouse::start("", None);
    run_ok(Command::new(paths::pgsonde()).args(["clickhouse", "init", &store.url()]), "", LIMIT);
    store
}

fn dropped(proxy: &Proxy, reason: &str) -> f64 {
    let label = format!("reason=\"{reason}\"");
    proxy.metrics().matching("pgsonde_export_dropped_rows_total", &[&label])
}

/// The store takes half a request, refuses for want of room, or its answer comes in half; and the proxy is killed
/// meanwhile.
#[test]
fn trouble_on_the_way_counts_nothing_twice() {
    if !is_installed() {
        return;
    }
    table("trouble");
    let folder = tempfile::tempdir().expect("a folder");
    let store = store();
    let between = Between::before(store.port());
    let url = format!("http://127.0.0.1:{}", between.port());
    let mut proxy = exporting(folder.path(), &url, "");
    load(&proxy, "trouble", 20);
    each_once(&store, 20);
    let troubles = [Trouble::HalvesRequests, Trouble::HalvesAnswers, Trouble::FullDisk];
    let mut sent = 20;
    for (trouble, killed) in troubles.into_iter().flat_map(|one| [(one, false), (one, true)]) {
        let before = between.met();
        between.does(trouble);
        load(&proxy, "trouble", 100);
        sent += 100;
        eventually("inserts meet trouble", LIMIT, || (between.met() >= before + 2).then_some(()));
        proxy.await_line(&["cannot export to ClickHouse"]);
        if killed {
            // What is not in the spool yet dies with the process: batches of 100 ms are, by then.
            proxy.settle();
            std::thread::sleep(Duration::from_secs(1));
            signal("KILL", &proxy.pid().to_string());
            drop(proxy);
            proxy = exporting(folder.path(), &url, "");
        }
        between.does(Trouble::None);
        each_once(&store, sent);
        println!("{trouble:?}, killed: {killed}: {sent} once each");
    }
    assert_eq!(exported(&proxy, "dropped_rows_total"), 0.0);
    let calls = server().psql_ok(server().port(), "select count(*) from trouble");
    assert_eq!(calls, "1");
}

/// Batches that find no room on the disk of the spool are lost, counted, and told to the store as gaps.
#[test]
fn a_full_disk_of_the_spool_is_a_number_everywhere() {
    if !is_installed() {
        return;
    }
    table("roomless");
    let folder = tempfile::tempdir().expect("a folder");
    let store = store();
    let proxy = exporting_to_a_full_disk(folder.path(), &store.url(), "batch_interval = \"1s\"");
    load(&proxy, "roomless", 2_000);
    proxy.settle();
    assert_eq!(proxy.calls_and_errors("roomless"), (2_000, 0));
    eventually("rows are lost", LIMIT, || (dropped(&proxy, "spool_failed") > 0.0).then_some(()));
    proxy.await_line(&["rows are dropped", "cannot write to the spool"]);
    let told = "SELECT sum(dropped) FROM pgsonde_gaps WHERE reason = 'spool_failed'";
    eventually("the store knows of all of them", LIMIT, || {
        (store.number(told) as f64 == dropped(&proxy, "spool_failed")).then_some(())
    });
    let info = proxy.api("info");
    let shown = info["exports"][0]["dropped"]["spool_failed"].as_u64();
    assert_eq!(shown.map(|rows| rows as f64), Some(dropped(&proxy, "spool_failed")));
    // Small batches find room again: every statement is there, or among the lost.
    let there = "SELECT count() FROM pgsonde_statements WHERE db_operation = 'select'";
    assert!(store.number(there) as f64 + dropped(&proxy, "spool_failed") >= 2_000.0);
    let left = std::fs::read_dir(folder.path().join("spool")).expect("the spool");
    let parts =
        left.flatten().filter(|file| file.path().extension().is_some_and(|end| end == "part"));
    assert_eq!(parts.count(), 0, "no half of a batch stays");
    assert_eq!(proxy.stop(), 0);
}

/// A proxy whose clock was years off left batches behind: they arrive, and hold nobody up.
#[test]
fn a_clock_that_is_off_holds_nobody_up() {
    if !is_installed() {
        return;
    }
    table("clockless");
    let folder = tempfile::tempdir().expect("a folder");
    let store = store();
    let spool = folder.path().join("spool");
    std::fs::create_dir(&spool).expect("the spool");
    for (at, ts_us) in [(1, 0_u64), (2, 951_782_400_000_000), (3, 4_102_444_800_000_000)] {
        let row = format!(
            "{{\"proxy_id\":\"off\",\"ts_us\":{ts_us},\"session\":\"1\",\"seq\":{at},\"db_operation\":\"select\",\
             \"digest\":\"000000000000000a\",\"outcome\":\"ok\"}}\n"
        );
        let packed = zstd::bulk::compress(row.as_bytes(), 1).expect("zstd");
        let name = format!("{at}-off-{at}-1-pgsonde_statements.ndjson.zst");
        std::fs::write(spool.join(name), packed).expect("a batch");
    }
    let proxy = exporting(folder.path(), &store.url(), "");
    load(&proxy, "clockless", 25);
    each_once(&store, 28);
    assert_eq!(exported(&proxy, "dropped_rows_total"), 0.0);
    // A report of the last hour has nothing of them.
    let source = format!("clickhouse://127.0.0.1:{}/default", store.port());
    let args = ["report", &source, "--from", "-1h", "--format", "json"];
    let report = run_ok(Command::new(paths::pgsonde()).args(args), "", LIMIT);
    assert!(report.stdout.contains("clockless") && !report.stdout.contains("000000000000000a"));
}
