//! The report page in a real browser (Chromium, driven by `tests/web/*.mjs`): every page with mouse and keyboard, both
//! themes, small screens, hostile text, accessibility, and the one-file report opened from disk.
//!
//! Screenshots of every page are in `target/web-screenshots`.

use pgsonde_tests::guard::{Guard, Owner};
use pgsonde_tests::{Postgres, Proxy, eventually, paths, python, run, run_ok};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest time of one program of `tests/web`.
const LIMIT: Duration = Duration::from_secs(240);
const LOAD_LIMIT: Duration = Duration::from_secs(60);
const PYTHON_LIMIT: Duration = Duration::from_secs(120);
/// Script and style of the page together.
const PAGE_BYTES_MAX: usize = 200_000;
/// A report of 200 digests.
const FILE_BYTES_MAX: usize = 700_000;
const DIGESTS: usize = 220;
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn web() -> PathBuf {
    paths::workspace().join("dashboards/web")
}

fn screenshots() -> PathBuf {
    paths::target().join("web-screenshots")
}

/// Whether page and browser are there; says what lacks, and fails under `CI`.
fn is_equipped() -> bool {
    let chromium = std::env::var_os("PGSONDE_CHROMIUM").unwrap_or("/usr/bin/chromium".into());
    let parts = [
        ("chromium", PathBuf::from(chromium)),
        ("playwright-core", web().join("node_modules/playwright-core")),
        ("the built page", web().join("dist/index.html")),
    ];
    let missing: Vec<&str> =
        parts.iter().filter(|(_, path)| !path.exists()).map(|(name, _)| *name).collect();
    for name in &missing {
        println!("skipped: {name} (scripts/setup.sh web chromium)");
    }
    assert!(missing.is_empty() || std::env::var_os("CI").is_none(), "missing: {missing:?}");
    missing.is_empty()
}

/// One browser at a time: two of them on a small machine only wait for each other.
fn browser() -> MutexGuard<'static, ()> {
    static BROWSER: Mutex<()> = Mutex::new(());
    BROWSER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn node(program: &str, args: &[&str]) {
    let mut command = Command::new("node");
    command.arg(paths::workspace().join("tests/web").join(program)).args(args);
    let output = run(&mut command, "", LIMIT);
    print!("{program}\n{}", output.stdout);
    assert!(output.is_ok(), "{program}:\n{}\n{}", output.stdout, output.stderr);
}

/// The shop with its N+1, and programs whose names try to be markup, until the guard is dropped.
fn busy(postgres: &Postgres, folder: &Path) -> (Proxy, Guard) {
    let url = |port: u16| format!("postgresql://postgres@127.0.0.1:{port}/postgres");
    python("orm.py", &["prepare", &url(postgres.port()), "psycopg", "lazy"], PYTHON_LIMIT);
    let settings = format!(
        "[admin]\nlisten = '127.0.0.1:0'\ntoken = 'file:{}'\n[proxy]\nlisten = '127.0.0.1:0'\n\
         upstream = '{}'\n",
        folder.join("token").display(),
        postgres.upstream()
    );
    std::fs::write(folder.join("token"), TOKEN).expect("written");
    std::fs::write(folder.join("pgsonde.toml"), settings).expect("written");
    let proxy = Proxy::configured(&folder.join("pgsonde.toml"));
    python("orm.py", &["run", &url(proxy.port()), "psycopg", "lazy", "5"], PYTHON_LIMIT);
    let program = paths::workspace().join("tests/drivers/web_load.py").display().to_string();
    let args = [program, proxy.url()];
    let load = Guard::start(&paths::python(), &args, "TERM", None, Owner::default());
    eventually("the findings of the load", LOAD_LIMIT, || {
        let found = proxy.findings("n_plus_one").len() + proxy.findings("looped_lookup").len();
        let routes = proxy.api("routes")["total"].as_u64().unwrap_or(0);
        (found >= 1 && routes >= 2).then_some(())
    });
    (proxy, load)
}

#[test]
fn every_page_works_while_an_application_runs_and_so_does_its_report_from_disk() {
    if !is_equipped() {
        return;
    }
    let _one = browser();
    let postgres = Postgres::start();
    let own = tempfile::tempdir().expect("a folder");
    let (proxy, load) = busy(&postgres, own.path());
    assert_is_embedded(&proxy);
    let folder = screenshots().display().to_string();
    node("walk.mjs", &[proxy.admin(), &folder, TOKEN]);
    drop(load);
    many_digests(&postgres, &proxy);
    proxy.settle();
    let file = screenshots().join("report.html");
    write_report(&proxy, &file);
    node("file.mjs", &[proxy.admin(), &file.display().to_string(), &folder]);
}

/// What the page takes answers for is what docs/openapi.json says, which the proxy's own types make.
#[test]
fn the_types_of_the_page_are_those_of_the_api() {
    let generator = web().join("node_modules/openapi-typescript/bin/cli.js");
    if !generator.exists() {
        println!("skipped: openapi-typescript (scripts/setup.sh web)");
        assert!(std::env::var_os("CI").is_none(), "missing: openapi-typescript");
        return;
    }
    let own = tempfile::tempdir().expect("a folder");
    let made = own.path().join("api.d.ts");
    let api = paths::workspace().join("docs/openapi.json");
    let mut generate = Command::new("node");
    generate.current_dir(web()).arg(generator).arg(api).args(["--alphabetize", "-o"]).arg(&made);
    run_ok(&mut generate, "", LIMIT);
    let read = |path: &Path| std::fs::read_to_string(path).expect("a text");
    let kept = read(&web().join("src/data/api.d.ts"));
    assert!(read(&made) == kept, "src/data/api.d.ts is stale: `npm run types` in dashboards/web");
    let mut check = Command::new("node");
    check.current_dir(web()).args(["node_modules/typescript/bin/tsc", "--noEmit"]);
    run_ok(&mut check, "", LIMIT);
}

fn assert_is_embedded(proxy: &Proxy) {
    let (_, page) = proxy.http("/");
    let built = std::fs::read_to_string(web().join("dist/index.html")).expect("the built page");
    let script = |text: &str| {
        let (_, begun) = text.split_once("<script")?;
        begun.split_once("</script>").map(|(script, _)| script.to_owned())
    };
    assert!(
        script(&page).is_some() && script(&page) == script(&built),
        "the binary holds another page: build it again after `make web`"
    );
}

/// A statement for each column of a wide table; letters alone, since names with digits count as one.
fn many_digests(postgres: &Postgres, proxy: &Proxy) {
    let letters: Vec<char> = ('g'..='z').collect();
    let name = |n: usize| format!("{}{}", letters[n / letters.len()], letters[n % letters.len()]);
    let names: Vec<String> = (0..DIGESTS).map(name).collect();
    let columns: Vec<String> = names.iter().map(|name| format!("col_{name} int")).collect();
    let mut script = format!("create table web_wide ({});\n", columns.join(", "));
    for name in names {
        script.push_str(&format!("select col_{name} from web_wide;\n"));
    }
    postgres.psql_ok(proxy.port(), &script);
}

/// A report by the command, within its budget.
fn write_report(proxy: &Proxy, file: &Path) {
    let mut command = Command::new(paths::pgsonde());
    command.args(["report", proxy.admin(), "--format", "html", "-o"]).arg(file);
    run_ok(&mut command, "", LOAD_LIMIT);
    let size = std::fs::metadata(file).expect("a report").len();
    let digests = proxy.api("statements")["total"].as_u64().unwrap_or(0);
    println!("report: {size} bytes, {digests} digests");
    assert!(digests >= 200, "{digests}");
    assert!(size < FILE_BYTES_MAX as u64, "{size} bytes");
}

#[test]
fn hostile_text_stays_text_and_empty_pages_teach() {
    if is_equipped() {
        let _one = browser();
        node("hostile.mjs", &[]);
    }
}

#[test]
fn five_thousand_digests_are_borne() {
    if is_equipped() {
        let _one = browser();
        node("many.mjs", &[]);
    }
}

#[test]
fn types_and_functions_of_the_page_are_sound() {
    if !is_equipped() {
        return;
    }
    let mut types = Command::new("node");
    types.arg("node_modules/typescript/bin/tsc").arg("--noEmit").current_dir(web());
    let output = run(&mut types, "", LIMIT);
    assert!(output.is_ok(), "{}", output.stdout);
    let mut units = Command::new("node");
    units.arg("--test").arg(paths::workspace().join("tests/web/units.mjs"));
    let output = run(&mut units, "", LIMIT);
    assert!(output.is_ok(), "{}", output.stdout);
}

#[test]
fn the_page_is_small_and_asks_for_nothing() {
    if !is_equipped() {
        return;
    }
    let page = std::fs::read_to_string(web().join("dist/index.html")).expect("the built page");
    println!("page: {} bytes", page.len());
    assert!(page.len() <= PAGE_BYTES_MAX, "{} bytes", page.len());
    assert!(!page.contains(" style=\""), "no style attributes: the policy refuses them");
    for outside in ["src=\"http", "href=\"http", "@import", "url(http", "//# sourceMappingURL"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn sources_are_one_idea_each() {
    let mut folders = vec![web().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // The types of the API are generated.
            if path.ends_with("api.d.ts") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source");
            let name = path.display();
            assert!(text.lines().count() <= 400, "{name} has {} lines", text.lines().count());
            assert!(!text.contains("dangerouslySetInnerHTML"), "{name}");
            assert!(!text.contains("innerHTML"), "{name}");
        }
    }
}
