//! What an operator does to a running proxy: reloads, orders, signals, and what systemd does.

use pgsonde_tests::fake_server::{FakeServer, await_opaque, rest};
use pgsonde_tests::{Postgres, Proxy, eventually, paths, raw};
use std::io::{Read, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A configuration file in a folder of its own, with a token beside it.
struct Config {
    folder: tempfile::TempDir,
}

impl Config {
    fn new(text: &str) -> Self {
        let config = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        std::fs::write(config.path("token"), TOKEN).expect("written");
        config.write(text);
        config
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `text` below `[proxy]`, then other sections; addresses are free ones.
    fn write(&self, text: &str) {
        let head = format!(
            "[admin]\nlisten = '127.0.0.1:0'\ntoken = 'file:{}'\n[proxy]\n",
            self.path("token").display()
        );
        std::fs::write(self.path("pgsonde.toml"), format!("{head}{text}")).expect("written");
    }

    fn start(&self) -> Proxy {
        Proxy::configured(&self.path("pgsonde.toml"))
    }
}

fn limit_of(proxy: &Proxy) -> f64 {
    proxy.metrics().sum("pgsonde_client_connections_max")
}

fn last_reload(proxy: &Proxy) -> f64 {
    proxy.metrics().sum("pgsonde_config_last_reload_successful")
}

#[test]
fn a_reload_takes_over_what_may_change_and_keeps_the_rest() {
    let (first, second) = (FakeServer::start(), FakeServer::start());
    let text = |upstream: &FakeServer, listen: &str, most: u32| {
        let upstream = upstream.upstream();
        format!("upstream = '{upstream}'\nlisten = '{listen}'\nmax_connections = {most}\n")
    };
    let config = Config::new(&text(&first, "127.0.0.1:0", 50));
    let proxy = config.start();
    let (mut old_client, mut old_server) = first.session(&proxy);

    config.write(&text(&second, "127.0.0.1:1", 7));
    proxy.signal("HUP");
    eventually("the new limit holds", LIMIT, || (limit_of(&proxy) == 7.0).then_some(()));
    proxy.await_line(&["proxy.listen", "needs a restart"]);
    proxy.await_line(&["was read again", "proxy.upstream", "proxy.max_connections"]);
    let (_client, _server) = second.session(&proxy);
    let query = raw::query("select 1");
    old_client.write_all(&query).expect("written");
    let mut seen = vec![0; query.len()];
    old_server.read_exact(&mut seen).expect("open sessions stay with their server");
    assert_eq!(seen, query);
    assert_eq!(last_reload(&proxy), 1.0);

    config.write("upstream = 'postgresql://other'\nmax_connection = 9\n");
    proxy.signal("HUP");
    eventually("the bad file is noticed", LIMIT, || (last_reload(&proxy) == 0.0).then_some(()));
    let line = proxy.await_line(&["kept the old configuration", "PGS0201"]);
    assert!(line.contains("pgsonde.toml:6:1") && line.contains("max_connections"), "{line}");
    assert_eq!(limit_of(&proxy), 7.0);
    let (status, body) = proxy.order("POST", "reload", "", TOKEN);
    assert_eq!(status, 409, "{body}");
    assert!(body.contains("PGS0201"), "{body}");
    let (_client, _server) = second.session(&proxy);

    config.write(&text(&second, "127.0.0.1:0", 8));
    assert_eq!(proxy.order("POST", "reload", "", TOKEN).0, 204);
    assert_eq!((last_reload(&proxy), limit_of(&proxy)), (1.0, 8.0));
}

#[test]
fn a_capture_goes_on_in_a_new_file_with_new_settings_and_nothing_is_lost() {
    let postgres = Postgres::start();
    let captures = tempfile::tempdir().expect("a temporary folder");
    let text = |more: &str| {
        let (upstream, folder) = (postgres.upstream(), captures.path().display());
        format!(
            "upstream = '{upstream}'\nlisten = '127.0.0.1:0'\n[capture]\ndir = '{folder}'\n{more}"
        )
    };
    let config = Config::new(&text("level = 1\n"));
    let proxy = config.start();
    postgres.psql_ok(proxy.port(), "SELECT 'before'");
    proxy.settle();

    config.write(&text("level = 9\nflush_interval = '200ms'\n"));
    proxy.signal("HUP");
    proxy.await_line(&["was read again", "capture.level", "capture.flush_interval"]);
    let files = || {
        let found = std::fs::read_dir(captures.path()).expect("a folder").flatten();
        let mut paths: Vec<PathBuf> = found.map(|file| file.path()).collect();
        paths.sort();
        paths
    };
    eventually("a second file", LIMIT, || (files().len() == 2).then_some(()));
    postgres.psql_ok(proxy.port(), "SELECT 'after', 1");
    proxy.settle();
    assert_eq!(proxy.stop(), 0);
    for (file, columns) in files().iter().zip([1, 2]) {
        let mut report = std::process::Command::new(paths::pgsonde());
        report.arg("report").arg(file).args(["--format", "json"]);
        let output = pgsonde_tests::run_ok(&mut report, "", LIMIT).stdout;
        let report: serde_json::Value = serde_json::from_str(&output).expect("JSON");
        let items = report["statements"]["items"].as_array().expect("statements");
        let ours: Vec<_> = items
            .iter()
            .filter(|item| item["summary"].as_str().is_some_and(|s| s.starts_with("SELECT")))
            .collect();
        assert_eq!((ours.len(), &ours[0]["calls"]), (1, &serde_json::json!(1)), "{output}");
        let marks = ours[0]["query_text"].as_str().unwrap_or_default().matches('?').count();
        assert_eq!(marks, columns, "each file holds its own half");
    }
}

#[test]
fn a_certificate_that_cannot_be_read_is_named_with_its_line_and_changes_nothing() {
    let fake = FakeServer::start();
    let good = format!("upstream = '{}'\nlisten = '127.0.0.1:0'\n", fake.upstream());
    let config = Config::new(&good);
    let proxy = config.start();
    config.write(&format!(
        "{good}[proxy.tls]\ncert = '/nonexistent/c.pem'\nkey = '/nonexistent/k.pem'\n"
    ));
    proxy.signal("HUP");
    let line = proxy.await_line(&["kept the old configuration", "PGS0407"]);
    assert!(line.contains("pgsonde.toml:8:8"), "{line}");
    let (_client, _server) = fake.session(&proxy);
}

#[test]
fn the_token_may_change_while_it_runs() {
    let fake = FakeServer::start();
    let text = format!("upstream = '{}'\nlisten = '127.0.0.1:0'\n", fake.upstream());
    let config = Config::new(&text);
    let proxy = config.start();
    let level = r#"{"level":"debug"}"#;
    assert_eq!(proxy.order("PUT", "log-level", level, TOKEN).0, 204);
    assert_eq!(proxy.order("PUT", "log-level", level, &TOKEN[1..]).0, 401);
    assert_eq!(proxy.order("PUT", "log-level", r#"{"level":"=="}"#, TOKEN).0, 400);
    let fresh = TOKEN.replace('0', "f");
    std::fs::write(config.path("token"), &fresh).expect("written");
    assert_eq!(
        proxy.order("POST", "reload", "", TOKEN).0,
        204,
        "the old one until it is read again"
    );
    assert_eq!(proxy.order("POST", "reload", "", TOKEN).0, 401);
    assert_eq!(proxy.order("POST", "reload", "", &fresh).0, 204);
    let shown = proxy.lines().join("\n");
    assert!(!shown.contains(&fresh) && !shown.contains(TOKEN), "no token in the log: {shown}");
}

/// The same statement in one transaction, each time in a round trip of its own.
fn one_by_one(proxy: &Proxy, statement: &str, times: usize) {
    let mut client = raw::session(proxy.port());
    let all = std::iter::repeat_n(statement, times);
    for text in ["begin"].into_iter().chain(all).chain(["commit"]) {
        client.write_all(&raw::query(text)).expect("written");
        raw::read_until_ready(&mut client, 1);
    }
}

#[test]
fn modes_have_their_effect() {
    let postgres = Postgres::start();
    postgres.psql_ok(
        postgres.port(),
        "create table parts (id int primary key); insert into parts values (1)",
    );
    let upstream = postgres.upstream();
    let config = Config::new(&format!("upstream = '{upstream}'\nlisten = '127.0.0.1:0'\n"));
    let proxy = config.start();
    let statements = || {
        proxy.settle();
        proxy.metrics().sum("pgsonde_statements_total")
    };
    let set = |mode: &str| {
        let body = format!(r#"{{"mode":"{mode}"}}"#);
        assert_eq!(proxy.order("PUT", "mode", &body, TOKEN).0, 204);
        let label = format!("mode=\"{mode}\"");
        assert_eq!(proxy.metrics().matching("pgsonde_profiling_mode", &[&label]), 1.0);
        // The analyzer obeys before its next snapshot.
        proxy.settle();
    };
    postgres.psql_ok(proxy.port(), "select 'full'");
    let full = statements();
    assert_eq!(full, 1.0);

    set("counters_only");
    one_by_one(&proxy, "select id as counted from parts where id = 1", 4);
    assert!(statements() >= full + 4.0, "statements are counted");
    assert_eq!(proxy.calls_and_errors("counted").0, 0, "without their texts");
    assert!(proxy.findings("duplicate_query").is_empty(), "and without findings");

    set("bypass");
    let before = statements();
    postgres.psql_ok(proxy.port(), "select 'unseen'");
    await_opaque(&proxy, "bypass", 1.0);
    assert_eq!(statements(), before, "bytes are forwarded unseen");

    set("full");
    one_by_one(&proxy, "select id as counted from parts where id = 1", 4);
    proxy.settle();
    assert_eq!(proxy.calls_and_errors("counted").0, 4, "texts are sent again");
    assert!(!proxy.findings("duplicate_query").is_empty(), "and findings are made");
}

#[test]
fn a_mute_survives_a_restart_and_can_be_taken_back() {
    let postgres = Postgres::start();
    postgres.psql_ok(
        postgres.port(),
        "create table parts (id int primary key); insert into parts values (1)",
    );
    let config = Config::new("");
    let mutes = config.path("mutes.toml");
    config.write(&format!(
        "upstream = '{}'\nlisten = '127.0.0.1:0'\n[findings]\nmutes = '{}'\n",
        postgres.upstream(),
        mutes.display()
    ));
    let found = |proxy: &Proxy| {
        one_by_one(proxy, "select id from parts where id = 1", 6);
        eventually("the finding is there", LIMIT, || {
            let found = proxy.findings("duplicate_query").into_iter().next()?;
            Some((found["id"].as_str()?.to_owned(), found["state"].as_str()?.to_owned()))
        })
    };
    let proxy = config.start();
    let (id, state) = found(&proxy);
    assert_eq!(state, "open");
    let path = format!("findings/{id}/mute");
    let (status, body) = proxy.order("POST", &path, r#"{"reason":"known"}"#, TOKEN);
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("\"muted\""), "the answer shows it already: {body}");
    let written = std::fs::read_to_string(&mutes).expect("the file of mutes");
    assert!(written.contains(&id) && written.contains("reason = \"known\""), "{written}");
    assert_eq!(proxy.stop(), 0);

    let proxy = config.start();
    assert_eq!(found(&proxy), (id.clone(), "muted".to_owned()));
    assert_eq!(proxy.order("DELETE", &path, "", TOKEN).0, 200);
    assert_eq!(found(&proxy), (id, "open".to_owned()));
    assert_eq!(proxy.order("DELETE", &path, "", TOKEN).0, 409, "there is none any more");
    assert_eq!(std::fs::read_to_string(&mutes).expect("the file of mutes"), "");
}

/// A proxy with an open transaction that nobody ends.
fn busy(drain: &str) -> (Postgres, Config, Proxy, std::net::TcpStream) {
    let postgres = Postgres::start();
    let upstream = postgres.upstream();
    let text =
        format!("upstream = '{upstream}'\nlisten = '127.0.0.1:0'\ndrain_timeout = '{drain}'\n");
    let config = Config::new(&text);
    let proxy = config.start();
    let mut client = raw::session(proxy.port());
    client.write_all(&raw::query("begin")).expect("written");
    raw::read_until_ready(&mut client, 1);
    (postgres, config, proxy, client)
}

#[test]
fn who_does_not_end_in_time_is_told_57p01() {
    let (_postgres, _config, proxy, mut client) = busy("2s");
    proxy.signal("TERM");
    let state = eventually("it drains", LIMIT, || {
        let (status, body) = proxy.http("/ready");
        (status == 503).then_some(body)
    });
    assert!(state.contains("draining"), "{state}");
    assert_eq!(proxy.http("/live").0, 200);
    let words = String::from_utf8_lossy(&rest(&mut client)).into_owned();
    assert!(words.contains("C57P01\0") && words.contains("PGS0104"), "{words:?}");
    assert_eq!(proxy.stop(), 0, "a drain is no failure");
}

#[test]
fn a_second_signal_ends_at_once() {
    let (_postgres, _config, proxy, client) = busy("1h");
    proxy.signal("TERM");
    proxy.await_line(&["draining"]);
    let asked = Instant::now();
    // The guard sends the second one.
    assert_eq!(proxy.stop(), 0);
    assert!(asked.elapsed() < LIMIT);
    drop(client);
}

#[test]
fn an_order_drains_as_a_signal_does() {
    let fake = FakeServer::start();
    let text = format!("upstream = '{}'\nlisten = '127.0.0.1:0'\n", fake.upstream());
    let config = Config::new(&text);
    let proxy = config.start();
    assert_eq!(proxy.order("POST", "drain", "", TOKEN).0, 204);
    proxy.await_line(&["draining"]);
    assert_eq!(proxy.stop(), 0);
}

#[test]
fn logs_are_json_where_asked() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&["--log-format", "json"]);
    proxy.signal("HUP");
    let line = proxy.await_line(&["read again"]);
    let event: serde_json::Value = serde_json::from_str(&line).expect("one object per line");
    assert_eq!(event["level"], "INFO");
    assert!(event["timestamp"].is_string() && event["target"].is_string(), "{event}");
}

#[test]
fn too_few_file_descriptors_are_reported() {
    let fake = FakeServer::start();
    let command = format!(
        "ulimit -n 300; exec {} proxy --upstream {} --listen 127.0.0.1:0 --admin 127.0.0.1:0",
        paths::pgsonde().display(),
        fake.upstream()
    );
    let proxy = Proxy::started(Path::new("sh"), &["-c", &command]);
    let line = proxy.await_line(&["PGS0103", "limit=300", "needed=2512"]);
    assert!(line.contains("LimitNOFILE"), "{line}");
}

/// What the service manager hears next.
fn heard(socket: &UnixDatagram) -> String {
    let mut words = [0; 4096];
    let length = socket.recv(&mut words).expect("a message in time");
    String::from_utf8_lossy(&words[..length]).into_owned()
}

#[test]
fn systemd_hears_of_its_life_and_hands_over_its_socket() {
    let fake = FakeServer::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("bound");
    socket.set_read_timeout(Some(LIMIT)).expect("a limit");
    let handing_over = "import os, socket, sys\n\
        listener = socket.create_server(('127.0.0.1', 0))\n\
        os.dup2(listener.fileno(), 3)\n\
        os.set_inheritable(3, True)\n\
        os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET=sys.argv[1])\n\
        os.execv(sys.argv[2], sys.argv[2:])\n";
    let (notify, program) = (path.to_string_lossy(), paths::pgsonde());
    let (program, upstream) = (program.to_string_lossy(), fake.upstream());
    let args = ["proxy", "--listen", "systemd", "--admin", "127.0.0.1:0", "--upstream", &upstream];
    let mut all = vec!["-c", handing_over, &*notify, &*program];
    all.extend(args);
    let proxy = Proxy::started(Path::new("python3"), &all);
    let ready = heard(&socket);
    assert!(ready.contains("READY=1") && ready.contains("STATUS=ready"), "{ready}");
    let (_client, _server) = fake.session(&proxy);

    proxy.signal("HUP");
    let reloading = heard(&socket);
    assert!(
        reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="),
        "{reloading}"
    );
    assert!(heard(&socket).contains("READY=1"));
    drop((_client, _server));

    proxy.signal("TERM");
    assert!(heard(&socket).contains("STOPPING=1"));
    assert_eq!(proxy.stop(), 0);
}

#[test]
fn without_a_socket_there_is_no_socket_activation() {
    let output = pgsonde_tests::run(
        std::process::Command::new(paths::pgsonde())
            .args(["proxy", "--upstream", "postgresql://127.0.0.1:1", "--listen", "systemd"])
            .args(["--admin", "127.0.0.1:0"])
            .env_remove("LISTEN_FDS"),
        "",
        LIMIT,
    );
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(
        output.stderr.contains("PGS0101") && output.stderr.contains("LISTEN_FDS"),
        "{output:?}"
    );
}
