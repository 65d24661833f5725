//! Faults to survive: nothing hangs, the process lives, other sessions go on, and every loss is counted.
//!
//! Each fault strikes `PGSONDE_FAULT_ROUNDS` times: 3 by default, 20 in `make soak`.

use pgsonde_tests::fake_server::{FakeServer, LIMIT, await_opaque, noise, pass, rest};
use pgsonde_tests::random::Random;
use pgsonde_tests::{Options, Postgres, Proxy, eventually, free_port, paths, process, raw};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a peer may wait beyond the fault before it notices.
const NOTICE_LIMIT: Duration = Duration::from_secs(5);
/// What one session may hold for a client that doesn't read.
const SLOW_SESSION_BYTES_MAX: u64 = 256 << 10;
/// What the allocator may take besides.
const ALLOCATOR_SLACK_BYTES: u64 = 2 << 20;

fn rounds() -> usize {
    std::env::var("PGSONDE_FAULT_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

fn done() -> Vec<u8> {
    [raw::frame(b'C', b"SELECT 1\0"), raw::frame(b'Z', b"I")].concat()
}

fn converse(client: &mut TcpStream, server: &mut TcpStream) {
    pass(client, server, &raw::query("select 1"));
    pass(server, client, &done());
}

/// Closing with unread bytes resets the connection: waits until there are some.
fn reset(socket: TcpStream) {
    let mut byte = [0];
    assert_eq!(socket.peek(&mut byte).expect("something lies there unread"), 1);
    drop(socket);
}

fn timed_rest(socket: &mut TcpStream) -> Vec<u8> {
    let started = Instant::now();
    let bytes = rest(socket);
    assert!(started.elapsed() < NOTICE_LIMIT, "noticed after {:?}", started.elapsed());
    bytes
}

#[test]
fn a_server_that_is_killed_and_comes_back() {
    let port = free_port();
    let options = Options { port: Some(port), ..Options::default() };
    let postgres = Postgres::with(&options);
    let proxy = Proxy::start(&postgres, &[]);
    let idle = raw::session(proxy.port());
    let mut busy = raw::session(proxy.port());
    busy.write_all(&raw::query("select pg_sleep(60)")).expect("written");
    let sleeping = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
    eventually("the statement runs", LIMIT, || {
        (postgres.psql_ok(port, sleeping) == "1").then_some(())
    });
    let backends = "select string_agg(pid::text, ' ') from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()";
    let backends = postgres.psql_ok(port, backends);
    let postmaster = postgres.psql_ok(port, "select pg_read_file('postmaster.pid', 0, 20)");
    let postmaster = postmaster.lines().next().expect("the first line is the pid");
    process::signal("KILL", &format!("{postmaster} {backends}"));
    let words = timed_rest(&mut busy);
    assert!(String::from_utf8_lossy(&words).contains("C08006\0"), "who waits is told: {words:?}");
    let words = timed_rest(&mut { idle });
    let words = String::from_utf8_lossy(&words);
    // A backend that sees its postmaster die before it is killed itself has a last word, which passes.
    let passed = words.is_empty() || words.contains("unexpected postmaster exit");
    assert!(passed, "an idle client just gets the close: {words}");
    drop(postgres);
    let postgres = Postgres::with(&options);
    assert_eq!(postgres.psql_ok(proxy.port(), "select 1"), "1", "the same proxy serves again");
    assert_eq!(proxy.stop(), 0);
}

#[test]
fn a_server_that_dies_is_survived_each_time() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let mut other = fake.session(&proxy);
    for _ in 0..rounds() {
        let (mut client, mut server) = fake.session(&proxy);
        pass(&mut client, &mut server, &raw::query("select 1"));
        drop(server);
        let words = String::from_utf8_lossy(&timed_rest(&mut client)).into_owned();
        assert!(words.contains("C08006\0"), "{words:?}");

        let (mut client, mut server) = fake.session(&proxy);
        let fatal = raw::frame(b'E', b"SFATAL\0VFATAL\0C57P01\0Mgone\0\0");
        server.write_all(&fatal).expect("written");
        drop(server);
        assert_eq!(timed_rest(&mut client), fatal, "the server's own last words, and no others");
        converse(&mut other.0, &mut other.1);
    }
}

#[test]
fn sigterm_lets_statements_end_and_cuts_what_does_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("pgsonde.toml");
    std::fs::write(&config, "[proxy]\ndrain_timeout = \"3s\"\n").expect("written");
    let fake = FakeServer::start();
    let proxy = fake.proxy(&["--config", &config.display().to_string()]);
    let (mut ends, mut ends_server) = fake.session(&proxy);
    pass(&mut ends, &mut ends_server, &raw::query("select 1"));
    let (mut hangs, mut hangs_server) = fake.session(&proxy);
    pass(&mut hangs, &mut hangs_server, &raw::query("select 2"));
    process::signal("TERM", &proxy.pid().to_string());
    eventually("the listener is closed", LIMIT, || {
        TcpStream::connect(("127.0.0.1", proxy.port())).is_err().then_some(())
    });
    ends_server.write_all(&done()).expect("written");
    let words = timed_rest(&mut ends);
    assert!(words.starts_with(&done()), "first the whole answer: {words:?}");
    let words = String::from_utf8_lossy(&words[done().len()..]).into_owned();
    assert!(words.contains("C57P01\0"), "then the goodbye: {words:?}");
    let started = Instant::now();
    let cut = rest(&mut hangs);
    assert!(started.elapsed() < Duration::from_secs(3) + NOTICE_LIMIT, "{:?}", started.elapsed());
    assert!(cut.is_empty() || String::from_utf8_lossy(&cut).contains("C57P01\0"), "{cut:?}");
    assert_eq!(rest(&mut hangs_server).first().copied().unwrap_or(b'X'), b'X');
    assert_eq!(proxy.stop(), 0);
}

#[test]
fn sigkill_of_the_proxy_is_seen_by_both_sides() {
    let fake = FakeServer::start();
    for _ in 0..rounds() {
        let proxy = fake.proxy(&[]);
        let mut sessions: Vec<_> = (0..5).map(|_| fake.session(&proxy)).collect();
        let (client, server) = &mut sessions[0];
        pass(client, server, &raw::query("select 1"));
        process::signal("KILL", &proxy.pid().to_string());
        for (mut client, mut server) in sessions {
            assert_eq!(timed_rest(&mut client), b"");
            assert_eq!(timed_rest(&mut server), b"");
        }
    }
}

/// Writes rows until the other side takes no more, and gives what was taken.
fn fill(server: &mut TcpStream) -> Vec<u8> {
    const HELD_BACK_MAX: usize = 256 << 20;
    server.set_write_timeout(Some(Duration::from_millis(200))).expect("a limit");
    let row = raw::frame(b'D', &[&[0, 1, 0, 0, 0x40, 0][..], &[b'x'; 0x4000]].concat());
    let mut sent: Vec<u8> = Vec::new();
    loop {
        match server.write(&row[sent.len() % row.len()..]) {
            Ok(taken) => {
                let from = sent.len() % row.len();
                sent.extend(&row[from..from + taken]);
            }
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
                return sent;
            }
        }
        assert!(sent.len() < HELD_BACK_MAX, "the server is held back");
    }
}

#[test]
fn slow_clients_hold_their_servers_back_and_not_our_memory() {
    const SLOW: usize = 12;
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let mut sessions: Vec<_> = (0..SLOW).map(|_| fake.session(&proxy)).collect();
    for (client, server) in &mut sessions {
        pass(client, server, &raw::query("select big"));
    }
    let resident = proxy.resident_bytes();
    let sent: Vec<Vec<u8>> = sessions.iter_mut().map(|(_, server)| fill(server)).collect();
    let grown = proxy.resident_bytes().saturating_sub(resident);
    let allowed = SLOW as u64 * SLOW_SESSION_BYTES_MAX + ALLOCATOR_SLACK_BYTES;
    assert!(grown < allowed, "{grown} bytes more for {SLOW} clients that read nothing");
    for ((client, _), sent) in sessions.iter_mut().zip(&sent) {
        for kilobyte in sent.chunks(1_024).take(3) {
            let mut seen = [0; 1_024];
            client.read_exact(&mut seen).expect("it reads a little");
            assert_eq!(seen, kilobyte);
        }
        let mut seen = vec![0; sent.len() - 3 * 1_024];
        client.read_exact(&mut seen).expect("and then everything");
        assert!(seen == sent[3 * 1_024..], "unchanged");
    }
}

#[test]
fn half_closed_streams_still_answer() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    for _ in 0..rounds() {
        let (mut client, mut server) = fake.session(&proxy);
        pass(&mut client, &mut server, &raw::query("select 1"));
        client.shutdown(Shutdown::Write).expect("half closed");
        assert_eq!(timed_rest(&mut server), b"", "the end of one direction passes");
        pass(&mut server, &mut client, &done());
        pass(&mut server, &mut client, &noise(1, 100_000));
        drop(server);
        timed_rest(&mut client);
    }
}

/// Closes a connection without a word, as a machine does that loses its power: sockets in repair mode (Linux's
/// `TCP_REPAIR`, 19) send neither FIN nor RST. False where the kernel doesn't let us.
fn vanish(socket: TcpStream) -> bool {
    let repair = "import socket; socket.socket(fileno=0).setsockopt(socket.IPPROTO_TCP, 19, 1)";
    // The command keeps the socket open until the child has changed it.
    let mut command = Command::new(paths::python());
    command.args(["-c", repair]).stdin(OwnedFd::from(socket)).stderr(Stdio::null());
    command.status().expect("python runs").success()
}

#[test]
fn peers_that_vanish_without_a_word_are_found() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("pgsonde.toml");
    std::fs::write(&config, "[proxy]\ntcp_keepalive = \"5s\"\n").expect("written");
    let fake = FakeServer::start();
    let proxy = fake.proxy(&["--config", &config.display().to_string()]);
    let mut other = fake.session(&proxy);
    for _ in 0..rounds() {
        let (client, mut server) = fake.session(&proxy);
        if !vanish(client) {
            assert!(std::env::var_os("CI").is_none(), "no socket may be put into repair mode");
            eprintln!("skipped: TCP_REPAIR");
            return;
        }
        assert_eq!(timed_rest(&mut server), b"", "an idle session of a client that is gone ends");

        let (mut client, mut server) = fake.session(&proxy);
        pass(&mut client, &mut server, &raw::query("select 1"));
        assert!(vanish(server));
        let words = String::from_utf8_lossy(&timed_rest(&mut client)).into_owned();
        assert!(words.contains("C08006\0"), "who waits for a server that is gone is told: {words}");
        converse(&mut other.0, &mut other.1);
    }
}

#[test]
fn a_storm_of_resets_leaves_nothing_behind() {
    const STORM: usize = 200;
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let mut other = fake.session(&proxy);
    let descriptors =
        || std::fs::read_dir(format!("/proc/{}/fd", proxy.pid())).expect("the proxy runs").count();
    let before = descriptors();
    for number in 0..STORM {
        let (client, mut server) = fake.session(&proxy);
        server.write_all(&raw::frame(b'N', b"S\0\0")).expect("written");
        reset(client);
        if number % 10 == 0 {
            assert_eq!(timed_rest(&mut server), b"", "the server sees the end");
        }
    }
    eventually("all sockets are given back", LIMIT, || (descriptors() <= before).then_some(()));
    converse(&mut other.0, &mut other.1);
}

#[test]
fn a_reset_inside_a_row_gets_no_words_of_ours() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    for round in 0..rounds() {
        let (mut client, mut server) = fake.session(&proxy);
        pass(&mut client, &mut server, &raw::query("select 1"));
        let row = raw::frame(b'D', b"\0\x01\0\0\0\x10half of the cell");
        let half = &row[..1 + round % (row.len() - 1)];
        pass(&mut server, &mut client, half);
        client.write_all(&raw::query("select 2")).expect("written");
        reset(server);
        assert_eq!(timed_rest(&mut client), b"", "nothing is put into the middle of a frame");
    }
}

/// Ways to break a frame.
const MUTATIONS: usize = 10;

fn mutation(which: usize, frame: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    let with_length = |length: u32| [&frame[..1], &length.to_be_bytes(), &frame[5..]].concat();
    match which {
        0 => with_length(3),
        1 => with_length(u32::MAX),
        2 => with_length(0),
        3 => with_length(u32::try_from(frame.len() - 1).expect("short").saturating_sub(1)),
        4 => with_length(1_000),
        5 => {
            bytes[0] = random.byte();
            bytes
        }
        6 => bytes[..bytes.len() - 1].to_vec(),
        7 => raw::frame(frame[0], &noise(random.bits(), 40)),
        8 => raw::frame(frame[0], b""),
        _ => noise(random.bits(), 64),
    }
}

/// Each state of the tracker, as what was said so far, and a frame for each side that would fit now.
fn states() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let parse = raw::frame(b'P', b"\0select $1\0\0\0");
    let bind = raw::frame(b'B', b"\0\0\0\0\0\x01\0\0\0\x01x\0\0");
    let execute = |rows: u8| raw::frame(b'E', &[0, 0, 0, 0, rows]);
    let sync = raw::frame(b'S', b"");
    let (parsed, bound) = (raw::frame(b'1', b""), raw::frame(b'2', b""));
    let row = raw::frame(b'D', &[0, 1, 0, 0, 0, 1, b'x']);
    let error = raw::frame(b'E', b"SERROR\0VERROR\0C22012\0Mzero\0\0");
    let columns = raw::frame(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
    let query = raw::query("select 1");
    let begun = [raw::frame(b'C', b"BEGIN\0"), raw::frame(b'Z', b"T")].concat();
    let all = [parse.clone(), bind.clone(), execute(0), sync.clone()].concat();
    vec![
        ("idle", vec![], vec![]),
        ("asked", query.clone(), vec![]),
        ("in rows", query.clone(), [columns, row.clone()].concat()),
        ("parse sent", parse.clone(), vec![]),
        ("parsed", [parse.clone(), bind.clone()].concat(), parsed.clone()),
        ("executing", all.clone(), [parsed.clone(), bound.clone(), row.clone()].concat()),
        (
            "suspended",
            [&parse[..], &bind, &execute(1), &sync].concat(),
            [&parsed[..], &bound, &row, &raw::frame(b's', b""), &raw::frame(b'Z', b"T")].concat(),
        ),
        ("skipping", [parse, bind, execute(0)].concat(), error.clone()),
        ("copy in", raw::query("copy t from stdin"), raw::frame(b'G', &[0, 0, 0])),
        ("copy out", raw::query("copy t to stdout"), raw::frame(b'H', &[0, 0, 0])),
        ("in transaction", raw::query("begin"), begun),
        ("failed", query.clone(), [error, raw::frame(b'Z', b"E")].concat()),
        ("function call", raw::frame(b'F', &[0, 0, 4, 0, 0, 0, 0, 0, 0, 0]), vec![]),
        ("pipelined", [all.clone(), query, all].concat(), [parsed, bound].concat()),
    ]
}

#[test]
fn a_malformed_frame_in_any_state_from_either_side_passes() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let mut other = fake.session(&proxy);
    let mut random = Random::new(42);
    let client_frames = [raw::query("select 3"), raw::frame(b'B', b"\0\0\0\0\0\0\0\0")];
    let server_frames =
        [raw::frame(b'C', b"SELECT 1\0"), raw::frame(b'D', &[0, 1, 0, 0, 0, 1, b'y'])];
    for (state, asked, answered) in states() {
        for which in 0..MUTATIONS {
            for from_client in [true, false] {
                let (mut client, mut server) = fake.session(&proxy);
                pass(&mut client, &mut server, &asked);
                pass(&mut server, &mut client, &answered);
                let frames = if from_client { &client_frames } else { &server_frames };
                let broken = mutation(which, random.pick::<Vec<u8>>(frames), &mut random);
                let (from, to) = match from_client {
                    true => (&mut client, &mut server),
                    false => (&mut server, &mut client),
                };
                pass(from, to, &broken);
                pass(&mut client, &mut server, &noise(which as u64, 500));
                pass(&mut server, &mut client, &noise(which as u64, 500));
            }
        }
        assert_eq!(proxy.http("/live").0, 200, "{state}");
    }
    converse(&mut other.0, &mut other.1);
    let opaque = || proxy.metrics().sum("pgsonde_opaque_sessions_total");
    let sessions = (states().len() * MUTATIONS * 2) as f64;
    assert!(opaque() > sessions / 4.0, "most are noticed: {} of {sessions}", opaque());
    assert!(opaque() <= sessions, "and none twice: {} of {sessions}", opaque());
    let (mut client, mut server) = fake.session(&proxy);
    let framing =
        || proxy.metrics().matching("pgsonde_opaque_sessions_total", &["reason=\"framing\""]);
    let before = framing();
    pass(&mut server, &mut client, &done());
    await_opaque(&proxy, "framing", before + 1.0);
}

/// Answers every Query with a completion, until the client ends.
fn answer_all(mut server: TcpStream) {
    let mut reader = std::io::BufReader::new(server.try_clone().expect("a second handle"));
    let mut body = Vec::new();
    loop {
        let mut head = [0; 5];
        if reader.read_exact(&mut head).is_err() {
            return;
        }
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        body.resize(length - 4, 0);
        if reader.read_exact(&mut body).is_err() || server.write_all(&done()).is_err() {
            return;
        }
    }
}

#[test]
fn an_analyzer_that_cannot_follow_costs_records_that_are_counted() {
    const SESSIONS: usize = 4;
    const STATEMENTS: usize = 10_000;
    const FLIGHT: usize = 200;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("pgsonde.toml");
    std::fs::write(&config, "[profile]\nqueue_batches = 64\n").expect("written");
    let fake = FakeServer::start();
    let proxy = fake.proxy(&["--config", &config.display().to_string()]);
    std::thread::scope(|scope| {
        for number in 0..SESSIONS {
            let (mut client, server) = fake.session(&proxy);
            scope.spawn(move || answer_all(server));
            scope.spawn(move || {
                for flight in 0..STATEMENTS / FLIGHT {
                    // New texts that have to be parsed keep the analyzer busy.
                    let texts = (0..FLIGHT).map(|n| {
                        let name = format!("t{number}_{flight}_{n}").replace(char::is_numeric, "x");
                        let columns: String =
                            (0..60).map(|c| format!("c{c}_{name}{n}, ")).collect();
                        raw::query(&format!("select {columns} 1 from {name}{n}_{flight}"))
                    });
                    client.write_all(&texts.collect::<Vec<_>>().concat()).expect("written");
                    raw::read_until_ready(&mut client, FLIGHT);
                }
            });
        }
    });
    eventually("each is counted, or counted as dropped", Duration::from_secs(120), || {
        let dropped = proxy.metrics().sum("pgsonde_events_dropped_total");
        let counted = proxy.books()["statements"].as_u64().expect("a number") as f64;
        println!("{counted} counted, {dropped} dropped");
        (counted + dropped == (SESSIONS * STATEMENTS) as f64).then_some(())
    });
    let (mut client, mut server) = fake.session(&proxy);
    converse(&mut client, &mut server);
}
