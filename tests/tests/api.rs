//! The API against its own description: every answer of a proxy at work has the shape that `openapi.json` gives it.

use pgsonde_tests::{Postgres, Proxy, eventually, paths, run_ok};
use serde_json::{Value, json};
use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// Something of everything: routes, transactions, errors, a finding.
fn work(postgres: &Postgres, proxy: &Proxy) {
    postgres.psql_ok(proxy.port(), "CREATE TABLE events (id int, kind text)");
    let mut script = "BEGIN;\n".to_owned();
    for id in 0..40 {
        writeln!(script, "INSERT INTO events VALUES ({id}, 'a') /*route='/import'*/;")
            .expect("written");
    }
    script.push_str("COMMIT;\nSELECT * FROM events /*route='/list'*/;\n");
    let mut psql = postgres.client("psql", proxy.port());
    run_ok(psql.args(["-q", "-X"]), &script, LIMIT);
    let failed = postgres.psql(proxy.port(), "SELECT * FROM nothing_there");
    assert!(!failed.is_ok());
    proxy.settle();
}

/// What stands for the names in braces of paths: the first of each list.
fn places(proxy: &Proxy) -> [(&'static str, String); 5] {
    let first = |list: &str, field: &str| {
        let value = proxy.api(list)["items"][0][field].clone();
        value.as_str().unwrap_or_else(|| panic!("{list} has no {field}: {value}")).to_owned()
    };
    let captures = proxy.api("captures");
    let capture = captures["items"][0]["id"].as_str().expect("a capture").to_owned();
    [
        ("{digest}", first("statements", "digest")),
        ("{finding}", first("findings", "id")),
        ("{service}/{route}", format!("{}/{}", first("routes", "service"), "%2Fimport")),
        ("units/{id}", format!("units/{}", first("routes", "typical_unit"))),
        ("captures/{id}", format!("captures/{capture}")),
    ]
}

/// Statements by service, route and expression.
fn filters(proxy: &Proxy) {
    let operations = |query: &str| -> Vec<String> {
        let list = proxy.api(&format!("statements?{query}"));
        let items = list["items"].as_array().expect("a list").clone();
        items.iter().map(|item| item["operation"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(operations("route=%2Fimport"), ["insert"]);
    assert_eq!(operations("route=%2Flist"), ["select"]);
    assert_eq!(operations("route=%2Fnowhere"), [""; 0]);
    assert_eq!(operations("service=nobody"), [""; 0]);
    assert!(operations("service=psql&q=-op:insert").contains(&"ddl".to_owned()));
    assert!(!operations("q=-op:insert").contains(&"insert".to_owned()));
    assert!(operations("").contains(&"insert".to_owned()));
}

/// What ran lately, as far as the steps of the history are over: sums of those steps, which add up.
fn ranges(postgres: &Postgres, proxy: &Proxy) {
    let calls = |query: &str| -> Option<u64> {
        let list = proxy.api(&format!("statements?{query}"));
        let item = list["items"].as_array()?.iter().find(|item| item["summary"] == "SELECT events");
        item.map(|item| item["calls"].as_u64().expect("a number"))
    };
    let edge = || proxy.api("series")["to"].as_str().expect("a moment").to_owned();
    let worked = proxy.api("summary")["to"].as_str().expect("a moment").to_owned();
    let begin = eventually("the step with the work is over", LIMIT, || {
        Some(edge()).filter(|edge| *edge > worked)
    });
    for _ in 0..3 {
        postgres.psql_ok(proxy.port(), "SELECT * FROM events");
    }
    proxy.settle();
    let whole = calls("").expect("it ran");
    let recent = eventually("a step of the history", LIMIT, || {
        calls(&format!("from={begin}")).filter(|recent| *recent == 3)
    });
    assert!(recent < whole, "{recent} of {whole}");
    assert_eq!(calls(&format!("to={begin}")), Some(whole - recent));
    let list = proxy.api(&format!("statements?limit=1&from={begin}"));
    let (item, other) = (&list["items"][0], &list["other"]["digests"]);
    let share = item["share"].as_f64().expect("a share") + other["share"].as_f64().expect("one");
    assert!((share - 1.0).abs() < 1e-9, "{list}");
    assert_eq!(item["p99_ms"], Value::Null);
    let points = |path: &str| proxy.api(path)["points"].as_array().map_or(0, Vec::len);
    assert!(points("series") > points(&format!("series?from={begin}")));
    assert_eq!(proxy.api(&format!("findings?to={}", "2001-01-01"))["items"], json!([]));
    for wrong in ["from=yesterday", "from=-1m&to=-2m", "from=-1m&sort=p99"] {
        assert_eq!(proxy.http(&format!("/api/v1/statements?{wrong}")).0, 400, "{wrong}");
    }
}

/// The levels of the flame are those that were asked for, and the time stays the same.
fn flames(proxy: &Proxy) {
    let names = |of: &Value| -> Vec<String> {
        let children = of["children"].as_array().expect("children").iter();
        children.map(|child| child["name"].as_str().expect("a name").to_owned()).collect()
    };
    let (whole, routes) = (proxy.api("flame"), proxy.api("flame?group=route"));
    assert!(names(&routes).contains(&"/import".to_owned()), "{routes}");
    assert!(routes["children"][0].get("children").is_none(), "{routes}");
    assert_eq!(whole["value_ms"], routes["value_ms"]);
    let (_, folded) = proxy.http("/api/v1/flame?format=folded&group=phase,route");
    assert!(folded.lines().any(|line| line.starts_with("first_row;/import ")), "{folded}");
    assert_eq!(proxy.http("/api/v1/flame?group=route,table").0, 400);
}

#[test]
fn every_answer_has_the_shape_that_is_described() {
    let postgres = Postgres::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = folder.path().join("pgsonde.toml");
    std::fs::write(&settings, "[profile]\nhistory_step = '1s'\n").expect("written");
    let config = settings.to_string_lossy();
    let captures = folder.path().join("captures");
    let captures = captures.to_string_lossy();
    let proxy = Proxy::start(&postgres, &["--config", &config, "--capture", &captures]);
    work(&postgres, &proxy);
    let _open = postgres.psql_ok(proxy.port(), "SELECT 1");
    let (status, text) = proxy.http("/api/v1/openapi.json");
    assert_eq!(status, 200);
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let places = places(&proxy);
    let mut answers = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let content = &item["get"]["responses"]["200"]["content"]["application/json"];
        let Some(schema) = content["schema"]["$ref"].as_str() else { continue };
        let filled =
            places.iter().fold(path.clone(), |path, (name, value)| path.replace(name, value));
        assert!(!filled.contains('{'), "nothing to put into {filled}");
        let (status, body) = proxy.http(&filled);
        assert_eq!(status, 200, "{filled}: {body}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        answers.push(json!({ "path": filled, "schema": schema, "body": body }));
    }
    assert!(answers.len() >= 20, "{}", answers.len());
    filters(&proxy);
    flames(&proxy);
    ranges(&postgres, &proxy);
    let (status, body) = proxy.http("/api/v1/statements?limit=0");
    assert_eq!(status, 400);
    let problem: Value = serde_json::from_str(&body).expect("JSON");
    let schema = "#/components/schemas/ProblemBody";
    answers.push(json!({ "path": "limit=0", "schema": schema, "body": problem }));
    // A description that fits everything proves nothing: this one doesn't fit.
    answers.push(json!({ "path": "wrong", "schema": schema, "body": {"title": 1} }));

    let program = "import json, sys\n\
        from jsonschema import Draft202012Validator\n\
        document, answers = json.load(sys.stdin)\n\
        wrong = []\n\
        for answer in answers:\n    \
            schema = {'$ref': answer['schema'], 'components': document['components']}\n    \
            errors = list(Draft202012Validator(schema).iter_errors(answer['body']))\n    \
            wrong += [[answer['path'], error.json_path, error.message[:200]] for error in errors[:3]]\n\
        print(json.dumps(wrong))";
    let input = json!([document, answers]).to_string();
    let output = run_ok(Command::new(paths::python()).args(["-c", program]), &input, LIMIT);
    let wrong: Vec<[String; 3]> = serde_json::from_str(&output.stdout).expect("JSON");
    let (expected, others): (Vec<_>, Vec<_>) = wrong.iter().partition(|error| error[0] == "wrong");
    assert!(!expected.is_empty(), "the validator finds what is wrong");
    assert!(others.is_empty(), "{others:#?}");
}

/// A capture is stopped, started again and ends by itself at its size; what ran while none was written is in none.
#[test]
fn captures_start_and_stop_when_they_are_told_to() {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let postgres = Postgres::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (token, config) = (folder.path().join("token"), folder.path().join("pgsonde.toml"));
    let captures = folder.path().join("captures");
    let settings = format!(
        "[proxy]\nlisten = '127.0.0.1:0'\nupstream = '{}'\n[admin]\nlisten = '127.0.0.1:0'\n\
         token = 'file:{}'\n[capture]\ndir = '{}'\nflush_interval = '100ms'\n",
        postgres.upstream(),
        token.display(),
        captures.display()
    );
    std::fs::write(&token, TOKEN).expect("written");
    std::fs::write(&config, settings).expect("written");
    let proxy = Proxy::configured(&config);
    let order = |method: &str, body: &str| proxy.order(method, "captures", body, TOKEN);
    let say = |word: &str| {
        postgres.psql_ok(proxy.port(), &format!("select 1 as {word}"));
        proxy.settle();
    };
    say("while_first");
    assert_eq!(order("POST", "").0, 409, "one runs");
    assert_eq!(proxy.order("DELETE", "captures", "", "wrong").0, 401);
    assert_eq!(order("DELETE", "").0, 204);
    assert_eq!(order("DELETE", "").0, 409, "none runs");
    assert_eq!(proxy.api("captures")["running"], false);
    say("while_none");
    assert_eq!(order("POST", "{\"duration_s\":0}").0, 400);
    assert_eq!(order("POST", "{\"max_bytes\":1}").0, 204);
    say("while_second");
    eventually("the capture ends at its size", LIMIT, || {
        (proxy.api("captures")["running"] == false).then_some(())
    });
    let listed = proxy.api("captures");
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2), "{listed}");
    assert_eq!(proxy.stop(), 0);
    let mut export = Command::new(paths::pgsonde());
    let text = run_ok(export.arg("export").arg(&captures), "", LIMIT).stdout;
    assert!(text.contains("while_first") && !text.contains("while_none"), "{text}");
}
