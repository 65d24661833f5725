//! The advisor against real PostgreSQL: scenario files, judged by building what was advised.

use pgsonde_tests::{Options, Postgres, newest, paths, run};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// Cost of the advised set against that of the best known one.
const HIT_RATIO: f64 = 1.5;
/// Tier, field of the statement that builds an index, hits at least, false alarms at most.
const TIERS: [(&str, &str, usize, usize); 2] =
    [("estimated", "proposed_ddl", 20, 1), ("verified", "ddl", 24, 0)];

/// A file of `tests/advisor/scenarios`.
#[derive(Debug, Default)]
struct Scenario {
    name: String,
    setup: String,
    /// Calls and statement.
    workload: Vec<(u32, String)>,
    /// What is measured instead of the workload: checks that EXPLAIN of the workload doesn't show.
    measure: Vec<(u32, String)>,
    /// The best known indexes; none for a workload that needs none.
    best: Vec<String>,
}

fn scenarios() -> Vec<Scenario> {
    let folder = paths::workspace().join("tests/advisor/scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files.iter().map(|path| parse(path)).collect()
}

fn parse(path: &std::path::Path) -> Scenario {
    let text = std::fs::read_to_string(path).expect("a scenario is readable");
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let mut scenario = Scenario { name, ..Scenario::default() };
    let mut section = "";
    for line in text.lines() {
        let header = ["setup", "workload", "measure", "expect"];
        if let Some(found) = header.iter().find(|name| line.starts_with(&format!("-- {name}"))) {
            section = found;
            continue;
        }
        match section {
            "setup" => scenario.setup.push_str(&format!("{line}\n")),
            "workload" => scenario.workload.push(repeated(line)),
            "measure" => scenario.measure.push(repeated(line)),
            "expect" if line != "none" => scenario.best.push(line.to_owned()),
            _ => {}
        }
    }
    scenario
}

/// `@20 SELECT …;` is twenty calls.
fn repeated(line: &str) -> (u32, String) {
    match line.strip_prefix('@').and_then(|rest| rest.split_once(' ')) {
        Some((count, text)) => (count.parse().expect("a count"), text.to_owned()),
        None => (1, line.to_owned()),
    }
}

/// A database of the shared cluster.
struct Database<'a> {
    postgres: &'a Postgres,
    name: String,
}

impl Database<'_> {
    fn psql(&self, sql: &str) -> pgsonde_tests::Output {
        let mut psql = self.postgres.client("psql", self.postgres.port());
        psql.env("PGDATABASE", &self.name);
        run(psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1"]), sql, LIMIT)
    }

    fn ok(&self, sql: &str) -> String {
        let output = self.psql(sql);
        assert!(output.is_ok(), "{}: {sql}: {output:?}", self.name);
        output.stdout
    }

    /// Weighted cost of statements; what can't be planned here costs nothing in every set.
    fn cost(&self, statements: &[(u32, String)]) -> f64 {
        let of = |(count, sql): &(u32, String)| {
            let output = self.psql(&format!("EXPLAIN (FORMAT JSON) {sql}"));
            let json: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
            f64::from(*count) * json[0]["Plan"]["Total Cost"].as_f64().unwrap_or(0.0)
        };
        statements.iter().map(of).sum()
    }
}

fn advise(arguments: &[&str], url: &str, workload: &str) -> pgsonde_tests::Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("workload.sql");
    std::fs::write(&file, workload).expect("the workload is writable");
    let mut command = Command::new(paths::pgsonde());
    command.args(["advise", "--url", url, "--workload"]).arg(&file).args(arguments);
    run(&mut command, "", LIMIT)
}

fn findings(url: &str, scenario: &Scenario, arguments: &[&str]) -> Value {
    let lines =
        scenario.workload.iter().map(|(count, text)| format!("{text}\n").repeat(*count as usize));
    let output = advise(arguments, url, &lines.collect::<String>());
    assert!(output.is_ok(), "{}: {output:?}", scenario.name);
    serde_json::from_str(&output.stdout).expect("one JSON document")
}

/// What one tier says of one scenario.
struct Judged {
    /// hit, partial, miss, false, quiet.
    verdict: &'static str,
    text: String,
    seconds: f64,
    /// Statements in the shadow, and those within 0.1 % of the live cost.
    fidelity: (u64, u64),
}

/// The verdicts on one scenario, by tier.
fn judged(postgres: &Postgres, scenario: &Scenario, more: &[&str]) -> Vec<Judged> {
    let database = Database { postgres, name: format!("s_{}", scenario.name) };
    postgres.psql_ok(postgres.port(), &format!("create database {}", database.name));
    database.ok(&scenario.setup);
    let url = format!("postgresql://postgres@127.0.0.1:{}/{}", postgres.port(), database.name);
    let tiers = TIERS.map(|(tier, field, ..)| {
        let started = std::time::Instant::now();
        let document = findings(&url, scenario, &[&["--json", "--tier", tier], more].concat());
        let seconds = started.elapsed().as_secs_f64();
        let found = document["findings"].as_array().expect("a list of findings").clone();
        let shadow = &document["shadow"];
        let fidelity = (
            shadow["statements"].as_u64().unwrap_or(0),
            shadow["within_0_1_percent"].as_u64().unwrap_or(0),
        );
        assert_eq!(tier == "verified" && !found.is_empty(), fidelity.0 > 0 && !found.is_empty());
        let (ddl, unproved) = texts(&found, field);
        let text = format!("{unproved}{}", shadow["unverified"]);
        (found, ddl, Judged { verdict: "", text, seconds, fidelity })
    });
    // the first tier's advice is built and dropped, so the second finds the same database
    let outcome = tiers.into_iter().map(|(found, ddl, mut judged)| {
        let (verdict, text) = match (scenario.best.is_empty(), found.is_empty()) {
            (true, true) => ("quiet", String::new()),
            (true, false) => ("false", ddl.join(" ")),
            (false, true) => ("miss", String::new()),
            (false, false) => compared(&database, scenario, &found, &ddl),
        };
        judged.verdict = verdict;
        judged.text = format!("{text} {}", judged.text);
        judged
    });
    let outcome = outcome.collect();
    postgres.psql_ok(postgres.port(), &format!("drop database {}", database.name));
    outcome
}

/// The statements of a tier's findings, and which of them that tier could not prove.
fn texts(found: &[Value], field: &str) -> (Vec<String>, String) {
    let mut unproved = String::new();
    let text = |finding: &Value| {
        let proved = finding[field].as_str();
        let text = proved.or_else(|| {
            unproved.push_str("(estimated only) ");
            finding["proposed_ddl"].as_str()
        });
        text.expect("advice has a statement").to_owned()
    };
    (found.iter().map(text).collect(), unproved)
}

fn compared(
    database: &Database<'_>,
    scenario: &Scenario,
    found: &[Value],
    ddl: &[String],
) -> (&'static str, String) {
    let measured = if scenario.measure.is_empty() { &scenario.workload } else { &scenario.measure };
    let base = database.cost(measured);
    // CONCURRENTLY can't run in psql's one implicit transaction of several statements
    ddl.iter()
        .flat_map(|ddl| ddl.lines())
        .for_each(|line| drop(database.ok(&line.replace("CONCURRENTLY ", ""))));
    database.ok("ANALYZE");
    let advised = database.cost(measured);
    for finding in found {
        let table = finding["table"].as_str().expect("a table");
        let schema = table.rsplit_once('.').expect("a qualified name").0;
        database
            .ok(&format!("DROP INDEX {schema}.\"{}\"", finding["index"].as_str().expect("a name")));
    }
    let best = database.ok("SELECT oid FROM pg_class WHERE relkind IN ('i', 'I')");
    let known: Vec<&str> = best.lines().collect();
    scenario.best.iter().for_each(|best| drop(database.ok(best)));
    database.ok("ANALYZE");
    let best = database.cost(measured);
    database.ok(&format!(
        "DO $$ DECLARE i regclass; BEGIN FOR i IN SELECT x.oid FROM pg_class x WHERE x.relkind IN ('i', 'I') \
         AND x.oid NOT IN ({}) AND NOT x.relispartition AND x.relnamespace = ANY (SELECT oid FROM pg_namespace \
         WHERE nspname !~ '^pg_') LOOP EXECUTE 'DROP INDEX ' || i; END LOOP; END $$",
        known.join(", ")
    ));
    let text = format!("{base:.0} -> {advised:.0}, best {best:.0}: {}", ddl.join(" "));
    let hit = advised <= HIT_RATIO * best && found.len() <= scenario.best.len();
    (if hit { "hit" } else { "partial" }, text)
}

/// Counts of one tier.
#[derive(Default)]
struct Score {
    hits: usize,
    wrong: usize,
    planned: u64,
    exact: u64,
    seconds: f64,
    table: String,
}

impl Score {
    fn add(&mut self, scenario: &Scenario, judged: &Judged) {
        self.hits += usize::from(judged.verdict == "hit");
        self.wrong += usize::from(judged.verdict == "false");
        self.planned += judged.fidelity.0;
        self.exact += judged.fidelity.1;
        self.seconds += judged.seconds;
        let Judged { verdict, text, seconds, .. } = judged;
        self.table.push_str(&format!("{:28} {verdict:8} {seconds:.1} s {text}\n", scenario.name));
    }
}

#[test]
fn advice_is_worth_building() {
    let postgres = Postgres::start();
    let mut scores = [Score::default(), Score::default()];
    let all = scenarios();
    for scenario in &all {
        for (score, judged) in scores.iter_mut().zip(judged(&postgres, scenario, &[])) {
            score.add(scenario, &judged);
        }
    }
    let positives = all.iter().filter(|scenario| !scenario.best.is_empty()).count();
    let negatives = all.len() - positives;
    assert!(positives >= 26 && negatives >= 18, "{positives} positives, {negatives} negatives");
    for ((tier, ..), score) in TIERS.iter().zip(&scores) {
        let Score { hits, wrong, planned, exact, seconds, table } = score;
        println!(
            "{table}{tier}: {hits} of {positives} hit, {wrong} of {negatives} false, {exact} of {planned} exact, {seconds:.0} s"
        );
    }
    for ((tier, _, hits_min, wrong_max), score) in TIERS.iter().zip(&scores) {
        assert!(score.hits >= *hits_min && score.wrong <= *wrong_max, "{tier}:\n{}", score.table);
    }
    let Score { planned, exact, .. } = &scores[1];
    assert!(
        *exact * 100 >= *planned * 95,
        "{exact} of {planned} statements cost what they do live"
    );
}

#[test]
fn exit_codes_say_what_went_wrong() {
    let closed = format!("postgresql://postgres@127.0.0.1:{}/x", pgsonde_tests::free_port());
    let output = advise(&["--json"], &closed, "select 1;");
    assert_eq!(output.code, Some(3), "{output:?}");
    assert!(output.stderr.contains("PGS0301"), "{output:?}");
    assert_eq!(advise(&[], "mysql://x", "select 1;").code, Some(2));
    assert_eq!(advise(&["--tier", "guessed"], &closed, "select 1;").code, Some(2));
    assert_eq!(advise(&["--budget", "much"], &closed, "select 1;").code, Some(2));
    let mut missing = Command::new(paths::pgsonde());
    missing.args(["advise", "--url", &closed, "--workload", "/nonexistent/workload.sql"]);
    assert_eq!(run(&mut missing, "", LIMIT).code, Some(2));
}

/// What the newest server says must be understood as well, and its shadow must be of its own version.
#[test]
fn advice_is_verified_on_the_newest_server() {
    let programs = newest::programs();
    let postgres = Postgres::with(&Options { bin: Some(programs.clone()), ..Options::default() });
    let folder = programs.display().to_string();
    let names = ["n03", "n06", "n14", "p03", "p10", "p12", "p16", "p18", "p20", "p23"];
    let some = scenarios().into_iter().filter(|scenario| names.contains(&&scenario.name[..3]));
    for scenario in some {
        let judged = judged(&postgres, &scenario, &["--shadow-bin-dir", &folder]);
        let Judged { verdict, text, fidelity, .. } = &judged[1];
        let expected = if scenario.best.is_empty() { "quiet" } else { "hit" };
        assert_eq!(*verdict, expected, "{}: {text}", scenario.name);
        assert!(!text.contains("estimated only"), "{}: {text}", scenario.name);
        assert_eq!(fidelity.0, fidelity.1, "{}: {text}", scenario.name);
    }
}

/// The server's own log is the witness.
#[test]
fn the_target_sees_reads_only_and_bad_lines_are_named() {
    let settings = vec![
        "log_statement = all",
        "logging_collector = on",
        "log_directory = 'log'",
        "log_filename = 'server.log'",
        "log_line_prefix = '@%a@'",
    ];
    let postgres = Postgres::with(&Options { settings, ..Options::default() });
    let url = format!("postgresql://postgres@127.0.0.1:{}/postgres", postgres.port());
    postgres.psql_ok(postgres.port(), "create table t (id int primary key, v int); insert into t select i, i from generate_series(1, 20000) i; analyze t");
    let workload = "select * from t where v = 7;\nselekt 1;\n-- a comment\n\ndelete from t where v = 8;\nselect * from gone;\n";
    let output = advise(&["--json"], &url, workload);
    assert!(output.is_ok(), "{output:?}");
    let document: Value = serde_json::from_str(&output.stdout).expect("one JSON document");
    let notes = document["notes"].to_string();
    assert!(notes.contains("line 2"), "{notes}");
    assert!(notes.contains("42P01"), "a table that isn't there is named: {notes}");
    assert_eq!(document["findings"].as_array().map(Vec::len), Some(1), "{document:#}");
    assert_eq!(document["findings"][0]["tier"], "verified", "{document:#}");
    let log = std::fs::read_to_string(postgres.folder().join("data/log/server.log"))
        .expect("the server's log");
    let sent: Vec<&str> = log
        .split('@')
        .skip_while(|part| *part != "pgsonde-advisor")
        .filter_map(|part| part.split_once("statement: ").map(|(_, text)| text.trim()))
        .collect();
    assert!(sent.len() > 20, "{sent:?}");
    let control =
        ["BEGIN READ ONLY; SET LOCAL ", "ROLLBACK", "SET default_transaction_read_only = on;"];
    let reads = ["SELECT ", "EXPLAIN (FORMAT JSON) SELECT ", "EXPLAIN (FORMAT JSON) select "];
    for text in &sent {
        let known = control.iter().chain(&reads).any(|start| text.starts_with(start));
        assert!(known, "the target was sent: {text}");
        let lower = text.to_lowercase();
        for word in ["create ", "insert ", "update ", "delete ", "drop ", "alter ", "analyze"] {
            // a catalogue query compares with such words, in quotes, and never begins with them
            assert!(!lower.split(';').any(|one| one.trim().starts_with(word)), "sent: {text}");
        }
    }
    let queries = sent.iter().filter(|text| text.starts_with("SELECT ") && text.contains("pg_"));
    assert!(queries.count() <= 20, "{sent:#?}");
}
