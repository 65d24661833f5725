//! Faults of the machine that the proxy stands on: a clock that jumps, little memory, a crowd at the door.

use pgsonde_tests::fake_server::{FakeServer, pass, rest};
use pgsonde_tests::{Proxy, eventually, paths, raw};
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

fn done() -> Vec<u8> {
    [raw::frame(b'C', b"SELECT 1\0"), raw::frame(b'Z', b"I")].concat()
}

/// What lies between two statements of the wall clock's adventures.
const JUMPS: [&str; 6] = ["+3600", "-3600", "-86400", "+0", "+86400", "+0"];

/// The preloaded library that bends the wall clock, where it is installed.
fn faketime() -> Option<PathBuf> {
    let folders =
        ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    let files = folders.iter().map(|folder| Path::new(folder).join("faketime/libfaketime.so.1"));
    files.into_iter().find(|file| file.exists())
}

/// A proxy whose wall clock is off by what the file says, and whose monotonic clock is the machine's.
fn with_bent_clock(library: &Path, file: &Path, upstream: &str) -> Proxy {
    let program = paths::pgsonde();
    let config = file.with_extension("toml");
    std::fs::write(&config, "[proxy]\nmax_connections = 10\n").expect("written");
    let preload = format!("LD_PRELOAD={}", library.display());
    let offset = format!("FAKETIME_TIMESTAMP_FILE={}", file.display());
    let args = [
        &preload,
        &offset,
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        "DONT_FAKE_MONOTONIC=1",
        program.to_str().expect("UTF-8"),
        "proxy",
        "--upstream",
        upstream,
        "--config",
        config.to_str().expect("UTF-8"),
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ];
    Proxy::started(Path::new("/usr/bin/env"), &args)
}

#[test]
fn a_wall_clock_that_jumps_changes_no_duration() {
    const RELOADED: &str = "pgsonde_config_last_reload_success_timestamp_seconds";
    let Some(library) = faketime() else {
        assert!(std::env::var_os("CI").is_none(), "libfaketime is missing");
        eprintln!("skipped: libfaketime");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("offset");
    std::fs::write(&file, "+0").expect("written");
    let fake = FakeServer::start();
    let proxy = with_bent_clock(&library, &file, &fake.upstream());
    let (mut client, mut server) = fake.session(&proxy);
    let before = proxy.metrics().sum(RELOADED);
    for jump in JUMPS {
        // In the midst of a statement, and while the session rests.
        pass(&mut client, &mut server, &raw::query("select 1 from bent_time"));
        std::fs::write(&file, jump).expect("written");
        pass(&mut server, &mut client, &done());
        if jump == "-86400" {
            proxy.signal("HUP");
            eventually("the proxy's wall clock has jumped", LIMIT, || {
                (proxy.metrics().sum(RELOADED) < before - 80_000.0).then_some(())
            });
        }
    }
    proxy.settle();
    let metrics = proxy.metrics();
    let counted = metrics.sum("pgsonde_statement_duration_seconds_count");
    assert_eq!(counted, JUMPS.len() as f64, "each is timed: {}", proxy.books());
    let total = metrics.sum("pgsonde_statement_duration_seconds_sum");
    assert!((0.0..1_800.0).contains(&total), "no hour and no day in {total} s of durations");
    let statements = proxy.api("statements?limit=10");
    let longest = statements["items"][0]["max_ms"].as_f64().expect("a maximum");
    assert!((0.0..1_800_000.0).contains(&longest), "{statements}");
    for path in ["summary", "series", "findings"] {
        proxy.api(path);
    }
    assert_eq!(proxy.stop(), 0);
}

/// Where statements are carried and timed, nobody asks for the wall clock; tests can't bend it everywhere.
#[test]
fn the_path_of_the_bytes_never_reads_the_wall_clock() {
    let root = paths::workspace();
    let folders =
        ["proxy/src/hot", "proxy/src/tls", "proxy/src/server", "proxy/wire/src", "analyzer/src"];
    let files = [
        "session",
        "worker",
        "listener",
        "negotiation",
        "upstream",
        "analysis",
        "stream",
        "server",
    ];
    let files = files.iter().map(|name| root.join(format!("proxy/src/{name}.rs")));
    let all = folders.iter().flat_map(|folder| sources(&root.join(folder))).chain(files);
    let mut seen = 0;
    for path in all {
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert!(!text.contains("SystemTime"), "{} reads the wall clock", path.display());
        seen += 1;
    }
    assert!(seen > 50, "only {seen} files were read");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

fn configured(fake: &FakeServer, folder: &Path, text: &str) -> Proxy {
    let config = folder.join("pgsonde.toml");
    std::fs::write(&config, text).expect("written");
    fake.proxy(&["--config", &config.display().to_string()])
}

/// Texts that differ in meaning, with a name of letters that is `number`.
fn text(session: usize, number: usize) -> String {
    let letters = |mut n: usize| {
        let mut name = String::new();
        while n > 0 {
            name.push(char::from(b'a' + u8::try_from(n % 26).expect("below 26")));
            n /= 26;
        }
        name
    };
    let columns = ["a_column_of_it"; 8].join(", ");
    format!("select {columns} from t_{}_{}", letters(session + 1), letters(number + 1))
}

/// A flight of statements with texts of their own, and each answered.
fn flight(
    client: &mut TcpStream,
    server: &mut TcpStream,
    session: usize,
    from: usize,
    count: usize,
) {
    let queries: Vec<u8> =
        (from..from + count).flat_map(|n| raw::query(&text(session, n))).collect();
    pass(client, server, &queries);
    pass(server, client, &done().repeat(count));
}

/// A container with 128 MiB kills what grows above it, so nothing may: not by sessions, not by what they say.
#[test]
fn a_machine_with_128_mib_refuses_new_sessions_and_keeps_old_ones() {
    const MEMORY: u64 = 128 << 20;
    const SESSIONS: usize = 300;
    const FLIGHT: usize = 100;
    let fake = FakeServer::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = format!(
        "[proxy]\nmax_connections = {SESSIONS}\n[profile]\nmemory_limit = '32MiB'\nqueue_batches = 64\nmax_digests = 1000\n"
    );
    let proxy = configured(&fake, folder.path(), &text);
    let mut sessions: Vec<_> = (0..SESSIONS).map(|_| fake.session(&proxy)).collect();
    let mut peak = proxy.resident_bytes();
    for round in 0..2 {
        for (number, (client, server)) in sessions.iter_mut().enumerate() {
            flight(client, server, number, round * FLIGHT, FLIGHT);
            if number % 20 == 0 {
                peak = peak.max(proxy.resident_bytes());
            }
        }
    }
    let mut refused = raw::connect(proxy.port());
    refused.write_all(&raw::startup()).expect("written");
    let answer = rest(&mut refused);
    assert!(answer.windows(5).any(|code| code == b"53300"), "{answer:?}");
    let (client, server) = &mut sessions[0];
    flight(client, server, 0, 2 * FLIGHT, 1);
    peak = peak.max(proxy.resident_bytes());
    assert!(peak < MEMORY, "{} MiB resident", peak >> 20);
    println!("{} MiB at most", peak >> 20);
    sessions.truncate(SESSIONS / 2);
    eventually("the places are free again", LIMIT, || {
        let mut client = raw::connect(proxy.port());
        client.write_all(&raw::startup()).ok()?;
        fake.try_accept(Duration::from_millis(500)).map(|_| ())
    });
    proxy.settle();
    let dropped = proxy.metrics().sum("pgsonde_events_dropped_total");
    let counted = proxy.books()["statements"].as_u64().expect("a number") as f64;
    assert_eq!(counted + dropped, (2 * SESSIONS * FLIGHT + 1) as f64, "{}", proxy.books());
}

/// Whole sessions, as fast as they come: start-up, a statement, the end.
#[test]
fn a_flood_of_whole_sessions_leaves_nothing_behind() {
    const FLOOD: usize = 3_000;
    const GROWTH_MAX: u64 = 16 << 20;
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let mut other = fake.session(&proxy);
    let descriptors =
        || std::fs::read_dir(format!("/proc/{}/fd", proxy.pid())).expect("the proxy runs").count();
    let one = || {
        let (mut client, mut server) = fake.session(&proxy);
        pass(&mut client, &mut server, &raw::query("select 1 from flood"));
        pass(&mut server, &mut client, &done());
        pass(&mut client, &mut server, &raw::frame(b'X', b""));
    };
    // The first of them make what all share.
    (0..50).for_each(|_| one());
    let resident = proxy.resident_bytes();
    (50..FLOOD).for_each(|_| one());
    pass(&mut other.0, &mut other.1, &raw::query("select 1 from flood"));
    pass(&mut other.1, &mut other.0, &done());
    eventually("all sockets are given back", LIMIT, || (descriptors() < 40).then_some(()));
    let grown = proxy.resident_bytes().saturating_sub(resident);
    assert!(grown < GROWTH_MAX, "{grown} bytes more after {FLOOD} sessions");
    proxy.settle();
    assert_eq!(proxy.books()["statements"], FLOOD + 1, "{}", proxy.books());
    assert_eq!(proxy.metrics().sum("pgsonde_client_connections"), 1.0);
}
