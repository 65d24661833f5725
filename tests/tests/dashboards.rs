//! Dashboards and rules: well made (the rules of grafana/dashboard-linter and ours), true to the metrics that
//! exist, and filled by a real Prometheus that scraped a real proxy under a real load.

use pgsonde_tests::statements_exporter::StatementsExporter;
use pgsonde_tests::{Postgres, Proxy, paths, prometheus, run_ok};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// Metrics that no panel and no alert shows, with the reason.
const DETAIL_ONLY: [&str; 0] = [];

/// Panels that can't have data within seconds, with the reason.
const EMPTY_AT_FIRST: [(&str, &str); 1] =
    [("Against last week", "compares with a week ago, which a new Prometheus doesn't know")];

/// Reads nothing but what the server says of itself.
const SIDE_ROLE: &str = "create role side login password 'side-of-the-test'; \
    grant pg_read_all_data, pg_read_all_stats to side";

struct Dashboard {
    file: String,
    json: Value,
}

struct Query<'a> {
    place: String,
    title: &'a str,
    expr: &'a str,
}

impl Dashboard {
    /// All panels, those of collapsed rows as well.
    fn panels(&self) -> impl Iterator<Item = &Value> {
        list(&self.json["panels"]).iter().flat_map(|panel| match text(&panel["type"]) {
            "row" => list(&panel["panels"]),
            _ => std::slice::from_ref(panel),
        })
    }

    fn queries(&self) -> Vec<Query<'_>> {
        let mut queries = Vec::new();
        for panel in self.panels() {
            let title = text(&panel["title"]);
            for target in panel["targets"].as_array().into_iter().flatten() {
                let place = format!("{}: {title}", self.file);
                queries.push(Query { place, title, expr: text(&target["expr"]) });
            }
        }
        queries
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn folder(name: &str) -> PathBuf {
    paths::workspace().join("dashboards").join(name)
}

fn dashboards() -> Vec<Dashboard> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder("grafana"))
        .expect("the folder of dashboards")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 6, "{files:?}");
    let read = |path: &PathBuf| {
        let body = std::fs::read_to_string(path).expect("a readable dashboard");
        let json = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Dashboard { file, json }
    };
    files.iter().map(read).collect()
}

#[test]
fn dashboards_are_well_made() {
    let mut uids = BTreeSet::new();
    for board in dashboards() {
        let (file, json) = (&board.file, &board.json);
        assert_eq!(format!("{}.json", text(&json["uid"])), *file, "the uid is the file's name");
        assert!(uids.insert(text(&json["uid"]).to_owned()), "{file}: the uid is used twice");
        assert_eq!(json["schemaVersion"], 39, "{file}");
        assert_eq!(json["editable"], false, "{file}");
        assert_eq!(json["graphTooltip"], 1, "{file}: shared crosshair");
        assert_eq!(json["tags"][0], "pgsonde", "{file}");
        assert!(
            !text(&json["title"]).is_empty() && !text(&json["description"]).is_empty(),
            "{file}"
        );
        let link = &json["links"][0];
        assert!(link["keepTime"] == true && link["includeVars"] == true, "{file}: links between");
        variables_are_well_made(&board);
        panels_are_well_made(&board);
    }
}

fn variables_are_well_made(board: &Dashboard) {
    let list = board.json["templating"]["list"].as_array().cloned().unwrap_or_default();
    let named = |name: &str| {
        let found = list.iter().find(|variable| variable["name"] == name);
        found.unwrap_or_else(|| panic!("{}: variable {name} is missing", board.file))
    };
    assert_eq!(named("datasource")["label"], "Data Source", "{}", board.file);
    assert_eq!(named("datasource")["type"], "datasource", "{}", board.file);
    for name in ["job", "instance", "database"] {
        let variable = named(name);
        let case = format!("{}: ${name}", board.file);
        assert_eq!(variable["multi"], true, "{case}");
        assert_eq!(variable["allValue"], ".+", "{case}");
        assert_eq!(variable["datasource"]["uid"], "${datasource}", "{case}");
        assert_eq!(variable["refresh"], 2, "{case}: on time range change");
    }
}

fn panels_are_well_made(board: &Dashboard) {
    let mut places = BTreeSet::new();
    for panel in board.panels() {
        let case = format!("{}: {}", board.file, text(&panel["title"]));
        assert!(!text(&panel["title"]).is_empty(), "{case}: no title");
        assert!(!text(&panel["description"]).is_empty(), "{case}: no description");
        assert!(!text(&panel["fieldConfig"]["defaults"]["unit"]).is_empty(), "{case}: no unit");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{case}");
        assert!(panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()), "{case}");
        let (x, width) = (panel["gridPos"]["x"].as_u64(), panel["gridPos"]["w"].as_u64());
        assert!(
            x.zip(width).is_some_and(|(x, width)| x + width <= 24),
            "{case}: outside of the grid"
        );
        assert!(
            places.insert((x, panel["gridPos"]["y"].as_u64())),
            "{case}: lies on another panel"
        );
    }
    for query in board.queries() {
        let Query { place, expr, .. } = query;
        for selector in selectors(expr) {
            assert!(selector.contains("job=~\"$job\""), "{place}: no job matcher in {selector}");
            let instance = "instance=~\"$instance\"";
            assert!(selector.contains(instance), "{place}: no instance matcher in {selector}");
        }
        for window in windows(expr) {
            let fixed = ["1h", "7d", "1d"].contains(&window);
            assert!(window == "$__rate_interval" || fixed, "{place}: window {window}");
        }
        for metric in metric_names(expr) {
            let counter = metric.ends_with("_total") || metric.ends_with("_bucket");
            let bare = expr.match_indices(&metric).any(|(at, _)| {
                let before = &expr[..at];
                let call = before.rfind('(').map_or("", |open| &before[..open]);
                !["rate", "irate", "increase", "changes"].iter().any(|name| call.ends_with(name))
            });
            assert!(!(counter && bare), "{place}: {metric} is a counter and not inside of a rate");
        }
    }
}

/// The label matchers of an expression: what stands between braces.
fn selectors(expr: &str) -> Vec<&str> {
    let parts = expr.split('{').skip(1);
    parts.filter_map(|part| part.split('}').next()).filter(|part| part.contains('=')).collect()
}

/// The windows of an expression: what stands between brackets.
fn windows(expr: &str) -> Vec<&str> {
    expr.split('[').skip(1).filter_map(|part| part.split(']').next()).collect()
}

/// Our own metrics in an expression.
fn metric_names(expr: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = expr.split(|c| !is_name(c)).filter(|word| word.starts_with("pgsonde_"));
    words.map(str::to_owned).collect()
}

#[test]
fn rules_hold_before_promtool() {
    if !prometheus::is_installed() {
        return;
    }
    let folder = folder("prometheus");
    for args in [
        &["check", "rules", "rules.yml", "alerts.yml"][..],
        &["test", "rules", "tests.yml"],
        &["check", "config", "scrape.yml"],
    ] {
        run_ok(Command::new("promtool").args(args).current_dir(&folder), "", LIMIT);
    }
}

#[test]
fn every_alert_has_a_runbook_and_both_tests() {
    let read = |name: &str| {
        std::fs::read_to_string(folder("prometheus").join(name)).expect("a file of rules")
    };
    let (alerts, tests) = (read("alerts.yml"), read("tests.yml"));
    let names: BTreeSet<&str> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() >= 10, "{names:?}");
    for name in &names {
        let runbook = read(&format!("runbooks/{name}.md"));
        for part in ["**Meaning.**", "**Impact.**", "**Checks**", "**Fix.**"] {
            assert!(runbook.contains(part), "{name}: the runbook has no {part}");
        }
        assert!(alerts.contains(&format!("runbook_url: runbooks/{name}.md")), "{name}");
        for half in ["fires", "stays silent"] {
            assert!(
                tests.contains(&format!("- name: {name} {half}")),
                "{name}: no test that it {half}"
            );
        }
    }
    let runbooks = std::fs::read_dir(folder("prometheus/runbooks")).expect("the runbooks");
    assert_eq!(runbooks.count(), names.len(), "a runbook without an alert");
}

/// Statements of every sort, until told to stop: look-ups row by row in traced requests, transactions,
/// errors, writes, a cancelled statement.
fn load(url: &str, stop: &AtomicBool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (client, connection) =
            tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("a connection");
        let driver = tokio::spawn(connection);
        let setup = "create table parts (id int primary key, whole int, name text);\
                     insert into parts select n, n * 7 % 30, 'part ' || n from generate_series(1, 60) n";
        client.batch_execute(setup).await.expect("the tables are made");
        let mut round = 0_u32;
        while !stop.load(Ordering::Relaxed) {
            round += 1;
            request(&client, round).await;
            let twice = "insert into parts values (1, 1, 'again')";
            assert!(client.batch_execute(twice).await.is_err(), "a broken constraint");
            if round.is_multiple_of(4) {
                cancelled(&client).await;
            }
        }
        drop(client);
        driver.await.expect("no panic").expect("an orderly end");
    });
}

/// One request of a page that reads each part once more.
async fn request(client: &tokio_postgres::Client, round: u32) {
    let tag = format!(
        "/*application='shop',route='/parts',traceparent='00-{round:032x}-00000000000000ff-01'*/"
    );
    client.batch_execute("begin").await.expect("begin");
    let parents = client.simple_query(&format!("select id, whole, name from parts {tag}")).await;
    let parents = parents.expect("the parents");
    for row in &parents {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = row {
            let key = row.get(0).expect("a key");
            let child = format!("select name from parts where id = {key} {tag}");
            client.simple_query(&child).await.expect("a child");
        }
    }
    client.batch_execute("commit").await.expect("commit");
    client
        .query("select count(*) from parts where whole > $1", &[&3])
        .await
        .expect("a prepared read");
}

async fn cancelled(client: &tokio_postgres::Client) {
    let token = client.cancel_token();
    let sleep = client.batch_execute("select pg_sleep(30)");
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        token.cancel_query(tokio_postgres::NoTls).await
    };
    let (slept, asked) = tokio::join!(sleep, cancel);
    assert!(slept.is_err() && asked.is_ok(), "the statement was cancelled");
    // PostgreSQL signals the process and its group: a late second signal may hit one more statement.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let _may_be_hit = client.batch_execute("select 1").await;
}

/// What Grafana would ask Prometheus with "All" in every variable.
fn as_asked(expr: &str) -> String {
    expr.replace("$job", ".+")
        .replace("$instance", ".+")
        .replace("$database", ".+")
        .replace("$__rate_interval", "15s")
}

#[test]
fn every_panel_has_data_of_metrics_that_exist() {
    if !prometheus::is_installed() {
        return;
    }
    let postgres = Arc::new(Postgres::start());
    postgres.psql_ok(postgres.port(), SIDE_ROLE);
    let (_folder, proxy) = exporting(&postgres);
    let server = StatementsExporter::start(&postgres);
    let prometheus = prometheus::Prometheus::start_before(&[&proxy], Some(server.address()));
    let stop = Arc::new(AtomicBool::new(false));
    let loader = {
        let (url, stop) = (proxy.url(), Arc::clone(&stop));
        std::thread::spawn(move || load(&url, &stop))
    };
    let boards = dashboards();
    let mut empty: Vec<String> = boards
        .iter()
        .flat_map(Dashboard::queries)
        .filter(|query| !EMPTY_AT_FIRST.iter().any(|(title, _)| *title == query.title))
        .map(|query| format!("{}\n  {}", query.place, query.expr))
        .collect();
    let started = std::time::Instant::now();
    while !empty.is_empty() && started.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_secs(2));
        empty.retain(|query| {
            let expr = query.split_once("\n  ").map_or("", |(_, expr)| expr);
            !has_value(&prometheus.query(&as_asked(expr)))
        });
    }
    stop.store(true, Ordering::Relaxed);
    loader.join().expect("the load ran well");
    assert!(empty.is_empty(), "panels without data:\n{}", empty.join("\n"));
    catalogue_and_panels_agree(&proxy, &boards);
    assert!(!prometheus.query("service:pgsonde_statements:rate5m > 0").is_empty(), "recorded");
}

/// A proxy with a side connection, and with an export to a receiver that isn't there: their metrics exist as well.
fn exporting(postgres: &Postgres) -> (tempfile::TempDir, Proxy) {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, side) = (folder.path().join("pgsonde.toml"), folder.path().join("side.url"));
    let url = format!("postgresql://side:side-of-the-test@127.0.0.1:{}/postgres", postgres.port());
    std::fs::write(&side, url).expect("the secret is written");
    let text = format!(
        "[proxy]\nupstream = \"{}\"\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [findings.missing_index]\nside_connection = \"file:{}\"\n\
         [export.otlp]\nurl = \"http://127.0.0.1:{}\"\ninterval = \"1s\"\n",
        postgres.upstream(),
        side.display(),
        pgsonde_tests::free_port(),
    );
    std::fs::write(&file, text).expect("the configuration is written");
    (folder, Proxy::configured(&file))
}

/// Whether a result has a series with a number (a quotient of zeros is NaN).
fn has_value(series: &[Value]) -> bool {
    series.iter().any(|one| !matches!(text(&one["value"][1]), "" | "NaN"))
}

/// Every metric of a panel is in the scrape, and every metric of the scrape is in a panel or an alert.
fn catalogue_and_panels_agree(proxy: &Proxy, boards: &[Dashboard]) {
    let (_, scrape) = proxy.http("/metrics");
    let types = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE pgsonde_"));
    let exist: BTreeSet<String> = types
        .filter_map(|line| line.split(' ').next())
        .map(|name| format!("pgsonde_{name}"))
        .collect();
    let alerts = std::fs::read_to_string(folder("prometheus/alerts.yml")).expect("the alerts");
    let rules = std::fs::read_to_string(folder("prometheus/rules.yml")).expect("the rules");
    let shown: BTreeSet<String> = boards
        .iter()
        .flat_map(Dashboard::queries)
        .flat_map(|query| metric_names(query.expr))
        .chain([alerts, rules].iter().flat_map(|text| metric_names(text)))
        .filter(|name| !name.contains(':'))
        .map(|name| family(&name, &exist))
        .collect();
    let unknown: Vec<_> = shown.difference(&exist).collect();
    assert!(unknown.is_empty(), "shown, but not in the scrape: {unknown:?}");
    let unseen: Vec<_> =
        exist.difference(&shown).filter(|name| !DETAIL_ONLY.contains(&name.as_str())).collect();
    assert!(unseen.is_empty(), "in the scrape, but nowhere shown: {unseen:?}");
}

/// The family that a series of a histogram belongs to.
fn family(name: &str, exist: &BTreeSet<String>) -> String {
    let stems = ["_bucket", "_sum", "_count"].iter().filter_map(|suffix| name.strip_suffix(suffix));
    stems.map(str::to_owned).find(|stem| exist.contains(stem)).unwrap_or_else(|| name.to_owned())
}
