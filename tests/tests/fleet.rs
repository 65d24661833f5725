//! Many proxies, one picture: snapshots of real proxies and of simulated fleets, merged by the real command.

use pgsonde::export::ProxyCounters;
use pgsonde::fleet::{Source, write};
use pgsonde_analyzer::Analyzer;
use pgsonde_analyzer::finding::Kind;
use pgsonde_analyzer::limits::Limits;
use pgsonde_analyzer::merge::{Merge, Sketched};
use pgsonde_analyzer::record::{
    End, Event, NewText, RecordBatch, SessionId, SessionOpened, Span, StatementRecord, TextKey,
    TransactionRecord,
};
use pgsonde_analyzer::snapshot::{DigestRow, Snapshot};
use pgsonde_analyzer::value::{Salt, text_key};
use pgsonde_tests::load::{Config, Load, Mode};
use pgsonde_tests::prometheus::{self, Prometheus};
use pgsonde_tests::random::Random;
use pgsonde_tests::{Output, Postgres, Proxy, eventually, paths, python, run, run_ok};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(180);

fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(Postgres::start)
}

fn merged(args: &[&str]) -> Output {
    run(Command::new(paths::pgsonde()).arg("merge").args(args), "", LIMIT)
}

fn merged_json(args: &[&str]) -> Value {
    let mut command = Command::new(paths::pgsonde());
    let output = run_ok(command.arg("merge").args(args).args(["--format", "json"]), "", LIMIT);
    serde_json::from_str(&output.stdout).expect("a report")
}

fn saved(proxy: &Proxy, path: &Path) {
    let mut answer =
        ureq::get(format!("{}/api/v1/snapshot", proxy.admin())).call().expect("a snapshot");
    let bytes = answer.body_mut().with_config().limit(1 << 30).read_to_vec().expect("its bytes");
    std::fs::write(path, bytes).expect("the snapshot is saved");
}

/// Calls by digest.
fn calls(report: &Value) -> BTreeMap<String, u64> {
    let items = report["statements"]["items"].as_array().expect("statements");
    let row = |item: &Value| {
        let digest = format!("{} {}", item["database"], item["digest"]);
        (digest, item["calls"].as_u64().expect("a number"))
    };
    items.iter().map(row).collect()
}

#[test]
fn three_proxies_are_one_report() {
    let postgres = server();
    postgres.psql_ok(postgres.port(), "create database fleet");
    let url = |port: u16| format!("postgresql://postgres@127.0.0.1:{port}/fleet");
    python("orm.py", &["prepare", &url(postgres.port()), "psycopg", "lazy"], LIMIT);
    let proxies: Vec<Proxy> = (0..3).map(|_| Proxy::start(postgres, &[])).collect();
    let mut sightings = 0;
    for (proxy, repeats) in proxies.iter().zip(["5", "7", "9"]) {
        let told =
            python("orm.py", &["run", &url(proxy.port()), "psycopg", "lazy", repeats], LIMIT);
        sightings += told["sightings"].as_u64().expect("sightings");
        proxy.settle();
    }
    let alone: Vec<Value> = proxies.iter().map(|proxy| proxy.api("report?top=500")).collect();
    eventually("all sightings are published", LIMIT, || {
        let seen = |proxy: &Proxy| {
            proxy.findings("n_plus_one").first().and_then(|finding| finding["sightings"].as_u64())
        };
        let sum: u64 = proxies.iter().filter_map(seen).sum();
        (sum == sightings).then_some(())
    });
    let sources: Vec<&str> = proxies.iter().map(Proxy::admin).collect();
    let report = merged_json(&[sources[0], sources[1], sources[2], "--top", "500"]);

    // Every digest has the calls of all proxies, under the same id.
    let mut sum: BTreeMap<String, u64> = BTreeMap::new();
    for (digest, n) in alone.iter().flat_map(calls) {
        *sum.entry(digest).or_default() += n;
    }
    assert_eq!(calls(&report), sum);
    let statements =
        |report: &Value| report["summary"]["books"]["statements"].as_u64().expect("a number");
    assert_eq!(statements(&report), alone.iter().map(statements).sum::<u64>());

    // What each of them found is one finding with the sightings of all.
    let findings = report["findings"]["items"].as_array().expect("findings");
    let found: Vec<&Value> =
        findings.iter().filter(|finding| finding["kind"] == "n_plus_one").collect();
    assert_eq!(found.len(), 1, "{findings:#?}");
    assert_eq!(found[0]["sightings"].as_u64(), Some(sightings));
    assert_eq!(found[0]["evidence"]["proxies"], 3);
    for proxy in &proxies {
        assert_eq!(proxy.findings("n_plus_one")[0]["id"], found[0]["id"]);
    }
    assert!(report["notes"][0].as_str().is_some_and(|note| note.contains("3 proxies")));

    one_row_in_prometheus(&proxies, found[0]["id"].as_str().expect("an id"));

    saved_snapshots(&proxies, &report, &sum);
}

/// Saved ones give the same, in any order, and every form can be made of them.
fn saved_snapshots(proxies: &[Proxy], report: &Value, sum: &BTreeMap<String, u64>) {
    let folder = tempfile::tempdir().expect("a folder");
    let files: Vec<String> = (0..3)
        .map(|at| {
            let path = folder.path().join(format!("{at}.snapshot.zst"));
            saved(&proxies[at], &path);
            path.to_string_lossy().into_owned()
        })
        .collect();
    for order in [[0, 1, 2], [2, 0, 1]] {
        let files = order.map(|at| files[at].as_str());
        let again = merged_json(&[files[0], files[1], files[2], "--top", "500"]);
        assert_eq!(&calls(&again), sum);
        assert_eq!(again["findings"]["items"][0]["id"], report["findings"]["items"][0]["id"]);
    }
    let html = folder.path().join("fleet.html").to_string_lossy().into_owned();
    run_ok(
        Command::new(paths::pgsonde()).args(["merge", &files[0], proxies[1].admin(), "-o", &html]),
        "",
        LIMIT,
    );
    assert!(std::fs::read_to_string(&html).expect("a page").contains("<html"));
    let text = run_ok(Command::new(paths::pgsonde()).args(["report", &files[0]]), "", LIMIT);
    assert!(text.stdout.contains("customers"), "{}", text.stdout);

    refusals(&files, folder.path());
}

/// The dashboard's table of findings has one row for what three proxies see, and its sums are theirs.
fn one_row_in_prometheus(proxies: &[Proxy], finding: &str) {
    if !prometheus::is_installed() {
        return;
    }
    let all: Vec<&Proxy> = proxies.iter().collect();
    let prometheus = Prometheus::start_before(&all, None);
    let raw = format!("pgsonde_finding_info{{finding=\"{finding}\"}}");
    assert_eq!(prometheus.query(&raw).len(), 3);
    let board = paths::workspace().join("dashboards/grafana/pgsonde-findings.json");
    let board: Value =
        serde_json::from_str(&std::fs::read_to_string(board).expect("the board")).expect("JSON");
    let panels = board["panels"].as_array().expect("panels");
    let exprs = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expr = exprs
        .filter_map(|target| target["expr"].as_str())
        .find(|expr| expr.contains("pgsonde_finding_info"))
        .expect("the table of findings");
    let expr = expr.replace("$job", ".+").replace("$instance", ".+");
    let rows = prometheus.query(&expr);
    let of_it = rows.iter().filter(|row| row["metric"]["finding"] == finding).count();
    assert_eq!(of_it, 1, "{rows:#?}");
    let instances = prometheus.query("count(sum by (instance) (pgsonde_statements_total))");
    assert_eq!(instances[0]["value"][1], "3");
    let sum = &prometheus.query("sum(pgsonde_statements_total)")[0]["value"][1];
    let own: f64 =
        proxies.iter().map(|proxy| proxy.metrics().sum("pgsonde_statements_total")).sum();
    assert_eq!(sum.as_str().and_then(|text| text.parse().ok()), Some(own));
}

fn refusals(files: &[String], folder: &Path) {
    let refused = |args: &[&str], code: &str, words: &str| {
        let output = merged(args);
        assert_eq!(output.code, Some(4), "{args:?}: {output:?}");
        assert!(output.stderr.contains(code) && output.stderr.contains(words), "{output:?}");
    };
    refused(&[&files[0], &files[1], &files[0]], "PGS0523", "one start of one proxy");
    let named = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("a file");
        path.to_string_lossy().into_owned()
    };
    let packed = std::fs::read(&files[0]).expect("the snapshot");
    let plain = zstd::decode_all(&packed[..]).expect("zstd");
    let text = String::from_utf8(plain).expect("UTF-8");
    let newer = text.replacen("\"schema\":1", "\"schema\":2", 1).replacen(
        "\"version\":\"",
        "\"version\":\"9.9.9-",
        1,
    );
    refused(&[&named("newer", newer.as_bytes()), &files[1]], "PGS0522", "pgsonde 9.9.9-");
    let other = text.replacen("\"hash_version\":", "\"hash_version\":7", 1);
    refused(&[&named("other", other.as_bytes())], "PGS0522", "digests of version 7");
    // Unpacked it is read as well; without its end, or with a line less, it isn't.
    let lines: Vec<&str> = text.lines().collect();
    run_ok(
        Command::new(paths::pgsonde()).args(["merge", &named("plain", text.as_bytes())]),
        "",
        LIMIT,
    );
    let cut = lines[..lines.len() - 1].join("\n") + "\n";
    refused(&[&named("cut", cut.as_bytes())], "PGS0521", "its end is missing");
    let missing = [&lines[..3], &lines[4..]].concat().join("\n") + "\n";
    refused(&[&named("missing", missing.as_bytes())], "PGS0521", "lines are missing");
    refused(&[&named("half", &packed[..packed.len() / 2])], "PGS0521", "not a whole snapshot");
    refused(&[&named("nonsense", b"nonsense\n")], "PGS0521", "says nothing of a snapshot");
    refused(&["/nonexistent/file"], "PGS0521", "cannot read");
    let down = format!("http://127.0.0.1:{}", pgsonde_tests::free_port());
    refused(&[&files[0], &down], "PGS0501", "cannot get a snapshot");
    let rest = merged_json(&[&files[0], &down, "--skip-missing"]);
    assert!(rest["notes"][0].as_str().is_some_and(|note| note.contains("did not answer")));
}

#[test]
fn a_merged_report_hides_as_much_as_the_proxy_that_hides_least() {
    let postgres = server();
    let folder = tempfile::tempdir().expect("a folder");
    let snapshots = ["all-text", "literals"].map(|level| {
        let config = folder.path().join(format!("{level}.toml"));
        std::fs::write(&config, format!("[profile]\nredact = '{level}'\n")).expect("written");
        let proxy = Proxy::start(postgres, &["--config", &config.display().to_string()]);
        postgres.psql_ok(proxy.port(), "select 1");
        proxy.settle();
        let path = folder.path().join(level);
        saved(&proxy, &path);
        path.display().to_string()
    });
    let redact = |sources: &[&str]| merged_json(sources)["info"]["redact"].clone();
    assert_eq!(redact(&[&snapshots[0]]), "all-text");
    assert_eq!(redact(&[&snapshots[0], &snapshots[1]]), "literals");
}

/// One proxy of a simulated fleet.
struct Simulated {
    analyzer: Analyzer,
    texts: Vec<(TextKey, String)>,
}

/// Statements of a fleet: text `n` of any proxy is the same text.
fn texts(count: usize) -> Vec<(TextKey, String)> {
    let text = |n: usize| {
        format!("SELECT c{n}, name FROM t{} WHERE id = $1 /*route='/r{}'*/", n % 97, n % 5)
    };
    (0..count).map(text).map(|sql| (text_key(sql.as_bytes()), sql)).collect()
}

fn arena(batch: &mut RecordBatch, text: &str) -> Span {
    let start = batch.bytes.len() as u32;
    batch.bytes.extend_from_slice(text.as_bytes());
    Span { start, len: text.len() as u32 }
}

fn opened(session: SessionId) -> RecordBatch {
    let mut batch = RecordBatch::default();
    let [database, user, application_name] =
        ["shop", "app", "web"].map(|text| arena(&mut batch, text));
    batch.events.push(Event::Opened(SessionOpened {
        session,
        database,
        user,
        application_name,
        ..SessionOpened::default()
    }));
    batch
}

fn taught(texts: &[(TextKey, String)]) -> RecordBatch {
    let mut batch = RecordBatch::default();
    for (key, sql) in texts {
        let bytes = arena(&mut batch, sql);
        batch.texts.push(NewText { key: *key, bytes, cut: false });
    }
    batch
}

impl Simulated {
    fn new(texts: &[(TextKey, String)]) -> Self {
        let limits = Limits { digests_max: 10_000, ..Limits::default() };
        let mut analyzer = Analyzer::without_detectors(limits, Salt::new(1, 2));
        texts.chunks(500).for_each(|some| analyzer.ingest(&taught(some)));
        Self { analyzer, texts: texts.to_vec() }
    }

    fn sketched(&mut self, now_us: u64) -> Sketched {
        self.analyzer.finish(now_us);
        self.analyzer.sketched(now_us)
    }
}

/// A statement in a transaction of its own, so that units are the same whoever sees them.
fn executed(chance: &mut Random, session: u64, n: u32, texts: &[(TextKey, String)]) -> Vec<Event> {
    // Few texts have most of the calls, and times span five decades with a heavy tail.
    let text = chance.below(texts.len()) * chance.below(texts.len()) / texts.len();
    let decade = chance.below(22);
    let us = 20 + chance.below(1 << decade) as u64;
    let transfer_us = us / 3;
    let begin_us = u64::from(n) * 40_000_000 + 1_000_000;
    let record = StatementRecord {
        session: SessionId(session),
        text: texts[text].0,
        begin_us,
        first_row_us: us - transfer_us,
        transfer_us,
        rows: chance.below(50) as u64,
        sent_bytes: us,
        round_trip: n + 1,
        transaction: n + 1,
        in_transaction: true,
        ..StatementRecord::default()
    };
    let transaction = TransactionRecord {
        session: SessionId(session),
        transaction: n + 1,
        begin_us,
        end_us: begin_us + us + 10,
        ..TransactionRecord::default()
    };
    vec![Event::Statement(record), Event::Transaction(transaction)]
}

/// What must be equal, in one value.
fn essence(snapshot: &Snapshot) -> Vec<String> {
    let row = |row: &DigestRow| {
        format!(
            "{:016x} {:?} {:?} {} {} {:?} {:?} {}..{}",
            row.digest,
            row.totals,
            row.latency,
            row.first_row_p50_us,
            row.transfer_p50_us,
            row.buckets,
            row.query_text,
            row.first_seen_us,
            row.last_seen_us,
        )
    };
    let mut lines: Vec<String> = snapshot.digests.iter().map(row).collect();
    let mut routes: Vec<String> = snapshot
        .routes
        .iter()
        .map(|row| {
            let quantiles =
                [row.statements_p50, row.statements_p95, row.database_p50_us, row.database_p95_us];
            format!(
                "{} {} {} {:?} {quantiles:?}",
                row.route, row.units, row.statements, row.largest
            )
        })
        .collect();
    routes.sort();
    lines.extend(routes);
    lines.push(format!("{:?} {:?} {:?}", snapshot.books, snapshot.latency, snapshot.phases));
    let transactions = snapshot.transactions.iter();
    lines.extend(
        transactions.map(|row| format!("{:016x} {} {}", row.shape, row.count, row.total_us)),
    );
    lines
}

/// A thousand proxies, most of the load on few of them: the merged picture is the one of an analyzer that saw it all.
#[test]
fn a_thousand_proxies_with_skewed_load_give_the_picture_of_one() {
    const PROXIES: u64 = 1_000;
    const END_US: u64 = 1 << 45;
    let texts = texts(60);
    let mut union = Simulated::new(&texts);
    let mut merge = Merge::default();
    let mut statements = 0;
    for proxy in 0..PROXIES {
        let mut chance = Random::new(proxy + 1);
        let mut one = Simulated::new(&texts);
        let session = proxy + 1;
        let load = 8 + 60_000 / (proxy + 1) as u32;
        let mut events: Vec<Event> = Vec::new();
        for n in 0..load {
            events.extend(executed(&mut chance, session, n, &one.texts));
        }
        statements += u64::from(load);
        for analyzer in [&mut one.analyzer, &mut union.analyzer] {
            analyzer.ingest(&opened(SessionId(session)));
            for some in events.chunks(64) {
                analyzer.ingest(&RecordBatch { events: some.to_vec(), ..RecordBatch::default() });
            }
            // Sessions have units and states of their own; the union need not hold a thousand of them open.
            let closed = Event::Closed {
                session: SessionId(session),
                at_us: END_US,
                opaque: None,
                end: End::default(),
            };
            analyzer.ingest(&RecordBatch { events: vec![closed], ..RecordBatch::default() });
        }
        merge.add(one.sketched(END_US), 0);
    }
    let expected = union.sketched(END_US).snapshot;
    let (sum, _) = merge.finish();
    assert_eq!(sum.books.statements, statements);
    let (sum, expected) = (essence(&sum), essence(&expected));
    assert_eq!(sum.len(), expected.len());
    for (sum, expected) in sum.iter().zip(&expected) {
        assert_eq!(sum, expected);
    }
    println!("{PROXIES} proxies, {statements} statements, {} rows equal", sum.len());
}

/// Proxies with salts and streams of their own name one problem by one id, and two problems by two.
#[test]
fn ids_of_digests_and_findings_agree_on_all_proxies() {
    let mut claims: BTreeMap<u64, String> = BTreeMap::new();
    let mut ids: BTreeMap<String, u64> = BTreeMap::new();
    let mut digests: BTreeMap<String, u64> = BTreeMap::new();
    let mut shared = 0;
    for seed in 0..12 {
        let outcome = Load::run(Config::dirty(seed, Mode::Transactions, 6_000), Limits::default());
        for row in &outcome.snapshot.digests {
            // One digest may have several texts (lists of other lengths); a text has one digest.
            let known = digests.insert(row.query_text.to_string(), row.digest);
            assert!(known.is_none_or(|known| known == row.digest), "{}", row.query_text);
        }
        for finding in outcome.snapshot.findings.iter().filter(|f| f.kind == Kind::NPlusOne) {
            let digest = |parent: Option<u64>| format!("{parent:x?}");
            let claim = format!(
                "{} {} {:?} {:?}",
                digest(finding.parent.as_ref().map(|parent| parent.digest)),
                digest(finding.child.as_ref().map(|child| child.digest)),
                finding.parent.as_ref().map(|parent| (parent.table_oid, parent.attnum)),
                finding.child.as_ref().map(|child| child.slot),
            );
            let known = claims.insert(finding.id, claim.clone());
            shared += u32::from(known.is_some());
            assert!(known.is_none_or(|known| known == claim), "{:x}", finding.id);
            let known = ids.insert(claim.clone(), finding.id);
            assert!(known.is_none_or(|known| known == finding.id), "{claim}");
        }
    }
    println!(
        "{} findings, {shared} sightings by a further proxy, {} digests",
        ids.len(),
        digests.len()
    );
    assert!(ids.len() >= 3 && shared >= 12);
}

/// Fifty snapshots of 5,000 digests, by the real command, in an address space that fifty of them would not fit into.
#[test]
fn fifty_snapshots_of_5000_digests_merge_in_bounded_memory() {
    const SNAPSHOTS: u64 = 50;
    const DIGESTS: usize = 5_000;
    let folder = tempfile::tempdir().expect("a folder");
    let texts = texts(DIGESTS);
    let mut one = Simulated::new(&texts);
    let mut chance = Random::new(50);
    one.analyzer.ingest(&opened(SessionId(1)));
    let mut n = 0;
    let mut files = Vec::new();
    let (mut statements, mut bytes) = (0, 0);
    for at in 0..SNAPSHOTS {
        // The first has all digests with 40 executions or so; the others are it and some more, each another proxy's.
        let executions = if at == 0 { 40 * DIGESTS } else { 2_000 };
        for _ in 0..executions / 32 {
            let events = (0..32).flat_map(|_| {
                n += 1;
                executed(&mut chance, 1, n, &texts)
            });
            one.analyzer
                .ingest(&RecordBatch { events: events.collect(), ..RecordBatch::default() });
        }
        let sketched = one.analyzer.sketched(u64::from(n) * 40_000_000);
        assert!(
            sketched.snapshot.digests.len() > DIGESTS * 8 / 10,
            "{}",
            sketched.snapshot.digests.len()
        );
        statements += sketched.snapshot.books.statements;
        let source = Source { proxy_id: format!("{at:012x}").into(), started_us: at };
        let packed = write(&sketched, &ProxyCounters::default(), &source).expect("a snapshot");
        bytes += packed.len();
        let path = folder.path().join(format!("{at}.snapshot.zst"));
        std::fs::write(&path, packed).expect("the file");
        files.push(path.to_string_lossy().into_owned());
    }
    let started = Instant::now();
    let mut command = Command::new("sh");
    // 512 MiB of address space, with binary and all.
    command.args(["-c", "ulimit -v 524288; exec \"$0\" merge --format json --top 500 \"$@\""]);
    let output = run_ok(command.arg(paths::pgsonde()).args(&files), "", LIMIT);
    println!(
        "{SNAPSHOTS} snapshots of {} KB each in {:?}",
        bytes / 1_000 / SNAPSHOTS as usize,
        started.elapsed()
    );
    let report: Value = serde_json::from_str(&output.stdout).expect("a report");
    assert_eq!(report["summary"]["books"]["statements"].as_u64(), Some(statements));
    assert!(report["statements"]["total"].as_u64() > Some(DIGESTS as u64 * 8 / 10));
}
