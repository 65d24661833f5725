//! The proxy's shell: sockets, HTTP, configuration and the renderings of a snapshot.

pub mod cli;
pub mod config;
pub mod export;
pub mod problem;

/// Runs the proxy until a signal ends it.
///
/// # Errors
/// A [`problem::Problem`] for the user when it cannot start or go on.
pub fn run_proxy(settings: config::Settings) -> Result<(), problem::Problem> {
    drop(settings);
    Err(problem::Problem::new(problem::LOCAL_RESOURCE, "the forwarding side is not wired up yet"))
}
