//! Captures and live events through the real program: what is written is what was seen, and reads back as that.

use pgsonde_tests::captured::{files, lines, of};
use pgsonde_tests::{Postgres, Proxy, eventually, paths, process, run};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Units of every kind: tagged, in transactions, failed, empty, with several statements in a text, renamed.
const LOAD: &str = "
create table if not exists orders (id int primary key, customer_id int, note text);
insert into orders select n, n % 7, 'x' from generate_series(1, 200) n on conflict do nothing;
select id from orders where customer_id = 3 /*route='%2Forders',application='shop'*/;
select id from orders where customer_id = 4 /*route='%2Forders',application='shop'*/;
select count(*) from orders /*route='%2Fcount',traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',file='shop%2Fviews.py',line='12'*/;
begin;
update orders set note = 'y' where id = 1;
update orders set note = 'y' where id = 2;
commit;
begin;
savepoint before;
update orders set note = 'z' where id = 3 /*route='%2Fpay',traceparent='00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
release savepoint before;
commit;
begin;
select * from orders where id = 5;
rollback;
select 1; select 2;
set application_name = 'renamed-7';
select * from orders where id = 9;
;
copy orders to stdout;
";

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("pgsonde-{name}-{}", std::process::id()));
    let _absent = std::fs::remove_dir_all(&folder);
    folder
}

fn pgsonde(args: &[&str]) -> pgsonde_tests::Output {
    run(Command::new(paths::pgsonde()).args(args).current_dir("/"), "", LIMIT)
}

fn report(source: &str) -> Value {
    let output = pgsonde(&["report", source, "--format", "json", "--top", "500"]);
    assert!(output.is_ok(), "{output:?}");
    serde_json::from_str(&output.stdout).expect("a report is JSON")
}

fn load(postgres: &Postgres, proxy: &Proxy) {
    let lookups: String =
        (1..30).map(|n| format!("select note from orders where id = {n};\n")).collect();
    postgres.psql_ok(proxy.port(), LOAD);
    postgres.psql_ok(proxy.port(), &lookups);
    let failed = postgres.psql(proxy.port(), "select missing from orders");
    assert!(!failed.is_ok());
    let unknown = format!("host=127.0.0.1 port={} user=postgres dbname=absent", proxy.port());
    let refused = run(
        Command::new(Path::new(&paths::postgres_bin()).join("psql"))
            .args(["-w", &unknown, "-c", "select 1"]),
        "",
        LIMIT,
    );
    assert!(!refused.is_ok());
    postgres.pgbench(proxy.port(), &["-i", "-q", "-s", "1"], LIMIT);
    let mixed = ["-n", "-M", "prepared", "-c", "3", "-t", "40"];
    postgres.pgbench(proxy.port(), &mixed, LIMIT);
}

/// What has to be equal between a live proxy and its capture.
fn figures(report: &Value) -> BTreeMap<String, Value> {
    let mut figures = BTreeMap::new();
    for key in ["books", "error_share", "p50_ms", "p95_ms", "p99_ms", "phases_ms"] {
        figures.insert(format!("summary {key}"), report["summary"][key].clone());
    }
    for route in report["summary"]["routes"].as_array().expect("routes") {
        let mut route = route.clone();
        let name = format!("route {} {}", route["service"], route["route"]);
        // Rates are by the length of the report, which is the capture's.
        route.as_object_mut().expect("a route").remove("units_per_s");
        figures.insert(name, route);
    }
    for item in report["statements"]["items"].as_array().expect("statements") {
        let mut item = item.clone();
        let fields = item.as_object_mut().expect("a statement");
        // Of the widths of results and of the recent past there is nothing in a capture.
        for key in ["columns", "trend"] {
            fields.remove(key);
        }
        figures.insert(format!("statement {} {}", item["database"], item["digest"]), item);
    }
    for finding in report["findings"]["items"].as_array().expect("findings") {
        let mut finding = finding.clone();
        finding["cost"] = finding["cost"]["busy_total_ms"].clone();
        finding.as_object_mut().expect("a finding").remove("ratio");
        figures.insert(format!("finding {}", finding["id"]), finding);
    }
    figures
}

fn assert_same(live: &Value, replayed: &Value) {
    let (live, replayed) = (figures(live), figures(replayed));
    let names = |figures: &BTreeMap<String, Value>| figures.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&live), names(&replayed));
    for (name, value) in &live {
        assert_eq!(value, &replayed[name], "{name}");
    }
}

#[test]
fn a_report_of_a_capture_shows_what_the_proxy_showed() {
    let postgres = Postgres::start();
    let folder = folder("captures-report");
    let proxy = Proxy::start(&postgres, &["--capture", folder.to_str().expect("UTF-8")]);
    load(&postgres, &proxy);
    proxy.settle();
    // A trace is over ten seconds after its last statement.
    eventually("the trace is over", LIMIT, || {
        let summary = proxy.api("summary");
        let routes = summary["routes"].as_array().cloned().unwrap_or_default();
        routes.iter().any(|route| route["route"] == "/count").then_some(())
    });
    let middle = report(proxy.admin());
    postgres.psql_ok(proxy.port(), &"select count(*) from orders;\n".repeat(5));
    proxy.settle();
    let live = report(proxy.admin());
    let metrics = proxy.metrics();
    assert!(metrics.sum("pgsonde_capture_written_bytes_total") > 0.0);
    assert_eq!(metrics.sum("pgsonde_capture_errors_total"), 0.0);
    assert_eq!(proxy.stop(), 0);
    let replayed = report(folder.to_str().expect("UTF-8"));
    assert_same(&live, &replayed);
    parts_by_time(&folder, &middle, &live);
    assert!(live["statements"]["total"].as_u64() > Some(15), "the load has many digests");
    let file = &files(&folder)[0];
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    lines_follow_the_schema(&lines(&folder), &live);
    jq_reads_it(file, &live);
    cut_and_strange_files(&folder, file);
    std::fs::remove_dir_all(folder).expect("the folder goes");
}

/// Before and after a moment: each statement is on one side.
fn parts_by_time(folder: &Path, middle: &Value, live: &Value) {
    let source = folder.to_str().expect("UTF-8");
    let at = middle["summary"]["to"].as_str().expect("a moment");
    let part = |range: [&str; 2]| -> Value {
        let output = pgsonde(&["report", source, "--format", "json", range[0], range[1]]);
        assert!(output.is_ok(), "{output:?}");
        serde_json::from_str(&output.stdout).expect("a report")
    };
    let (before, after) = (part(["--to", at]), part(["--from", at]));
    let statements = |report: &Value| report["summary"]["books"]["statements"].as_u64();
    assert_eq!(statements(&before), statements(middle));
    assert_eq!(after["statements"]["items"][0]["calls"], 5, "{}", after["statements"]);
    assert_eq!(statements(&after), statements(live).zip(statements(middle)).map(|(a, b)| a - b));
    assert_eq!(after["summary"]["from"], at);
    let never = pgsonde(&["report", source, "--to", "2001-01-01"]);
    assert_eq!(never.code, Some(4), "{never:?}");
    assert!(never.stderr.contains("PGS0504") && never.stderr.contains("it has what happened from"));
}

/// Slow statements by digest, as people ask a capture with tools of their own.
fn jq_reads_it(file: &Path, live: &Value) {
    let ask = "[inputs | select(.ev == \"statement\")] | group_by(.digest) \
               | map({key: .[0].digest, value: (map(.rows // 0) | add)}) | from_entries";
    let script = "zstd -dcq \"$1\" | jq -nc \"$2\"";
    let mut shell = Command::new("sh");
    let output = run(shell.args(["-c", script, "sh"]).arg(file).arg(ask), "", LIMIT);
    let rows: Value = serde_json::from_str(&output.stdout).expect("jq answers");
    for item in live["statements"]["items"].as_array().expect("statements") {
        let digest = item["digest"].as_str().expect("an id");
        assert_eq!(rows[digest], item["rows"], "{digest}: {item}");
    }
}

fn lines_follow_the_schema(lines: &[Value], live: &Value) {
    assert_eq!(lines[0]["ev"], "capture");
    assert_eq!(lines[0]["schema"], 1);
    assert_eq!(lines[0]["redact"], "literals");
    assert_eq!(lines.last().expect("lines")["ev"], "end");
    let mut known = std::collections::BTreeSet::new();
    let mut seqs: BTreeMap<String, u64> = BTreeMap::new();
    for line in lines {
        assert!(line["ts_us"].as_u64() > Some(1_700_000_000_000_000), "{line}");
        if line["ev"] == "digest" {
            known.insert(line["digest"].to_string());
        }
        if line["ev"] == "statement" {
            assert!(known.contains(&line["digest"].to_string()), "its digest comes first: {line}");
            let field = |name: &str| line[name].as_u64().unwrap_or(0);
            let phases = ["queue_us", "first_row_us", "transfer_us", "client_stall_us"];
            assert_eq!(field("duration_us"), phases.into_iter().map(field).sum::<u64>(), "{line}");
            let seq = seqs.entry(line["session"].to_string()).or_default();
            *seq += 1;
            assert_eq!(field("seq"), *seq, "{line}");
        }
    }
    let statements = live["summary"]["books"]["statements"].as_u64().expect("a number");
    assert_eq!(of(lines, "statement").count() as u64, statements);
    let opened = of(lines, "connection").filter(|line| line["state"] == "open").count();
    let closed = of(lines, "connection").filter(|line| line["state"] == "closed").count();
    assert!(opened > 5 && opened == closed, "{opened} opened, {closed} closed");
    assert!(of(lines, "transaction").any(|line| line["outcome"] == "rollback"));
    assert!(of(lines, "statement").any(|line| line["err_sqlstate"] == "42703"));
    sessions_and_traces(lines);
}

/// Who served a statement, out of which trace and place of the application it came, and who got no session.
fn sessions_and_traces(lines: &[Value]) {
    let mut pids: BTreeMap<String, u64> = BTreeMap::new();
    for line in of(lines, "connection").filter(|line| line["state"] == "open") {
        assert!(line["server_version"].as_str().is_some_and(|it| it.starts_with("15")), "{line}");
        let pid = line["pid"].as_u64().expect("a process of the server");
        pids.insert(line["session"].to_string(), pid);
        assert_eq!((&line["auth"], &line["tls_client"]), (&"trust".into(), &Value::Null), "{line}");
        assert!(line["setup_tcp_us"].as_u64() > Some(0), "{line}");
    }
    let distinct: std::collections::BTreeSet<u64> = pids.values().copied().collect();
    assert_eq!(distinct.len(), pids.len(), "each session has a process of its own");
    for line in of(lines, "statement").chain(of(lines, "transaction")) {
        assert_eq!(line["pid"].as_u64(), pids.get(&line["session"].to_string()).copied(), "{line}");
    }
    let traced = of(lines, "statement").find(|line| line["route"] == "/count").expect("traced");
    assert_eq!(traced["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(traced["span_id"], "b7ad6b7169203331");
    assert_eq!(traced["code"], "shop/views.py:12");
    let written = of(lines, "transaction").find(|line| line["statements"] == 2).expect("updates");
    assert_eq!((&written["round_trips"], &written["rows"]), (&4.into(), &2.into()), "{written}");
    assert_eq!(written["writes"], true);
    let named = of(lines, "transaction").find(|line| line["route"] == "/pay").expect("its route");
    assert_eq!(named["trace_id"], "1af7651916cd43dd8448eb211c80319c", "{named}");
    assert_eq!(named["savepoints"], 1, "{named}");
    let mut bytes = 0;
    for closed in of(lines, "connection").filter(|line| line["state"] == "closed") {
        let field = |name: &str| closed[name].as_u64().unwrap_or(0);
        let thought = field("think_idle_us") + field("think_in_transaction_us");
        assert!(field("duration_us") >= field("busy_us").max(thought), "{closed}");
        assert_eq!(
            (&closed["end_side"], &closed["end_reason"]),
            (&"client".into(), &"client_closed".into())
        );
        bytes += field("received_bytes") + field("sent_bytes");
    }
    let traffic = of(lines, "traffic").map(|line| {
        let field = |name: &str| line[name].as_u64().unwrap_or(0);
        field("client_received_bytes") + field("client_sent_bytes")
    });
    assert_eq!(bytes, traffic.sum::<u64>(), "what went over the client leg");
    let refused = of(lines, "connection").find(|line| line["state"] == "refused").expect("refused");
    assert_eq!(
        (&refused["db_name"], &refused["end_reason"]),
        (&"absent".into(), &"upstream_refused".into())
    );
}

fn cut_and_strange_files(folder: &Path, file: &Path) {
    let bytes = std::fs::read(file).expect("a file");
    let other = folder.join("other");
    let path = other.to_str().expect("UTF-8");
    std::fs::write(&other, &bytes[..bytes.len() * 2 / 3]).expect("room");
    let output = pgsonde(&["report", path, "--format", "json"]);
    assert!(output.is_ok(), "{output:?}");
    assert!(
        output.stderr.contains("is cut off") && output.stderr.contains("up to 2"),
        "{output:?}"
    );
    let cases: [(&[u8], &str, &str); 5] = [
        (b"", "PGS0503", "not a report"),
        (b"hello\n", "PGS0503", "not a report"),
        (&bytes[..10], "PGS0511", "is not a capture"),
        (b"{\"ev\":\"statement\"}\n", "PGS0511", "does not say `capture`"),
        (
            b"{\"ev\":\"capture\",\"proxy_id\":\"x\",\"ts_us\":1,\"schema\":7,\"version\":\"9.1\"}\n",
            "PGS0512",
            "pgsonde 9.1 wrote it with schema 7",
        ),
    ];
    for (content, code, words) in cases {
        std::fs::write(&other, content).expect("room");
        let output = pgsonde(&["report", path]);
        assert_eq!(output.code, Some(4), "{output:?}");
        assert!(output.stderr.contains(code) && output.stderr.contains(words), "{output:?}");
    }
    std::fs::remove_file(other).expect("a file");
}

#[test]
fn a_kill_loses_at_most_one_flush_interval_and_rotation_keeps_the_newest() {
    let postgres = Postgres::start();
    let folder = folder("captures-kill");
    let path = folder.to_str().expect("UTF-8");
    let proxy = Proxy::start(&postgres, &["--capture", path]);
    postgres.psql_ok(proxy.port(), "create table t (a int); insert into t values (1)");
    proxy.settle();
    // Longer than a flush interval after the last statement nothing may be missing.
    std::thread::sleep(Duration::from_secs(2));
    let live = proxy.books();
    process::signal("KILL", &proxy.pid().to_string());
    let replayed = report(path);
    assert_eq!(replayed["summary"]["books"], live);
    drop(proxy);
    std::fs::remove_dir_all(folder).expect("the folder goes");
}

/// What the application says, in every place where it can say it.
const SAID: &str = "
create table said (note text);
insert into said values ('canary-0a1b2c');
select * from said where note = 'canary-0a1b2c' /* canary-0a1b2c */;
select 'canary-0a1b2c'::int;
prepare p (text) as select note from said where note = $1;
execute p ('canary-0a1b2c');
copy said to stdout;
set pgsonde.note = 'canary-0a1b2c';
";

/// `pgsonde tail`, with what it printed so far.
struct Tail {
    child: std::process::Child,
    printed: std::sync::Arc<std::sync::Mutex<String>>,
}

impl Tail {
    fn start(proxy: &Proxy, args: &[&str]) -> Self {
        use std::io::Read as _;
        let mut command = Command::new(paths::pgsonde());
        command.arg("tail").arg(proxy.admin()).args(args).current_dir("/");
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("tail starts");
        let mut out = child.stdout.take().expect("a pipe");
        let printed = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let kept = std::sync::Arc::clone(&printed);
        std::thread::spawn(move || {
            let mut piece = [0; 4_096];
            while let Ok(count @ 1..) = out.read(&mut piece) {
                kept.lock()
                    .expect("nobody panics")
                    .push_str(&String::from_utf8_lossy(&piece[..count]));
            }
        });
        Self { child, printed }
    }

    fn wait_for(&self, words: &str) -> String {
        eventually(words, LIMIT, || {
            Some(self.printed.lock().expect("nobody panics").clone())
                .filter(|text| text.contains(words))
        })
    }

    /// Ctrl-C; gives the exit code.
    fn interrupt(mut self) -> Option<i32> {
        process::signal("INT", &self.child.id().to_string());
        eventually("tail ends", LIMIT, || self.child.try_wait().expect("a child")).code()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn live_events_and_captures_hold_no_values() {
    let postgres = Postgres::start();
    let folder = folder("captures-canary");
    let proxy = Proxy::start(&postgres, &["--capture", folder.to_str().expect("UTF-8")]);
    let json =
        Tail::start(&proxy, &["--json", "--events", "statement,transaction,connection,finding"]);
    let people = Tail::start(&proxy, &["--filter", "said -op:insert", "--max-rate", "1000/s"]);
    let failed = Tail::start(&proxy, &["--json", "--filter", "err:22"]);
    // A listener is there once its stream has begun.
    std::thread::sleep(Duration::from_secs(1));
    let _error = postgres.psql(proxy.port(), &format!("\\set ON_ERROR_STOP 0\n{SAID}"));
    let bound = folder.with_extension("sql");
    std::fs::write(&bound, "select note from said where length(note) = :canary;\n").expect("room");
    let bound_path = bound.to_str().expect("UTF-8");
    let args = ["-n", "-M", "extended", "-t", "3", "-D", "canary=987612345", "-f", bound_path];
    postgres.pgbench(proxy.port(), &args, LIMIT);
    let lines = json.wait_for("length(note)");
    json.wait_for("\"prepare\":\"unnamed\"");
    let shown = people.wait_for("SELECT said");
    assert!(!shown.contains("INSERT"), "{shown}");
    failed.wait_for("22P02");
    for text in [&lines, &shown, &failed.printed.lock().expect("nobody panics").clone()] {
        assert!(!text.contains("canary-") && !text.contains("987612345"), "{text}");
    }
    assert!(lines.lines().any(|line| line.starts_with("{\"ev\":\"connection\"")), "{lines}");
    assert_eq!([json.interrupt(), people.interrupt(), failed.interrupt()], [Some(130); 3]);
    examples_and_refusals(&proxy);
    assert_eq!(proxy.stop(), 0);
    let path = folder.to_str().expect("UTF-8");
    for format in ["ndjson", "csv"] {
        let output = pgsonde(&["export", path, "--format", format]);
        assert!(output.is_ok() && output.stdout.contains("length(note)"), "{output:?}");
        let text = output.stdout;
        assert!(!text.contains("canary-") && !text.contains("987612345"), "{text}");
    }
    let only = pgsonde(&["export", path, "--events", "finding,connection"]).stdout;
    assert!(only.contains("\"connection\"") && !only.contains("\"ev\":\"statement\""), "{only}");
    std::fs::remove_file(bound).expect("a file");
    std::fs::remove_dir_all(folder).expect("the folder goes");
}

fn examples_and_refusals(proxy: &Proxy) {
    proxy.settle();
    let all = proxy.api("statements?limit=500");
    let items = all["items"].as_array().expect("statements");
    let item = items
        .iter()
        .find(|item| item["query_text"].as_str().is_some_and(|text| text.contains("length")));
    let item = item.expect("the statement is known");
    let examples =
        proxy.api(&format!("statements/{}/examples", item["digest"].as_str().expect("text")));
    for which in ["slowest", "typical", "latest"] {
        assert_eq!(examples[which]["digest"], item["digest"], "{which}: {examples}");
        assert_eq!(examples[which]["ev"], "statement");
    }
    for (path, code) in [
        ("events?q=d%3Esoon", "PGS0701"),
        ("events?max_rate=none", "PGS0701"),
        ("events?events=sql", "PGS0701"),
        ("events?x=1", "PGS0701"),
        ("captures/../../etc/passwd", "PGS0704"),
        ("captures/nothing", "PGS0704"),
        ("statements/0000000000000001/examples", "PGS0704"),
    ] {
        let (_, body) = proxy.http(&format!("/api/v1/{path}"));
        assert!(body.contains(code), "{path}: {body}");
    }
    let captures = proxy.api("captures");
    assert_eq!(captures["running"], true);
    let id = captures["items"][0]["id"].as_str().expect("an id");
    let bytes = captures["items"][0]["bytes"].as_u64().expect("a size");
    assert!(bytes > 100, "{id} has {bytes} bytes");
}

#[test]
fn tail_names_what_it_cannot_do() {
    for (args, code, words) in [
        (&["tail", "http://127.0.0.1:9", "--filter", "d>soon"][..], 2, "soon"),
        (&["tail", "127.0.0.1:9635"], 2, "http://"),
        (&["tail", "http://127.0.0.1:9"], 4, "is the proxy running"),
        (&["top", "http://127.0.0.1:9"], 4, "is the proxy running"),
        (&["export", "/nowhere"], 4, "PGS0513"),
        (&["export", "/", "--format", "csv", "--events", "finding"], 2, "statements only"),
    ] {
        let output = pgsonde(args);
        assert_eq!(output.code, Some(code), "{args:?}: {output:?}");
        assert!(output.stderr.contains(words), "{args:?}: {output:?}");
    }
}

#[test]
fn a_full_disk_costs_lines_and_nothing_else() {
    let postgres = Postgres::start();
    let folder = folder("captures-full");
    std::fs::create_dir(&folder).expect("room");
    let path = folder.to_str().expect("UTF-8");
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs", path]).status();
    if !mount.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "no small disk can be mounted");
        println!("skipped: mount");
        return;
    }
    let unmount = Unmount(folder.clone());
    let proxy = Proxy::start(&postgres, &["--capture", path]);
    postgres.pgbench(proxy.port(), &["-i", "-q", "-s", "1"], LIMIT);
    let load = ["-n", "-S", "-M", "simple", "-c", "4", "-t", "3000"];
    let output = postgres.pgbench(proxy.port(), &load, LIMIT);
    assert!(output.stdout.contains("12000/12000"), "{output:?}");
    eventually("the capture fails", LIMIT, || {
        (proxy.metrics().sum("pgsonde_capture_errors_total") > 0.0).then_some(())
    });
    assert_eq!(proxy.metrics().sum("pgsonde_events_dropped_total"), 0.0);
    assert_eq!(proxy.stop(), 0);
    // Whole frames only: whatever stands there can be read.
    for file in files(&folder) {
        let output = run(Command::new("zstd").args(["-tq"]).arg(&file), "", LIMIT);
        assert!(output.is_ok(), "{output:?}");
    }
    drop(unmount);
}

struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
        let _empty = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_signal_writes_a_snapshot_beside_the_captures() {
    let postgres = Postgres::start();
    let folder = folder("captures-signal");
    let proxy = Proxy::start(&postgres, &["--capture", folder.to_str().expect("UTF-8")]);
    postgres.psql_ok(proxy.port(), "select 1 /*route='signalled'*/");
    proxy.settle();
    process::signal("USR1", &proxy.pid().to_string());
    let path = eventually("a snapshot", LIMIT, || {
        files(&folder).into_iter().find(|path| path.to_string_lossy().ends_with(".snapshot.zst"))
    });
    let merged = pgsonde(&["merge", path.to_str().expect("UTF-8"), "--format", "json"]);
    assert!(merged.is_ok() && merged.stdout.contains("signalled"), "{merged:?}");
    postgres.psql_ok(proxy.port(), "select 1");
    drop(proxy);
    std::fs::remove_dir_all(folder).expect("the folder goes");
}
