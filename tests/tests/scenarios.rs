//! Real programs on real drivers through the real proxy: each planted problem is found as it is, each healthy or
//! repaired program is silent.
//!
//! A stack is a program of `tests/drivers` (or `src/bin`) that lists its scenarios with what is expected of each, and
//! runs any number of them, each in a database of its own; `tests/drivers/scenario.py` tells how they speak. So a new
//! scenario is one function there, and nothing here. `PGSONDE_SCENARIO=word` runs only those whose name has the word,
//! `PGSONDE_STACK=word` only the stacks with the word.

use pgsonde_tests::{Options, Postgres, Proxy, eventually, paths, run_ok};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Stacks that run side by side: more would disturb each other's times.
const STACKS_AT_ONCE: usize = 4;
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
        prepare(&postgres, "shop", "shop");
        postgres
    })
}

/// Runs the script of that name, if there is one.
fn prepare(postgres: &Postgres, name: &str, database: &str) {
    let script = paths::workspace().join(format!("tests/drivers/{name}.sql"));
    if script.exists() {
        let mut psql = postgres.client("psql", postgres.port());
        psql.args(["-Xq", "-v", "ON_ERROR_STOP=1", "-d", database, "-f"]).arg(script);
        run_ok(&mut psql, "", Duration::from_secs(60));
    }
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
            prepare(postgres, &scenario.name, &database);
        }
        let config = paths::workspace().join("tests/drivers/pgsonde.toml");
        let proxy = Proxy::start(postgres, &["--config", &config.display().to_string()]);
        let told = self.run(&proxy, &scenarios);
        let found = self.found(&proxy, &scenarios, &told);
        let open = open_scenarios();
        let mut failed = Vec::new();
        for scenario in &scenarios {
            let database = self.database(&scenario.name);
            let findings = found.get(&database).map_or(&[][..], |findings| findings);
            let wrong = scenario.wrong(told.get(&scenario.name).unwrap_or(&Value::Null), findings);
            match (wrong.is_empty(), open.contains(&database)) {
                (true, true) => println!("{database} is as expected now: strike it from the list"),
                (false, true) => println!("{database} is open:\n{}", wrong.join("\n")),
                (true, false) => {}
                (false, false) => failed.extend(wrong),
            }
        }
        let silent = scenarios.iter().filter(|scenario| scenario.expect.is_empty()).count();
        println!("{}: {} scenarios, {silent} of them silent", self.name, scenarios.len());
        assert!(failed.is_empty(), "{}: {} lines\n{}", self.name, failed.len(), failed.join("\n"));
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

/// Scenarios that aren't found as they are, or not silent, yet: run and told, but they fail nothing. To be emptied.
fn open_scenarios() -> BTreeSet<String> {
    let list = paths::workspace().join("tests/drivers/open.txt");
    let text = std::fs::read_to_string(list).expect("the list of open scenarios is readable");
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.trim().to_owned()).collect()
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
    // As the text writes it, so with its schema if that is there.
    let is_table = |seen: &str| seen.rsplit('.').next() == Some(table);
    side["table"].as_str().is_some_and(is_table)
        && column.is_none_or(|column| side["column"] == column)
}

/// Whether the numbers are those that the program saw. What only a sequence speaks for ends at a pause, and a busy
/// machine pauses where the program doesn't: there an occurrence may be cut into several, but never grows.
fn agrees(truth: &Value, found: &Value) -> bool {
    if found["proof"] == "sequence" {
        return truth["n"].is_null() || found["n_max"].as_u64() <= truth["n"].as_u64();
    }
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

/// A program for Node with the packages of `scripts/setup.sh node`.
fn node(file: &str) -> Command {
    let mut command = Command::new("node");
    command.env("PGSONDE_NODE", paths::target().join("node")).arg(driver(file));
    command
}

fn ruby() -> Command {
    let mut ruby = Command::new("ruby");
    ruby.arg(driver("rails.rb"));
    ruby
}

fn java() -> Command {
    let mut java = Command::new("java");
    java.args(["-XX:TieredStopAtLevel=1", "-cp", "/usr/share/java/postgresql.jar"]);
    java.arg(driver("Jdbc.java"));
    java
}

fn go() -> Command {
    let folder = paths::target().join("go");
    let program = folder.join("pgx");
    let mut go = Command::new("go");
    go.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode").env("GOFLAGS", "");
    go.env("GOCACHE", folder.join("cache")).args(["build", "-o"]).arg(&program);
    run_ok(go.arg(driver("pgx.go")), "", LIMIT);
    Command::new(program)
}

/// Makes the command of a stack's program.
type Program = fn() -> Command;

/// Stacks that need a newer Node than some systems have; the set-up says so and leaves them out.
const NODE_STACKS: [&str; 4] = ["node_pg", "prisma", "typeorm", "sequelize"];

/// Every stack, the longest first.
const STACKS: [(&str, Program); 12] = [
    ("django", || python(&["django_app.py"])),
    ("alchemy_psycopg", || python(&["alchemy.py", "psycopg"])),
    ("alchemy_psycopg2", || python(&["alchemy.py", "psycopg2"])),
    ("alchemy_asyncpg", || python(&["alchemy.py", "asyncpg"])),
    ("rails", ruby),
    ("jdbc", java),
    ("pgx", go),
    ("node_pg", || node("node_pg.mjs")),
    ("prisma", || node("prisma.mjs")),
    ("typeorm", || node("typeorm.mjs")),
    ("sequelize", || node("sequelize.mjs")),
    ("tokio", || Command::new(env!("CARGO_BIN_EXE_tokio_shop"))),
];

/// Runs the stacks `STACKS_AT_ONCE` at a time, whatever the number of cores, for they mostly sleep.
#[test]
fn every_stack_finds_what_is_planted_and_nothing_else() {
    let wanted = std::env::var("PGSONDE_STACK").unwrap_or_default();
    let node = paths::target().join("node/stamp").exists();
    assert!(node || std::env::var_os("CI").is_none(), "the packages of Node are missing");
    if !node {
        eprintln!("skipped: {}", NODE_STACKS.join(", "));
    }
    let is_wanted = |name: &str| name.contains(&wanted) && (node || !NODE_STACKS.contains(&name));
    let left: Vec<_> = STACKS.into_iter().filter(|(name, _)| is_wanted(name)).collect();
    let left = Mutex::new(VecDeque::from(left));
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..STACKS_AT_ONCE {
            scope.spawn(|| {
                while let Some((name, program)) = next(&left) {
                    let prove = || Stack::new(name, program()).prove();
                    if std::panic::catch_unwind(prove).is_err() {
                        failed.lock().expect("no thread panics with the lock").push(name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no thread panics with the lock");
    assert!(failed.is_empty(), "stacks that differ: {failed:?}");
}

fn next<T>(left: &Mutex<VecDeque<T>>) -> Option<T> {
    left.lock().expect("no thread panics with the lock").pop_front()
}
