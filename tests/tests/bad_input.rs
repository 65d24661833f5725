//! What goes wrong outside: servers that aren't there, bad arguments, frames without sense, texts without end.

use pgsonde_tests::fake_server::{self, FakeServer};
use pgsonde_tests::{Options, Postgres, Proxy, eventually, free_port, paths, process, raw, run};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::Receiver;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// The SQLSTATE and message that a driver gets when it connects and asks for something.
fn refusal(port: u16, sql: &str) -> Option<(String, String)> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let url =
        format!("host=127.0.0.1 port={port} user=postgres dbname=postgres connect_timeout=30");
    let error = runtime.block_on(async {
        let (client, connection) = match tokio_postgres::connect(&url, tokio_postgres::NoTls).await
        {
            Ok(pair) => pair,
            Err(error) => return Some(error),
        };
        let connection = tokio::spawn(connection);
        let asked = client.simple_query(sql).await.err();
        // The reason stands with the connection when that is what ended.
        match asked {
            Some(error) if error.as_db_error().is_none() => {
                connection.await.ok()?.err().or(Some(error))
            }
            other => other,
        }
    })?;
    let reason = error.as_db_error();
    let code = reason.map(|reason| reason.code().code().to_owned()).unwrap_or_default();
    Some((code, reason.map_or_else(|| error.to_string(), |reason| reason.message().to_owned())))
}

/// What `/ready` says of the server; ready it is in any case, or an outage would unroute every application.
fn reaches_server(proxy: &Proxy) -> bool {
    let (status, health) = proxy.http("/ready");
    assert_eq!(status, 200, "{health}");
    health.contains("\"upstream_ok\":true")
}

#[test]
fn a_server_that_refuses_is_named_and_may_come_back() {
    let port = free_port();
    let proxy = Proxy::with_upstream(&format!("postgresql://127.0.0.1:{port}"), &[]);
    let (code, message) = refusal(proxy.port(), "select 1").expect("nobody can answer");
    assert_eq!(code, "08001", "{message}");
    assert!(message.contains(&format!("127.0.0.1:{port}")), "the address is named: {message}");
    assert!(!reaches_server(&proxy), "it says that it has no server");
    assert_eq!(proxy.http("/live").0, 200, "but alive");

    let postgres = Postgres::with(&Options { port: Some(port), ..Options::default() });
    assert_eq!(postgres.psql_ok(proxy.port(), "select 1"), "1", "the same proxy serves");
    eventually("it reaches the server again", LIMIT, || reaches_server(&proxy).then_some(()));
    assert_eq!(proxy.stop(), 0, "SIGTERM drains");
}

#[test]
fn an_unknown_host_is_named() {
    let proxy = Proxy::with_upstream("postgresql://no-such-host.invalid:5432", &[]);
    let (code, message) = refusal(proxy.port(), "select 1").expect("nobody can answer");
    assert_eq!(code, "08001", "{message}");
    assert!(message.contains("no-such-host.invalid"), "{message}");
    assert!(!reaches_server(&proxy));
}

#[test]
fn psql_prints_the_address_and_the_help() {
    let postgres = Postgres::start();
    let port = free_port();
    let proxy = Proxy::with_upstream(&format!("postgresql://127.0.0.1:{port}"), &[]);
    let output = postgres.psql(proxy.port(), "select 1");
    assert_eq!(output.code, Some(2), "psql's code for a lost connection: {output:?}");
    assert!(output.stderr.contains(&format!("127.0.0.1:{port}")), "{output:?}");
    assert!(output.stderr.contains("HINT:"), "{output:?}");
}

#[test]
fn a_server_that_dies_leaves_an_error_and_an_aborted_statement() {
    let postgres = Postgres::with(&Options {
        settings: vec!["restart_after_crash = on"],
        ..Options::default()
    });
    let proxy = Proxy::start(&postgres, &[]);
    let running =
        "select pid from pg_stat_activity where query ~ 'pg_sleep.60' and wait_event = 'PgSleep'";
    let lost = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| refusal(proxy.port(), "select pg_sleep(60)"));
        let pid = eventually("the statement runs", LIMIT, || {
            Some(postgres.psql_ok(postgres.port(), running)).filter(|pid| !pid.is_empty())
        });
        process::signal("KILL", &pid);
        waiting.join().expect("asked").expect("the statement can't succeed")
    });
    assert_eq!(lost.0, "08006", "{lost:?}");
    eventually("the server is back", LIMIT, || {
        postgres.psql(proxy.port(), "select 1").is_ok().then_some(())
    });
    proxy.settle();
    // A question of whether it is back may have met the end of another backend, and been aborted as well.
    assert!(proxy.books()["aborted"].as_u64() >= Some(1), "{}", proxy.books());
    let statements = proxy.api("statements");
    let items = statements["items"].as_array().expect("a list of statements");
    let slept = items.iter().find(|item| item["query_text"] == "select pg_sleep(?)");
    assert_eq!(slept.expect("it is listed")["errors"], 1, "{statements:#}");
}

#[test]
fn bad_arguments_end_with_code_2_and_one_message() {
    let busy = TcpListener::bind("127.0.0.1:0").expect("a port");
    let busy = busy.local_addr().expect("bound").to_string();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("bad.toml");
    std::fs::write(&config, "[profile]\nmax_digest = 5000\n").expect("written");
    let config = config.display().to_string();
    let upstream = ["proxy", "--upstream", "postgresql://127.0.0.1:1"];
    let any = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let cases: [(&str, Vec<&str>, &str); 9] = [
        (
            "application port busy",
            [&upstream[..], &["--listen", &busy, "--admin", "127.0.0.1:0"]].concat(),
            &busy,
        ),
        (
            "admin port busy",
            [&upstream[..], &["--listen", "127.0.0.1:0", "--admin", &busy]].concat(),
            &busy,
        ),
        ("no URL", [&["proxy", "--upstream", "nonsense"], &any[..]].concat(), "nonsense"),
        ("another scheme", [&["proxy", "--upstream", "mysql://db:1"], &any[..]].concat(), "mysql"),
        (
            "no port number",
            [&["proxy", "--upstream", "postgresql://db:no"], &any[..]].concat(),
            "db:no",
        ),
        ("no upstream", [&["proxy"], &any[..]].concat(), "upstream"),
        ("unknown flag", [&upstream[..], &["--no-such-flag"]].concat(), "--no-such-flag"),
        ("unknown key", [&upstream[..], &any[..], &["--config", &config]].concat(), "max_digest"),
        (
            "bad address",
            [&upstream[..], &["--listen", "nowhere", "--admin", "127.0.0.1:0"]].concat(),
            "nowhere",
        ),
    ];
    for (name, args, named) in cases {
        let mut pgsonde = Command::new(paths::pgsonde());
        let output = run(pgsonde.args(&args).current_dir(folder.path()), "", LIMIT);
        assert_eq!(output.code, Some(2), "{name}: {output:?}");
        assert!(output.stderr.contains(named), "{name} names {named}: {output:?}");
        assert!(!output.stderr.contains("panicked"), "{name}: {output:?}");
        assert!(
            output.stderr.lines().filter(|line| line.starts_with("error")).count() == 1,
            "{name}: one message: {output:?}"
        );
        assert!(output.stdout.is_empty(), "{name}: {output:?}");
    }
}

/// A server that we play ourselves: it declines encryption and hands over what comes after.
fn played_server() -> (u16, Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (sender, sessions) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut server in listener.incoming().flatten() {
            let mut head = [0; 8];
            server.set_read_timeout(Some(LIMIT)).expect("a limit");
            // The proxy looks whether the server is there by an SSLRequest and leaves after the answer.
            while server.peek(&mut head).is_ok_and(|seen| seen == 8) && head == raw::SSL_REQUEST {
                server.read_exact(&mut head).expect("it was there a moment ago");
                server.write_all(b"N").expect("written");
            }
            if head != raw::SSL_REQUEST && sender.send(server).is_err() {
                return;
            }
        }
    });
    (port, sessions)
}

/// A session between us and a server that we play ourselves, past its start-up.
fn both_ends() -> (Proxy, TcpStream, TcpStream) {
    let (port, sessions) = played_server();
    let proxy = Proxy::with_upstream(&format!("postgresql://127.0.0.1:{port}"), &[]);
    let mut client = raw::connect(proxy.port());
    client.write_all(&raw::startup()).expect("written");
    let mut server = sessions.recv_timeout(LIMIT).expect("the proxy connects");
    let mut start = vec![0; raw::startup().len()];
    server.read_exact(&mut start).expect("a start-up");
    assert_eq!(start, raw::startup(), "it arrives as it was sent");
    let welcome = [raw::frame(b'R', &[0; 4]), raw::frame(b'Z', b"I")].concat();
    exchange(&mut server, &mut client, &welcome);
    (proxy, client, server)
}

/// Sends bytes from one end and expects them at the other.
fn exchange(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    std::thread::scope(|scope| {
        scope.spawn(|| from.write_all(bytes).expect("written"));
        let mut arrived = vec![0; bytes.len()];
        to.read_exact(&mut arrived).expect("all of it arrives");
        assert!(arrived == bytes, "the bytes arrive unchanged");
    });
}

/// Bytes without any sense, the same in each run.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn frames_without_sense_make_the_session_opaque_and_flow_on() {
    let too_short = [b'Q', 0, 0, 0, 3, 0];
    let negative = [b'P', 0xFF, 0xFF, 0xFF, 0xFF, 0];
    // A completion although nothing was asked.
    let contradiction = raw::frame(b'C', b"SELECT 1\0");
    let cases: [(&str, &[u8], bool); 4] = [
        ("length below 4", &too_short, true),
        ("negative length", &negative, true),
        ("length below 4 from the server", &too_short, false),
        ("a reply to nothing", &contradiction, false),
    ];
    for (name, bytes, from_client) in cases {
        let (proxy, mut client, mut server) = both_ends();
        let (from, to) =
            if from_client { (&mut client, &mut server) } else { (&mut server, &mut client) };
        exchange(from, to, bytes);
        exchange(&mut client, &mut server, &noise(300_000));
        exchange(&mut server, &mut client, &noise(300_000));
        let opaque =
            || proxy.metrics().matching("pgsonde_opaque_sessions_total", &["reason=\"framing\""]);
        eventually(name, LIMIT, || (opaque() == 1.0).then_some(()));
        assert_eq!(proxy.metrics().sum("pgsonde_opaque_sessions_total"), 1.0, "{name}: once");
        drop((client, server));
        assert_eq!(proxy.stop(), 0, "{name}: the proxy lives on");
    }
}

#[test]
fn a_first_packet_without_sense_does_no_harm() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, &[]);
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 8], &[0xFF; 64], &noise(100), b""] {
        let mut socket = raw::connect(proxy.port());
        socket.write_all(bytes).expect("written");
        // The proxy may have closed already.
        let _closed = socket.shutdown(std::net::Shutdown::Write);
        let mut rest = Vec::new();
        let _reset = socket.read_to_end(&mut rest);
    }
    assert_eq!(postgres.psql_ok(proxy.port(), "select 1"), "1", "the next client is served");
}

#[test]
fn sql_that_does_not_parse_is_counted_under_its_shape() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, &[]);
    for n in 0..5 {
        assert!(
            !postgres
                .psql(proxy.port(), &format!("selekt nonsense from unparsable where x = {n}"))
                .is_ok()
        );
    }
    proxy.settle();
    assert_eq!(proxy.calls_and_errors("unparsable"), (5, 5));
    let statements = proxy.api("statements?limit=500");
    assert!(!statements.to_string().contains("x = 3"), "literals are out: {statements}");
}

/// A number without digits: names that differ in digits only may mean the parts of one table.
fn letters(mut n: usize) -> String {
    let mut name = String::new();
    for _ in 0..5 {
        name.push(char::from(b'a' + u8::try_from(n % 26).expect("below 26")));
        n /= 26;
    }
    name
}

#[test]
fn a_million_texts_stay_within_the_memory_bound() {
    const TEXTS: usize = 1_000_000;
    const SESSIONS: usize = 4;
    const FLIGHT: usize = 500;
    const RESIDENT_MAX_BYTES: u64 = 256 << 20;
    let quiet = vec!["log_min_messages = panic", "log_min_error_statement = panic"];
    let postgres = Postgres::with(&Options { settings: quiet, ..Options::default() });
    let proxy = Proxy::start(&postgres, &[]);
    std::thread::scope(|scope| {
        for number in 0..SESSIONS {
            let port = proxy.port();
            scope.spawn(move || {
                let mut socket = raw::session(port);
                let mine: Vec<usize> = (number..TEXTS).step_by(SESSIONS).collect();
                for flight in mine.chunks(FLIGHT) {
                    // The tables don't exist: the cheapest way to a million statements that differ in meaning.
                    let texts = flight
                        .iter()
                        .map(|n| raw::query(&format!("select 1 from absent_{}", letters(*n))));
                    socket.write_all(&texts.collect::<Vec<_>>().concat()).expect("written");
                    raw::read_until_ready(&mut socket, flight.len());
                }
            });
        }
    });
    proxy.settle();
    let metrics = proxy.metrics();
    let (resident, books) = (proxy.resident_bytes(), proxy.books());
    assert!(resident < RESIDENT_MAX_BYTES, "{resident} bytes resident; {books}");
    let counted = books["statements"].as_u64().expect("a number");
    let dropped = metrics.sum("pgsonde_events_dropped_total");
    assert_eq!(counted as f64 + dropped, TEXTS as f64, "each counted, or counted as lost: {books}");
    let tracked = metrics.sum("pgsonde_digests");
    assert!(tracked <= metrics.sum("pgsonde_digests_max"), "{tracked} digests");
    let other = books["other"].as_u64().expect("a number");
    assert!(other as f64 >= counted as f64 - tracked, "the rest is under `other`: {books}");
    let errors = metrics.matching("pgsonde_statements_total", &["outcome=\"error\""]);
    assert_eq!(errors, counted as f64, "each failed, and is said to have failed");
}

/// A session whose user, database and application are like no other's, at its first ReadyForQuery.
fn session_of(port: u16, name: &str) -> TcpStream {
    let words = format!(
        "\0\x03\0\0user\0user_{name}\0database\0db_{name}\0application_name\0app_{name}\0\0"
    );
    let length = u32::try_from(words.len() + 4).expect("short").to_be_bytes();
    let mut socket = raw::connect(port);
    socket.write_all(&[&length[..], words.as_bytes()].concat()).expect("written");
    raw::read_until_ready(&mut socket, 1);
    socket
}

/// Lets everybody in, and finds whatever it is asked for, until `sessions` have come and gone.
fn let_all_in(server: &FakeServer, sessions: usize, texts: usize) {
    let done = [raw::frame(b'C', b"SELECT 0\0"), raw::frame(b'Z', b"I")].concat();
    for _ in 0..sessions {
        let mut session = server.accept();
        let mut length = [0; 4];
        session.read_exact(&mut length).expect("a length");
        let mut words = vec![0; u32::from_be_bytes(length) as usize - 4];
        session.read_exact(&mut words).expect("a start-up");
        session.write_all(&fake_server::welcome()).expect("written");
        raw::read_frames(&mut session, texts);
        session.write_all(&done.repeat(texts)).expect("written");
        // Until the client leaves.
        let _terminate = session.read_to_end(&mut Vec::new());
    }
}

#[test]
fn a_million_names_stay_under_the_series_bound() {
    const SESSIONS: usize = 10_000;
    const TEXTS: usize = 100;
    const CLIENTS: usize = 2;
    const SERIES_MAX: f64 = 6_000.0;
    const RESIDENT_MAX_BYTES: u64 = 256 << 20;
    let server = FakeServer::start();
    let proxy = server.proxy(&[]);
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let port = proxy.port();
            scope.spawn(move || {
                for session in (number..SESSIONS).step_by(CLIENTS) {
                    let mut socket = session_of(port, &letters(session));
                    // Each text is of a service and a route of its own, and of a shape of its own.
                    let texts = (session * TEXTS..(session + 1) * TEXTS).map(|n| {
                        let name = letters(n);
                        raw::query(&format!(
                            "select 1 from t_{name} /*application='{name}',route='/{name}'*/"
                        ))
                    });
                    socket.write_all(&texts.collect::<Vec<_>>().concat()).expect("written");
                    raw::read_until_ready(&mut socket, TEXTS);
                    socket.write_all(&raw::frame(b'X', &[])).expect("written");
                }
            });
        }
        let_all_in(&server, SESSIONS, TEXTS);
    });
    proxy.settle();
    let (metrics, resident) = (proxy.metrics(), proxy.resident_bytes());
    let series = metrics.sum("pgsonde_exposed_series");
    assert!(series < SERIES_MAX, "{series} series");
    assert!(series > SERIES_MAX / 4.0, "{series} series: the names fill the tables");
    assert!(resident < RESIDENT_MAX_BYTES, "{resident} bytes resident");
    assert!(metrics.sum("pgsonde_label_overflow_total") > 0.0, "and overflow them, which is told");
    let counted = metrics.sum("pgsonde_statements_total");
    let dropped = metrics.sum("pgsonde_events_dropped_total");
    let expected = (SESSIONS * TEXTS) as f64;
    assert_eq!(counted + dropped, expected, "each is in a sum, or counted as lost");
}
