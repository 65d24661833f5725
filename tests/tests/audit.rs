//! `pgsonde audit` around real test suites: pytest with SQLAlchemy, node:test with pg, and the shell.

use pgsonde_tests::process::signal;
use pgsonde_tests::{Output, Postgres, paths, run};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

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

/// A folder to audit in, gone with its value.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("pgsonde-audit-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        let path = self.0.join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// `pgsonde audit ARGUMENTS` in here, without a database in the environment.
    fn pgsonde(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(paths::pgsonde());
        let ours = ["PG", "PGSONDE", "DATABASE_URL", "GITHUB", "GITLAB", "CI"];
        for (name, _) in std::env::vars() {
            if ours.iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command.current_dir(&self.0).env("HOME", &self.0).arg("audit").args(arguments);
        command
    }

    /// With `DATABASE_URL`.
    fn audit(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = self.pgsonde(arguments);
        command.env("DATABASE_URL", url("postgresql+psycopg"));
        command.envs(environment.iter().copied());
        run(&mut command, "", LIMIT)
    }

    fn pytest(&self, options: &[&str], environment: &[(&str, &str)]) -> Output {
        let suite = paths::workspace().join("tests/drivers/audit/test_orders.py");
        let (python, suite) = (paths::python().display().to_string(), suite.display().to_string());
        let mut arguments = options.to_vec();
        arguments.extend(["--", &python, "-m", "pytest", "-q", "-p", "no:cacheprovider", &suite]);
        self.audit(&arguments, environment)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

fn url(scheme: &str) -> String {
    format!("{scheme}://postgres:s3cret@127.0.0.1:{}/postgres", server().port())
}

/// A psql command of the shell that reads its place from `PGHOST` and `PGPORT`.
fn psql() -> String {
    Path::new(&paths::postgres_bin()).join("psql").display().to_string()
}

const BUDGET: &str = "version = 1\n[budget]\nn_plus_one = 0\nstatements_per_unit = 100\nerrors = 0\n\
                      [[budget.mark]]\nmatch = \"test_*\"\nstatements = 12\n";

#[test]
fn pytest_fails_its_budget_and_passes_when_repaired() {
    let place = Place::new();
    place.write("pgsonde-budget.toml", BUDGET);
    let output = place.pytest(&[], &[]);
    assert_eq!(output.code, Some(99), "{output:?}");
    assert!(output.stdout.contains("2 passed"), "the suite's own output: {output:?}");
    assert!(output.stderr.contains("FAIL  n_plus_one = 0"), "{}", output.stderr);
    assert!(output.stderr.contains("test_order_list"), "{}", output.stderr);
    assert!(!output.stderr.contains("s3cret"), "{}", output.stderr);
    let audit = place.json("pgsonde-audit/audit.json");
    assert_eq!((&audit["exit_reason"], &audit["exit_code"]), (&"budget".into(), &99.into()));
    let limit = |key: &str, subject: Option<&str>| {
        let mut all = audit["limits"].as_array().expect("limits").iter();
        let wanted = |limit: &&Value| limit["key"] == key && limit["subject"].as_str() == subject;
        all.find(wanted).unwrap_or_else(|| panic!("{key} {subject:?}: {audit:#}")).clone()
    };
    assert_eq!(limit("n_plus_one", None)["measured"], 1);
    assert_eq!(limit("statements", Some("test_order_list"))["verdict"], "fail");
    assert_eq!(limit("statements", Some("test_order_count"))["verdict"], "pass");
    let finding = &audit["findings"][0];
    assert_eq!(
        (&finding["kind"], &finding["mark"]),
        (&"n_plus_one".into(), &"test_order_list".into())
    );
    artefacts(&place);
    follows_its_schema(&place.0.join("pgsonde-audit/audit.json"));

    let output = place.pytest(&[], &[("SHOP_FIXED", "1")]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(place.json("pgsonde-audit/audit.json")["exit_reason"], "ok");
}

/// The document follows the schema that the binary prints.
fn follows_its_schema(path: &Path) {
    let mut schema = Command::new(paths::pgsonde());
    let schema = run(schema.args(["config", "schema", "--audit"]), "", LIMIT);
    assert_eq!(schema.code, Some(0), "{schema:?}");
    let program = "import json, sys, jsonschema\n\
        jsonschema.validate(json.load(open(sys.argv[1])), json.load(sys.stdin))";
    let mut python = Command::new(paths::python());
    let checked = run(python.args(["-c", program]).arg(path), &schema.stdout, LIMIT);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

/// Everything that lies in the folder is what it claims to be.
fn artefacts(place: &Place) {
    let sarif = place.json("pgsonde-audit/pgsonde.sarif");
    assert_eq!(sarif["version"], "2.1.0");
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "n_plus_one");
    let junit = place.read("pgsonde-audit/junit.xml");
    assert!(junit.contains("<failure"), "{junit}");
    let check = "import sys, xml.dom.minidom as x; d = x.parse(sys.argv[1]); print(len(d.getElementsByTagName('testcase')))";
    let mut python = Command::new(paths::python());
    python.args(["-c", check]).arg(place.0.join("pgsonde-audit/junit.xml"));
    assert!(run(&mut python, "", LIMIT).is_ok());
    assert!(place.read("pgsonde-audit/summary.md").contains("N+1"));
    assert!(place.read("pgsonde-audit/report.html").contains("customers"));
    assert_eq!(place.json("pgsonde-audit/baseline.json")["findings"][0]["kind"], "n_plus_one");
    for file in
        ["audit.json", "pgsonde.sarif", "junit.xml", "summary.md", "report.html", "baseline.json"]
    {
        let text = place.read(&format!("pgsonde-audit/{file}"));
        assert!(!text.contains("s3cret") && !text.contains("customer 3"), "{file} holds a secret");
    }
}

#[test]
fn a_failing_suite_keeps_its_own_code() {
    let place = Place::new();
    place.write("pgsonde-budget.toml", BUDGET);
    let output = place.pytest(&[], &[("SHOP_BROKEN", "1")]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert_eq!(place.json("pgsonde-audit/audit.json")["exit_reason"], "child");
    assert!(place.0.join("pgsonde-audit/report.html").exists());
}

#[test]
fn a_baseline_lives() {
    let place = Place::new();
    let init = place.pytest(&["--init"], &[]);
    assert_eq!(init.code, Some(0), "{init:?}");
    assert!(!init.stderr.contains("no budget"), "{}", init.stderr);
    assert!(place.read("pgsonde-budget.toml").contains("n_plus_one = 0"));
    assert_eq!(place.json("pgsonde-baseline.json")["findings"][0]["mark"], "test_order_list");
    assert_eq!(place.pytest(&["--init"], &[]).code, Some(2), "it never overwrites");
    // What is known passes; what is repaired can be taken out, after which it fails again.
    let known = place.pytest(&[], &[]);
    assert_eq!(known.code, Some(0), "{known:?}");
    assert!(known.stderr.contains("known findings unchanged"), "{}", known.stderr);
    let repaired = place.pytest(&["--update-baseline"], &[("SHOP_FIXED", "1")]);
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    assert_eq!(
        place.json("pgsonde-baseline.json")["findings"].as_array().map(Vec::len),
        Some(0),
        "{repaired:?}"
    );
    let again = place.pytest(&[], &[]);
    assert_eq!(again.code, Some(99), "{again:?}");
    assert_eq!(
        place.pytest(&["--update-baseline=accept"], &[]).code,
        Some(99),
        "judged by the old one"
    );
    assert_eq!(place.pytest(&[], &[]).code, Some(0));
}

#[test]
fn node_fails_its_budget_and_passes_when_repaired() {
    let place = Place::new();
    place.write(
        "pgsonde-budget.toml",
        "version = 1\n[[budget.mark]]\nmatch = \"order list\"\nstatements = 5\n\
         [[budget.digest]]\nmatch = \"*customers*\"\ncalls = 3\n",
    );
    let suite = paths::workspace().join("tests/drivers/audit/shop.test.mjs").display().to_string();
    let node = paths::target().join("node").display().to_string();
    for (fixed, code) in [("0", 99), ("1", 0)] {
        let database = url("postgresql");
        let environment = [
            ("PGSONDE_NODE", node.as_str()),
            ("SHOP_FIXED", fixed),
            ("DATABASE_URL", database.as_str()),
        ];
        let output = place.audit(&["--", "node", "--test", &suite], &environment);
        assert_eq!(output.code, Some(code), "{output:?}");
        let audit = place.json("pgsonde-audit/audit.json");
        let limits = audit["limits"].as_array().expect("limits").iter();
        let of_digests: Vec<&Value> = limits.filter(|limit| limit["scope"] == "digest").collect();
        assert!(!of_digests.is_empty(), "{audit:#}");
        let failed = of_digests.iter().any(|limit| limit["verdict"] == "fail");
        assert_eq!(failed, code == 99, "{of_digests:?}");
        follows_its_schema(&place.0.join("pgsonde-audit/audit.json"));
        let report = place.json("pgsonde-audit/report.json");
        let marks: Vec<&str> = report["marks"]["items"]
            .as_array()
            .expect("marks")
            .iter()
            .filter_map(|mark| mark["mark"].as_str())
            .collect();
        assert_eq!(marks, ["order count", "order list"]);
    }
}

#[test]
fn a_shell_script_marks_by_sql_and_by_variables() {
    let place = Place::new();
    let script = format!(
        "{} -XAtq -c \"SET pgsonde.mark = 'first'\" -c 'select 1' -c 'RESET pgsonde.mark' -c 'select 2' && \
         PGOPTIONS='-c pgsonde.mark=second' {} -XAtq -c 'select 3' -c 'select 4'",
        psql(),
        psql()
    );
    let mut command = place.pgsonde(&["--", "sh", "-c", &script]);
    command.envs([("PGHOST", "127.0.0.1"), ("PGUSER", "postgres"), ("PGDATABASE", "postgres")]);
    command.env("PGPORT", server().port().to_string());
    let output = run(&mut command, "", LIMIT);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(output.stdout, "1\n2\n3\n4\n", "stdout is the command's alone");
    let mut zstd = Command::new("zstd");
    let events =
        run(zstd.arg("-dcq").arg(place.0.join("pgsonde-audit/capture.ndjson.zst")), "", LIMIT);
    assert_eq!(events.stdout.matches("\"ev\":\"statement\"").count(), 6, "{events:?}");
    assert!(events.stdout.ends_with("}\n") && events.stdout.contains("\"ev\":\"end\""));
    let left = std::fs::read_dir(place.0.join("pgsonde-audit")).expect("a folder");
    let hidden = left.filter(|entry| {
        entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with('.'))
    });
    assert_eq!(hidden.count(), 0, "nothing of the work is left");
    let report = place.json("pgsonde-audit/report.json");
    let rows: Vec<(String, u64)> = report["marks"]["items"]
        .as_array()
        .expect("marks")
        .iter()
        .map(|mark| {
            (
                mark["mark"].as_str().unwrap_or("").to_owned(),
                mark["statements"].as_u64().unwrap_or(0),
            )
        })
        .collect();
    assert_eq!(rows, [("first".to_owned(), 1), ("second".to_owned(), 2)]);
    assert!(
        !place.read("pgsonde-audit/report.json").contains("'first'"),
        "the statement has no literal"
    );
}

#[test]
fn a_signal_asks_for_a_snapshot_while_the_command_runs() {
    let place = Place::new();
    // The command's parent is the audit.
    let script = format!(
        "{} -XAtqc 'select 1 as signalled' && kill -USR1 $PPID && \
         for n in $(seq 100); do test -s pgsonde-audit/pgsonde.snapshot.zst && break; sleep 0.1; done; sleep 0.3",
        psql()
    );
    let mut command = place.pgsonde(&["--", "sh", "-c", &script]);
    command.envs([("PGHOST", "127.0.0.1"), ("PGUSER", "postgres"), ("PGDATABASE", "postgres")]);
    command.env("PGPORT", server().port().to_string());
    let output = run(&mut command, "", LIMIT);
    assert_eq!(output.code, Some(0), "{output:?}");
    let snapshot = place.0.join("pgsonde-audit/pgsonde.snapshot.zst");
    let mut merge = Command::new(paths::pgsonde());
    merge.arg("merge").arg(snapshot).args(["--format", "json"]).current_dir(&place.0);
    let merged = run(&mut merge, "", LIMIT);
    assert!(merged.is_ok() && merged.stdout.contains("signalled"), "{merged:?}");
}

#[test]
fn bad_input_has_its_code_and_its_words() {
    let place = Place::new();
    let none = run(&mut place.pgsonde(&["--", "true"]), "", LIMIT);
    assert_eq!(none.code, Some(2));
    assert!(
        none.stderr.contains("PGS0602") && none.stderr.contains("DATABASE_URL"),
        "{}",
        none.stderr
    );
    let missing = place.audit(&["--", "no-such-command-anywhere"], &[]);
    assert_eq!(missing.code, Some(127), "{missing:?}");
    assert!(missing.stderr.contains("no-such-command-anywhere"), "{}", missing.stderr);
    place.write("plain", "no program");
    assert_eq!(place.audit(&["--", "./plain"], &[]).code, Some(126));
    let quiet = place.audit(&["--", "true"], &[]);
    assert_eq!(quiet.code, Some(2), "{quiet:?}");
    assert!(quiet.stderr.contains("PGS0601"), "{}", quiet.stderr);
    assert_eq!(place.audit(&["--", "sh", "-c", "exit 7"], &[]).code, Some(7));
    assert_eq!(place.audit(&["--", "sh", "-c", "kill -9 $$"], &[]).code, Some(137));
    let server_gone =
        place.audit(&["--", "true"], &[("DATABASE_URL", "postgres://u@127.0.0.1:1/d")]);
    assert_eq!(server_gone.code, Some(3), "{server_gone:?}");
    assert!(server_gone.stderr.contains("PGS0301"), "{}", server_gone.stderr);
    let state = place.audit(
        &["--", "true"],
        &[("DATABASE_URL", "postgres://a,b/d?target_session_attrs=primary")],
    );
    assert_eq!(state.code, Some(2));
    assert!(state.stderr.contains("PGS0603"), "{}", state.stderr);
    place.write("pgsonde-budget.toml", "version = 1\n[budget]\nn_plus_on = 0\n");
    let budget = place.audit(&["--", "touch", "started"], &[]);
    assert_eq!(budget.code, Some(2));
    assert!(budget.stderr.contains("pgsonde-budget.toml:3:1"), "{}", budget.stderr);
    assert!(budget.stderr.contains("did you mean `n_plus_one`?"), "{}", budget.stderr);
    assert!(!place.0.join("started").exists(), "the command was not started");
    assert_eq!(place.audit(&["--budget", "absent.toml", "--", "true"], &[]).code, Some(2));
}

#[test]
fn ctrl_c_reaches_the_command_and_artefacts_are_written() {
    let place = Place::new();
    let script = format!(
        "{} -XAtq -c 'select 1'; trap 'exit 42' INT TERM; echo ready; while :; do sleep 0.05; done",
        psql()
    );
    for (name, code) in [("INT", 42), ("TERM", 42)] {
        let mut command = place.pgsonde(&["--", "sh", "-c", &script]);
        command.env("PGHOST", "127.0.0.1").env("PGPORT", server().port().to_string());
        command.env("PGUSER", "postgres").env("PGDATABASE", "postgres");
        let process =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut process = process.expect("it starts");
        let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let ready = lines.map_while(Result::ok).find(|line| line == "ready");
        assert!(ready.is_some());
        signal(name, &process.id().to_string());
        let status = process.wait().expect("it ends");
        assert_eq!(status.code(), Some(code), "{name}");
        assert_eq!(place.json("pgsonde-audit/audit.json")["exit_reason"], "child");
    }
}

#[test]
fn a_second_signal_kills_a_command_that_does_not_listen() {
    let place = Place::new();
    let script = "trap '' INT TERM; echo ready; while :; do sleep 0.05; done";
    let mut command = place.pgsonde(&["--grace", "0s", "--", "sh", "-c", script]);
    command.env("DATABASE_URL", url("postgresql"));
    let process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut process = process.expect("it starts");
    let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
    assert_eq!(lines.next().and_then(Result::ok).as_deref(), Some("ready"));
    let pid = process.id().to_string();
    signal("INT", &pid);
    std::thread::sleep(Duration::from_millis(300));
    assert!(
        process.try_wait().expect("a child").is_none(),
        "one signal is the command's to answer"
    );
    signal("INT", &pid);
    assert_eq!(process.wait().expect("it ends").code(), Some(137));
}

#[test]
fn two_reports_are_compared() {
    let place = Place::new();
    place.pytest(&["--out", "base"], &[("SHOP_FIXED", "1")]);
    place.pytest(&["--out", "head"], &[]);
    let mut diff = Command::new(paths::pgsonde());
    diff.current_dir(&place.0).args(["diff", "base/report.json", "head/report.json"]);
    diff.args(["--fail-on", "n-plus-one", "--format", "json"]);
    let output = run(&mut diff, "", LIMIT);
    assert_eq!(output.code, Some(99), "{output:?}");
    let document: Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(document["findings"]["new"][0]["kind"], "n_plus_one");
    let mut same = Command::new(paths::pgsonde());
    same.current_dir(&place.0).args([
        "diff",
        "head/report.json",
        "head/report.json",
        "--fail-on",
        "slower,new,n-plus-one",
    ]);
    assert_eq!(run(&mut same, "", LIMIT).code, Some(0));
    let mut html = Command::new(paths::pgsonde());
    html.current_dir(&place.0).args(["report", "head/report.json", "-o", "r.html"]);
    assert_eq!(run(&mut html, "", LIMIT).code, Some(0));
    assert!(place.read("r.html").contains("customers"));
}

/// pytest's and node's hooks run in the suites above; the others must at least be programs.
#[test]
fn hooks_are_programs() {
    let hook =
        |name: &str| paths::workspace().join("deploy/hooks").join(name).display().to_string();
    let place = Place::new();
    let extension = place.0.join("org/junit/jupiter/api/extension");
    std::fs::create_dir_all(&extension).expect("a folder");
    for (name, body) in [
        ("BeforeEachCallback", "void beforeEach(ExtensionContext context) throws Exception;"),
        ("AfterEachCallback", "void afterEach(ExtensionContext context) throws Exception;"),
        ("ExtensionContext", "String getDisplayName();"),
    ] {
        let text = format!(
            "package org.junit.jupiter.api.extension; public interface {name} {{ {body} }}"
        );
        std::fs::write(extension.join(format!("{name}.java")), text).expect("a file");
    }
    let (ruby, go, java) = (hook("pgsonde_rspec.rb"), hook("mark.go"), hook("PgsondeMarks.java"));
    for (program, arguments) in [
        ("ruby", vec!["-c", &ruby]),
        ("gofmt", vec!["-e", "-l", &go]),
        ("javac", vec!["-d", "out", "-sourcepath", ".", &java]),
    ] {
        if Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output()
            .is_ok_and(|found| !found.status.success())
        {
            assert!(std::env::var_os("CI").is_none(), "{program} is missing");
            println!("skipped: {program}");
            continue;
        }
        let output = run(Command::new(program).args(&arguments).current_dir(&place.0), "", LIMIT);
        assert!(output.is_ok(), "{program}: {output:?}");
        assert!(program != "gofmt" || output.stdout.is_empty(), "not formatted: {output:?}");
    }
}
