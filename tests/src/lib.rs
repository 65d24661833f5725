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
pub mod transcript;

pub use postgres::{Options, Postgres};
pub use process::{Output, run, run_ok, signal};
pub use proxy::{Metrics, Proxy};

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

/// A loopback port that was free a moment ago.
///
/// # Panics
/// If the loopback interface gives none.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback gives a port");
    listener.local_addr().expect("a bound listener has an address").port()
}
