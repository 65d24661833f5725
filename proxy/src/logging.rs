//! Structured logs on stderr: one event per line. No SQL text, no values, no passwords at any level.

use crate::config::LogSettings;
use crate::problem::Problem;
use std::sync::{Mutex, PoisonError};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

type Lines = Box<dyn Layer<Registry> + Send + Sync>;
type Filtered = tracing_subscriber::layer::Layered<reload::Layer<Lines, Registry>, Registry>;

/// What can be changed while the process runs.
struct Running {
    lines: Handle<Lines, Registry>,
    filter: Handle<EnvFilter, Filtered>,
}

static RUNNING: Mutex<Option<Running>> = Mutex::new(None);

/// Starts logging. A filter that can't be read falls back to the configured level.
pub(crate) fn start(settings: &LogSettings) {
    let (lines, lines_handle) = reload::Layer::new(lines(settings));
    let (filter, filter_handle) = reload::Layer::new(filter(settings));
    // A second start in one process (tests) keeps the first.
    if tracing_subscriber::registry().with(lines).with(filter).try_init().is_ok() {
        let running = Running { lines: lines_handle, filter: filter_handle };
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
    }
}

fn filter(settings: &LogSettings) -> EnvFilter {
    let filter = settings.filter.as_deref().and_then(|filter| filter.parse().ok());
    filter.unwrap_or_else(|| EnvFilter::new(&settings.level))
}

fn lines(settings: &LogSettings) -> Lines {
    let plain = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match settings.json {
        true => plain.json().boxed(),
        false => plain.with_ansi(crate::colour::of(&std::io::stderr())).boxed(),
    }
}

/// Takes over level and format.
pub(crate) fn change(settings: &LogSettings) {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = &*running {
        // They fail only where logging is gone.
        let _ = running.lines.reload(lines(settings));
        let _ = running.filter.reload(filter(settings));
    }
}

/// Sets the filter until the next reload or start: a level, or `target=level` as in `PGSONDE_LOG`.
///
/// # Errors
/// It is no filter.
pub(crate) fn set_filter(text: &str) -> Result<(), Problem> {
    let filter = text.parse::<EnvFilter>().map_err(|_| {
        Problem::new(701, "this is no log filter").help(
            "error, warn, info, debug or trace, or a list such as pgsonde::session=debug,warn",
        )
    })?;
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = &*running {
        let _ = running.filter.reload(filter);
    }
    Ok(())
}
