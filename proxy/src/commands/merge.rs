//! `pgsonde merge`

use super::report::chosen;
use crate::export::Format;
use crate::fleet::{self, Options};
use crate::problem::Problem;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `merge`.
#[derive(Args, Debug)]
pub(crate) struct MergeArgs {
    /// Admin URLs of running proxies (with PGSONDE_TOKEN as their token), and files of /api/v1/snapshot
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<String>,
    /// Form of the report
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Write to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Statements shown by themselves, costliest first; the rest is summed as `other`
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=500))]
    top: u16,
    /// Go on without proxies that don't answer, and say so in the report
    #[arg(long)]
    skip_missing: bool,
}

pub(crate) fn run(args: MergeArgs, json: bool) -> Result<ExitCode, Problem> {
    fleet::run(&Options {
        format: chosen(args.format, args.output.as_deref(), json),
        sources: args.sources,
        output: args.output,
        top: usize::from(args.top),
        skip_missing: args.skip_missing,
    })
    .map(|()| ExitCode::SUCCESS)
}
