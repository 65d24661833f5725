//! PostgreSQL's own tools through the proxy: the same outcome as on the server. The short cut; `make compat` runs
//! all of them.

use pgsonde_tests::{Options, Postgres, Proxy, paths, python};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(300);

/// Checks that are made here, besides the quick ones.
const MORE: [&str; 4] = ["pg_dump_and_restore", "base_backup", "receive_logical", "subscription"];

fn postgres() -> Postgres {
    Postgres::with(&Options {
        hba: vec!["host replication all 127.0.0.1/32 trust", "local replication all trust"],
        settings: vec!["wal_level = logical", "max_wal_senders = 10", "max_replication_slots = 10"],
        ..Options::default()
    })
}

fn run(postgres: &Postgres, port: u16, checks: &[&str]) -> serde_json::Value {
    let (port, server) = (port.to_string(), postgres.port().to_string());
    let bin = paths::postgres_bin().display().to_string();
    let folder = postgres.folder().display().to_string();
    let fixed = [&port[..], &server, &bin, &folder];
    python("tools.py", &[&fixed[..], checks].concat(), LIMIT)
}

fn equal_to_direct(checks: &[&str], opaque: f64) {
    let postgres = postgres();
    let proxy = Proxy::start(&postgres, &[]);
    let direct = run(&postgres, postgres.port(), checks);
    let through = run(&postgres, proxy.port(), checks);
    let names = direct.as_object().expect("an object of checks");
    assert!(names.len() >= checks.len(), "{direct}");
    for (check, outcome) in names {
        assert!(!outcome.to_string().contains("Error:"), "{check} works directly: {outcome}");
        assert_eq!(outcome, &through[check], "{check}");
    }
    let metrics = proxy.metrics();
    let framing = metrics.matching("pgsonde_opaque_sessions_total", &["reason=\"framing\""]);
    assert_eq!(framing, 0.0, "{:?}", proxy.lines());
    let replication =
        metrics.matching("pgsonde_opaque_sessions_total", &["reason=\"replication\""]);
    assert!(replication >= opaque, "replication is forwarded unseen: {replication}");
}

#[test]
fn quick_tools_see_what_they_see_directly() {
    equal_to_direct(&["quick"], 0.0);
}

#[test]
fn dumps_backups_and_replication_see_what_they_see_directly() {
    equal_to_direct(&MORE, 4.0);
}
