//! `pgsonde doctor` against real servers: what is well, what isn't, and the remedy.

use pgsonde_tests::certificates::{self, Authority};
use pgsonde_tests::{Options, Postgres, Proxy, paths, run};
use serde_json::Value;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

struct Stage {
    postgres: Postgres,
    root: String,
}

/// A server with TLS, a role that may read everything, and one that may not.
fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        let authority = Authority::new("servers");
        let server = authority.sign("localhost");
        let folder = tempfile::Builder::new().prefix("pgsonde-doctor-").tempdir();
        let root = folder.expect("a temporary folder").keep().join("root.crt");
        certificates::write(&root, &authority.pem);
        let postgres = Postgres::with(&Options {
            hba: vec!["host all scram_user,reader 127.0.0.1/32 scram-sha-256"],
            settings: vec!["ssl = on", "max_connections = 40"],
            files: vec![
                ("server.crt", server.certificate.clone()),
                ("server.key", server.key.clone()),
            ],
            sql: "create role scram_user login password 'secret';
                  create role reader login password 'secret' in role pg_read_all_data;
                  create table orders (id int);",
            ..Options::default()
        });
        Stage { postgres, root: root.display().to_string() }
    })
}

/// Exit code and lines of `pgsonde doctor`.
fn doctor(password: &str, arguments: &[&str]) -> (i32, Vec<Value>) {
    let mut command = Command::new(paths::pgsonde());
    command.args(["doctor", "--json"]).args(arguments).env("PGPASSWORD", password);
    let output = run(&mut command, "", LIMIT);
    let answer: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", output.stderr);
    });
    let steps = answer["steps"].as_array().expect("steps").clone();
    let code = output.code.expect("an exit code");
    assert_eq!(answer["exit_code"], code);
    (code, steps)
}

fn step<'a>(steps: &'a [Value], name: &str) -> &'a Value {
    steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("no {name}: {steps:?}"))
}

fn says(step: &Value, status: &str, words: &[&str]) {
    assert_eq!(step["status"], status, "{step}");
    let text = format!("{} {}", step["detail"], step["fix"]);
    for word in words {
        assert!(text.contains(word), "{word}: {step}");
    }
}

fn url(user: &str, query: &str) -> String {
    format!("postgresql://{user}@localhost:{}/postgres?{query}", stage().postgres.port())
}

#[test]
fn a_good_connection_is_well_in_every_step() {
    let query = format!("sslmode=verify-full&sslrootcert={}", stage().root);
    let (code, steps) = doctor("secret", &[&url("reader", &query)]);
    assert_eq!(code, 0, "{steps:?}");
    says(step(&steps, "name"), "ok", &["127.0.0.1"]);
    says(step(&steps, "tls"), "ok", &["TLSv1.3", "localhost", "chain and name checked", "days"]);
    says(step(&steps, "auth"), "ok", &["SCRAM-SHA-256, with and without", "reader"]);
    says(step(&steps, "version"), "ok", &["PostgreSQL"]);
    says(step(&steps, "pooler"), "ok", &[]);
    says(step(&steps, "round trip"), "ok", &["median"]);
    says(step(&steps, "rights"), "ok", &["reader can read all"]);
    says(step(&steps, "limits"), "note", &["37 sessions", "proxy.max_connections = 37"]);
    let modes: Vec<&Value> = steps.iter().filter(|step| step["step"] == "modes").collect();
    says(modes[1], "note", &["channel_binding=disable"]);
}

#[test]
fn missing_rights_come_with_the_grant() {
    let (code, steps) = doctor("secret", &[&url("scram_user", "sslmode=disable"), "--strict"]);
    assert_eq!(code, 1, "{steps:?}");
    says(step(&steps, "tls"), "note", &["plain, as sslmode=disable asks"]);
    says(step(&steps, "rights"), "warn", &["can't read 1 of 1 tables", "GRANT", "scram_user"]);
    let side = url("reader", "sslmode=disable");
    let asked = [&url("scram_user", "sslmode=disable"), "--strict", "--side-connection", &side];
    let (code, steps) = doctor("secret", &asked);
    assert_eq!(code, 0, "{steps:?}");
    says(step(&steps, "rights"), "ok", &["reader can read all"]);
}

#[test]
fn what_fails_is_named_with_its_remedy_and_the_rest_is_skipped() {
    let (code, steps) = doctor("wrong", &[&url("scram_user", "sslmode=require")]);
    assert_eq!(code, 3);
    says(step(&steps, "auth"), "fail", &["28P01", "the password is wrong"]);
    says(step(&steps, "version"), "skip", &[]);

    let (code, steps) =
        doctor("secret", &[&url("reader", "sslmode=verify-full&sslrootcert=system")]);
    assert_eq!(code, 3);
    says(step(&steps, "tls"), "fail", &["PGS0404", "sslrootcert"]);
    says(step(&steps, "auth"), "skip", &[]);

    let (code, steps) = doctor("x", &["postgresql://a@127.0.0.1:1/b"]);
    assert_eq!(code, 3);
    says(step(&steps, "tcp"), "fail", &["refused", "listen_addresses"]);

    let (code, steps) = doctor("x", &["postgresql://a@no-such-host.invalid/b"]);
    assert_eq!(code, 3);
    says(step(&steps, "name"), "fail", &["no-such-host.invalid"]);
}

#[test]
fn a_running_proxy_is_tried_and_asked_whether_it_is_ready() {
    let proxy = Proxy::start(&stage().postgres, &[]);
    let via = format!("127.0.0.1:{}", proxy.port());
    let (code, steps) = doctor("secret", &[&url("reader", ""), "--via", &via]);
    assert_eq!(code, 0, "{steps:?}");
    says(step(&steps, "via"), "ok", &["takes sessions"]);

    let ready = |admin: &str| {
        let mut command = Command::new(paths::pgsonde());
        let output = run(command.args(["doctor", "--ready", admin]), "", LIMIT);
        (output.code, output.stderr)
    };
    assert_eq!(ready(proxy.admin()).0, Some(0));
    let (code, error) = ready("http://127.0.0.1:1");
    assert!(code == Some(3) && error.contains("PGS0303"), "{code:?} {error}");
}

#[test]
fn a_url_with_a_password_is_refused() {
    let mut command = Command::new(paths::pgsonde());
    let output = run(command.args(["doctor", "postgresql://a:hunter2@db/x"]), "", LIMIT);
    let error = output.stderr;
    assert_eq!(output.code, Some(2));
    assert!(error.contains("PGS0202") && !error.contains("hunter2"), "{error}");
}
