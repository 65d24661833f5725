//! `pgsonde diff`

use crate::diff::{self, FAIL_ON_WORDS, FailOn, Form};
use crate::export::report;
use crate::problem::Problem;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `diff`.
#[derive(Args, Debug)]
pub(crate) struct DiffArgs {
    /// Report before: saved by `report --format json`, or the admin URL of a running proxy
    #[arg(value_name = "BASE")]
    base: String,
    /// Report after
    #[arg(value_name = "HEAD")]
    head: String,
    /// What gives exit code 99: slower, slower=20%, new, gone, more-calls, more-rows, n-plus-one, findings
    #[arg(long, value_name = "RULES", value_delimiter = ',', value_parser = fail_on)]
    fail_on: Vec<FailOn>,
    /// Form of the answer
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    format: Form,
    /// Write to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn fail_on(word: &str) -> Result<FailOn, String> {
    FailOn::parse(word).ok_or_else(|| format!("one of {FAIL_ON_WORDS}"))
}

pub(crate) fn run(args: &DiffArgs, json: bool) -> Result<ExitCode, Problem> {
    let form = if json { Form::Json } else { args.format };
    let (text, code) = diff::run([&args.base, &args.head], &args.fail_on, form)?;
    report::write(&text, args.output.as_deref())?;
    Ok(ExitCode::from(code))
}
