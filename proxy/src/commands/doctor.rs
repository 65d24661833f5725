//! `pgsonde doctor`.

use crate::doctor::{self, Options};
use crate::problem::Problem;
use clap::Args;
use std::process::ExitCode;
use std::time::Duration;

/// Arguments of `pgsonde doctor`.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// The server as the application names it, without a password: postgresql://user@host:5432/database
    #[arg(value_name = "URL", required_unless_present = "ready")]
    url: Option<String>,
    /// The read-only role of the index advisor, whose rights are checked [default: those of URL]
    #[arg(long, value_name = "URL")]
    side_connection: Option<String>,
    /// A running proxy that is tried as well, as host:port
    #[arg(long, value_name = "ADDR")]
    via: Option<String>,
    /// Only ask a running proxy whether it is ready; for health checks
    #[arg(long, value_name = "ADMIN_URL", num_args = 0..=1, default_missing_value = "http://127.0.0.1:9635")]
    ready: Option<String>,
    /// Longest wait for a single step, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout: u64,
    /// Warnings count as well: exit code 1
    #[arg(long)]
    strict: bool,
}

pub(crate) fn run(args: DoctorArgs, json: bool) -> Result<ExitCode, Problem> {
    let limit = Duration::from_secs(args.timeout);
    if let Some(admin) = args.ready {
        return doctor::ready(&admin, limit).map(|()| ExitCode::SUCCESS);
    }
    let options = Options {
        url: args.url.unwrap_or_default(),
        side_connection: args.side_connection,
        via: args.via,
        limit,
        strict: args.strict,
        json,
    };
    doctor::run(&options).map(ExitCode::from)
}
