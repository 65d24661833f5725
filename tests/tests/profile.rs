//! What `[profile]` bounds and keeps, through the real program.

use pgsonde_tests::{Postgres, Proxy, eventually, paths, run_ok};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A proxy with these lines below `[profile]` and behind it.
fn proxy(postgres: &Postgres, name: &str, profile: &str) -> (Proxy, PathBuf) {
    let folder =
        std::env::temp_dir().join(format!("pgsonde-profile-{name}-{}", std::process::id()));
    let _absent = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    let token = folder.join("token");
    std::fs::write(&token, TOKEN).expect("written");
    let text = format!(
        "[proxy]\nlisten = '127.0.0.1:0'\nupstream = '{}'\n[admin]\nlisten = '127.0.0.1:0'\n\
         token = 'file:{}'\n[profile]\n{profile}",
        postgres.upstream(),
        token.display(),
    );
    let file = folder.join("pgsonde.toml");
    std::fs::write(&file, text).expect("written");
    (Proxy::configured(&file), folder)
}

/// Runs a script whose output nobody wants.
fn silently(postgres: &Postgres, proxy: &Proxy, folder: &Path, sql: &str) {
    let script = folder.join("script.sql");
    std::fs::write(&script, sql).expect("written");
    // The clients of the harness may run as somebody else.
    run_ok(Command::new("chmod").arg("-R").arg("a+rX").arg(folder), "", LIMIT);
    let mut psql = postgres.client("psql", proxy.port());
    run_ok(psql.args(["-X", "-q", "-o", "/dev/null", "-f"]).arg(&script), "", LIMIT);
    proxy.settle();
}

#[test]
fn the_analyzer_stays_within_its_memory_and_counts_what_it_sheds() {
    const TEXTS: u64 = 24_000;
    let postgres = Postgres::start();
    let bounds = "memory_limit = '32MiB'\nmax_digests = 100000\n";
    let (proxy, folder) = proxy(&postgres, "memory", bounds);
    let text = |n: u64| format!("select a.x{n} from (select 1 as x{n}) a;\n");
    let texts: String = (0..TEXTS).map(text).collect();
    silently(&postgres, &proxy, &folder, &texts);
    let metrics = eventually("something is shed", LIMIT, || {
        let metrics = proxy.metrics();
        (metrics.sum("pgsonde_analyzer_sheds_total") > 0.0).then_some(metrics)
    });
    let of = |family: &str| metrics.sum(family);
    assert_eq!(of("pgsonde_analyzer_memory_bytes_max"), f64::from(32 << 20));
    assert!(of("pgsonde_analyzer_memory_bytes") <= f64::from(32 << 20));
    assert!(metrics.matching("pgsonde_label_overflow_total", &["table=\"digests\""]) > 0.0);
    assert_eq!(metrics.matching("pgsonde_profiling_mode", &["mode=\"full\""]), 1.0);
    assert!(of("pgsonde_statements_total") >= TEXTS as f64, "no statement is lost: {metrics:?}");
    assert_eq!(of("pgsonde_events_dropped_total"), 0.0);
    let tracked = of("pgsonde_digests");
    assert!((100.0..TEXTS as f64).contains(&tracked), "{tracked} digests are left");
    let book = proxy.books();
    let counted = proxy.metrics().sum("pgsonde_digest_calls_total");
    assert!(counted >= TEXTS as f64, "and their calls are still told: {counted} {book}");
}

#[test]
fn tags_are_kept_as_the_list_says() {
    let postgres = Postgres::start();
    let (proxy, folder) = proxy(&postgres, "tags", "tags = ['application', 'tenant']\n");
    let text =
        "select 'tagged' /*application='shop',route='%2Forders',tenant='acme%20x',secret='no'*/;\n";
    silently(&postgres, &proxy, &folder, text);
    let list = proxy.api("statements?limit=500");
    let items = list["items"].as_array().expect("items");
    let tagged = items.iter().filter(|item| item["query_text"] == "select ?").collect::<Vec<_>>();
    let digest = tagged.first().and_then(|item| item["digest"].as_str()).expect("the statement");
    let (status, examples) =
        proxy.order("GET", &format!("statements/{digest}/examples"), "", TOKEN);
    assert_eq!(status, 200, "{examples}");
    let examples: Value = serde_json::from_str(&examples).expect("JSON");
    let slowest = &examples["slowest"];
    assert_eq!(slowest["service"], "shop", "{examples}");
    assert_eq!(slowest["tags"]["tenant"], "acme x", "{examples}");
    assert!(slowest.get("route").is_none_or(Value::is_null), "{examples}");
    assert!(!examples.to_string().contains("secret"), "{examples}");
}

/// N+1 findings after three transactions: a result, whatever comes between, and look-ups of values that it had.
fn loops_found(postgres: &Postgres, name: &str, rest: &str, between: &str, expected: usize) {
    let lookups: String =
        (100..170).map(|n| format!("select n from p as child where n = {n};\n")).collect();
    let scope =
        format!("begin;\nselect n from p order by n;\n{between}{lookups}commit;\n").repeat(3);
    let (proxy, folder) = proxy(postgres, name, rest);
    silently(postgres, &proxy, &folder, &scope);
    // Findings are told with the tick after the transaction.
    if expected > 0 {
        eventually(name, LIMIT, || (!proxy.findings("n_plus_one").is_empty()).then_some(()));
    } else {
        std::thread::sleep(Duration::from_secs(2));
    }
    assert_eq!(proxy.findings("n_plus_one").len(), expected, "{name}");
}

#[test]
fn results_beyond_what_is_remembered_are_nobodys_parent() {
    let postgres = Postgres::start();
    postgres.psql_ok(postgres.port(), "create table p as select n from generate_series(1, 200) n;");
    let found = |name, rest: &str, between, expected| {
        let rest = format!("[findings.n_plus_one]\n{rest}\n");
        loops_found(&postgres, name, &rest, between, expected);
    };
    found("rows-default", "", "", 1);
    found("rows-64", "result_rows = 64", "", 0);
    // One more result, and the only place is taken.
    let other = "select n + 1000 from p as other where n < 9;\n";
    found("ring-default", "", other, 1);
    found("ring-1", "result_ring = 1", other, 0);
}

#[test]
fn contradictions_name_the_source_of_each_value() {
    let folder =
        std::env::temp_dir().join(format!("pgsonde-contradictions-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("pgsonde.toml");
    let check = |text: &str, variables: &[(&str, &str)]| {
        let head = "[proxy]\nupstream = 'postgresql://127.0.0.1:1'\n";
        std::fs::write(&file, format!("{head}{text}")).expect("written");
        let mut command = Command::new(paths::pgsonde());
        command.arg("--config").arg(&file).args(["config", "check"]);
        let output = pgsonde_tests::run(command.envs(variables.iter().copied()), "", LIMIT);
        assert_eq!(output.code, Some(2), "{output:?}");
        output.stderr
    };
    let contains = |said: &str, words: &[&str]| {
        words.iter().for_each(|word| assert!(said.contains(word), "no {word:?} in {said}"));
    };
    let said = check(
        "[findings.transactions]\nidle_error = '2s'\n",
        &[("PGSONDE_FINDINGS__TRANSACTIONS__IDLE_WARNING", "3s")],
    );
    contains(&said, &["PGS0208", "pgsonde.toml:4:14"]);
    contains(&said, &["comes from PGSONDE_FINDINGS__TRANSACTIONS__IDLE_WARNING", "= \"3s\""]);
    contains(&said, &["findings.transactions.idle_error = \"2s\" stands in", "pgsonde.toml:4"]);

    let said = check("", &[("PGSONDE_CAPTURE__ROTATE", "2GiB")]);
    contains(&said, &["PGS0208", "capture.rotate = \"2GiB\" comes from PGSONDE_CAPTURE__ROTATE"]);
    contains(&said, &["capture.max_size = \"2GiB\" is the default"]);

    let said = check("[proxy.tls]\ncert = '/c.pem'\n", &[]);
    contains(&said, &["PGS0208", "pgsonde.toml:4:8", "proxy.tls.key is not set"]);

    let hidden = [("PGSONDE_PROFILE__REDACT", "all-text")];
    let said = check("[findings.missing_index]\nside_connection = 'env:SIDE'\n", &hidden);
    contains(&said, &["PGS0208", "pgsonde.toml:4:19", "comes from PGSONDE_PROFILE__REDACT"]);

    let said = check("[profile]\nhistory = '1m'\nhistory_step = '5m'\n", &[]);
    contains(&said, &["PGS0208", "profile.history_step is larger than profile.history"]);
}
