//! The test harness: a real PostgreSQL, the real proxy and real clients, as values that clean up after themselves.
//!
//! ```no_run
//! # use pgsonde_tests::{Postgres, Proxy};
//! let postgres = Postgres::start();
//! let proxy = Proxy::start(&postgres, &[]);
//! assert_eq!(postgres.psql(proxy.port(), "select 1").stdout.trim(), "1");
//! println!("{}", proxy.api("summary"));
//! ```
//!
//! Every process is started under a [`guard::Guard`], so nothing outlives the test process, however it ends.
//! Everything waits with a limit; what goes past it fails the test with the output seen so far.

pub mod captured;
pub mod certificates;
pub mod clickhouse;
pub mod exporting;
pub mod fake_server;
pub mod fuzz;
pub mod guard;
pub mod load;
pub mod newest;
pub mod paths;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod random;
pub mod raw;
pub mod routine;
pub mod simulation;
pub mod source;
pub mod statements_exporter;
pub mod transcript;

pub use postgres::{Options, Postgres};
pub use process::{Output, run, run_ok, signal};
pub use proxy::{Metrics, Proxy};

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Runs a program of `tests/drivers` in the virtual environment and reads the JSON that it prints.
///
/// # Panics
/// If it fails, runs longer than `limit`, or prints something else.
pub fn python(program: &str, args: &[&str], limit: Duration) -> serde_json::Value {
    let mut command = std::process::Command::new(paths::python());
    command.arg(paths::workspace().join("tests/drivers").join(program)).args(args);
    let output = run_ok(&mut command, "", limit);
    let line = output.stdout.lines().last().unwrap_or_default();
    serde_json::from_str(line)
        .unwrap_or_else(|error| panic!("{program} printed no JSON ({error}): {output:?}"))
}

/// Asks every 50 ms until `probe` gives something.
///
/// # Panics
/// After `limit`, with `what` in the message.
pub fn eventually<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(started.elapsed() < limit, "waited {limit:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A loopback port that is free, for a server that is told its port, or goes and comes back on it.
///
/// Below the range from which the kernel takes the ports of outgoing connections (32,768 and above, see
/// `ip_local_port_range` in ip(7)): in that range any client of the machine may sit on the port of a server that is away.
///
/// # Panics
/// If none is free.
pub fn free_port() -> u16 {
    const FIRST: u32 = 11_000;
    const PORTS: u32 = 20_000;
    // Processes of tests begin at different places, threads of one never get the same.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    (0..PORTS)
        .map(|_| FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS)
        .map(|port| u16::try_from(port).expect("below 31,000"))
        .find(|&port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok())
        .expect("one of 20,000 ports is free")
}
