//! What exporters came to, and their threads.

mod back_off;
pub(crate) mod http;

pub(crate) use back_off::{BackOff, sleep};

use crate::capture::Events;
use crate::clickhouse;
use crate::config::{Endpoint, ExportSettings};
use crate::export::ExporterCounts;
use crate::problem::Problem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest wait for the last batches when the process ends; what is left stays in the spool, where there is one.
const LAST_BATCHES_LIMIT: Duration = Duration::from_secs(3);
/// How often it is looked at.
const LAST_BATCHES_POLL: Duration = Duration::from_millis(5);

/// Counters of one exporter.
#[derive(Debug)]
pub(crate) struct Counts {
    exporter: &'static str,
    pub(crate) rows: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) failures: AtomicU64,
    /// Rows that will never arrive, by the reasons that it has.
    dropped: Vec<(Loss, AtomicU64)>,
    /// Bytes that wait: on disk, or in memory where there is no spool.
    pub(crate) waiting_bytes: AtomicU64,
    /// The process ends.
    pub(crate) closing: AtomicBool,
    error: Mutex<Option<String>>,
}

/// Why rows will never arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The queue before or behind the thread that makes batches.
    QueueFull,
    /// The spool is as large as it may be.
    SpoolFull,
    /// The spool can't be written to.
    SpoolFailed,
    /// The other side doesn't want them.
    Refused,
    /// Their units of work found no place until it was known whether they leave.
    #[cfg_attr(not(feature = "otlp"), allow(dead_code))]
    UnitsFull,
}

impl Loss {
    /// As metrics and lines spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::SpoolFull => "spool_full",
            Self::SpoolFailed => "spool_failed",
            Self::Refused => "refused",
            Self::UnitsFull => "units_full",
        }
    }
}

impl Counts {
    pub(crate) fn of(exporter: &'static str, losses: &[Loss]) -> Self {
        Self {
            exporter,
            rows: AtomicU64::default(),
            bytes: AtomicU64::default(),
            failures: AtomicU64::default(),
            dropped: losses.iter().map(|loss| (*loss, AtomicU64::default())).collect(),
            waiting_bytes: AtomicU64::default(),
            closing: AtomicBool::default(),
            error: Mutex::default(),
        }
    }

    /// Rows are lost.
    pub(crate) fn lose(&self, rows: u64, why: Loss) {
        if let Some((_, counter)) = self.dropped.iter().find(|(loss, _)| *loss == why) {
            counter.fetch_add(rows, Relaxed);
        }
    }

    #[cfg(test)]
    pub(crate) fn lost(&self, why: Loss) -> u64 {
        let counter = self.dropped.iter().find(|(loss, _)| *loss == why);
        counter.map_or(0, |(_, rows)| rows.load(Relaxed))
    }

    /// Something went wrong; says so in the log when it is news.
    pub(crate) fn fail(&self, what: &'static str, why: &str) {
        self.failures.fetch_add(1, Relaxed);
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        if error.as_deref() != Some(why) {
            tracing::warn!(exporter = self.exporter, why, "{what}");
            *error = Some(why.to_owned());
        }
    }

    /// It works again.
    pub(crate) fn recover(&self) {
        if self.error.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            tracing::info!(exporter = self.exporter, "the export goes on");
        }
    }

    fn read(&self) -> ExporterCounts {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        ExporterCounts {
            exporter: self.exporter,
            rows: of(&self.rows),
            bytes: of(&self.bytes),
            failures: of(&self.failures),
            dropped: self.dropped.iter().map(|(loss, rows)| (loss.name(), of(rows))).collect(),
            spool_bytes: of(&self.waiting_bytes),
            last_error: self.error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// An exporter that runs.
#[derive(Debug)]
pub(crate) struct Running {
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

/// The body of a thread, and its name.
pub(crate) type Body = (&'static str, Box<dyn FnOnce() + Send>);

impl Running {
    pub(crate) fn start(counts: Arc<Counts>, bodies: Vec<Body>) -> Result<Self, Problem> {
        let spawn = |(name, body): Body| {
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
            thread.map_err(|error| Problem::new(113, format!("cannot start the export: {error}")))
        };
        let threads = bodies.into_iter().map(spawn).collect::<Result<_, _>>()?;
        Ok(Self { counts, threads })
    }

    fn has_ended(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }
}

/// The exporters of one process.
#[derive(Debug, Default)]
pub struct Exports(Mutex<Vec<Running>>);

impl Exports {
    fn running(&self) -> std::sync::MutexGuard<'_, Vec<Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What they came to.
    pub fn counts(&self) -> Vec<ExporterCounts> {
        self.running().iter().map(|running| running.counts.read()).collect()
    }

    /// Starts what is configured; `upstream` names the servers whose statements are told.
    ///
    /// # Errors
    /// PGS0113: the spool can't be written to, or belongs to another process.
    pub fn start(
        &self,
        settings: &ExportSettings,
        upstream: &[Endpoint],
        events: &Events,
    ) -> Result<(), Problem> {
        if let Some(settings) = &settings.clickhouse {
            self.running().push(clickhouse::start(settings, events)?);
        }
        #[cfg(feature = "otlp")]
        if let Some(settings) = &settings.otlp {
            self.running().push(crate::otlp::start(settings, upstream, events)?);
        }
        #[cfg(not(feature = "otlp"))]
        let _ = upstream;
        Ok(())
    }

    /// The process ends, the hub is closed: what was heard goes where it belongs if the other sides answer in time.
    pub fn close(&self) {
        let exporters = std::mem::take(&mut *self.running());
        exporters.iter().for_each(|running| running.counts.closing.store(true, Relaxed));
        let limit = Instant::now() + LAST_BATCHES_LIMIT;
        while !exporters.iter().all(Running::has_ended) && Instant::now() < limit {
            std::thread::sleep(LAST_BATCHES_POLL);
        }
    }
}
