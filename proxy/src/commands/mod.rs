//! One file per command: its arguments, and what it does with them.

pub(crate) mod audit;
pub(crate) mod clickhouse;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod dashboards;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod explain_error;
pub(crate) mod export;
pub(crate) mod follow;
pub(crate) mod merge;
pub(crate) mod report;
pub(crate) mod tail;
pub(crate) mod top;

pub(crate) use crate::export::text::clean as plain;

use crate::problem::{LOCAL_RESOURCE, Problem};
use std::io::Write;

/// Writes a result to stdout. A reader that has enough (`| head`) is no error.
pub(crate) fn print(text: &str) -> Result<(), Problem> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Problem::new(LOCAL_RESOURCE, format!("cannot print: {error}")))
        }
        _ => Ok(()),
    }
}
