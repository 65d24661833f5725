//! Structured logs on stderr: one event per line. No SQL text, no values, no passwords at any level.

use crate::config::LogSettings;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging. A filter that can't be read falls back to the configured level.
pub(crate) fn start(settings: &LogSettings) {
    let filter = settings.filter.as_deref().and_then(|filter| filter.parse().ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(&settings.level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match settings.json {
        true => builder.json().try_init(),
        false => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    // A second start in one process (tests) keeps the first.
    drop(started);
}
