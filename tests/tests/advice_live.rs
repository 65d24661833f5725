//! The live index advisor, end to end: a real application through the real proxy, from a suspect to an index that was
//! built and measured; and what is said where the side connection can't do its work.

use pgsonde_tests::{Postgres, Proxy, eventually, paths, python};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const APP_LIMIT: Duration = Duration::from_secs(180);
/// A run asks twenty times at once and then twice a second.
const ADVICE_LIMIT: Duration = Duration::from_secs(120);
/// Occurs in values that the application binds, and nowhere else.
const CANARY: &str = "canary7f3a";

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The read-only role of the documentation.
const ROLE: &str =
    "create role advisor login password 'hunter2hunter2'; grant pg_read_all_data to advisor";

fn app(postgres: &Postgres, port: u16, args: &[&str]) -> Value {
    let url = format!("postgresql://postgres@127.0.0.1:{port}/postgres");
    let _ = postgres;
    let all: Vec<&str> = [args[0], &url].into_iter().chain(args[1..].iter().copied()).collect();
    python("index_app.py", &all, APP_LIMIT)
}

fn prepared() -> Postgres {
    let postgres = Postgres::start();
    postgres.psql_ok(postgres.port(), ROLE);
    app(&postgres, postgres.port(), &["prepare"]);
    postgres
}

/// Starts the proxy with a side connection whose URL stands in a file.
fn advised(postgres: &Postgres, folder: &Path, side: &str, keys: &str) -> Proxy {
    let (file, secret) = (folder.join("pgsonde.toml"), folder.join("side.url"));
    let token = folder.join("token");
    std::fs::write(&token, TOKEN).expect("the token is writable");
    std::fs::write(&secret, format!("{side}\n")).expect("the secret is writable");
    let text = format!(
        "[proxy]\nupstream = '{}'\nlisten = '127.0.0.1:0'\n[admin]\nlisten = '127.0.0.1:0'\n\
         token = 'file:{}'\n[findings.missing_index]\nside_connection = 'file:{}'\n{keys}\n[log]\nlevel = 'debug'\n",
        postgres.upstream(),
        token.display(),
        secret.display(),
    );
    std::fs::write(&file, text).expect("the configuration is writable");
    Proxy::configured(&file)
}

fn side_url(postgres: &Postgres) -> String {
    format!("postgresql://advisor:hunter2hunter2@127.0.0.1:{}/postgres", postgres.port())
}

fn finding(proxy: &Proxy, tier: &str) -> Option<Value> {
    let all = proxy.api("findings?kind=missing_index");
    let list = all["items"].as_array().cloned().unwrap_or_default();
    list.into_iter().find(|finding| finding["tier"] == tier)
}

fn awaited(proxy: &Proxy, tier: &str) -> Value {
    let mut last = Value::Null;
    eventually(&format!("the finding is {tier}"), ADVICE_LIMIT, || {
        let now = proxy.api("info")["advisor"].clone();
        if now != last {
            eprintln!("{now}");
            last = now;
        }
        finding(proxy, tier)
    })
}

fn assert_no_value(proxy: &Proxy) {
    for path in [
        "/",
        "/metrics",
        "/api/v1/info",
        "/api/v1/findings",
        "/api/v1/report",
        "/api/v1/statements",
    ] {
        let (_, body) = proxy.http(path);
        assert!(!body.contains(CANARY), "{path} shows a value");
    }
    assert!(!proxy.lines().join("\n").contains(CANARY), "the log shows a value");
}

/// From a suspect over `tier` to an index that was built and measured.
fn plays_through(tier: &str, keys: &str, more: &str) {
    let postgres = prepared();
    postgres.psql_ok(postgres.port(), more);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let proxy = advised(&postgres, folder.path(), &side_url(&postgres), keys);
    // The advisor looks at its settings once a second.
    std::thread::sleep(Duration::from_secs(2));
    app(&postgres, proxy.port(), &["run", "240", CANARY]);
    let found = awaited(&proxy, tier);
    let case = format!("{found:#}");
    let ddl = if tier == "verified" { "ddl" } else { "proposed_ddl" };
    let ddl = found[ddl].as_str().unwrap_or_else(|| panic!("DDL: {case}")).to_owned();
    assert!(ddl.starts_with("CREATE INDEX CONCURRENTLY readings_device"), "{case}");
    assert_eq!(found["proof"], if tier == "verified" { "plan" } else { "text" }, "{case}");
    assert_eq!(found["state"], "open", "{case}");
    let evidence = &found["evidence"];
    assert!(evidence["cost_after"].as_f64() < evidence["cost_before"].as_f64(), "{case}");
    assert!(evidence["saved_ms_per_hour"].as_f64() > Some(0.0), "{case}");
    assert!(evidence["size_bytes"].as_u64() > Some(1_000_000), "{case}");
    assert_eq!(evidence["plan_after"].is_array(), tier == "verified", "{case}");
    assert_no_value(&proxy);
    assert!(proxy.metrics().matching("pgsonde_advisor_explains_total", &["outcome=\"ok\""]) > 0.0);
    let id = found["id"].clone();

    // Somebody follows the advice, behind the proxy's back.
    postgres.psql_ok(postgres.port(), &ddl);
    let built = awaited(&proxy, "built");
    assert_eq!(built["id"], id, "{built:#}");
    app(&postgres, proxy.port(), &["run", "240", CANARY]);
    let helped = awaited(&proxy, "helped");
    let case = format!("{helped:#}");
    assert_eq!((&helped["id"], &helped["state"]), (&id, &Value::from("resolved")), "{case}");
    let ms = |name: &str| helped["evidence"][name].as_f64().unwrap_or_else(|| panic!("{case}"));
    assert!(ms("measured_after_ms") < ms("measured_before_ms") / 2.0, "{case}");
    assert_no_value(&proxy);
    assert!(
        !std::fs::read_to_string(postgres.folder().join("log"))
            .unwrap_or_default()
            .contains("CREATE TABLE pgsonde")
    );
    assert_eq!(proxy.stop(), 0);
}

#[test]
fn a_suspect_is_verified_in_a_shadow_built_and_measured() {
    let bin = paths::postgres_bin();
    plays_through("verified", &format!("shadow_bin_dir = '{}'", bin.display()), "");
}

#[test]
fn a_suspect_is_estimated_without_a_shadow() {
    plays_through("estimated", "what_if = 'off'", "");
}

#[test]
fn a_suspect_is_verified_by_hypopg() {
    let own = "create schema extensions; grant usage on schema extensions to advisor; \
        create extension hypopg schema extensions";
    if Postgres::start().has_hypopg() {
        plays_through("verified", "what_if = 'hypopg'", own);
    }
}

#[test]
fn values_of_statistics_stay_where_they_are() {
    let postgres = prepared();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let proxy =
        advised(&postgres, folder.path(), &side_url(&postgres), "statistics_values = 'none'");
    std::thread::sleep(Duration::from_secs(2));
    app(&postgres, proxy.port(), &["run", "240", CANARY]);
    let found = awaited(&proxy, "estimated");
    assert!(found["proposed_ddl"].as_str().is_some_and(|ddl| ddl.contains("device")), "{found:#}");
    let asked = |columns: &str| {
        let sql = format!(
            "select count(*) from pg_stat_statements s join pg_roles r on r.oid = s.userid \
             where rolname = 'advisor' and query ~ '{columns}'"
        );
        postgres.psql_ok(postgres.port(), &sql)
    };
    assert_ne!(asked("most_common_freqs"), "0", "the statistics were read");
    assert_eq!(asked("most_common_vals|histogram_bounds|most_common_elems "), "0", "their values");
}

fn problem(proxy: &Proxy, words: &str) -> Value {
    eventually(&format!("the problem {words}"), ADVICE_LIMIT, || {
        let info = proxy.api("info");
        let problems = info["advisor"]["problems"].as_array().cloned().unwrap_or_default();
        let found = problems
            .iter()
            .find(|problem| problem["what"].as_str().is_some_and(|what| what.contains(words)));
        found.map(|found| {
            assert!(!found["remedy"].as_str().unwrap_or_default().is_empty(), "{found}");
            info["advisor"].clone()
        })
    })
}

#[test]
fn says_in_plain_words_why_it_can_say_no_more() {
    let postgres = prepared();
    postgres.psql_ok(
        postgres.port(),
        "create role blind login; create role owner_role login; \
        create role guarded login password 'rightright'; alter table readings owner to owner_role",
    );
    let port = postgres.port();
    let url = |who: &str| format!("postgresql://{who}@127.0.0.1:{port}/postgres");
    let rows = [
        (
            format!("postgresql://advisor@127.0.0.1:{}/postgres", pgsonde_tests::free_port()),
            "",
            "does not work",
            "suspect",
        ),
        (url("nobody_there"), "", "does not work", "suspect"),
        (url("owner_role"), "", "could write", "suspect"),
        (url("blind"), "", "may not read readings", "verified"),
        (
            side_url(&postgres),
            "shadow_bin_dir = '/nonexistent'",
            "no planner tries it",
            "estimated",
        ),
    ];
    for (side, keys, words, tier) in rows {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let proxy = advised(&postgres, folder.path(), &side, keys);
        std::thread::sleep(Duration::from_secs(2));
        app(&postgres, proxy.port(), &["run", "60", CANARY]);
        let advisor = problem(&proxy, words);
        assert_eq!(advisor["tier"], tier, "{words}: {advisor:#}");
        assert_no_value(&proxy);
        let page = proxy.http("/").1;
        assert!(!page.contains("hunter2hunter2"), "{words}");
        // The traffic went on.
        assert!(proxy.books()["statements"].as_u64() >= Some(60));
        assert_eq!(proxy.stop(), 0);
    }
}

#[test]
fn without_a_side_connection_it_says_what_is_missing() {
    let postgres = Postgres::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (token, config) = (folder.path().join("token"), folder.path().join("pgsonde.toml"));
    std::fs::write(&token, TOKEN).expect("written");
    let keys = format!("[admin]\ntoken = 'file:{}'\n", token.display());
    std::fs::write(&config, keys).expect("written");
    let proxy = Proxy::start(&postgres, &["--config", &config.to_string_lossy()]);
    let advisor = problem(&proxy, "no side connection");
    assert_eq!(advisor["tier"], "suspect");
    postgres.psql_ok(proxy.port(), "select 1 from pg_class");
    proxy.settle();
    let digest = digest_of(&proxy, "SELECT pg_class");
    let (status, refused) = explained(&proxy, &digest, TOKEN);
    assert_eq!(status, 503, "{refused}");
    assert!(refused["help"].as_str().is_some_and(|help| help.contains("side_connection")));
}

fn digest_of(proxy: &Proxy, summary: &str) -> String {
    let list = proxy.api("statements");
    let items = list["items"].as_array().expect("a list");
    let found = items.iter().find(|item| item["summary"] == summary);
    let found = found.unwrap_or_else(|| panic!("{summary}: {list:#}"));
    found["digest"].as_str().expect("a digest").to_owned()
}

fn explained(proxy: &Proxy, digest: &str, token: &str) -> (u16, Value) {
    let path = format!("statements/{digest}/explain");
    let (status, body) = proxy.order("POST", &path, "", token);
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{status}: {body}")))
}

#[test]
fn the_plan_of_a_statement_is_told_without_its_values() {
    let postgres = prepared();
    postgres.psql_ok(postgres.port(), "alter role advisor set work_mem = '33MB'");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let proxy = advised(&postgres, folder.path(), &side_url(&postgres), "what_if = 'off'");
    let values = format!("select id from readings where device = 'unit-1-x' and note = '{CANARY}'");
    let deletes = "delete from readings where id = -1; create table kept (id int)";
    for text in [values.as_str(), deletes, "insert into kept values (1)"] {
        postgres.psql_ok(proxy.port(), text);
    }
    proxy.settle();
    let plan = |summary: &str| explained(&proxy, &digest_of(&proxy, summary), TOKEN);
    let (status, answer) = eventually("the side connection", ADVICE_LIMIT, || {
        Some(plan("SELECT readings")).filter(|(status, _)| *status != 503)
    });
    assert_eq!(status, 200, "{answer}");
    let lines = answer["plan"].as_array().expect("lines");
    let text: Vec<&str> = lines.iter().filter_map(Value::as_str).collect();
    let text = text.join("\n");
    assert!(text.contains("Scan") && text.contains("readings") && text.contains("?"), "{text}");
    assert!(!text.contains(CANARY) && answer["cost"].as_f64() > Some(0.0), "{answer}");
    assert_eq!(answer["settings"]["work_mem"], "33MB", "{answer}");
    let (status, answer) = plan("DELETE readings");
    assert!(status == 200 && answer["plan"].to_string().contains("Scan"), "{answer}");
    let kept = "select count(*) from readings where id = -1";
    postgres.psql_ok(postgres.port(), kept);
    let (status, answer) = plan("INSERT kept");
    assert_eq!((status, &answer["code"]), (409, &Value::from("PGS0705")), "{answer}");
    let unknown = explained(&proxy, "00000000000000ff", TOKEN);
    assert_eq!((unknown.0, &unknown.1["code"]), (404, &Value::from("PGS0704")));
    assert_eq!(explained(&proxy, &digest_of(&proxy, "SELECT readings"), "wrong").0, 401);
    assert_no_value(&proxy);
}

#[test]
fn statements_carry_the_servers_own_ids() {
    let postgres = Postgres::start();
    postgres.psql_ok(postgres.port(), &format!("{ROLE}; grant pg_read_all_stats to advisor"));
    postgres.psql_ok(
        postgres.port(),
        "create table parts (id int primary key, whole int, name text); \
         insert into parts select n, n % 7, 'part ' || n from generate_series(1, 60) n",
    );
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = advised(&postgres, folder.path(), &side_url(&postgres), "");
    read_parts(&proxy);
    // A parameter and a constant are two statements for the server.
    let ids_of = |text: &str| {
        let sql = format!("select queryid from pg_stat_statements where query ilike '{text}%'");
        let said = postgres.psql_ok(postgres.port(), &sql);
        said.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let statement = |text: &str| {
        let list = proxy.api("statements?limit=500");
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let found = items.into_iter().find(|item| {
            let shown = item["query_text"].as_str().unwrap_or_default();
            shown.to_lowercase().starts_with(text)
        });
        found.expect("the statement")
    };
    for text in ["select name from parts where id", "select count(*) from parts where whole"] {
        let theirs = ids_of(text);
        let ours = eventually(&format!("{text} is one of {theirs:?}"), ADVICE_LIMIT, || {
            // The advisor looks where traffic is.
            read_parts(&proxy);
            statement(text)["query_id"].as_str().map(str::to_owned)
        });
        assert!(theirs.contains(&ours), "{text}: {ours} is none of {theirs:?}");
        let label = format!("pg_queryid=\"{ours}\"");
        let digest =
            format!("digest=\"{}\"", statement(text)["digest"].as_str().expect("a digest"));
        let labels = [label.as_str(), digest.as_str()];
        assert_eq!(proxy.metrics().matching("pgsonde_digest_info", &labels), 1.0);
    }
}

fn read_parts(proxy: &Proxy) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&proxy.url(), tokio_postgres::NoTls).await.expect("connected");
        let driver = tokio::spawn(connection);
        for id in 1..9_i32 {
            // One statement for the server and for pgsonde, though one text has its values inside.
            client.query("select name from parts where id = $1", &[&id]).await.expect("a row");
            let text = format!("SELECT name FROM parts WHERE id = {id} /* page {id} */");
            client.simple_query(&text).await.expect("a row");
        }
        let list = "select count(*) from parts where whole in (1, 2, 3)";
        client.simple_query(list).await.expect("a count");
        drop(client);
        driver.await.expect("no panic").expect("an orderly end");
    });
    proxy.settle();
}
