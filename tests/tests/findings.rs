//! Findings, end to end: real SQLAlchemy on real drivers through the real proxy, the planted problem and its repair.

use pgsonde_tests::{Postgres, Proxy, eventually, python};
use serde_json::Value;
use std::sync::OnceLock;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(180);
/// Findings are published on the analyzer's next tick.
const PUBLISH_LIMIT: Duration = Duration::from_secs(20);
const DRIVERS: [&str; 3] = ["psycopg", "asyncpg", "psycopg2"];

fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(Postgres::start)
}

/// Runs one scenario in a database of its own behind a proxy of its own.
fn played(driver: &str, scenario: &str, repeats: u32) -> (Proxy, Value) {
    let postgres = server();
    let database = format!("{driver}_{scenario}");
    postgres.psql_ok(postgres.port(), &format!("create database {database}"));
    let url = |port: u16| format!("postgresql://postgres@127.0.0.1:{port}/{database}");
    // The tables are made behind the proxy's back: a table that was just created is no suspect.
    python("orm.py", &["prepare", &url(postgres.port()), driver, scenario], LIMIT);
    let proxy = Proxy::start(postgres, &[]);
    let expected = python(
        "orm.py",
        &["run", &url(proxy.port()), driver, scenario, &repeats.to_string()],
        LIMIT,
    );
    proxy.settle();
    (proxy, expected)
}

fn assert_silent(driver: &str, scenario: &str) {
    let (proxy, _) = played(driver, scenario, 5);
    // A tick after everything was counted; the statement count says that it was counted at all.
    assert!(
        proxy.books()["statements"].as_u64() > Some(5),
        "{driver} {scenario}: {}",
        proxy.books()
    );
    std::thread::sleep(Duration::from_secs(2));
    for kind in ["n_plus_one", "missing_index"] {
        assert_eq!(proxy.findings(kind), Vec::<Value>::new(), "{driver} {scenario}");
    }
}

fn assert_lazy_load_is_proved(driver: &str, scenario: &str) {
    let (proxy, expected) = played(driver, scenario, 5);
    let findings = eventually("the finding is published", PUBLISH_LIMIT, || {
        let found = proxy.findings("n_plus_one");
        let complete =
            found.first().is_some_and(|finding| finding["sightings"] == expected["sightings"]);
        complete.then_some(found)
    });
    let case = format!("{driver} {scenario}: {findings:#?}");
    assert_eq!(findings.len(), 1, "exactly one: {case}");
    let finding = &findings[0];
    assert_eq!(finding["proof"], "dataflow", "{case}");
    assert_eq!(finding["gate"], "scope", "{case}");
    assert_eq!(finding["parent"]["table"], "orders", "{case}");
    assert_eq!(finding["parent"]["column"], "customer_id", "{case}");
    assert_eq!(finding["child"]["table"], "customers", "{case}");
    assert_eq!(finding["child"]["column"], "id", "{case}");
    assert_eq!(finding["n"], expected["n"], "{case}");
    assert_eq!(finding["n_max"], expected["n"], "{case}");
    assert_eq!(finding["rows_median"], expected["rows"], "{case}");
    let fix = finding["fix"]["text"].as_str().unwrap_or_default();
    assert!(fix.contains("joinedload"), "the fix speaks SQLAlchemy, also without a tag: {case}");
    assert!(proxy.findings("missing_index").is_empty(), "{case}");
}

#[test]
fn a_lazy_load_in_a_transaction_is_proved() {
    for driver in DRIVERS {
        assert_lazy_load_is_proved(driver, "lazy");
    }
}

#[test]
fn a_lazy_load_in_a_traced_request_is_proved() {
    for driver in DRIVERS {
        assert_lazy_load_is_proved(driver, "traced");
    }
}

#[test]
fn the_repaired_page_and_clean_traffic_are_silent() {
    for driver in DRIVERS {
        for scenario in ["joined", "selectin", "clean"] {
            assert_silent(driver, scenario);
        }
    }
}

#[test]
fn an_unindexed_filter_is_suspected() {
    for driver in DRIVERS {
        let (proxy, _) = played(driver, "unindexed", 40);
        let findings = eventually("the suspect is published", PUBLISH_LIMIT, || {
            Some(proxy.findings("missing_index")).filter(|found| !found.is_empty())
        });
        let case = format!("{driver}: {findings:#?}");
        assert_eq!(findings.len(), 1, "exactly one: {case}");
        assert_eq!(findings[0]["column"], "events.device", "{case}");
        assert_ne!(findings[0]["proof"], "dataflow", "nothing is proved: {case}");
        let sentence = findings[0]["sentence"].as_str().unwrap_or_default().to_lowercase();
        assert!(
            sentence.contains("candidate") || sentence.contains("suspect"),
            "said as a guess: {case}"
        );
        assert!(findings[0]["fix"]["sql"].is_null(), "a suspect has no DDL: {case}");
    }
}

#[test]
fn an_indexed_filter_is_silent() {
    for driver in DRIVERS {
        assert_silent(driver, "indexed");
    }
}

#[test]
fn no_value_of_the_application_is_in_any_answer() {
    let postgres = server();
    let proxy = Proxy::start(postgres, &[]);
    let canary = "canary_7f3a9c51";
    let number = "48151623421";
    let script = format!(
        "create table kept (id bigint, note text);\n\
         insert into kept values ({number}, '{canary}') /* {canary} */;\n\
         select * from kept where note = $${canary}$$ and id = {number} -- {canary}\n;\n\
         selekt '{canary}', E'{canary}', {number};\n\
         drop table kept;"
    );
    for line in script.split(";\n") {
        postgres.psql(proxy.port(), line);
    }
    proxy.settle();
    assert!(proxy.calls_and_errors("kept").0 >= 3, "the statements were seen");
    let list = proxy.api("statements?limit=500");
    let digests =
        list["items"].as_array().expect("a list").iter().filter_map(|item| item["digest"].as_str());
    let mut paths: Vec<String> =
        digests.map(|digest| format!("/api/v1/statements/{digest}")).collect();
    paths.extend(
        ["/", "/metrics", "/api/v1/statements?limit=500", "/api/v1/findings", "/api/v1/summary"]
            .map(Into::into),
    );
    for path in paths {
        let (_, body) = proxy.http(&path);
        assert!(!body.contains(canary) && !body.contains(number), "{path} leaks a value: {body}");
    }
    let log = proxy.lines().join("\n");
    assert!(!log.contains(canary) && !log.contains(number), "the log leaks a value: {log}");
}
