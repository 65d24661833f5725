//! TLS on either leg, against every way to authenticate: what a direct connection gives, or what the table of
//! channel binding says.

use pgsonde_tests::certificates::{self, Authority, Identity};
use pgsonde_tests::{
    Options, Postgres, Proxy, eventually, paths, process, python, raw, run, run_ok,
};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// A server with TLS, its files, and an identity that isn't the server's.
struct Stage {
    postgres: Postgres,
    folder: PathBuf,
    server: Identity,
    other: Identity,
    clients: Authority,
}

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        let folder = tempfile::Builder::new().prefix("pgsonde-tls-").tempdir();
        let folder = folder.expect("a temporary folder").keep();
        let (ours, clients) = (Authority::new("servers"), Authority::new("clients"));
        let (server, other) = (ours.sign("localhost"), ours.sign("localhost"));
        certificates::write(&folder.join("root.crt"), &ours.pem);
        certificates::write(&folder.join("clients.crt"), &clients.pem);
        let postgres = Postgres::with(&Options {
            hba: vec![
                "hostssl all cert_user 127.0.0.1/32 cert",
                "host all password_user 127.0.0.1/32 password",
                "host all md5_user 127.0.0.1/32 md5",
                "host all scram_user 127.0.0.1/32 scram-sha-256",
                "hostssl all tls_user 127.0.0.1/32 trust",
                "hostnossl all plain_user 127.0.0.1/32 trust",
                "host all tls_user,plain_user 127.0.0.1/32 reject",
            ],
            settings: vec!["ssl = on", "ssl_ca_file = 'clients.crt'", "wal_level = logical"],
            files: vec![
                ("server.crt", server.certificate.clone()),
                ("server.key", server.key.clone()),
                ("clients.crt", clients.pem.clone()),
            ],
            sql: "set password_encryption = 'md5';
                  create role md5_user login password 'secret';
                  create role password_user login password 'secret';
                  create role cert_user login; create role tls_user login; create role plain_user login;
                  set password_encryption = 'scram-sha-256';
                  create role scram_user login replication password 'secret';",
            ..Options::default()
        });
        Stage { postgres, folder, server, other, clients }
    })
}

fn file(name: &str) -> String {
    stage().folder.join(name).display().to_string()
}

/// A proxy with these lines in `[proxy.tls]`.
fn proxy(name: &str, query: &str, tls: &str) -> Proxy {
    let stage = stage();
    let path = stage.folder.join(format!("{name}.toml"));
    let upstream = format!("postgresql://localhost:{}?{query}", stage.postgres.port());
    std::fs::write(&path, format!("[proxy.tls]\n{tls}")).expect("the folder is ours");
    Proxy::with_upstream(&upstream, &["--config", &path.display().to_string()])
}

/// `cert` and `key` lines for an identity, whose files are written.
fn certificate(name: &str, identity: &Identity) -> String {
    let (certificate, key) = identity.write(&stage().folder, name);
    format!("cert = '{}'\nkey = '{}'\n", certificate.display(), key.display())
}

fn dsn(port: u16, user: &str, more: &str) -> String {
    format!("host=127.0.0.1 port={port} user={user} dbname=postgres password=secret {more}")
}

fn job(name: &str, client: &str, dsn: &str) -> Value {
    json!({ "name": name, "client": client, "dsn": dsn })
}

fn outcomes(jobs: &[Value]) -> Value {
    python("connect.py", &[&Value::from(jobs).to_string()], LIMIT)
}

fn is_ok(outcome: &Value) -> bool {
    outcome.as_str().is_some_and(|text| text.starts_with("ok"))
}

/// Channel binding prefer, disable, require by libpq, and asyncpg, which never binds.
fn scram_row(port: u16, leg: &str) -> [bool; 4] {
    let leg = if leg == "TLS" { "sslmode=require" } else { "sslmode=disable" };
    let mut jobs: Vec<_> = ["prefer", "disable", "require"]
        .iter()
        .map(|binding| {
            let more = format!("{leg} channel_binding={binding}");
            job(binding, "psycopg", &dsn(port, "scram_user", &more))
        })
        .collect();
    jobs.push(job("asyncpg", "asyncpg", &dsn(port, "scram_user", leg)));
    let found = outcomes(&jobs);
    ["prefer", "disable", "require", "asyncpg"].map(|name| {
        println!("{leg} {name}: {}", found[name]);
        is_ok(&found[name])
    })
}

fn assert_row(name: &str, proxy: &Proxy, leg: &str, expected: [bool; 4]) {
    assert_eq!(scram_row(proxy.port(), leg), expected, "{name}: {:?}", proxy.lines());
    // Everybody else comes in on any pair of legs.
    let leg = if leg == "TLS" { "sslmode=require" } else { "sslmode=disable" };
    let users = ["postgres", "password_user", "md5_user"];
    let jobs: Vec<_> =
        users.iter().map(|user| job(user, "psycopg", &dsn(proxy.port(), user, leg))).collect();
    let found = outcomes(&jobs);
    assert!(users.iter().all(|user| is_ok(&found[user])), "{name}: {found}");
}

const NO_BINDING: [bool; 4] = [true, true, false, true];
const ALL: [bool; 4] = [true; 4];

#[test]
fn scram_without_binding_passes_where_one_leg_is_plain() {
    let stage = stage();
    assert_eq!(scram_row(stage.postgres.port(), "TLS"), ALL, "direct");
    assert_eq!(scram_row(stage.postgres.port(), "plain"), NO_BINDING, "direct");
    let plain = proxy("plain", "sslmode=disable", "");
    assert_row("plain, plain", &plain, "plain", NO_BINDING);
    let a = proxy("a", "sslmode=require", "");
    assert_row("mode A", &a, "plain", NO_BINDING);
    let info = a.api("info");
    assert_eq!(info["upstreams"][0]["tls"], "require TLSv1.3", "{info}");
    let tls = a.metrics().matching("pgsonde_connection_setup_seconds_count", &["stage=\"tls\""]);
    assert!(tls >= 5.0, "{tls}");
    let other = certificate("c", &stage.other);
    let c = proxy("c", "sslmode=disable", &other);
    assert_row("mode C", &c, "TLS", NO_BINDING);
    assert_row("mode C, plain client", &c, "plain", NO_BINDING);
}

#[test]
fn scram_with_tls_on_both_legs() {
    let stage = stage();
    let same = certificate("b", &stage.server) + "auth = 'same-certificate'\nmin_version = '1.3'\n";
    let b = proxy("b", &format!("sslmode=verify-full&sslrootcert={}", file("root.crt")), &same);
    assert_row("mode B", &b, "TLS", ALL);
    assert_row("mode B, plain client", &b, "plain", NO_BINDING);
    let e = proxy("e", "sslmode=require", &certificate("e", &stage.other));
    assert_row("mode E", &e, "TLS", [false, true, false, true]);
    let log = e.lines().join("\n");
    assert!(log.contains("PGS0410") && log.contains("Check"), "{log}");
}

/// Whether `user` comes in, and how often the server is asked, per `sslmode` allow, prefer and require of libpq.
fn tries(port: u16, user: &str) -> [(bool, usize); 3] {
    let modes = ["allow", "prefer", "require"];
    let jobs = modes.map(|mode| {
        let wrong = format!("sslmode={mode} gssencmode=disable");
        let dsn = dsn(port, user, &wrong).replace("password=secret", "password=wrong");
        job(mode, "psycopg", &dsn)
    });
    let found = outcomes(&jobs);
    modes.map(|mode| {
        let text = found[mode].as_str().unwrap_or_default();
        println!("{user} {mode}: {text}");
        let refusals = ["authentication failed", "no pg_hba.conf entry", "rejects connection"];
        (is_ok(&found[mode]), refusals.iter().map(|words| text.matches(words).count()).sum())
    })
}

/// libpq asks again, with TLS or without, when it was refused (`allow`, `prefer`): a second session, which has to get
/// as far as the first. Which legs the server then sees is the upstream's `sslmode` to say, not the client's.
#[test]
fn a_client_that_was_refused_tries_again_the_other_way() {
    let stage = stage();
    let direct = stage.postgres.port();
    let twice = [(false, 2), (false, 2), (false, 1)];
    let same = certificate("again", &stage.server) + "auth = 'same-certificate'\n";
    let both =
        proxy("again", &format!("sslmode=verify-full&sslrootcert={}", file("root.crt")), &same);
    let client_only = proxy("again-c", "sslmode=disable", &certificate("again-c", &stage.other));
    for (name, port) in
        [("direct", direct), ("mode B", both.port()), ("mode C", client_only.port())]
    {
        for user in ["scram_user", "md5_user", "password_user"] {
            assert_eq!(tries(port, user), twice, "{name}: {user} with a wrong password");
        }
    }
    let in_at_once = [(true, 0); 3];
    assert_eq!(tries(direct, "tls_user"), in_at_once, "by the second try under `allow`");
    assert_eq!(tries(direct, "plain_user"), [(true, 0), (true, 0), (false, 1)]);
    assert_eq!(tries(both.port(), "tls_user"), in_at_once, "the server leg is always encrypted");
    assert_eq!(tries(both.port(), "plain_user"), twice, "and so never plain");
    assert_eq!(tries(client_only.port(), "tls_user"), twice, "the server leg is always plain");
    assert_eq!(tries(client_only.port(), "plain_user"), in_at_once);
    // No certificate: `N`, as from a server without TLS, so that there is one way only.
    let plain = proxy("again-a", "sslmode=require", "");
    let once = [(false, 1), (false, 1), (false, 0)];
    let found = tries(plain.port(), "scram_user");
    assert_eq!(
        found[1..],
        once[1..],
        "prefer goes on without; require gives up: {:?}",
        plain.lines()
    );
    assert!(!found[0].0 && found[0].1 >= 1, "{found:?}");
}

#[test]
fn relayed_tls_is_the_clients_own() {
    let d = proxy("d", "sslmode=prefer", "relay = true\n");
    assert_row("mode D", &d, "TLS", ALL);
    assert_row("mode D, plain client", &d, "plain", NO_BINDING);
    let sealed = d.metrics().matching("pgsonde_opaque_sessions_total", &["reason=\"unknown\""]);
    assert!(sealed >= 5.0, "encrypted sessions are counted: {sealed}");
}

#[test]
fn different_certificates_are_refused_at_the_start() {
    let stage = stage();
    let path = stage.folder.join("refused.toml");
    let tls = certificate("refused", &stage.other) + "auth = 'same-certificate'\n";
    std::fs::write(&path, format!("[proxy.tls]\n{tls}")).unwrap();
    let upstream = format!("postgresql://localhost:{}?sslmode=require", stage.postgres.port());
    let mut command = Command::new(paths::pgsonde());
    command.args(["proxy", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.args(["--upstream", &upstream, "--config"]).arg(&path);
    let output = run(&mut command, "", LIMIT);
    assert_eq!(output.code, Some(3), "{output:?}");
    assert!(output.stderr.contains("error[PGS0410]"), "{output:?}");
}

/// The first bytes of a TLS client that names no protocol (ALPN).
fn client_hello() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = "localhost".try_into().expect("a name");
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("memory takes everything");
    bytes
}

#[test]
fn start_up_on_a_tls_listener() {
    let stage = stage();
    let tls = certificate("startup", &stage.server) + "required = true\n";
    let proxy = proxy("startup", "sslmode=require", &tls);
    let port = proxy.port();
    let more = "sslmode=require sslnegotiation=direct channel_binding=require";
    let mut jobs = vec![
        job("direct", "psycopg", &dsn(port, "scram_user", more)),
        job("plain", "psycopg", &dsn(port, "postgres", "sslmode=disable")),
    ];
    for action in ["cancel", "cancel_safe", "large"] {
        let mut one = job(action, "psycopg", &dsn(port, "postgres", "sslmode=require"));
        one["action"] = action.into();
        jobs.push(one);
    }
    let found = outcomes(&jobs);
    for name in ["direct", "cancel", "cancel_safe", "large"] {
        assert!(is_ok(&found[name]), "{name}: {found}: {:?}", proxy.lines());
    }
    assert!(found["plain"].as_str().unwrap().contains("only encrypted sessions"), "{found}");
    let mut behind = raw::connect(port);
    behind.write_all(&[&raw::SSL_REQUEST[..], &raw::startup()].concat()).unwrap();
    let mut answer = Vec::new();
    // A reset is a close too.
    let _reset = behind.read_to_end(&mut answer);
    assert_eq!(answer, b"", "plaintext behind SSLRequest gets no word");
    let mut hello = raw::connect(port);
    hello.write_all(&client_hello()).unwrap();
    let _reset = hello.read_to_end(&mut answer);
    // A fatal alert: no_application_protocol.
    assert_eq!(answer, [0x15, 3, 3, 0, 2, 2, 120], "direct TLS names its protocol");
    // The client may see the close before it is counted.
    let errors = || proxy.metrics().matching("pgsonde_client_connections_total", &["tls_error"]);
    eventually("a counted TLS error", LIMIT, || (errors() >= 1.0).then_some(()));
}

#[test]
fn the_servers_certificate_is_checked_as_libpq_does() {
    let stage = stage();
    let port = stage.postgres.port();
    let (root, wrong) = (file("root.crt"), file("clients.crt"));
    let rows = [
        (format!("localhost:{port}?sslmode=verify-full&sslrootcert={root}"), None),
        (format!("127.0.0.1:{port}?sslmode=verify-full&sslrootcert={root}"), Some("PGS0406")),
        (format!("127.0.0.1:{port}?sslmode=verify-ca&sslrootcert={root}"), None),
        (format!("127.0.0.1:{port}?sslmode=verify-ca&sslrootcert={wrong}"), Some("PGS0404")),
        (format!("127.0.0.1:{port}?sslmode=require&sslrootcert={wrong}"), Some("PGS0404")),
        (format!("127.0.0.1:{port}?sslmode=require"), None),
        (format!("127.0.0.1:{port}?sslmode=require&sslnegotiation=direct"), Some("PGS0401")),
    ];
    for (place, code) in rows {
        let proxy = Proxy::with_upstream(&format!("postgresql://{place}"), &[]);
        let output = stage.postgres.psql(proxy.port(), "select 1");
        assert_eq!(output.is_ok(), code.is_none(), "{place}: {output:?}");
        assert!(output.stderr.contains(code.unwrap_or("")), "{place}: {output:?}");
    }
}

#[test]
fn client_certificates_on_either_leg() {
    let stage = stage();
    let (certificate_file, key) = stage.clients.sign("cert_user").write(&stage.folder, "user");
    let (shown, key) = (certificate_file.display(), key.display());
    let upstream = proxy("ours", &format!("sslmode=require&sslcert={shown}&sslkey={key}"), "");
    let without = proxy("none", "sslmode=require", "");
    let tls =
        certificate("asks", &stage.other) + &format!("client_ca = '{}'\n", file("clients.crt"));
    let asks = proxy("asks", "sslmode=disable", &tls);
    let with = format!("sslmode=require sslcert={shown} sslkey={key}");
    let plain = "sslmode=disable";
    let found = outcomes(&[
        job("ours", "psycopg", &dsn(upstream.port(), "cert_user", plain)),
        job("none", "psycopg", &dsn(without.port(), "cert_user", plain)),
        job("shown", "psycopg", &dsn(asks.port(), "postgres", &with)),
        job(
            "not shown",
            "psycopg",
            &dsn(asks.port(), "postgres", "sslmode=require sslcert=/nonexistent"),
        ),
    ]);
    let expected = [("ours", true), ("none", false), ("shown", true), ("not shown", false)];
    for (name, ok) in expected {
        assert_eq!(is_ok(&found[name]), ok, "{name}: {found}");
    }
}

#[test]
fn hangup_reads_the_certificate_again() {
    let stage = stage();
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let root = certificates::write(&stage.folder.join("second.crt"), &second.pem);
    let tls = certificate("turning", &first.sign("localhost"));
    let proxy = proxy("turning", "sslmode=disable", &tls);
    let more = format!("sslmode=verify-ca sslrootcert={}", root.display());
    let attempt = || {
        let found = outcomes(&[job("x", "psycopg", &dsn(proxy.port(), "postgres", &more))]);
        is_ok(&found["x"])
    };
    assert!(!attempt(), "the first certificate is in place");
    certificates::write(&stage.folder.join("turning.crt"), "no certificate");
    process::signal("HUP", &proxy.pid().to_string());
    eventually("the bad file is refused", LIMIT, || {
        proxy.lines().iter().any(|line| line.contains("kept the old configuration")).then_some(())
    });
    second.sign("localhost").write(&stage.folder, "turning");
    process::signal("HUP", &proxy.pid().to_string());
    eventually("new sessions use the new certificate", LIMIT, || attempt().then_some(()));
}

#[test]
fn unix_sockets_on_both_legs() {
    let stage = stage();
    let socket = stage.folder.join(".s.PGSQL.6435");
    let host = stage.postgres.folder().display().to_string();
    let upstream = format!("postgresql:///?host={host}&port={}", stage.postgres.port());
    let listen = format!("127.0.0.1:0,unix:{}", socket.display());
    let proxy = Proxy::listening(&listen, &upstream, &[]);
    let mut psql = stage.postgres.client("psql", 6435);
    psql.env("PGHOST", &stage.folder).args(["-XAtqc", "select 6 * 7"]);
    let output = run(&mut psql, "", LIMIT);
    assert_eq!(output.stdout.trim(), "42", "{output:?} {:?}", proxy.lines());
    assert_eq!(stage.postgres.psql_ok(proxy.port(), "select 1"), "1");
    drop(proxy);
    assert!(!Path::new(&socket).exists(), "the socket is gone with the proxy");
}

#[test]
fn replication_is_forwarded_unseen_and_several_hosts_are_tried() {
    let stage = stage();
    let port = stage.postgres.port();
    let closed = pgsonde_tests::free_port();
    let upstream = format!("postgresql://127.0.0.1:{closed},localhost:{port}?sslmode=require");
    let proxy = Proxy::with_upstream(&upstream, &[]);
    let mut psql = stage.postgres.client("psql", proxy.port());
    let conninfo = dsn(proxy.port(), "scram_user", "replication=database");
    psql.args(["-XAtq", "-d", &conninfo, "-c", "IDENTIFY_SYSTEM"]);
    let output = run(&mut psql, "", LIMIT);
    assert!(output.is_ok() && output.stdout.contains("postgres"), "{output:?}");
    let unseen = proxy.metrics().matching("pgsonde_opaque_sessions_total", &["replication"]);
    assert_eq!(unseen, 1.0);
}

#[test]
fn events_say_how_a_session_was_let_in() {
    let stage = stage();
    let folder = stage.folder.join("events");
    let capture = format!("[capture]\ndir = '{}'\n", folder.display());
    let tls = certificate("events", &stage.server) + &capture;
    let proxy = proxy("events", "sslmode=require", &tls);
    let encrypted = "sslmode=require channel_binding=disable";
    let jobs: Vec<_> = [
        ("scram_user", encrypted),
        ("md5_user", "sslmode=disable"),
        ("password_user", "sslmode=disable"),
        ("tls_user", "sslmode=disable"),
    ]
    .map(|(user, more)| job(user, "psycopg", &dsn(proxy.port(), user, more)))
    .to_vec();
    let found = outcomes(&jobs);
    proxy.settle();
    assert_eq!(proxy.stop(), 0);
    let mut lines = String::new();
    for file in std::fs::read_dir(&folder).expect("the captures").flatten() {
        let mut zstd = std::process::Command::new("zstd");
        lines += &run_ok(zstd.arg("-dcq").arg(file.path()), "", LIMIT).stdout;
    }
    let opened: std::collections::BTreeMap<String, [Value; 3]> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|line| line["state"] == "open")
        .map(|line| {
            assert!(line["setup_tls_us"].as_u64() > Some(0), "{line}");
            let user = line["db_user"].as_str().unwrap_or_default().to_owned();
            (user, ["auth", "tls_client", "tls_server"].map(|name| line[name].clone()))
        })
        .collect();
    let (off, on) = (Value::Null, Value::from("TLSv1.3"));
    let expected = [
        ("scram_user", ["scram-sha-256".into(), on.clone(), on.clone()]),
        ("md5_user", ["md5".into(), off.clone(), on.clone()]),
        ("password_user", ["password".into(), off.clone(), on.clone()]),
        ("tls_user", ["trust".into(), off, on]),
    ];
    let expected = expected.map(|(user, row)| (user.to_owned(), row));
    assert_eq!(opened, expected.into(), "{found}");
}
