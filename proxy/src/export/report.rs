//! `pgsonde report SOURCE`: a report in the form that was asked for, to stdout or into a file.

use super::formats::{self, Format};
use super::source;
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
    /// A time range was asked for.
    pub range: bool,
}

/// Reads, renders and writes the report.
///
/// # Errors
/// PGS0204 for a bad source, PGS0501 to PGS0504 for one that cannot be read, PGS0102 where the output cannot be written.
pub fn run(options: &Options) -> Result<(), Problem> {
    if options.range {
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
