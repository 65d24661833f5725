//! `pgsonde report SOURCE`: a report in the form that was asked for, to stdout or into a file.

use super::clock::{TimeRange, moment, now_unix_us};
use super::formats::{self, Format};
use super::shapes::Report;
use super::source;
pub use super::what_if::WhatIf;
use crate::clickhouse;
use crate::problem::{LOCAL_RESOURCE, Problem};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What to print and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// Admin URL of a running proxy, or a saved report.
    pub source: String,
    /// Form of the report.
    pub format: Format,
    /// A file instead of stdout.
    pub output: Option<PathBuf>,
    /// Statements shown by themselves, 1 to 500.
    pub top: usize,
    /// Begin of the time range that was asked for, as typed.
    pub from: Option<String>,
    /// Its end.
    pub to: Option<String>,
    /// Costs on another network.
    pub what_if: Option<WhatIf>,
}

/// Reads, renders and writes the report.
///
/// # Errors
/// PGS0204 for a bad source, PGS0501 to PGS0504 for one that cannot be read or cut by time, PGS0535 for a bad range, PGS0102 where the output cannot be written.
pub fn run(options: &Options) -> Result<(), Problem> {
    let mut report = if options.source.starts_with("clickhouse://") {
        of_store(options)?
    } else {
        let range = range(options, None)?;
        source::within(&options.source, range, options.top)?
    };
    if let Some(what_if) = options.what_if {
        what_if.apply(&mut report);
    }
    let text = formats::render(&report, &options.source, options.format);
    write(&text, options.output.as_deref())
}

/// The report of the whole fleet; without a range the last hour.
fn of_store(options: &Options) -> Result<Report, Problem> {
    let range = range(options, Some("-1h"))?.expect("invariant: a beginning was given");
    clickhouse::read(&crate::commands::clickhouse::client(&options.source)?, range, options.top)
}

/// The time range that was asked for; without `--from` it begins with `since`, if that is given.
fn range(options: &Options, since: Option<&str>) -> Result<Option<TimeRange>, Problem> {
    let now_us = now_unix_us();
    let read = |text: &str| {
        moment(text, now_us).ok_or_else(|| {
            Problem::new(535, format!("`{}` is no moment", text.escape_debug()))
                .help("2026-11-23T05:00:00Z, or -1h, -30m, -7d before now, or now")
        })
    };
    let from_us = options.from.as_deref().or(since).map(read).transpose()?;
    let to_us = options.to.as_deref().map(read).transpose()?;
    if from_us.is_none() && to_us.is_none() {
        return Ok(None);
    }
    let range = TimeRange { from_us: from_us.unwrap_or(0), to_us: to_us.unwrap_or(now_us) };
    if range.from_us >= range.to_us {
        return Err(Problem::new(535, "the time range ends before it begins"));
    }
    Ok(Some(range))
}

/// Writes text to a file or to stdout.
///
/// # Errors
/// PGS0102 where it cannot be written.
pub(crate) fn write(text: &str, output: Option<&Path>) -> Result<(), Problem> {
    let written = match output {
        Some(path) => std::fs::write(path, text),
        None => std::io::stdout().lock().write_all(text.as_bytes()),
    };
    match written {
        // The reader had enough (`| head`).
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => {
            let target = output.map_or("stdout".into(), |path| path.display().to_string());
            Err(Problem::new(LOCAL_RESOURCE, format!("cannot write to {target}: {error}")))
        }
        Ok(()) => Ok(()),
    }
}
