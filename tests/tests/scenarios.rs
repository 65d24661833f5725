//! Real programs on real drivers through the real proxy: each planted problem is found as it is, each healthy or
//! repaired program is silent.
//!
//! A stack is a program of `tests/drivers` (or `src/bin`) that lists its scenarios with what is expected of each, and
//! runs any number of them, each in a database of its own; `tests/drivers/scenario.py` tells how they speak. So a new
//! scenario is one function there, and nothing here. `PGSONDE_SCENARIO=word` runs only those whose name has the word.

use pgsonde_tests::{Options, Postgres, Proxy, eventually, paths, run_ok};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Longest time that all scenarios of a stack may take.
const LIMIT: Duration = Duration::from_secs(420);
/// A trace is over ten seconds after its last statement; only then is it judged.
const PUBLISH_LIMIT: Duration = Duration::from_secs(25);
/// What a silent scenario might still raise, it has raised by then.
const SILENCE: Duration = Duration::from_secs(3);

/// One program that speaks the language of `scenario.py`.
struct Stack {
    name: &'static str,
    program: Command,
}

/// What a program tells about one of its scenarios before it runs.
struct Scenario {
    name: String,
    expect: Vec<Value>,
    never: Vec<String>,
    may: Vec<String>,
}

/// The findings of each database.
type Found = BTreeMap<String, Vec<Value>>;

fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| {
        let postgres = Postgres::with(&Options {
            settings: vec!["track_activities = on"],
            ..Options::default()
        });
        postgres.psql_ok(postgres.port(), "create database shop");
        let shop = paths::workspace().join("tests/drivers/shop.sql");
        let mut psql = postgres.client("psql", postgres.port());
        psql.args(["-Xq", "-v", "ON_ERROR_STOP=1", "-d", "shop", "-f"]).arg(shop);
        run_ok(&mut psql, "", Duration::from_secs(60));
        postgres
    })
}

impl Stack {
    fn new(name: &'static str, program: Command) -> Self {
        Self { name, program }
    }

    fn lines(&self, args: &[String], limit: Duration) -> Vec<Value> {
        let mut command = Command::new(self.program.get_program());
        command.args(self.program.get_args()).args(args);
        for (name, value) in self.program.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let output = run_ok(&mut command, "", limit);
        let lines = output.stdout.lines().filter(|line| line.starts_with('{'));
        let read = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        lines.map(read).collect()
    }

    fn scenarios(&self) -> Vec<Scenario> {
        let wanted = std::env::var("PGSONDE_SCENARIO").unwrap_or_default();
        let listed = self.lines(&["list".to_owned()], LIMIT);
        let scenarios: Vec<Scenario> = listed.iter().map(Scenario::read).collect();
        assert!(!scenarios.is_empty(), "{} lists its scenarios", self.name);
        scenarios.into_iter().filter(|scenario| scenario.name.contains(&wanted)).collect()
    }

    fn database(&self, scenario: &str) -> String {
        format!("{}_{scenario}", self.name)
    }

    /// Runs `scenarios` through `proxy`; gives what each program saw, by scenario.
    fn run(&self, proxy: &Proxy, scenarios: &[Scenario]) -> BTreeMap<String, Value> {
        let url = format!("postgresql://postgres@127.0.0.1:{}/{}", proxy.port(), self.name);
        let mut args = vec!["run".to_owned(), url];
        args.extend(scenarios.iter().map(|scenario| scenario.name.clone()));
        let told = self.lines(&args, LIMIT).into_iter();
        told.map(|line| (line["scenario"].as_str().unwrap_or_default().to_owned(), line)).collect()
    }

    /// All scenarios of the stack; fails with every difference between expected and found at once.
    fn prove(&self) {
        let scenarios = self.scenarios();
        let postgres = server();
        for scenario in &scenarios {
            let database = self.database(&scenario.name);
            let create = format!("create database \"{database}\" template shop");
            postgres.psql_ok(postgres.port(), &create);
        }
        let config = paths::workspace().join("tests/drivers/pgsonde.toml");
        let proxy = Proxy::start(postgres, &["--config", &config.display().to_string()]);
        let told = self.run(&proxy, &scenarios);
        let found = self.found(&proxy, &scenarios, &told);
        let wrong: Vec<String> = scenarios
            .iter()
            .flat_map(|scenario| {
                let findings = found.get(&self.database(&scenario.name));
                scenario.wrong(
                    told.get(&scenario.name).unwrap_or(&Value::Null),
                    findings.map_or(&[], |findings| findings),
                )
            })
            .collect();
        let silent = scenarios.iter().filter(|scenario| scenario.expect.is_empty()).count();
        println!("{}: {} scenarios, {silent} of them silent", self.name, scenarios.len());
        assert!(wrong.is_empty(), "{}: {} differ\n{}", self.name, wrong.len(), wrong.join("\n"));
    }

    /// The findings once all that is expected is there, or the time is up.
    fn found(
        &self,
        proxy: &Proxy,
        scenarios: &[Scenario],
        told: &BTreeMap<String, Value>,
    ) -> Found {
        proxy.settle();
        std::thread::sleep(SILENCE);
        let started = Instant::now();
        eventually("findings are published", PUBLISH_LIMIT * 2, || {
            let found = by_database(proxy);
            let is_there = |scenario: &Scenario| {
                let findings = found.get(&self.database(&scenario.name));
                let told = told.get(&scenario.name).unwrap_or(&Value::Null);
                scenario.missing(told, findings.map_or(&[], |findings| findings)).is_empty()
            };
            let done = scenarios.iter().all(is_there) || started.elapsed() > PUBLISH_LIMIT;
            done.then_some(found)
        })
    }
}

fn by_database(proxy: &Proxy) -> Found {
    let answer = proxy.api("findings?limit=500");
    let items = answer["items"].as_array().cloned().unwrap_or_default();
    assert!(items.len() < 500, "all findings fit into one answer");
    let mut found = Found::new();
    for finding in items {
        let database = finding["db_name"].as_str().unwrap_or_default().to_owned();
        found.entry(database).or_default().push(finding);
    }
    found
}

impl Scenario {
    fn read(line: &Value) -> Self {
        let words = |value: &Value| -> Vec<String> {
            let items = value.as_array().cloned().unwrap_or_default();
            items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        Self {
            name: line["name"].as_str().expect("a scenario has a name").to_owned(),
            expect: line["expect"].as_array().cloned().unwrap_or_default(),
            never: words(&line["never"]),
            may: words(&line["may"]),
        }
    }

    /// Everything that isn't as it should be, one line each.
    fn wrong(&self, told: &Value, findings: &[Value]) -> Vec<String> {
        if told["truth"].is_null() {
            let error = told["error"].as_str().unwrap_or("without a word").trim_end();
            let end: Vec<&str> = error.lines().rev().take(4).collect();
            return vec![format!("  {}: the program failed: {end:?}", self.name)];
        }
        let mut wrong = self.missing(told, findings);
        wrong.extend(self.surplus(findings));
        if !wrong.is_empty() {
            let seen: Vec<String> = findings.iter().map(in_short).collect();
            wrong.push(format!("    found there: [{}]", seen.join("; ")));
        }
        wrong
    }

    /// Expected findings that aren't there with the numbers that the program saw.
    fn missing(&self, told: &Value, findings: &[Value]) -> Vec<String> {
        let expected = self.expect.iter().enumerate();
        let missing = expected.filter(|(index, expected)| {
            let truth = &told["truth"][index];
            !findings.iter().any(|found| matches(expected, found) && agrees(truth, found))
        });
        let line = |(index, expected): (usize, &Value)| {
            format!("  {}: expected {expected} with {}", self.name, told["truth"][index])
        };
        missing.map(line).collect()
    }

    /// Findings that contradict: of a kind that was repaired, or loud without being expected.
    fn surplus(&self, findings: &[Value]) -> Vec<String> {
        let kind = |found: &Value| found["kind"].as_str().unwrap_or_default().to_owned();
        let is_loud = |found: &&Value| found["severity"] != "info" && found["state"] == "open";
        let is_expected = |found: &Value| {
            self.may.contains(&kind(found)) || self.expect.iter().any(|one| matches(one, found))
        };
        let surplus = findings.iter().filter(|found| {
            self.never.contains(&kind(found)) || (is_loud(found) && !is_expected(found))
        });
        surplus.map(|found| format!("  {}: not expected: {}", self.name, in_short(found))).collect()
    }
}

/// Whether a finding is the expected one; numbers aside.
fn matches(expected: &Value, found: &Value) -> bool {
    let words = ["kind", "variant", "rule", "proof", "gate", "column", "severity"];
    let agree = |word: &str| expected[word].is_null() || expected[word] == found[word];
    words.iter().all(|word| agree(word))
        && ["parent", "child"].iter().all(|side| names(&expected[*side], &found[*side]))
}

/// Whether `wanted` ("table.column" or "table") names the side of a finding.
fn names(wanted: &Value, side: &Value) -> bool {
    let Some(wanted) = wanted.as_str() else { return true };
    let (table, column) = wanted.split_once('.').map_or((wanted, None), |(t, c)| (t, Some(c)));
    side["table"] == table && column.is_none_or(|column| side["column"] == column)
}

/// Whether the numbers are those that the program saw.
fn agrees(truth: &Value, found: &Value) -> bool {
    let pairs = [("n", "n"), ("n", "n_max"), ("rows", "rows_median"), ("sightings", "sightings")];
    pairs.iter().all(|(told, field)| truth[*told].is_null() || truth[*told] == found[*field])
}

fn in_short(found: &Value) -> String {
    let side = |side: &Value| {
        let name = |part: &Value| part.as_str().unwrap_or("?").to_owned();
        format!("{}.{}", name(&side["table"]), name(&side["column"]))
    };
    let mut words: Vec<String> = ["kind", "variant", "rule", "severity", "proof", "gate", "column"]
        .iter()
        .filter_map(|word| found[*word].as_str().map(str::to_owned))
        .collect();
    words.push(format!("{} -> {}", side(&found["parent"]), side(&found["child"])));
    for number in ["n", "n_max", "rows_median", "sightings"] {
        words.push(format!("{number}={}", found[number]));
    }
    words.join(" ")
}

fn driver(file: &str) -> String {
    paths::workspace().join("tests/drivers").join(file).display().to_string()
}

fn python(args: &[&str]) -> Command {
    let mut command = Command::new(paths::python());
    command.arg("-B").arg(driver(args[0])).args(&args[1..]);
    command
}

#[test]
fn sqlalchemy_on_psycopg() {
    Stack::new("alchemy_psycopg", python(&["alchemy.py", "psycopg"])).prove();
}

#[test]
fn sqlalchemy_on_psycopg2() {
    Stack::new("alchemy_psycopg2", python(&["alchemy.py", "psycopg2"])).prove();
}

#[test]
fn sqlalchemy_on_asyncpg() {
    Stack::new("alchemy_asyncpg", python(&["alchemy.py", "asyncpg"])).prove();
}

#[test]
fn django() {
    Stack::new("django", python(&["django_app.py"])).prove();
}

/// A program for Node with the packages of `scripts/setup.sh node`.
fn node(file: &str) -> Command {
    let mut command = Command::new("node");
    command.env("PGSONDE_NODE", paths::target().join("node")).arg(driver(file));
    command
}

#[test]
fn node_postgres() {
    Stack::new("node_pg", node("node_pg.mjs")).prove();
}

#[test]
fn prisma() {
    Stack::new("prisma", node("prisma.mjs")).prove();
}

#[test]
fn typeorm() {
    Stack::new("typeorm", node("typeorm.mjs")).prove();
}

#[test]
fn sequelize() {
    Stack::new("sequelize", node("sequelize.mjs")).prove();
}

#[test]
fn active_record() {
    let mut ruby = Command::new("ruby");
    ruby.arg(driver("rails.rb"));
    Stack::new("rails", ruby).prove();
}

#[test]
fn jdbc() {
    let mut java = Command::new("java");
    java.args(["-XX:TieredStopAtLevel=1", "-cp", "/usr/share/java/postgresql.jar"]);
    java.arg(driver("Jdbc.java"));
    Stack::new("jdbc", java).prove();
}

#[test]
fn pgx() {
    let folder = paths::target().join("go");
    let program = folder.join("pgx");
    let mut go = Command::new("go");
    go.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode").env("GOFLAGS", "");
    go.env("GOCACHE", folder.join("cache")).args(["build", "-o"]).arg(&program);
    run_ok(go.arg(driver("pgx.go")), "", LIMIT);
    Stack::new("pgx", Command::new(program)).prove();
}

#[test]
fn tokio_postgres() {
    Stack::new("tokio", Command::new(env!("CARGO_BIN_EXE_tokio_shop"))).prove();
}
