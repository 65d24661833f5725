//! `pgsonde audit` around the runners that people have: Django's `manage.py test`, `npm test`, `go test` and RSpec, each
//! once outside of its budget and once inside. `audit.rs` has pytest, node:test and the shell.

use pgsonde_tests::{Output, Postgres, paths, run};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);
/// pgx is compiled first.
const BUILD_LIMIT: Duration = Duration::from_secs(400);

fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| {
        let postgres = Postgres::start();
        postgres.psql_ok(
            postgres.port(),
            "create table customers (id int primary key, name text);
             insert into customers select n, 'customer ' || n from generate_series(1, 40) n;
             create table orders (id int primary key, customer_id int references customers);
             insert into orders select n, n * 3 from generate_series(1, 12) n",
        );
        postgres
    })
}

fn suites() -> PathBuf {
    paths::workspace().join("tests/drivers/audit")
}

/// A project's folder with a budget: no proved N+1, and few statements in the mark `list`.
fn project(list: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let budget = format!(
        "version = 1\n[budget]\nn_plus_one = 0\n[[budget.mark]]\nmatch = \"{list}\"\nstatements = 6\n"
    );
    std::fs::write(folder.path().join("pgsonde-budget.toml"), budget).expect("a file");
    folder
}

/// `pgsonde audit -- COMMAND…` in the folder.
fn audit(folder: &Path, fixed: bool, environment: &[(&str, &str)], command: &[&str]) -> Output {
    let mut audit = Command::new(paths::pgsonde());
    for (name, _) in std::env::vars() {
        if ["PG", "GITHUB", "GITLAB", "CI"].iter().any(|prefix| name.starts_with(prefix)) {
            audit.env_remove(name);
        }
    }
    let url = format!("postgresql://postgres@127.0.0.1:{}/postgres", server().port());
    audit.current_dir(folder).env("DATABASE_URL", url);
    audit.env("SHOP_FIXED", if fixed { "1" } else { "0" });
    audit.envs(environment.iter().copied()).args(["audit", "--"]).args(command);
    run(&mut audit, "", LIMIT)
}

fn artefact(folder: &Path, name: &str) -> String {
    let path = folder.join("pgsonde-audit").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_str(&artefact(folder, name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs the suite broken and repaired; the marks are those of its two tests.
fn fails_then_passes(
    folder: &Path,
    marks: [&str; 2],
    environment: &[(&str, &str)],
    command: &[&str],
) {
    let output = audit(folder, false, environment, command);
    assert_eq!(output.code, Some(99), "{output:?}");
    let document = json(folder, "audit.json");
    assert_eq!(document["exit_reason"], "budget", "{document:#}");
    let kinds: Vec<&str> = document["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter(|finding| finding["mark"] == marks[1])
        .filter_map(|finding| finding["kind"].as_str())
        .collect();
    assert!(kinds.contains(&"n_plus_one"), "{document:#}");
    let report = json(folder, "report.json");
    let seen: Vec<&str> = report["marks"]["items"]
        .as_array()
        .expect("marks")
        .iter()
        .filter_map(|mark| mark["mark"].as_str())
        .collect();
    for mark in marks {
        assert!(seen.contains(&mark), "{mark} in {seen:?}");
    }
    let junit = artefact(folder, "junit.xml");
    assert!(junit.contains(&format!("classname=\"pgsonde.mark.{}\"", marks[0])), "{junit}");
    assert!(junit.contains(&format!("classname=\"pgsonde.mark.{}\"", marks[1])), "{junit}");
    assert_eq!(
        junit.matches("<failure").count(),
        2,
        "both limits, none of the free cases: {junit}"
    );
    follows_the_schema(&folder.join("pgsonde-audit/pgsonde.sarif"));

    let output = audit(folder, true, environment, command);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(json(folder, "audit.json")["exit_reason"], "ok");
    follows_the_schema(&folder.join("pgsonde-audit/pgsonde.sarif"));
}

/// The official SARIF 2.1.0 schema, out of a crate that carries it; nothing of the crate is compiled.
fn schema() -> &'static PathBuf {
    static SCHEMA: OnceLock<PathBuf> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(paths::workspace()).args(["metadata", "--locked", "--format-version=1"]);
        let metadata = run(cargo.args(["--features", "pgsonde-tests/sarif-schema"]), "", LIMIT);
        assert!(metadata.is_ok(), "{}", metadata.stderr);
        let metadata: Value = serde_json::from_str(&metadata.stdout).expect("JSON");
        let packages = metadata["packages"].as_array().expect("packages");
        let package = packages.iter().find(|package| package["name"] == "serde-sarif");
        let manifest = package.and_then(|package| package["manifest_path"].as_str());
        Path::new(manifest.expect("the crate")).with_file_name("src").join("schema.json")
    })
}

fn follows_the_schema(sarif: &Path) {
    let program = "import json, sys, jsonschema\n\
        schema, document = (json.load(open(path)) for path in sys.argv[1:])\n\
        assert '2.1.0' in schema['title'], schema['title']\n\
        jsonschema.validate(document, schema, format_checker=jsonschema.FormatChecker())";
    let mut python = Command::new(paths::python());
    let checked = run(python.args(["-c", program]).arg(schema()).arg(sarif), "", LIMIT);
    assert!(checked.is_ok(), "{}: {}", sarif.display(), checked.stderr);
}

#[test]
fn the_schema_refuses_what_is_no_sarif() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("x.sarif");
    std::fs::write(&file, r#"{"version":"2.1.0","runs":[{"tool":{}}]}"#).expect("a file");
    let refused = std::panic::catch_unwind(|| follows_the_schema(&file));
    assert!(refused.is_err(), "a tool needs a driver");
}

#[test]
fn django_fails_its_budget_and_passes_when_repaired() {
    let folder = project("test_order_list");
    let manage = suites().join("django/manage.py").display().to_string();
    let python = paths::python().display().to_string();
    let environment = [("PYTHONDONTWRITEBYTECODE", "1")];
    let command = [python.as_str(), &manage, "test", "--noinput", "shop"];
    let output = audit(folder.path(), false, &environment, &command);
    assert!(output.stderr.contains("Ran 2 tests"), "Django's own words: {output:?}");
    // Django's comments say which line sent a statement.
    let sarif = json(folder.path(), "pgsonde.sarif");
    let results = sarif["runs"][0]["results"].as_array().expect("results");
    let found = results.iter().find(|result| result["ruleId"] == "n_plus_one");
    let place = &found.expect("the N+1")["locations"][0]["physicalLocation"];
    let source = std::fs::read_to_string(suites().join("django/shop/tests.py")).expect("a file");
    let line = source.lines().position(|line| line.contains("order.customer.name")).expect("it");
    assert_eq!(place["artifactLocation"]["uri"], "shop/tests.py", "{sarif:#}");
    assert_eq!(place["region"]["startLine"], line + 1, "{sarif:#}");
    fails_then_passes(
        folder.path(),
        ["test_order_count", "test_order_list"],
        &environment,
        &command,
    );
}

#[test]
fn npm_test_fails_its_budget_and_passes_when_repaired() {
    let folder = project("order list");
    let suite = suites().join("shop.test.mjs").display().to_string();
    let package = format!(
        "{{\"name\": \"shop\", \"private\": true, \"scripts\": {{\"test\": \"node --test '{suite}'\"}}}}"
    );
    std::fs::write(folder.path().join("package.json"), package).expect("a file");
    let node = paths::target().join("node").display().to_string();
    let environment = [("PGSONDE_NODE", node.as_str()), ("NO_UPDATE_NOTIFIER", "1")];
    fails_then_passes(folder.path(), ["order count", "order list"], &environment, &["npm", "test"]);
}

#[test]
fn go_test_fails_its_budget_and_passes_when_repaired() {
    let folder = project("TestOrderList");
    let copy = |from: PathBuf, to: &str| {
        let to = folder.path().join(to);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        std::fs::copy(from, to).expect("a copy");
    };
    copy(suites().join("go/shop_test.go"), "shop_test.go");
    copy(paths::workspace().join("deploy/hooks/mark.go"), "go/src/pgsondemark/mark.go");
    let path = format!("{}:/usr/share/gocode", folder.path().join("go").display());
    let cache = paths::target().join("go/cache").display().to_string();
    let environment =
        [("GO111MODULE", "off"), ("GOPATH", path.as_str()), ("GOFLAGS", ""), ("GOCACHE", &cache)];
    let mut build = Command::new("go");
    build.current_dir(folder.path()).envs(environment).args(["test", "-c", "-o", "unused"]);
    let built = run(&mut build, "", BUILD_LIMIT);
    assert!(built.is_ok(), "{built:?}");
    // Go caches the outcome of tests, and the second run differs in its environment only.
    let command = ["go", "test", "-count=1", "."];
    fails_then_passes(folder.path(), ["TestOrderCount", "TestOrderList"], &environment, &command);
}

#[test]
fn rspec_fails_its_budget_and_passes_when_repaired() {
    let folder = project("the shop lists its orders");
    let suite = suites().join("shop_spec.rb").display().to_string();
    let marks = ["the shop counts its orders", "the shop lists its orders"];
    fails_then_passes(folder.path(), marks, &[], &["rspec", &suite]);
}
