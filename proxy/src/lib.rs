//! The proxy's shell: sockets, HTTP, configuration and the renderings of a snapshot.
//!
//! * [`hot`] forwards and observes; nothing else may run there.
//! * [`server`] starts the process, [`worker`] runs sessions, [`session`] tells one session's story.
//! * [`analysis`] is the analyzer's thread.
//! * [`fleet`] adds up what many proxies know.
//! * [`export`] renders snapshots: metrics, API, report, page.

pub mod advisor;
pub mod analysis;
mod audit;
pub mod capture;
pub mod cli;
pub mod clickhouse;
pub mod clock;
mod colour;
mod commands;
pub mod config;
pub mod counters;
mod descriptors;
mod diff;
mod doctor;
pub mod export;
mod exports;
mod filter;
pub mod fleet;
pub mod hot;
pub mod listener;
mod logging;
mod marks;
pub mod negotiation;
mod obedience;
pub mod orders;
#[cfg(feature = "otlp")]
mod otlp;
mod overload;
mod own_error;
pub mod own_use;
pub mod problem;
mod protection;
mod reload;
mod saved_snapshot;
pub mod server;
pub mod session;
pub mod shared;
pub mod startups;
pub mod stream;
mod supervisor;
pub mod tls;
pub mod upstream;
pub mod worker;

/// Runs the proxy until a signal ends it; tells which one.
///
/// # Errors
/// A [`problem::Problem`] for the user when it cannot start or go on.
pub fn run_proxy(settings: config::Settings) -> Result<server::Ending, problem::Problem> {
    clock::start();
    logging::start(&settings.log);
    server::run(settings)
}
