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

const CANARY: &str = "canary_7f3a9c51";
/// First digits of every number of the canary's table.
const NUMBER: &str = "48151623";

/// Statements with the canary in every place that a value can have: each group in a connection of its own.
fn leaky_scripts() -> Vec<String> {
    let number = |n: u32| format!("{NUMBER}{n:05}");
    let each = |count: u32, one: &dyn Fn(u32) -> String| -> String {
        (0..count).map(|n| one(n) + ";\n").collect()
    };
    let numbers: Vec<String> = (0..1200).map(number).collect();
    let lookup = |n| format!("select note from kept where id = {}", number(n));
    let named = |n| format!("select id from kept where note = '{CANARY} {n}'");
    let insert =
        |n| format!("insert into kept (id, note) values ({}, '{CANARY}')", number(90_000 + n));
    let one = format!("insert into kept values ({}, $${CANARY}$$) /* {CANARY} */;", number(80_000));
    let page = format!("select id from kept where note <> '{CANARY}' order by id limit 40;\n");
    let transaction = |inside: String| format!("begin;\n{inside}commit;\n");
    let tag = format!("/*route='%2Fkept',traceparent='00-{:032x}-00000000000000ff-01'*/", 0xa1);
    vec![
        format!(
            "create table kept (id bigint, note text);\ninsert into kept select {} + n, '{CANARY} ' || n from generate_series(0, 20000) n;",
            number(0)
        ),
        one,
        format!(
            "select * from kept where note = $${CANARY}$$ and id = {} -- {CANARY}\n;",
            number(1)
        ),
        format!("selekt '{CANARY}', E'{CANARY}', {};", number(1)),
        (0..3).map(|_| transaction(page.clone() + &each(40, &lookup))).collect(),
        (0..3).map(|_| transaction(each(60, &named))).collect(),
        transaction(each(30, &insert)),
        transaction(each(30, &|n| {
            format!("savepoint {CANARY}_{n};\n{};\nrelease {CANARY}_{n}", insert(n))
        })),
        transaction(each(12, &|_| lookup(7))),
        transaction(each(12, &|_| format!("{} {tag}", lookup(8)))),
        format!("select id, note from kept where note like '{CANARY}%';"),
        format!("select count(*) from kept where id in ({});", numbers.join(",")),
        // A smell is worth a word from 10 ms on, however fast the machine is.
        format!(
            "select id from kept, pg_sleep(0.03) where note like '%{CANARY}' order by random() limit 3;"
        ),
        format!("create index on kept (note) where note <> '{CANARY}';"),
    ]
}

/// Every answer that there is now, by its path.
fn answers(proxy: &Proxy) -> Vec<String> {
    let ids = |list: &str, field: &str| -> Vec<String> {
        let items = proxy.api(&format!("{list}?limit=500"))["items"].clone();
        let items = items.as_array().expect("a list").clone();
        items.iter().filter_map(|item| item[field].as_str().map(str::to_owned)).collect()
    };
    let mut paths: Vec<String> =
        ["/", "/plain", "/metrics", "/api/v1/info", "/api/v1/summary"].map(Into::into).into();
    for list in ["statements", "findings", "routes", "transactions"] {
        paths.push(format!("/api/v1/{list}?limit=500"));
    }
    for digest in ids("statements", "digest") {
        paths.push(format!("/api/v1/statements/{digest}"));
        paths.push(format!("/statements/{digest}"));
    }
    paths.extend(ids("findings", "id").iter().map(|id| format!("/api/v1/findings/{id}")));
    for field in ["typical_unit", "worst_unit"] {
        paths.extend(ids("routes", field).iter().map(|id| format!("/api/v1/units/{id}")));
    }
    paths
}

#[test]
fn no_value_of_the_application_is_in_any_answer() {
    let postgres = server();
    let proxy = Proxy::start(postgres, &[]);
    for script in leaky_scripts() {
        postgres.psql(proxy.port(), &script);
    }
    proxy.settle();
    assert!(proxy.calls_and_errors("kept").0 >= 200, "the statements were seen");
    let expected = [
        "n_plus_one",
        "looped_lookup",
        "write_loop",
        "savepoint_loop",
        "duplicate_query",
        "unbounded_result",
        "large_in_list",
        "sql_smell",
        "lock_hazard",
    ];
    eventually("the findings are published", PUBLISH_LIMIT, || {
        let missing = expected.iter().filter(|kind| proxy.findings(kind).is_empty());
        let missing: Vec<_> = missing.collect();
        println!("missing: {missing:?}");
        missing.is_empty().then_some(())
    });
    let paths = answers(&proxy);
    assert!(paths.iter().any(|path| path.contains("/units/")), "units are kept: {paths:?}");
    for path in paths {
        let (status, body) = proxy.http(&path);
        assert_eq!(status, 200, "{path}: {body}");
        assert!(!body.contains(CANARY) && !body.contains(NUMBER), "{path} leaks a value: {body}");
    }
    let log = proxy.lines().join("\n");
    assert!(!log.contains(CANARY) && !log.contains(NUMBER), "the log leaks a value: {log}");
}
