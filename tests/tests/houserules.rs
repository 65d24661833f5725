//! The house rules as a test: which part may know what, how long things may be, which words are not used.

use pgsonde_tests::paths;
use pgsonde_tests::source::{Source, sources};
use std::collections::BTreeSet;

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

const SHIPPED: [&str; 3] = ["proxy/src", "proxy/wire/src", "analyzer/src"];
/// Crates without sockets, clock, threads, randomness and logging: same input, same output.
const PURE: [&str; 3] = ["proxy/wire/src", "analyzer/src", "analyzer/advisor/src"];

fn read(folders: &[&str]) -> Vec<Source> {
    let found = sources(&paths::workspace(), folders);
    assert!(!found.is_empty(), "{folders:?} hold sources");
    found
}

/// Uses of any of `tokens` in files that `applies` to.
fn uses(folders: &[&str], tokens: &[&str], applies: impl Fn(&str) -> bool) -> Vec<String> {
    let files = read(folders).into_iter().filter(|file| applies(&file.path));
    files
        .flat_map(|file| tokens.iter().flat_map(|token| file.uses(token)).collect::<Vec<_>>())
        .collect()
}

fn assert_none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

#[test]
fn pure_crates_know_no_world() {
    let tokens = [
        "tokio",
        "std::net",
        "std::fs",
        "std::thread",
        "std::env",
        "std::process",
        "std::io::std",
        "Instant",
        "SystemTime",
        "RandomState",
        "rand::",
        "getrandom",
        "tracing",
        "log::",
        "println!",
        "eprintln!",
        "dbg!",
        // Grouped imports of the same.
        "std::{env",
        "std::{fs",
        "std::{net",
        "std::{thread",
    ];
    assert_none("wire and analyzer are pure", &uses(&PURE, &tokens, |_| true));
}

#[test]
fn the_forwarding_path_uses_records_and_sockets_only() {
    let tokens = [
        "axum",
        "prometheus",
        "clap",
        "toml",
        "serde",
        "askama",
        "miette",
        "ureq",
        "url::",
        "crate::export",
        "crate::config",
        "crate::cli",
        "format!",
        "println!",
        "eprintln!",
        "Mutex",
        "RwLock",
        "pg_query",
        "pgsonde_analyzer::text",
        "pgsonde_analyzer::digest",
        "pgsonde_analyzer::findings",
        "pgsonde_analyzer::snapshot",
        "tracing::debug",
        "tracing::info",
        "tracing::warn",
        "tracing::error",
        "debug!",
        "info!",
        "warn!",
        "error!",
    ];
    assert_none(
        "hot/ knows sockets, wire and records",
        &uses(&["proxy/src"], &tokens, |path| path.contains("/hot/")),
    );
}

#[test]
fn each_foreign_crate_has_one_place() {
    let places: [(&str, &[&str]); 4] = [
        ("pgwire", &["proxy/wire/src/foreign.rs"]),
        ("pg_query", &["analyzer/src/digest/grammar/"]),
        ("prometheus", &["proxy/src/export/metrics.rs", "proxy/src/export/metrics/"]),
        ("Serialize", &["proxy/src/export/"]),
    ];
    for (token, allowed) in places {
        let elsewhere =
            uses(&SHIPPED, &[token], |path| !allowed.iter().any(|place| path.starts_with(place)));
        // `prometheus` as a word in text is no use of the crate.
        let elsewhere: Vec<_> = elsewhere
            .into_iter()
            .filter(|line| token == "Serialize" || line.contains("::"))
            .collect();
        assert_none(&format!("{token} only in {allowed:?}"), &elsewhere);
    }
    let histograms = uses(&SHIPPED, &["hdrhistogram"], |_| true);
    let files: BTreeSet<_> = histograms.iter().filter_map(|line| line.split(':').next()).collect();
    assert!(files.len() <= 1, "hdrhistogram behind one newtype: {files:?}");
}

#[test]
fn crates_depend_in_one_direction() {
    // Manifest, which of our own crates it may know, and what else it must not.
    let rules: [(&str, &[&str], &[&str]); 4] = [
        ("proxy/wire/Cargo.toml", &[], &["tokio", "tracing", "pg_query", "serde"]),
        ("analyzer/advisor/Cargo.toml", &[], &["tokio", "tracing", "pg_query", "serde"]),
        ("analyzer/Cargo.toml", &["pgsonde-advisor"], &["tokio", "tracing", "pgwire", "serde"]),
        (
            "proxy/Cargo.toml",
            &["pgsonde-advisor", "pgsonde-analyzer", "pgsonde-wire"],
            &["pgwire", "pg_query", "hdrhistogram"],
        ),
    ];
    for (manifest, own, forbidden) in rules {
        let text = std::fs::read_to_string(paths::workspace().join(manifest)).expect("a manifest");
        assert!(text.contains("[dependencies]"), "{manifest} has dependencies");
        let is_wrong = |name: &&String| {
            let name = name.as_str();
            forbidden.contains(&name) || (name.starts_with("pgsonde") && !own.contains(&name))
        };
        let wrong: Vec<String> = dependencies(&text).iter().filter(is_wrong).cloned().collect();
        assert!(wrong.is_empty(), "{manifest} must not depend on {wrong:?}");
    }
}

/// The names in `[dependencies]`; what only tests need may be more.
fn dependencies(manifest: &str) -> Vec<String> {
    let section = manifest.lines().skip_while(|line| line.trim() != "[dependencies]").skip(1);
    let lines = section.take_while(|line| !line.starts_with('[')).filter(|line| line.contains('='));
    lines.map(|line| line.split(['.', '=', ' ']).next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn files_and_functions_stay_short() {
    let mut long = Vec::new();
    for file in read(&["proxy", "analyzer", "tests"]) {
        if file.lines.len() > FILE_LINES_MAX {
            long.push(format!("{}: {} lines", file.path, file.lines.len()));
        }
        let functions =
            file.functions().into_iter().filter(|(_, _, length)| *length > FUNCTION_LINES_MAX);
        long.extend(functions.map(|(line, name, length)| {
            format!("{}:{line}: fn {name}: {length} lines", file.path)
        }));
    }
    assert_none("too long", &long);
}

#[test]
fn most_functions_are_small() {
    let mut lengths: Vec<usize> = read(&SHIPPED)
        .iter()
        .flat_map(|file| {
            file.functions().into_iter().map(|(_, _, length)| length).collect::<Vec<_>>()
        })
        .collect();
    lengths.sort_unstable();
    let at = |share: f64| lengths[(lengths.len() as f64 * share) as usize];
    assert!(
        at(0.95) <= 40,
        "95 % of {} functions have at most 40 lines, but {}",
        lengths.len(),
        at(0.95)
    );
}

#[test]
fn shipped_code_does_not_panic_on_purpose() {
    let panics = [".unwrap()", ".unwrap_err()", "panic!(", "todo!(", "unimplemented!("];
    assert_none("no panics outside tests", &uses(&SHIPPED, &panics, |_| true));
    let expects = uses(&SHIPPED, &[".expect("], |_| true);
    let unproved: Vec<_> =
        expects.into_iter().filter(|line| !line.contains(".expect(\"invariant: ")).collect();
    assert_none("expect() states an invariant", &unproved);
    assert_none("none in wire", &uses(&["proxy/wire/src"], &[".expect("], |_| true));
}

#[test]
fn names_say_what_things_are() {
    let vague = ["Manager", "Helper", "Util", "fn get_"];
    let mut found = Vec::new();
    for line in
        uses(&SHIPPED, &["struct ", "enum ", "trait ", "type ", "mod ", "fn get_"], |_| true)
    {
        if vague.iter().any(|word| line.contains(word)) {
            found.push(line);
        }
    }
    assert_none("no Manager, Helper, Util, get_", &found);
}

#[test]
fn nothing_is_switched_off() {
    let tokens = ["#[ignore", "#![allow(", "unsafe "];
    assert_none(
        "no ignored tests, no crate-wide allow, no unsafe",
        &uses(&["proxy", "analyzer"], &tokens, |_| true),
    );
}
