//! What a hostile or broken peer can send on the wire: bytes stay equal, memory stays flat, other sessions go on,
//! the process lives, and what was lost from sight is counted by its reason. Numbers in the names of the tests are
//! the rows of the attack checklist.

use pgsonde_tests::fake_server::{FakeServer, await_opaque, noise, pass, rest, stream};
use pgsonde_tests::{Postgres, Proxy, eventually, raw};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);
const GIB: u64 = 1 << 30;
/// What a session of any frames may add to the resident memory: its buffers, and the allocator's slack.
const SESSION_GROWTH_MAX: u64 = 2 << 20;

fn packet(length: u32, code: u32, rest: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes()[..], &code.to_be_bytes(), rest].concat()
}

fn startup_with(version: u32, parameters: &[u8]) -> Vec<u8> {
    packet(u32::try_from(parameters.len() + 8).expect("short"), version, parameters)
}

/// Sends `bytes` and gives what comes back until the proxy closes.
fn answer_to(proxy: &Proxy, bytes: &[u8]) -> Vec<u8> {
    let mut client = raw::connect(proxy.port());
    // The proxy may close before it has read everything.
    let _closed = client.write_all(bytes);
    rest(&mut client)
}

/// A session that was there before goes on, and a new one is served.
fn assert_others_live(fake: &FakeServer, proxy: &Proxy, other: &mut (TcpStream, TcpStream)) {
    pass(&mut other.0, &mut other.1, &raw::query("select 1"));
    pass(
        &mut other.1,
        &mut other.0,
        &[raw::frame(b'C', b"SELECT 1\0"), raw::frame(b'Z', b"I")].concat(),
    );
    let (mut client, mut server) = fake.session(proxy);
    pass(&mut client, &mut server, &raw::query("select 2"));
}

#[test]
fn row_1_and_2_nothing_hides_behind_an_encryption_request() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let startup = raw::startup();
    for request in [raw::SSL_REQUEST, raw::GSS_ENC_REQUEST] {
        let smuggled = [&request[..], &startup].concat();
        assert_eq!(answer_to(&proxy, &smuggled), b"", "no answer to {request:?} with bytes behind");
        let mut client = raw::connect(proxy.port());
        client.write_all(&request).expect("written");
        let mut byte = [0];
        client.read_exact(&mut byte).expect("the answer");
        assert_eq!(&byte, b"N");
        client.write_all(&request).expect("written");
        assert_eq!(rest(&mut client), b"", "a second {request:?} closes");
    }
    assert!(fake.try_accept(Duration::from_millis(300)).is_none(), "nothing was forwarded");
}

#[test]
fn row_4_impossible_startup_lengths_close_without_a_word() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let before = proxy.resident_bytes();
    let lengths = [0, 1, 3, 4, 5, 6, 7, 10_001, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF];
    for length in lengths {
        for _ in 0..20 {
            let bytes = packet(length, 196_608, b"user\0ann\0\0");
            assert_eq!(answer_to(&proxy, &bytes), b"", "length {length}");
        }
    }
    assert!(fake.try_accept(Duration::from_millis(300)).is_none(), "nothing was forwarded");
    let grown = proxy.resident_bytes().saturating_sub(before);
    assert!(grown < SESSION_GROWTH_MAX, "{grown} bytes: nothing is allocated by length");
}

#[test]
fn row_5_odd_startups_are_forwarded_verbatim() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let many: Vec<u8> = (0..3_000).flat_map(|n| [b'a' + (n % 26) as u8, 0, 0]).collect();
    let mut before_nul = b"user\0ann\0".to_vec();
    before_nul.extend(&many);
    let cases: [(&str, Vec<u8>); 7] = [
        ("without the last NUL", b"user\0ann".to_vec()),
        ("without any NUL", b"userann".to_vec()),
        ("3,000 parameters", [&before_nul[..], b"\0"].concat()),
        ("duplicate keys", b"user\0ann\0user\0bob\0database\0a\0database\0b\0\0".to_vec()),
        ("SQL in options", b"user\0ann\0options\0-c search_path=x;drop table t\0\0".to_vec()),
        ("invalid UTF-8", b"user\0\xff\xfe\0database\0\xc3\x28\0\0".to_vec()),
        ("bytes behind the list", b"user\0ann\0\0trailing".to_vec()),
    ];
    for (name, parameters) in cases {
        let startup = startup_with(196_608, &parameters);
        let (mut client, mut server) = fake.welcome(raw::connect(proxy.port()), &startup);
        pass(&mut client, &mut server, &raw::query("select 1"));
        assert_eq!(proxy.http("/live").0, 200, "{name}");
    }
    assert_eq!(proxy.metrics().sum("pgsonde_opaque_sessions_total"), 0.0);
}

#[test]
fn row_6_a_slow_start_is_closed_and_reaches_no_server() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("pgsonde.toml");
    std::fs::write(&config, "[proxy]\nstartup_timeout = \"1s\"\n").expect("written");
    let fake = FakeServer::start();
    let proxy = fake.proxy(&["--config", &config.display().to_string()]);
    let started = Instant::now();
    let mut client = raw::connect(proxy.port());
    client.set_read_timeout(Some(Duration::from_millis(200))).expect("a limit");
    let end = loop {
        let _sent = client.write_all(&[0]);
        match client.read(&mut [0; 16]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            ended => break ended,
        }
        assert!(started.elapsed() < LIMIT, "a start-up of one byte now and then goes on for ever");
    };
    assert!(!matches!(end, Ok(1..)), "closed without an answer: {end:?}");
    let silent = raw::connect(proxy.port());
    assert_eq!(rest(&mut { silent }), b"", "one who says nothing is closed as well");
    assert!(fake.try_accept(Duration::from_millis(300)).is_none(), "nothing was forwarded");
}

#[test]
fn row_9_announcements_pass_and_so_does_the_answer() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let versions = [("3.9999", 206_607), ("3.1", 196_609), ("3.2", 196_610)];
    for (name, version) in versions {
        let startup = startup_with(version, b"user\0ann\0_pq_.test_protocol_negotiation\0\0\0");
        let mut client = raw::connect(proxy.port());
        client.write_all(&startup).expect("written");
        let mut server = fake.accept();
        let mut seen = vec![0; startup.len()];
        server.read_exact(&mut seen).expect("a start-up");
        assert_eq!(seen, startup, "{name} arrives as it was sent");
        let refusal = raw::frame(b'v', b"\0\0\0\0\0\0\0\x01_pq_.test_protocol_negotiation\0");
        let long_key = raw::frame(b'K', &[&[0, 0, 0, 9][..], &[7; 256]].concat());
        let answer =
            [refusal, raw::frame(b'R', &[0; 4]), long_key, raw::frame(b'Z', b"I")].concat();
        pass(&mut server, &mut client, &answer);
        pass(&mut client, &mut server, &raw::query("select 1"));
    }
    assert_eq!(proxy.metrics().sum("pgsonde_opaque_sessions_total"), 0.0, "all are followed");
    let (mut client, mut server) =
        fake.welcome(raw::connect(proxy.port()), &startup_with(131_072, b"whatever"));
    pass(&mut client, &mut server, &noise(1, 10_000));
    await_opaque(&proxy, "unknown", 1.0);
}

#[test]
fn row_10_cancels_are_forwarded_blindly_and_never_answered() {
    const CODE: u32 = 80_877_102;
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let mut other = fake.session(&proxy);
    for key in [1, 3, 4, 32, 256] {
        let request = packet(12 + key, CODE, &vec![7; 4 + key as usize]);
        let mut client = raw::connect(proxy.port());
        client.write_all(&[&request[..], b"trailing"].concat()).expect("written");
        let mut server = fake.accept();
        let mut seen = vec![0; request.len()];
        server.read_exact(&mut seen).expect("the request");
        assert_eq!(seen, request, "a key of {key} bytes");
        client.set_read_timeout(Some(Duration::from_millis(100))).expect("a limit");
        let early = client.read(&mut [0]);
        assert!(early.is_err(), "open until the server has closed, but: {early:?}");
        server.set_read_timeout(Some(Duration::from_millis(100))).expect("a limit");
        assert!(server.read(&mut [0]).is_err(), "nothing follows the request");
        drop(server);
        assert_eq!(rest(&mut client), b"", "closed, and never answered");
    }
    for (length, key) in [(12, 0), (269, 257), (312, 300)] {
        let request = packet(length, CODE, &vec![7; 4 + key]);
        assert_eq!(answer_to(&proxy, &request), b"", "a key of {key} bytes is closed");
    }
    assert!(fake.try_accept(Duration::from_millis(300)).is_none(), "and not forwarded");
    assert_others_live(&fake, &proxy, &mut other);
}

#[test]
fn row_10_a_flood_of_cancels_takes_no_session_from_anybody() {
    const FLOOD: usize = 300;
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let mut other = fake.session(&proxy);
    let request = packet(16, 80_877_102, &[7; 8]);
    let flood: Vec<TcpStream> = (0..FLOOD)
        .map(|_| {
            let mut client = raw::connect(proxy.port());
            client.write_all(&request).expect("written");
            client
        })
        .collect();
    let waiting: Vec<TcpStream> = (0..16).map(|_| fake.accept()).collect();
    pass(&mut other.0, &mut other.1, &raw::query("select 1"));
    drop((waiting, flood));
    eventually("every cancel is over", LIMIT, || {
        // One that waited for its place may come late.
        while fake.try_accept(Duration::from_millis(300)).is_some() {}
        let open = format!("/proc/{}/fd", proxy.pid());
        let count = std::fs::read_dir(open).expect("the proxy runs").count();
        (count < 60).then_some(())
    });
    let (mut client, mut server) = fake.session(&proxy);
    pass(&mut client, &mut server, &raw::query("select 2"));
}

#[test]
fn row_10_cancels_that_hang_take_no_place_of_a_session() {
    const SESSIONS: usize = 4;
    const FLOOD: usize = 100;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("pgsonde.toml");
    std::fs::write(&config, format!("[proxy]\nmax_connections = {SESSIONS}\n")).expect("written");
    let fake = FakeServer::start();
    let proxy = fake.proxy(&["--config", &config.display().to_string()]);
    let request = packet(16, 80_877_102, &[7; 8]);
    let told = |count: usize| {
        eventually("the cancels are known", LIMIT, || {
            let seen = proxy.metrics().sum("pgsonde_cancel_requests_total");
            (seen >= count as f64).then_some(())
        });
    };
    let mut flood = Vec::new();
    for number in 1..=FLOOD {
        let mut client = raw::connect(proxy.port());
        client.write_all(&request).expect("written");
        flood.push(client);
        if number % SESSIONS == 0 {
            told(number);
        }
    }
    // The server closes none of them: as many as may are forwarded, the others wait.
    let hanging: Vec<TcpStream> = (0..64).map(|_| fake.accept()).collect();
    assert!(fake.try_accept(Duration::from_millis(300)).is_none(), "64 at a time");
    let mut sessions: Vec<_> = (0..SESSIONS).map(|_| fake.session(&proxy)).collect();
    let full = answer_to(&proxy, &raw::startup());
    assert!(full.windows(5).any(|code| code == b"53300"), "the next session has no place");
    drop((hanging, flood));
    let over: Vec<TcpStream> = (64..FLOOD).map(|_| fake.accept()).collect();
    drop(over);
    let mut client = raw::connect(proxy.port());
    client.write_all(&request).expect("written");
    let mut seen = vec![0; request.len()];
    fake.accept().read_exact(&mut seen).expect("it gets through where all places are taken");
    assert_eq!(seen, request);
    for (client, server) in &mut sessions {
        pass(client, server, &raw::query("select 1"));
    }
}

#[test]
fn row_11_impossible_lengths_make_opaque_and_pass() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let mut other = fake.session(&proxy);
    let mut opaque = 0.0;
    for length in [0_u32, 1, 2, 3, 0x8000_0000, 0xFFFF_FFFF] {
        for tag in [b'Q', b'D', b'Z', 0, 255] {
            for from_client in [true, false] {
                let (mut client, mut server) = fake.session(&proxy);
                let (from, to) = match from_client {
                    true => (&mut client, &mut server),
                    false => (&mut server, &mut client),
                };
                let bytes = [&[tag][..], &length.to_be_bytes(), &noise(7, 3_000)].concat();
                pass(from, to, &bytes);
                pass(&mut client, &mut server, &noise(8, 3_000));
                pass(&mut server, &mut client, &noise(9, 3_000));
                opaque += 1.0;
            }
        }
    }
    await_opaque(&proxy, "framing", opaque);
    assert_others_live(&fake, &proxy, &mut other);
}

#[test]
fn row_12_false_counts_and_broken_insides_pass() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let mut other = fake.session(&proxy);
    let ask = raw::query("select 1");
    let parse = raw::frame(b'P', b"\0select $1\0\0\0");
    let describe = raw::frame(b'D', b"S\0");
    let from_server: [(&str, &[u8], Vec<u8>); 8] = [
        ("DataRow with a false count", &ask, raw::frame(b'D', &[0xFF, 0xFF, 0, 0, 0, 1, b'x'])),
        ("DataRow with a cell of 2 GiB", &ask, raw::frame(b'D', &[0, 1, 0x7F, 0xFF, 0xFF, 0xFF])),
        ("RowDescription with a false count", &ask, raw::frame(b'T', &[0xFF, 0xFF, b'a', 0])),
        ("RowDescription without a body", &ask, raw::frame(b'T', b"")),
        ("ParameterDescription, false", &describe, raw::frame(b't', &[0xFF, 0xFF, 0, 0, 0, 23])),
        ("ErrorResponse without C", &ask, raw::frame(b'E', b"SERROR\0Mno code\0\0")),
        ("ErrorResponse without an end", &ask, raw::frame(b'E', b"SERROR\0C42601\0Mtext")),
        ("CommandComplete without NUL", &ask, raw::frame(b'C', b"SELECT 1")),
    ];
    for (name, request, answer) in from_server {
        let (mut client, mut server) = fake.session(&proxy);
        pass(&mut client, &mut server, &[&parse[..], request].concat());
        pass(&mut server, &mut client, &[&raw::frame(b'1', b"")[..], &answer].concat());
        pass(&mut server, &mut client, &noise(3, 2_000));
        assert_eq!(proxy.http("/live").0, 200, "{name}");
    }
    let formats = [b"\0\0\xff\xff".to_vec(), [0, 1].repeat(65_535), vec![0, 0, 0, 0]].concat();
    let from_client = [
        raw::frame(b'B', &formats),
        raw::frame(b'B', b"\0\0\xff\xff"),
        raw::frame(b'B', b"portal without an end"),
        raw::frame(b'P', b"no end"),
        raw::frame(b'Q', b"no end"),
        raw::frame(b'E', b""),
        raw::frame(b'D', b"X\0"),
        raw::frame(b'C', b""),
        raw::frame(b'F', b"\0"),
    ];
    for bytes in from_client {
        let (mut client, mut server) = fake.session(&proxy);
        pass(&mut client, &mut server, &bytes);
        pass(&mut client, &mut server, &noise(4, 2_000));
        pass(&mut server, &mut client, &noise(5, 2_000));
    }
    assert_others_live(&fake, &proxy, &mut other);
}

/// A frame of 1 GiB in one direction of a session that is prepared by `before`.
fn giant(tag: u8, from_client: bool, before: &[u8], answer: &[u8]) {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let mut other = fake.session(&proxy);
    let (mut client, mut server) = fake.session(&proxy);
    if !before.is_empty() {
        pass(&mut client, &mut server, before);
        pass(&mut server, &mut client, answer);
    }
    // The first buffers are made by then.
    let resident = proxy.resident_bytes();
    let header = [&[tag][..], &u32::try_from(GIB).expect("32 bit").to_be_bytes()].concat();
    let (from, to) =
        if from_client { (&mut client, &mut server) } else { (&mut server, &mut client) };
    let peak = stream(&proxy, from, to, &header, GIB + 1);
    let grown = peak.saturating_sub(resident);
    assert!(grown < SESSION_GROWTH_MAX, "{grown} bytes more for a frame of 1 GiB");
    assert_others_live(&fake, &proxy, &mut other);
}

#[test]
fn row_13_a_query_of_1_gib_leaves_memory_flat() {
    giant(b'Q', true, b"", b"");
}

#[test]
fn row_13_a_row_of_1_gib_leaves_memory_flat() {
    giant(b'D', false, &raw::query("select 1"), &raw::frame(b'T', &[0, 0]));
}

#[test]
fn row_13_copy_data_of_1_gib_leaves_memory_flat() {
    giant(b'd', true, &raw::query("copy t from stdin"), &raw::frame(b'G', &[0, 0, 0]));
}

#[test]
fn row_14_a_message_hidden_in_a_wrapped_length_is_no_frame_for_us() {
    // A driver that computes lengths in 32 bits sends a small length before a huge value; what lies in the value is
    // then read as frames by everybody on the wire. We see what the server sees, and pass it on.
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, &[]);
    let mut client = raw::session(proxy.port());
    let hidden = raw::query("select 'smuggled_by_wrap'");
    let wrapped = [&raw::query("select 'outer_of_wrap'")[..], &hidden].concat();
    client.write_all(&wrapped).expect("written");
    raw::read_until_ready(&mut client, 2);
    proxy.settle();
    assert_eq!(proxy.books()["statements"], 2, "as the server saw it: {}", proxy.books());
}

#[test]
fn row_15_no_descriptors_left_and_back_again() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    // What is open now, and room for a few sessions (two sockets each).
    let open = std::fs::read_dir(format!("/proc/{}/fd", proxy.pid())).expect("/proc").count();
    let limit = format!("{0}:{0}", open + 24);
    let mut prlimit = std::process::Command::new("prlimit");
    prlimit.args(["--pid", &proxy.pid().to_string(), &format!("--nofile={limit}")]);
    pgsonde_tests::run_ok(&mut prlimit, "", LIMIT);
    let (mut client, mut server) = fake.session(&proxy);
    let crowd: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut client = raw::connect(proxy.port());
            // Some are closed at once.
            let _closed = client.write_all(&raw::startup());
            client
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    pass(&mut client, &mut server, &raw::query("select 1"));
    drop(crowd);
    eventually("new sessions are served again", LIMIT, || {
        while fake.try_accept(Duration::from_millis(1)).is_some() {}
        let mut client = raw::connect(proxy.port());
        client.write_all(&raw::startup()).ok()?;
        let mut server = fake.try_accept(Duration::from_secs(1))?;
        server.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        let mut seen = vec![0; raw::startup().len()];
        server.read_exact(&mut seen).ok()?;
        (seen == raw::startup()).then_some(())
    });
    pass(&mut client, &mut server, &raw::query("select 3"));
}

#[test]
fn row_16_endless_asides_of_the_server_are_streamed() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let (mut client, mut server) = fake.session(&proxy);
    let value = vec![b'v'; 1 << 20];
    let resident = proxy.resident_bytes();
    let asides = [
        raw::frame(b'S', &[b"application_name\0", &value[..], b"\0"].concat()),
        raw::frame(b'S', &[&value[..], b"\0x\0"].concat()),
        raw::frame(b'N', &[b"SNOTICE\0M", &value[..], b"\0\0"].concat()),
        raw::frame(b'A', &[b"\0\0\0\x01news\0", &value[..], b"\0"].concat()),
        raw::frame(b'N', b"").repeat(20_000),
    ];
    for _ in 0..20 {
        asides.iter().for_each(|aside| pass(&mut server, &mut client, aside));
    }
    let grown = proxy.resident_bytes().saturating_sub(resident);
    assert!(grown < SESSION_GROWTH_MAX, "{grown} bytes more");
    assert_eq!(proxy.metrics().sum("pgsonde_opaque_sessions_total"), 0.0, "and stay followed");
    pass(&mut client, &mut server, &raw::query("select 1"));
}

#[test]
fn row_17_and_18_a_million_names_are_capped_and_counted() {
    const NAMES: usize = 1_000_000;
    const FLIGHT: usize = 2_000;
    const GROWTH_MAX: u64 = 48 << 20;
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let (mut client, mut server) = fake.session(&proxy);
    let resident = proxy.resident_bytes();
    for flight in 0..NAMES / FLIGHT {
        let names =
            (0..FLIGHT).map(|n| format!("a_rather_long_name_of_a_statement_{flight}_{n}\0"));
        let frames = names.flat_map(|name| {
            let bound = [name.as_bytes(), name.as_bytes(), b"\0\0\0\0\0\0"].concat();
            let parsed = [name.as_bytes(), b"select 1 from named\0\0\0"].concat();
            [raw::frame(b'P', &parsed), raw::frame(b'B', &bound)].concat()
        });
        let mut frames: Vec<u8> = frames.collect();
        frames.extend(raw::frame(b'S', b""));
        pass(&mut client, &mut server, &frames);
        let done = [raw::frame(b'1', b""), raw::frame(b'2', b"")].concat().repeat(FLIGHT);
        pass(&mut server, &mut client, &[&done[..], &raw::frame(b'Z', b"T")].concat());
    }
    let grown = proxy.resident_bytes().saturating_sub(resident);
    assert!(grown < GROWTH_MAX, "{grown} bytes more for a million names");
    let last = format!("a_rather_long_name_of_a_statement_{}_{}\0", NAMES / FLIGHT - 1, FLIGHT - 1);
    let execute = raw::frame(b'E', &[last.as_bytes(), &[0; 4]].concat());
    pass(&mut client, &mut server, &[execute, raw::frame(b'S', b"")].concat());
    let done = [raw::frame(b'C', b"SELECT 1\0"), raw::frame(b'Z', b"I")].concat();
    pass(&mut server, &mut client, &done);
    proxy.settle();
    assert_eq!(proxy.books()["untracked"], 1, "beyond the cap it has no text: {}", proxy.books());
    assert_eq!(proxy.metrics().sum("pgsonde_opaque_sessions_total"), 0.0);
}

#[test]
fn row_18_a_queue_of_requests_without_answers_is_capped() {
    const REQUESTS: usize = 200_000;
    const GROWTH_MAX: u64 = 48 << 20;
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let mut other = fake.session(&proxy);
    let (mut client, mut server) = fake.session(&proxy);
    let resident = proxy.resident_bytes();
    let one = [
        raw::frame(b'B', b"\0\0\0\0\0\x01\0\0\0\x04\0\0\0\x05\0\0"),
        raw::frame(b'E', b"\0\0\0\0\0"),
        raw::frame(b'S', b""),
    ]
    .concat();
    pass(&mut client, &mut server, &one.repeat(REQUESTS));
    let grown = proxy.resident_bytes().saturating_sub(resident);
    assert!(grown < GROWTH_MAX, "{grown} bytes more");
    await_opaque(&proxy, "memory", 1.0);
    assert_others_live(&fake, &proxy, &mut other);
}

#[test]
fn row_18_many_queues_of_requests_share_one_budget() {
    const SESSIONS: usize = 24;
    const REQUESTS: usize = 60_000;
    // The budget of the process, its queues' last doubling, and the allocator's slack.
    const GROWTH_MAX: u64 = 224 << 20;
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let mut other = fake.session(&proxy);
    let mut sessions: Vec<_> = (0..SESSIONS).map(|_| fake.session(&proxy)).collect();
    let resident = proxy.resident_bytes();
    let unanswered = raw::frame(b'P', b"\0\0\0\0").repeat(REQUESTS);
    for (client, server) in &mut sessions {
        pass(client, server, &unanswered);
    }
    let grown = proxy.resident_bytes().saturating_sub(resident);
    assert!(grown < GROWTH_MAX, "{grown} bytes more for {SESSIONS} full queues");
    let opaque =
        || proxy.metrics().matching("pgsonde_opaque_sessions_total", &["reason=\"memory\""]);
    let lost = opaque();
    println!("{grown} bytes more, {lost} of {SESSIONS} sessions forwarded unseen");
    assert!(lost >= 1.0 && lost < SESSIONS as f64, "the first are followed, the last not: {lost}");
    for (client, server) in &mut sessions {
        pass(client, server, &noise(1, 10_000));
    }
    assert_others_live(&fake, &proxy, &mut other);
    drop(sessions);
    eventually("what they held is there for others", LIMIT, || {
        let before = opaque();
        let (mut client, mut server) = fake.session(&proxy);
        pass(&mut client, &mut server, &unanswered);
        (opaque() == before).then_some(())
    });
}

#[test]
fn row_20_monstrous_sasl_passes_untouched() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let mechanisms = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0".repeat(5_000);
    let lists = [
        [&[0, 0, 0, 10][..], &mechanisms, b"\0"].concat(),
        [&[0, 0, 0, 10][..], b"SCRAM-SHA-256-PLUS without an end"].concat(),
        [&[0, 0, 0, 11][..], b"r=", &vec![b'n'; 1 << 20], b",s=c2FsdA==,i=2147483648"].concat(),
        vec![0, 0],
        vec![],
    ];
    for list in lists {
        let mut client = raw::connect(proxy.port());
        client.write_all(&raw::startup()).expect("written");
        let mut server = fake.accept();
        let mut seen = vec![0; raw::startup().len()];
        server.read_exact(&mut seen).expect("a start-up");
        pass(&mut server, &mut client, &raw::frame(b'R', &list));
        pass(&mut client, &mut server, &raw::frame(b'p', &noise(6, 100_000)));
        pass(&mut server, &mut client, &raw::frame(b'R', &[0; 4]));
        pass(&mut server, &mut client, &raw::frame(b'Z', b"I"));
    }
    let mut client = raw::connect(proxy.port());
    client.write_all(&raw::startup()).expect("written");
    let mut server = fake.accept();
    let mut seen = vec![0; raw::startup().len()];
    server.read_exact(&mut seen).expect("a start-up");
    let resident = proxy.resident_bytes();
    let header = [&b"R"[..], &u32::try_from(GIB).expect("32 bit").to_be_bytes(), &[0, 0, 0, 11]];
    let peak = stream(&proxy, &mut server, &mut client, &header.concat(), GIB + 1);
    assert!(peak.saturating_sub(resident) < SESSION_GROWTH_MAX, "a nonce of 1 GiB: {peak}");
}
