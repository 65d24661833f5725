//! What may leave at each level of `profile.redact`, through the real program: every name and value of the application
//! is a canary, and every output is searched for it.

use pgsonde_tests::process::Output;
use pgsonde_tests::{Postgres, Proxy, eventually, paths, run};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Stands in every name that the application chose.
const NAME: &str = "kanari";
/// Stands in every value.
const VALUE: &str = "zeisig";

/// Names and values in every place of a text that may hold some.
const TEXTS: &str = "
create schema kanari_schema;
create table kanari_schema.kanari_orders (kanari_id int primary key, kanari_customer_id int, kanari_note text);
insert into kanari_schema.kanari_orders select n, n % 7, 'zeisig' from generate_series(1, 60) n;
select kanari_id, kanari_customer_id from kanari_schema.kanari_orders kanari_alias where kanari_note = 'zeisig' \
 /*route='%2Fkanari',application='kanari-shop',mark='kanari_test',file='kanari.py',line='7',kanari_key='zeisig'*/;
set pgsonde.mark = 'kanari_session';
begin; savepoint kanari_point; select count(*) from kanari_schema.kanari_orders; rollback to kanari_point; commit;
listen kanari_channel;
prepare kanari_prepared as select * from kanari_schema.kanari_orders where kanari_id = $1;
execute kanari_prepared(7);
set application_name = 'kanari-7';
select kanari_missing from kanari_schema.kanari_orders where kanari_note = 'zeisig';
kanari wrong kanari 'zeisig';
select 'zeisig' as kanari_label; select 1;
select 'zeisig unclosed kanari
";

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("pgsonde-{name}-{}", std::process::id()));
    let _absent = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

struct Site {
    _postgres: Postgres,
    proxy: Proxy,
    folder: PathBuf,
}

impl Site {
    fn new(redact: &str) -> Self {
        let postgres = Postgres::start();
        postgres.psql_ok(
            postgres.port(),
            "create role kanari_user superuser login; create database kanari_db owner kanari_user;",
        );
        let folder = folder(&format!("privacy-{redact}"));
        let token = folder.join("token");
        std::fs::write(&token, TOKEN).expect("written");
        let config = folder.join("pgsonde.toml");
        let text = format!(
            "[proxy]\nlisten = '127.0.0.1:0'\nupstream = '{}'\n[admin]\nlisten = '127.0.0.1:0'\n\
             token = 'file:{}'\n[profile]\nredact = '{redact}'\n[log]\nlevel = 'debug'\n\
             [capture]\ndir = '{}'\n",
            postgres.upstream(),
            token.display(),
            folder.join("capture").display(),
        );
        std::fs::write(&config, text).expect("written");
        let proxy = Proxy::configured(&config);
        Self { proxy, folder, _postgres: postgres }
    }

    fn psql(&self, database: &str, args: &[&str], sql: &str) -> Output {
        let text = format!(
            "host=127.0.0.1 port={} user=kanari_user dbname={database} application_name=kanari-web \
             sslmode=disable",
            self.proxy.port()
        );
        let mut psql = Command::new(Path::new(&paths::postgres_bin()).join("psql"));
        run(psql.args(["-X", "-w", &text]).args(args), sql, LIMIT)
    }

    /// Everything that an application may say, with an N+1 among it.
    fn load(&self) {
        let _fails_in_places = self.psql("kanari_db", &[], TEXTS);
        let loops: String = (0..3)
            .map(|_| {
                let looked_up: String = (1..20)
                    .map(|n| {
                        format!(
                            "select kanari_note from kanari_schema.kanari_orders where kanari_id = {n};\n"
                        )
                    })
                    .collect();
                format!(
                    "begin;\nselect kanari_id from kanari_schema.kanari_orders where kanari_id < 20 order by 1;\n{looked_up}commit;\n"
                )
            })
            .collect();
        let looped = self.psql("kanari_db", &[], &loops);
        assert!(looped.is_ok(), "{looped:?}");
        let refused = self.psql("kanari_absent", &["-c", "select 1"], "");
        assert!(!refused.is_ok());
        let bound = "select kanari_note from kanari_schema.kanari_orders where kanari_note = $1 \
                     \\bind 'zeisig'\n\\g\n";
        let _where_psql_knows_it = self.psql("kanari_db", &[], bound);
        self.proxy.settle();
        let found = eventually("an N+1 is found", LIMIT, || {
            Some(self.proxy.findings("n_plus_one")).filter(|found| !found.is_empty())
        });
        assert_eq!(found.len(), 1, "{found:?}");
    }

    /// The event of an execution with bound values.
    fn bind(&self) -> Value {
        let mut raw = pgsonde_tests::raw::session(self.proxy.port());
        let frames = pgsonde_tests::raw::bound(
            "select $1::text, $2::text as bound",
            &[Some(VALUE.as_bytes()), None],
        );
        raw.write_all(&frames).expect("written");
        pgsonde_tests::raw::read_until_ready(&mut raw, 1);
        eventually("the bound statement is in the capture", LIMIT, || {
            let capture = self.capture();
            let mut lines = capture.lines().filter_map(|line| serde_json::from_str(line).ok());
            lines.find(|line: &Value| {
                line["query_raw"].as_str().is_some_and(|text| text.contains("as bound"))
            })
        })
    }

    fn get(&self, path: &str) -> String {
        let (status, body) = self.proxy.http(path);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// (where, what) of every output but captures and events.
    fn outputs(&self) -> Vec<(String, String)> {
        let mut outputs = Vec::new();
        let mut paths: Vec<String> = [
            "/",
            "/plain",
            "/metrics",
            "/live",
            "/ready",
            "/api/v1/info",
            "/api/v1/summary",
            "/api/v1/statements?limit=500",
            "/api/v1/findings?limit=500",
            "/api/v1/routes",
            "/api/v1/transactions",
            "/api/v1/tables",
            "/api/v1/errors",
            "/api/v1/connections",
            "/api/v1/series",
            "/api/v1/marks",
            "/api/v1/flame",
            "/api/v1/report",
            "/api/v1/report.html",
        ]
        .map(str::to_owned)
        .into();
        for (list, id) in [("statements", "digest"), ("findings", "id")] {
            let all: Value = serde_json::from_str(&self.get(&format!("/api/v1/{list}?limit=500")))
                .expect("JSON");
            for item in all["items"].as_array().expect("items") {
                let id = item[id].as_str().expect("an id");
                paths.push(format!("/api/v1/{list}/{id}"));
                if list == "statements" {
                    paths.push(format!("/statements/{id}"));
                }
            }
        }
        for path in paths {
            let body = self.get(&path);
            outputs.push((path, body));
        }
        for format in ["json", "text", "md", "html", "junit", "sarif", "speedscope", "folded"] {
            let output = run(
                Command::new(paths::pgsonde())
                    .args(["report", self.proxy.admin(), "--format", format, "--top", "500"])
                    .env("PGSONDE_TOKEN", TOKEN),
                "",
                LIMIT,
            );
            assert!(output.is_ok(), "{format}: {output:?}");
            outputs.push((format!("report --format {format}"), output.stdout));
        }
        outputs.push(("log".to_owned(), self.proxy.lines().join("\n")));
        outputs
    }

    /// Examples, the lines of captures, and what a snapshot holds.
    fn events(&self) -> Vec<(String, String)> {
        let all: Value =
            serde_json::from_str(&self.get("/api/v1/statements?limit=500")).expect("JSON");
        let mut events = Vec::new();
        for item in all["items"].as_array().expect("items") {
            let path = format!("statements/{}/examples", item["digest"].as_str().expect("id"));
            let (status, body) = self.proxy.order("GET", &path, "", TOKEN);
            assert_eq!(status, 200, "{path}: {body}");
            events.push((path, body));
        }
        events.push(("capture".to_owned(), self.capture()));
        events
    }

    /// The lines of the capture once a full flush interval has passed without news.
    fn capture(&self) -> String {
        let read = || {
            let mut text = String::new();
            for file in std::fs::read_dir(self.folder.join("capture")).expect("a folder") {
                let file = file.expect("an entry").path();
                let mut zstd = Command::new("zstd");
                text += &run(zstd.arg("-dcq").arg(file).stderr(Stdio::null()), "", LIMIT).stdout;
            }
            text
        };
        eventually("the N+1 is in the capture", LIMIT, || {
            Some(read()).filter(|text| text.contains("n_plus_one"))
        })
    }
}

fn none_holds(outputs: &[(String, String)], canary: &str) {
    for (place, text) in outputs {
        let lower = text.to_lowercase();
        if let Some(at) = lower.find(canary) {
            let around = lower.get(at.saturating_sub(120)..(at + 120).min(lower.len()));
            panic!("{place} holds {canary}: {around:?}");
        }
    }
}

#[test]
fn all_text_lets_no_name_out() {
    let site = Site::new("all-text");
    site.load();
    let mut outputs = site.outputs();
    outputs.extend(site.events());
    none_holds(&outputs, NAME);
    none_holds(&outputs, VALUE);

    let of = |place: &str| &outputs.iter().find(|(found, _)| found == place).expect("an output").1;
    let info: Value = serde_json::from_str(of("/api/v1/info")).expect("JSON");
    assert_eq!(info["redact"], "all-text");
    let statements: Value = serde_json::from_str(of("/api/v1/statements?limit=500")).expect("JSON");
    let items = statements["items"].as_array().expect("items");
    assert!(items.len() >= 10, "statements are still told apart: {}", items.len());
    assert!(items.iter().all(|item| item["query_text"] == ""), "{items:?}");
    let finding = &site.proxy.findings("n_plus_one")[0];
    let sentence = finding["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("t_"), "the finding is there under pseudonyms: {sentence}");
    let metrics = of("/metrics");
    assert!(metrics.contains("database=\"db_"), "{metrics}");
    let head = of("capture").lines().next().expect("a first line");
    let head: Value = serde_json::from_str(head).expect("JSON");
    assert_eq!((&head["redact"], &head["host"]), (&"all-text".into(), &Value::Null));
    for word in ["values_hash", "client_addr", "query_raw"] {
        assert!(!of("capture").contains(word), "{word} is absent from events");
    }
    let texts = of("capture").split("\"query_text\":\"").skip(1);
    assert!(texts.into_iter().all(|rest| rest.starts_with('"')), "no event holds a text");
}

#[test]
fn off_shows_what_was_sent_in_events_alone() {
    let site = Site::new("off");
    site.load();
    let refused = format!("/api/v1/statements/{}/examples", "0".repeat(16));
    assert_eq!(site.proxy.http(&refused).0, 401, "events need the token");
    assert_eq!(site.proxy.http("/api/v1/captures").0, 401);
    none_holds(&site.outputs(), VALUE);

    let capture = site.capture();
    let lines: Vec<Value> =
        capture.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0]["redact"], "off");
    let statements: Vec<&Value> = lines.iter().filter(|line| line["ev"] == "statement").collect();
    let with = |field: &str, words: &str| {
        let says = |line: &&&Value| line[field].to_string().contains(words);
        assert!(statements.iter().any(|line| says(&line)), "no {field} with {words}: {capture}");
    };
    with("query_raw", "where kanari_note = 'zeisig'");
    with("query_raw", "/*route='%2Fkanari'");
    with("err_message", "column \\\"kanari_missing\\\" does not exist");
    with("err_message", "syntax error");
    let bound = site.bind();
    assert_eq!(bound["params"], serde_json::json!(["zeisig", null]), "{bound}");
    let failed = statements.iter().filter(|line| line["err_message"].is_string());
    assert!(failed.clone().count() >= 2 && failed.clone().all(|line| line["outcome"] != "ok"));
}

#[test]
fn literals_lets_names_out_and_no_value() {
    let site = Site::new("literals");
    site.load();
    let mut outputs = site.outputs();
    outputs.extend(site.events());
    none_holds(&outputs, VALUE);
    for place in ["/api/v1/statements?limit=500", "/api/v1/routes", "capture", "/metrics"] {
        let text = &outputs.iter().find(|(found, _)| found == place).expect("an output").1;
        assert!(text.contains(NAME), "{place} names things");
    }
}
