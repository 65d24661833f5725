//! HypoPG in the shadow's place: the target's own planner, and what is said where it can't be asked.

use pgsonde_tests::{Postgres, paths, run};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

const SCHEMA: &str = "create table orders (id int primary key, customer int not null, region int, note text, tags text[]); \
    insert into orders select i, i % 9000, i % 40, 'Note ' || i % 9000, array['t' || i % 9000] \
      from generate_series(1, 90000) i; \
    create table log (id int, day date not null, v int) partition by range (day); \
    create table log_1 partition of log for values from ('2024-01-01') to ('2024-02-01'); \
    create table log_2 partition of log for values from ('2024-02-01') to ('2024-03-01'); \
    insert into log select i, date '2024-01-01' + i % 60, i % 9000 from generate_series(1, 90000) i; \
    create role reader login; grant pg_read_all_data to reader; vacuum analyze";

const WORKLOAD: &str = "select * from orders where customer = 17 and region = 17;\n\
    select * from orders where lower(note) = 'note 17';\n\
    select * from orders where tags @> array['t17'];\n\
    select * from log where v = 17;\n";

fn advise(postgres: &Postgres, user: &str) -> Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("workload.sql");
    std::fs::write(&file, WORKLOAD).expect("the workload is writable");
    let mut command = Command::new(paths::pgsonde());
    let url = format!("postgresql://{user}@127.0.0.1:{}/postgres", postgres.port());
    command.args(["advise", "--json", "--what-if", "hypopg", "--url", &url, "--workload"]);
    let output = run(command.arg(&file), "", LIMIT);
    assert!(output.is_ok(), "{output:?}");
    serde_json::from_str(&output.stdout).expect("one JSON document")
}

fn prepared() -> Postgres {
    let postgres = Postgres::start();
    postgres.psql_ok(postgres.port(), SCHEMA);
    postgres
}

/// The finding about a statement.
fn about<'a>(document: &'a Value, word: &str) -> &'a Value {
    let all = document["findings"].as_array().expect("a list");
    let found = all.iter().find(|finding| finding["statements"].to_string().contains(word));
    found.unwrap_or_else(|| panic!("{word}: {document:#}"))
}

fn text<'a>(finding: &'a Value, name: &str) -> &'a str {
    finding[name].as_str().unwrap_or_else(|| panic!("{name}: {finding:#}"))
}

#[test]
fn what_the_targets_planner_chose_is_verified_and_what_it_can_not_have_is_estimated() {
    let postgres = prepared();
    if !postgres.has_hypopg() {
        return;
    }
    postgres.psql_ok(postgres.port(), "create extension hypopg");
    let document = advise(&postgres, "reader");
    for (word, columns) in [("region", "customer"), ("from log", "v")] {
        let finding = about(&document, word);
        assert_eq!(finding["tier"], "verified", "{finding:#}");
        let ddl = text(finding, "ddl");
        assert!(ddl.contains(&format!("({columns}")), "{ddl}");
        let plans = &finding["plans"][0];
        let after = plans["after"]["lines"].to_string();
        assert!(
            after.contains(text(finding, "index")),
            "under the name that it will have: {after}"
        );
        assert!(!after.contains("<1"), "not under HypoPG's: {after}");
        assert!(!after.contains("17"), "without values: {after}");
    }
    // HypoPG makes no GIN index, and has no statistics of expressions.
    for word in ["@>", "lower"] {
        let finding = about(&document, word);
        assert_eq!(finding["tier"], "estimated", "{finding:#}");
        assert!(finding["ddl"].is_null(), "{finding:#}");
    }
    let asked = &document["hypopg"];
    assert!(asked["explains"].as_u64() > Some(1), "{asked:#}");
    assert!(document["shadow"].is_null(), "{document:#}");

    // Built for real, it costs about that, and the planner takes it.
    let finding = about(&document, "region");
    let promised = finding["plans"][0]["after"]["cost"].as_f64().expect("a cost");
    postgres.psql_ok(postgres.port(), &text(finding, "ddl").replace(" CONCURRENTLY", ""));
    postgres.psql_ok(postgres.port(), "vacuum analyze orders");
    let explain = "explain (format json) select * from orders where customer = 17 and region = 17";
    let plan: Value =
        serde_json::from_str(&postgres.psql_ok(postgres.port(), explain)).expect("JSON");
    let real = plan[0]["Plan"]["Total Cost"].as_f64().expect("a cost");
    println!("promised {promised}, real {real}");
    assert!((promised / real - 1.0).abs() < 0.3, "promised {promised}, real {real}");
    assert!(plan.to_string().contains(text(finding, "index")), "{plan}");
}

#[test]
fn without_hypopg_the_advice_is_estimated_and_says_why() {
    let postgres = prepared();
    let absent = advise(&postgres, "reader");
    assert_estimated(&absent, ["not installed", "CREATE EXTENSION"]);
    if !postgres.has_hypopg() {
        return;
    }
    postgres.psql_ok(
        postgres.port(),
        "create extension hypopg; revoke execute on all functions in schema public from public",
    );
    let forbidden = advise(&postgres, "reader");
    assert_estimated(&forbidden, ["may not use", "GRANT"]);
}

fn assert_estimated(document: &Value, why: [&str; 2]) {
    assert_eq!(about(document, "region")["tier"], "estimated", "{document:#}");
    let notes = document["notes"].to_string();
    why.iter().for_each(|word| assert!(notes.contains(word), "{word}: {notes}"));
    assert!(document["hypopg"].is_null(), "{document:#}");
}
