//! `pgsonde report SOURCE`: a report in the form that was asked for, to stdout or into a file.

use super::formats::{self, Format};
use super::shapes::Report;
use super::source;
use crate::clickhouse::{self, Range};
use crate::config::duration_us;
use crate::problem::{LOCAL_RESOURCE, Problem};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

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
}

/// Reads, renders and writes the report.
///
/// # Errors
/// PGS0204 for a bad source, PGS0501 to PGS0504 for one that cannot be read, PGS0102 where the output cannot be written.
pub fn run(options: &Options) -> Result<(), Problem> {
    if options.source.starts_with("clickhouse://") {
        let report = of_store(options)?;
        let text = formats::render(&report, &options.source, options.format);
        return write(&text, options.output.as_deref());
    }
    if options.from.is_some() || options.to.is_some() {
        return Err(Problem::new(
            504,
            "this source has no history: its report covers all time since its start",
        )
        .note("a running proxy and a saved report hold sums, which cannot be cut by time")
        .help("leave --from and --to away"));
    }
    let report = source::read(&options.source, options.top)?;
    let text = formats::render(&report, &options.source, options.format);
    write(&text, options.output.as_deref())
}

/// The report of the whole fleet; without a range the last hour.
fn of_store(options: &Options) -> Result<Report, Problem> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_us = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
    let moment = |given: &Option<String>, otherwise: &str| {
        let text = given.as_deref().unwrap_or(otherwise);
        moment(text, now_us).ok_or_else(|| {
            Problem::new(535, format!("`{}` is no moment", text.escape_debug()))
                .help("2026-11-23T05:00:00Z, or -1h, -30m, -7d before now, or now")
        })
    };
    let range =
        Range { from_us: moment(&options.from, "-1h")?, to_us: moment(&options.to, "now")? };
    if range.from_us >= range.to_us {
        return Err(Problem::new(535, "the time range ends before it begins"));
    }
    clickhouse::read(&crate::commands::clickhouse::client(&options.source)?, range, options.top)
}

/// RFC 3339 in UTC, `now`, or a duration before now.
fn moment(text: &str, now_us: u64) -> Option<u64> {
    match (text, text.strip_prefix('-')) {
        ("now", _) => Some(now_us),
        (_, Some(before)) => Some(now_us.saturating_sub(duration_us(before).ok()?)),
        _ => crate::config::mutes::unix_us(text),
    }
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
