//! `pgsonde audit`

use crate::audit::{self, Options, Update};
use crate::config::duration_us;
use crate::problem::Problem;
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Arguments of `audit`.
#[derive(Args, Debug)]
pub(crate) struct AuditArgs {
    /// Variable with a connection string; may be repeated [default: DATABASE_URL, else PGHOST, PGPORT, PGSERVICE]
    #[arg(long = "env", value_name = "NAME")]
    variables: Vec<String>,
    /// The server; nothing is rewritten, and the app is pointed at the printed address by hand
    #[arg(long, value_name = "URL", conflicts_with = "variables")]
    upstream: Option<String>,
    /// Limits [default: pgsonde-budget.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    budget: Option<PathBuf>,
    /// Known findings [default: pgsonde-baseline.json, if it is there]
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Folder for report, JUnit, SARIF and the rest
    #[arg(long, value_name = "DIR", default_value = "pgsonde-audit")]
    out: PathBuf,
    /// Write budget and baseline from what this run measures
    #[arg(long, conflicts_with = "update_baseline")]
    init: bool,
    /// Take from the baseline what is gone; `accept` also adds what is new
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "shrink")]
    update_baseline: Option<UpdateArg>,
    /// Host name for the command, where it runs in a container: the proxy then listens on all interfaces
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
    /// How long sessions may stay open after the command has ended
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    grace: Duration,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum UpdateArg {
    Shrink,
    Accept,
}

fn duration(text: &str) -> Result<Duration, String> {
    duration_us(text)
        .map(Duration::from_micros)
        .map_err(|_| "a whole number and its unit, as in 5s or 500ms".to_owned())
}

/// What the global arguments say.
pub(crate) struct Global {
    pub(crate) config: Option<PathBuf>,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: u8,
}

pub(crate) fn run(args: AuditArgs, global: Global) -> Result<ExitCode, Problem> {
    audit::run(&Options {
        variables: args.variables,
        upstream: args.upstream,
        budget: args.budget,
        baseline: args.baseline,
        out: args.out,
        init: args.init,
        update: args.update_baseline.map(|update| match update {
            UpdateArg::Shrink => Update::Shrink,
            UpdateArg::Accept => Update::Accept,
        }),
        advertise: args.advertise,
        grace: args.grace,
        command: args.command,
        config: global.config,
        json: global.json,
        quiet: global.quiet,
        // The command's own output is what people read.
        log_level: match global.verbose {
            0 => "error",
            1 => "debug",
            _ => "trace",
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: AuditArgs,
    }

    #[test]
    fn the_command_stands_behind_two_dashes() {
        let line = "audit --env A --env B --update-baseline --grace 500ms -- sh -c x --init";
        let args = Line::try_parse_from(line.split(' ')).unwrap().args;
        assert_eq!(args.command, ["sh", "-c", "x", "--init"]);
        assert_eq!(args.variables, ["A", "B"]);
        assert_eq!(args.update_baseline, Some(UpdateArg::Shrink));
        assert_eq!(args.grace, Duration::from_millis(500));
        assert!(!args.init);
        let accept = "audit --update-baseline=accept -- true";
        let args = Line::try_parse_from(accept.split(' ')).unwrap().args;
        assert_eq!(args.update_baseline, Some(UpdateArg::Accept));
        for wrong in [
            "audit",
            "audit --",
            "audit pytest",
            "audit --grace 5 -- true",
            "audit --init --update-baseline -- true",
            "audit --env A --upstream x -- true",
        ] {
            assert!(Line::try_parse_from(wrong.split(' ')).is_err(), "{wrong}");
        }
    }
}
