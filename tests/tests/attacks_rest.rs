//! The rest of the attack checklist: exports that a spreadsheet opens, dependencies that are known to be vulnerable.
//! Numbers in the names of the tests are the rows of the attack checklist.

use pgsonde_tests::{Postgres, Proxy, paths, run_ok};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// The cells of a CSV text (RFC 4180).
fn cells(csv: &str) -> Vec<String> {
    let (mut cells, mut cell, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut chars = csv.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => is_quoted = !is_quoted,
            ',' | '\n' if !is_quoted => cells.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted => {}
            c => cell.push(c),
        }
    }
    cells
}

#[test]
fn row_32_no_cell_of_an_export_is_a_formula() {
    const HOSTILE: [&str; 4] =
        ["=HYPERLINK(\"http://evil.example\")", "+cmd|' /C calc'!A0", "@SUM(1)", "-2+3"];
    let postgres = Postgres::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let capture = folder.path().to_str().expect("UTF-8");
    let proxy = Proxy::start(&postgres, &["--capture", capture]);
    for name in HOSTILE {
        let mut psql = postgres.client("psql", proxy.port());
        // Whatever names an application may give itself or its routes.
        let tag: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let text = format!("select 1 as spreadsheet /*route='{tag}',application='{tag}'*/");
        run_ok(psql.args(["-XAtc", &text]).env("PGAPPNAME", name), "", LIMIT);
    }
    proxy.settle();
    assert_eq!(proxy.stop(), 0);
    let mut export = Command::new(paths::pgsonde());
    let csv = run_ok(export.args(["export", capture, "--format", "csv"]), "", LIMIT).stdout;
    let cells = cells(&csv);
    let is_named = |name: &&str| cells.iter().any(|cell| cell.strip_prefix('\'') == Some(name));
    assert!(HOSTILE.iter().all(is_named), "the names are there, disarmed: {csv}");
    let formulas: Vec<_> =
        cells.iter().filter(|cell| cell.starts_with(['=', '+', '-', '@', '\t', '\r'])).collect();
    assert!(formulas.is_empty(), "{formulas:?}");
}

/// Version of a package in `Cargo.lock`, as numbers.
fn locked(lock: &str, package: &str) -> Vec<Vec<u32>> {
    let head = format!("name = \"{package}\"\nversion = \"");
    let found = lock.match_indices(&head).map(|(at, _)| {
        let rest = &lock[at + head.len()..];
        let version = rest.split('"').next().unwrap_or_default();
        version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
    });
    found.collect()
}

#[test]
fn row_36_no_dependency_is_older_than_its_repair() {
    // The first versions without the flaws that matter for a peer on the wire: RUSTSEC-2026-0178 to 0180 (panics and
    // floods by a hostile server); RUSTSEC-2024-0336 (rustls, endless loop); RUSTSEC-2025-0009 (ring, panic).
    let least: [(&str, &[u32]); 4] = [
        ("tokio-postgres", &[0, 7, 18]),
        ("postgres-protocol", &[0, 6, 12]),
        ("rustls", &[0, 23, 5]),
        ("ring", &[0, 17, 12]),
    ];
    let lock = std::fs::read_to_string(paths::workspace().join("Cargo.lock")).expect("it is there");
    for (package, version) in least {
        let found = locked(&lock, package);
        assert!(!found.is_empty(), "{package} is in Cargo.lock");
        assert!(found.iter().all(|found| found.as_slice() >= version), "{package}: {found:?}");
    }
    // The gate itself: sources other than the registry are refused.
    let deny = std::fs::read_to_string(paths::workspace().join("deny.toml")).expect("it is there");
    for rule in ["unknown-registry = \"deny\"", "unknown-git = \"deny\"", "[advisories]"] {
        assert!(deny.contains(rule), "deny.toml lacks {rule}");
    }
}
