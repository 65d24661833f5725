//! The export to a real ClickHouse: what arrives is what was done, each once, whatever happens in between.

use pgsonde_tests::clickhouse::{ClickHouse, is_installed, is_modern_installed};
use pgsonde_tests::exporting::{
    Between, STATEMENTS, Trouble, each_once, exported, exporting, load, server, table,
};
use pgsonde_tests::{Proxy, eventually, paths, python, run, run_ok, signal};
use serde_json::Value;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

fn pgsonde(args: &[&str], password: &str) -> pgsonde_tests::Output {
    let mut command = Command::new(paths::pgsonde());
    run(command.args(args).env("CLICKHOUSE_PASSWORD", password), "", LIMIT)
}

fn init(clickhouse: &ClickHouse, password: &str, more: &[&str]) {
    let output = pgsonde(&[&["clickhouse", "init", &clickhouse.url()], more].concat(), password);
    assert!(output.is_ok(), "{output:?}");
}

#[test]
fn three_proxies_write_one_store_and_the_report_is_the_fleets() {
    if !is_installed() {
        return;
    }
    let clickhouse = ClickHouse::start("", None);
    init(&clickhouse, "", &[]);
    init(&clickhouse, "", &[]);
    let postgres = server();
    postgres.psql_ok(postgres.port(), "create database store");
    let url = |port: u16| format!("postgresql://postgres@127.0.0.1:{port}/store");
    python("orm.py", &["prepare", &url(postgres.port()), "psycopg", "lazy"], LIMIT);
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().expect("a folder")).collect();
    let proxies: Vec<Proxy> =
        folders.iter().map(|folder| exporting(folder.path(), &clickhouse.url(), "")).collect();
    let mut sightings = 0;
    for (proxy, repeats) in proxies.iter().zip(["5", "6", "7"]) {
        let told =
            python("orm.py", &["run", &url(proxy.port()), "psycopg", "lazy", repeats], LIMIT);
        sightings += told["sightings"].as_u64().expect("sightings");
        let marked = "set pgsonde.mark = 'nightly';\nbegin;\nselect 1;\nselect 1;\ncommit;\n";
        postgres.psql_ok(proxy.port(), marked);
    }
    proxies.iter().for_each(Proxy::settle);
    let admins: Vec<&str> = proxies.iter().map(Proxy::admin).collect();
    let merged = run_ok(
        Command::new(paths::pgsonde())
            .args(["merge", "--format", "json", "--top", "500"])
            .args(&admins),
        "",
        LIMIT,
    );
    let merged: Value = serde_json::from_str(&merged.stdout).expect("a report");
    let statements = |report: &Value| report["summary"]["books"]["statements"].as_u64();
    let source = format!("clickhouse://127.0.0.1:{}/default", clickhouse.port());
    let report = || -> Value {
        let args = ["report", &source, "--from", "-1h", "--format", "json", "--top", "500"];
        let output = pgsonde(&args, "");
        assert!(output.is_ok(), "{output:?}");
        serde_json::from_str(&output.stdout).expect("a report")
    };
    let stored = eventually("everything is in the store", LIMIT, || {
        let stored = report();
        let finding = &stored["findings"]["items"][0]["sightings"];
        (statements(&stored) == statements(&merged) && finding.as_u64() == Some(sightings))
            .then_some(stored)
    });

    same_statements(&merged, &stored);
    same_blocks(&merged, &stored);
    its_past(&stored);
    same_finding(&merged, &stored);
    renderings(&clickhouse, &source);
    books_of_the_export(&proxies);
    bytes_per_statement(&clickhouse, &proxies);
}

/// What the proxies themselves say: calls, rows, errors, time, percentiles.
fn same_statements(merged: &Value, stored: &Value) {
    let items = |report: &Value| report["statements"]["items"].as_array().cloned().expect("items");
    let (own, told) = (items(merged), items(stored));
    assert_eq!(own.len(), told.len());
    for item in &own {
        let same = |other: &&Value| {
            other["digest"] == item["digest"] && other["database"] == item["database"]
        };
        let other = told.iter().find(same).unwrap_or_else(|| panic!("{item} is missing"));
        for field in [
            "calls",
            "rows",
            "errors",
            "query_text",
            "summary",
            "operation",
            "tables",
            "total_ms",
            "max_ms",
            "min_ms",
            "sent_bytes",
            "histogram",
        ] {
            if field != "histogram" {
                assert_eq!(other[field], item[field], "{field} of {item}");
            }
        }
        for field in ["p50_ms", "p95_ms", "p99_ms"] {
            let (a, b) = (item[field].as_f64(), other[field].as_f64());
            let near = a.zip(b).is_none_or(|(a, b)| (a - b).abs() <= a * 0.011 + 0.001);
            assert!(near && a.is_some() == b.is_some(), "{field}: {a:?} {b:?}");
        }
    }
}

/// The steps of the past add up to the sums.
fn its_past(stored: &Value) {
    let points = stored["series"]["points"].as_array().expect("steps");
    let calls: u64 = points.iter().filter_map(|point| point["calls"].as_u64()).sum();
    assert_eq!(Some(calls), stored["summary"]["books"]["statements"].as_u64(), "{points:?}");
    assert!(points.len() >= 60 && points.iter().any(|point| point["p95_ms"].as_f64().is_some()));
    for item in stored["statements"]["items"].as_array().expect("items") {
        let trend = item["trend"].as_array().expect("a trend").iter();
        let sum: f64 = trend.filter_map(Value::as_f64).sum();
        let total = item["total_ms"].as_f64().expect("a time");
        assert!((sum - total).abs() < 0.01, "{sum} of {item}");
    }
}

/// Transactions, marks, and the worst unit of each route.
fn same_blocks(merged: &Value, stored: &Value) {
    let items = |report: &Value, name: &str| {
        report[name]["items"].as_array().cloned().unwrap_or_else(|| panic!("{name}: {report}"))
    };
    let sorted = |mut rows: Vec<Value>| {
        rows.sort_by_key(|row| [row["shape"].to_string(), row["service"].to_string()]);
        rows
    };
    let shapes = sorted(items(merged, "transactions"));
    assert_eq!(shapes, sorted(items(stored, "transactions")));
    assert!(shapes.len() > 1, "{shapes:?}");
    let (own, told) = (items(merged, "marks"), items(stored, "marks"));
    assert_eq!((own.len(), told.len()), (1, 1));
    for field in
        ["mark", "units", "statements", "duplicates", "rows", "sent_bytes", "timed", "db_ms"]
    {
        assert_eq!(own[0][field], told[0][field], "{field}: {own:?} {told:?}");
    }
    assert_eq!(own[0]["mark"], "nightly");
    let told = items(stored, "routes");
    for own in items(merged, "routes") {
        let same = |other: &&Value| {
            (&other["service"], &other["route"]) == (&own["service"], &own["route"])
        };
        let told = told.iter().find(same).unwrap_or_else(|| panic!("{own}"));
        assert_eq!(own["units"], told["units"], "{own} {told}");
        let longest = |route: &Value| {
            let worst = &route["worst"];
            let steps = worst["statements"].as_array().map(Vec::len);
            (steps, [worst["db_ms"].clone(), worst["similar"].clone(), worst["duplicate"].clone()])
        };
        assert_eq!(longest(&own), longest(told), "{own} {told}");
        assert!(longest(told).0.is_some(), "{told}");
        assert!(told["typical"]["statements"].is_array(), "{told}");
    }
}

fn same_finding(merged: &Value, stored: &Value) {
    let finding = &stored["findings"]["items"][0];
    assert_eq!(finding["id"], merged["findings"]["items"][0]["id"]);
    assert_eq!(finding["kind"], "n_plus_one");
    assert_eq!(finding["evidence"]["proxies"], 3);
    assert!(finding["fix"]["text"].as_str().is_some_and(|text| text.contains("joinedload")));
}

fn renderings(clickhouse: &ClickHouse, source: &str) {
    let events = clickhouse.rows(
        "SELECT query_text, db_name, ts, duration_us FROM pgsonde_events WHERE db_name = 'store' LIMIT 3",
    );
    assert!(events.iter().all(|row| row["query_text"] != ""), "{events:?}");
    for form in ["text", "html", "md"] {
        let output = pgsonde(&["report", source, "--format", form], "");
        assert!(output.is_ok() && output.stdout.contains("customers"), "{form}: {output:?}");
    }
}

fn books_of_the_export(proxies: &[Proxy]) {
    for proxy in proxies {
        let info = proxy.api("info");
        assert_eq!(info["exports"][0]["exporter"], "clickhouse", "{info}");
        assert_eq!(exported(proxy, "failures_total"), 0.0);
        assert_eq!(exported(proxy, "dropped_rows_total"), 0.0);
        assert!(exported(proxy, "rows_total") > 10.0);
    }
}

fn bytes_per_statement(clickhouse: &ClickHouse, proxies: &[Proxy]) {
    let rows: f64 = proxies.iter().map(|proxy| exported(proxy, "rows_total")).sum();
    let wire: f64 = proxies.iter().map(|proxy| exported(proxy, "bytes_total")).sum();
    println!("{rows} rows, {:.1} bytes of the wire per row (small batches)", wire / rows);
    let disk = clickhouse.query(
        "SELECT table, sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active GROUP BY table",
    );
    println!("{disk}");
}

#[test]
fn a_store_that_was_away_gets_each_row_once() {
    if !is_installed() {
        return;
    }
    table("away");
    let folder = tempfile::tempdir().expect("a folder");
    let mut clickhouse = ClickHouse::start("", None);
    init(&clickhouse, "", &[]);
    let proxy = exporting(folder.path(), &clickhouse.url(), "");
    load(&proxy, "away", 100);
    each_once(&clickhouse, 100);
    clickhouse.stop();
    load(&proxy, "away", 150);
    eventually("the failure is counted", LIMIT, || {
        (exported(&proxy, "failures_total") > 1.0).then_some(())
    });
    assert!(exported(&proxy, "spool_bytes") > 0.0);
    assert!(proxy.api("info")["exports"][0]["last_error"].is_string());
    proxy.await_line(&["cannot export to ClickHouse"]);
    // A proxy that dies with a full spool leaves it to the next one.
    signal("KILL", &proxy.pid().to_string());
    drop(proxy);
    let proxy = exporting(folder.path(), &clickhouse.url(), "");
    load(&proxy, "away", 50);
    clickhouse.resume();
    each_once(&clickhouse, 300);
    eventually("the spool is empty", LIMIT, || {
        (exported(&proxy, "spool_bytes") == 0.0).then_some(())
    });
    assert!(proxy.api("info")["exports"][0]["last_error"].is_null());
    assert_eq!(proxy.stop(), 0);
}

#[test]
fn a_lost_answer_counts_nothing_twice() {
    if !is_installed() {
        return;
    }
    table("lossy");
    let folder = tempfile::tempdir().expect("a folder");
    let clickhouse = ClickHouse::start("", None);
    init(&clickhouse, "", &[]);
    let lossy = Between::before(clickhouse.port());
    let url = format!("http://127.0.0.1:{}", lossy.port());
    let proxy = exporting(folder.path(), &url, "");
    load(&proxy, "lossy", 20);
    each_once(&clickhouse, 20);
    lossy.does(Trouble::LosesAnswers);
    load(&proxy, "lossy", 200);
    eventually("answers get lost", LIMIT, || (lossy.met() >= 2).then_some(()));
    // Killed between sending and hearing of it: the next one asks the store first.
    signal("KILL", &proxy.pid().to_string());
    drop(proxy);
    lossy.does(Trouble::None);
    let proxy = exporting(folder.path(), &url, "");
    load(&proxy, "lossy", 30);
    each_once(&clickhouse, 250);
    assert_eq!(exported(&proxy, "dropped_rows_total"), 0.0);
}

#[test]
fn a_slow_store_or_none_touches_no_statement() {
    if !is_installed() {
        return;
    }
    table("slow");
    let folder = tempfile::tempdir().expect("a folder");
    // It takes connections and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let url = format!("http://127.0.0.1:{port}");
    let proxy = exporting(folder.path(), &url, "spool_max = \"1MiB\"");
    let before = std::fs::read_dir(folder.path().join("spool")).expect("the spool").count();
    load(&proxy, "slow", 500);
    assert_eq!(before, 1, "only its lock");
    proxy.settle();
    assert_eq!(proxy.calls_and_errors("slow"), (500, 0));
    eventually("batches wait", LIMIT, || (exported(&proxy, "spool_bytes") > 0.0).then_some(()));
    drop(listener);
    eventually("the failure is counted", Duration::from_secs(90), || {
        (exported(&proxy, "failures_total") > 0.0).then_some(())
    });
    assert_eq!(proxy.stop(), 0);
}

#[test]
fn a_store_that_takes_its_time_gets_each_row_once() {
    if !is_installed() {
        return;
    }
    table("patient");
    let clickhouse = ClickHouse::start("", None);
    init(&clickhouse, "", &[]);
    // Each insert lasts as long as a busy disk would make it last.
    let brake =
        "CREATE MATERIALIZED VIEW brake ENGINE = Null AS SELECT sleep(2) FROM pgsonde_statements";
    assert_eq!(clickhouse.query(brake), "");
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = exporting(folder.path(), &clickhouse.url(), "");
    for _ in 0..10 {
        load(&proxy, "patient", 100);
        // One batch or more each time, while the first is still being inserted.
        std::thread::sleep(Duration::from_millis(200));
    }
    proxy.settle();
    assert_eq!(proxy.calls_and_errors("patient"), (1_000, 0));
    assert!(exported(&proxy, "spool_bytes") > 0.0, "batches wait while the store is busy");
    each_once(&clickhouse, 1_000);
    assert_eq!(exported(&proxy, "dropped_rows_total"), 0.0);
}

#[test]
fn a_sample_keeps_whole_units_and_promises_of_the_proxy() {
    const UNITS: u64 = 200;
    const STATEMENTS_OF_ONE: u64 = 4;
    if !is_installed() {
        return;
    }
    table("sampled");
    let clickhouse = ClickHouse::start("", None);
    init(&clickhouse, "", &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = exporting(folder.path(), &clickhouse.url(), "sample = \"50%\"");
    let select = "select n from sampled where n = 1;\n";
    let unit = format!("begin;\n{}commit;\n", select.repeat(STATEMENTS_OF_ONE as usize));
    server().psql_ok(proxy.port(), &unit.repeat(UNITS as usize));
    proxy.settle();
    eventually("the spool is empty", LIMIT, || {
        (exported(&proxy, "rows_total") > 0.0 && exported(&proxy, "spool_bytes") == 0.0)
            .then_some(())
    });
    let of_units = |condition: &str| {
        clickhouse.number(&format!(
            "SELECT count() FROM (SELECT unit_id, count() AS n FROM pgsonde_statements \
             WHERE db_operation = 'select' GROUP BY unit_id) WHERE {condition}"
        ))
    };
    let kept = of_units("1");
    // Half of 200, give or take seven standard deviations.
    assert!((50..=150).contains(&kept), "{kept} of {UNITS} units");
    assert_eq!(of_units(&format!("n != {STATEMENTS_OF_ONE}")), 0, "none is cut");
    assert_eq!(clickhouse.number(STATEMENTS), kept * STATEMENTS_OF_ONE);
    let all = UNITS * STATEMENTS_OF_ONE;
    assert_eq!(proxy.calls_and_errors("sampled"), (all, 0), "the proxy itself knows them all");
    assert_eq!(exported(&proxy, "dropped_rows_total"), 0.0, "left out is not lost");
}

#[test]
fn a_full_or_broken_spool_drops_and_counts() {
    table("filled");
    let folder = tempfile::tempdir().expect("a folder");
    let down = format!("http://127.0.0.1:{}", pgsonde_tests::free_port());
    let proxy = exporting(folder.path(), &down, "spool_max = \"1MiB\"");
    // Something else takes the room: a batch of the earlier proxy, say.
    drop(proxy);
    let filler = folder.path().join("spool/0-aa-1-5-pgsonde_statements.ndjson.zst");
    std::fs::write(&filler, vec![0; (1 << 20) - 10]).expect("the filler");
    let proxy = exporting(folder.path(), &down, "spool_max = \"1MiB\"");
    load(&proxy, "filled", 300);
    proxy.settle();
    let dropped = || {
        proxy.metrics().matching("pgsonde_export_dropped_rows_total", &["reason=\"spool_full\""])
    };
    eventually("the rows are dropped and counted", LIMIT, || (dropped() >= 300.0).then_some(()));
    assert_eq!(proxy.calls_and_errors("filled"), (300, 0));
    proxy.await_line(&["the spool is full"]);
    let told = proxy.api("info")["exports"][0]["dropped"]["spool_full"].as_u64();
    assert!(told >= Some(300), "{told:?}");
    drop(proxy);

    // A spool that can't be written to, or that is another proxy's, is refused at the start.
    let one = tempfile::tempdir().expect("a folder");
    let _holder = exporting(one.path(), &down, "");
    let file = one.path().join("pgsonde.toml").display().to_string();
    let output = pgsonde(&["--config", &file, "proxy"], "");
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("PGS0113") && output.stderr.contains("another process"));
}

#[test]
fn passwords_and_schemas_that_differ_are_told_and_waited_for() {
    if !is_installed() {
        return;
    }
    table("strange");
    let folder = tempfile::tempdir().expect("a folder");
    let clickhouse = ClickHouse::start("right-password", None);
    let refused = pgsonde(&["clickhouse", "init", &clickhouse.url()], "wrong");
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(
        refused.stderr.contains("PGS0532") && !refused.stderr.contains("wrong\""),
        "{refused:?}"
    );
    let source = format!("clickhouse://127.0.0.1:{}/default", clickhouse.port());
    let early = pgsonde(&["report", &source], "right-password");
    assert!(early.stderr.contains("PGS0533"), "{early:?}");

    // Without its tables, then with those of an older version (a column less), then of a newer one (one more).
    let password = folder.path().join("password");
    std::fs::write(&password, "right-password\n").expect("the password");
    let named = format!("password = \"file:{}\"", password.display());
    let proxy = exporting(folder.path(), &clickhouse.url(), &named);
    load(&proxy, "strange", 40);
    proxy.await_line(&["cannot export", "pgsonde_"]);
    init(&clickhouse, "right-password", &[]);
    each_once(&clickhouse, 40);
    clickhouse.query("ALTER TABLE pgsonde_statements DROP COLUMN client_stall_us");
    clickhouse.query("ALTER TABLE pgsonde_statements ADD COLUMN invented String");
    let answer = clickhouse.query("DROP TABLE pgsonde_minutes_view");
    assert_eq!(answer, "");
    load(&proxy, "strange", 10);
    eventually("rows go on to arrive", LIMIT, || {
        (clickhouse.number(STATEMENTS) == 50).then_some(())
    });
    // What is made anew has what it lacked, and keeps what it has.
    init(&clickhouse, "right-password", &[]);
    let column = "SELECT count() FROM system.columns WHERE table = 'pgsonde_statements' \
                  AND name IN ('client_stall_us', 'invented')";
    assert_eq!((clickhouse.number(column), clickhouse.number(STATEMENTS)), (2, 50));
    let served =
        "SELECT count() FROM pgsonde_events WHERE pid > 0 AND client_stall_us < 1000000000";
    assert_eq!(clickhouse.number(served), 50, "each says which process of the server ran it");
    drop(proxy);

    std::fs::write(&password, "another\n").expect("the password");
    let proxy = exporting(folder.path(), &clickhouse.url(), &named);
    load(&proxy, "strange", 7);
    eventually("the refusal is counted", LIMIT, || {
        (exported(&proxy, "failures_total") > 0.0).then_some(())
    });
    assert_eq!(clickhouse.number(STATEMENTS), 50);
    assert!(!proxy.lines().join("\n").contains("another\n"));
    drop(proxy);
    std::fs::write(&password, "right-password\n").expect("the password");
    let proxy = exporting(folder.path(), &clickhouse.url(), &named);
    eventually("what waited arrives", LIMIT, || {
        (clickhouse.number(STATEMENTS) == 57).then_some(())
    });
    drop(proxy);
}

#[test]
fn two_shards_hold_each_row_once() {
    if !is_installed() {
        return;
    }
    table("shards");
    let ports = [pgsonde_tests::free_port(), pgsonde_tests::free_port()];
    let nodes: Vec<ClickHouse> =
        ports.iter().map(|own| ClickHouse::start("", Some((*own, ports)))).collect();
    nodes.iter().for_each(|node| init(node, "", &["--cluster", "pair"]));
    let folders: Vec<_> = (0..6).map(|_| tempfile::tempdir().expect("a folder")).collect();
    let proxies: Vec<Proxy> = folders
        .iter()
        .enumerate()
        .map(|(at, folder)| exporting(folder.path(), &nodes[at % 2].url(), ""))
        .collect();
    proxies.iter().for_each(|proxy| load(proxy, "shards", 50));
    nodes.iter().for_each(|node| each_once(node, 300));
    let local = STATEMENTS.replace("pgsonde_statements", "pgsonde_statements_local");
    let held: Vec<u64> = nodes.iter().map(|node| node.number(&local)).collect();
    assert_eq!(held.iter().sum::<u64>(), 300, "{held:?}");
    assert!(held.iter().all(|rows| rows % 50 == 0), "a proxy's rows lie together: {held:?}");
    println!("rows by shard: {held:?}");
}

/// A batch that the store can't read is given up after some attempts, and the next ones go on.
#[test]
fn a_poisoned_batch_is_counted_and_holds_nobody_up() {
    if !is_installed() {
        return;
    }
    table("poison");
    let folder = tempfile::tempdir().expect("a folder");
    let clickhouse = ClickHouse::start("", None);
    init(&clickhouse, "", &[]);
    let spool = folder.path().join("spool");
    std::fs::create_dir(&spool).expect("the spool");
    let nonsense =
        zstd::bulk::compress(b"{\"proxy_id\":\"a\",\"ts_us\":nonsense}\n", 1).expect("zstd");
    std::fs::write(spool.join("0-aa-1-5-pgsonde_statements.ndjson.zst"), nonsense)
        .expect("a batch");
    let proxy = exporting(folder.path(), &clickhouse.url(), "");
    load(&proxy, "poison", 25);
    each_once(&clickhouse, 25);
    let refused =
        proxy.metrics().matching("pgsonde_export_dropped_rows_total", &["reason=\"refused\""]);
    assert_eq!(refused, 5.0);
}

/// Modern tables, tokens and queries on a current engine; a batch that is sent twice is there once, also in the sums.
#[test]
fn a_current_engine_holds_each_row_once_and_gives_the_report() {
    if !is_modern_installed() {
        return;
    }
    table("modern");
    let folder = tempfile::tempdir().expect("a folder");
    let store = ClickHouse::start_modern();
    init(&store, "", &[]);
    let lossy = Between::before(store.port());
    let proxy = exporting(folder.path(), &format!("http://127.0.0.1:{}", lossy.port()), "");
    load(&proxy, "modern", 30);
    each_once(&store, 30);
    lossy.does(Trouble::LosesAnswers);
    load(&proxy, "modern", 70);
    eventually("an answer gets lost", LIMIT, || (lossy.met() >= 1).then_some(()));
    lossy.does(Trouble::None);
    each_once(&store, 100);
    let token = "INSERT INTO pgsonde_statements SETTINGS insert_deduplication_token = 'again', \
                 deduplicate_blocks_in_dependent_materialized_views = 1 FORMAT JSONEachRow\n\
                 {\"proxy_id\":\"x\",\"ts_us\":1795366743123456,\"db_operation\":\"select\",\"digest\":\"0\",\"outcome\":\"ok\"}";
    for _ in 0..2 {
        assert_eq!(store.query(token), "");
    }
    assert_eq!(store.number(STATEMENTS), 101);
    assert_eq!(store.number("SELECT sumMerge(calls) FROM pgsonde_minutes WHERE digest = '0'"), 1);
    let ts = store.query("SELECT ts FROM pgsonde_statements WHERE proxy_id = 'x'");
    assert!(ts.ends_with(".123456"), "{ts}");
    let source = format!("clickhouse://127.0.0.1:{}/default", store.port());
    let output = pgsonde(&["report", &source, "--format", "json"], "");
    let report: Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let items = report["statements"]["items"].as_array().expect("items");
    let of = |item: &&Value| item["tables"][0] == "modern";
    let item = items.iter().find(of).unwrap_or_else(|| panic!("{report}"));
    let own = proxy.api("statements?limit=500");
    let own = own["items"].as_array().and_then(|items| items.iter().find(of).cloned()).expect("it");
    for field in ["calls", "rows", "errors", "total_ms", "query_text", "max_ms"] {
        assert_eq!(item[field], own[field], "{field}");
    }
}
