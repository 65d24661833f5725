//! `pgsonde doctor`.

use crate::config::duration_us;
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
    /// Longest wait for a single step: seconds, or a duration as in 500ms
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = wait)]
    timeout: Duration,
    /// Warnings count as well: exit code 1
    #[arg(long)]
    strict: bool,
}

/// `5`, `5s`, `500ms`.
fn wait(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(300);
    let us = match text.parse::<u64>() {
        Ok(seconds) => seconds.checked_mul(1_000_000),
        Err(_) => duration_us(text).ok(),
    };
    us.map(Duration::from_micros)
        .filter(|wait| !wait.is_zero() && *wait <= LONGEST)
        .ok_or_else(|| "a duration above 0 and up to 300s, as in 5s or 500ms".to_owned())
}

pub(crate) fn run(args: DoctorArgs, json: bool) -> Result<ExitCode, Problem> {
    let limit = args.timeout;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_has_a_unit_or_is_in_seconds() {
        for (text, ms) in [("5", 5_000), ("5s", 5_000), ("500ms", 500), ("5m", 300_000)] {
            assert_eq!(wait(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "0", "0s", "301", "6m", "soon", "-1", "18446744073709551615"] {
            assert!(wait(text).is_err(), "{text}");
        }
    }
}
