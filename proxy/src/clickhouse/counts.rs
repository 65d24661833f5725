//! What exporters came to, and their threads.

use super::client::{Client, Place};
use super::poster::Poster;
use super::sink::Sink;
use super::spool::Spool;
use crate::capture::Events;
use crate::config::ClickHouseSettings;
use crate::export::ExporterCounts;
use crate::problem::Problem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest wait for the last batches when the process ends; what is left stays in the spool.
const LAST_BATCHES_LIMIT: Duration = Duration::from_secs(3);
/// How often it is looked at.
const LAST_BATCHES_POLL: Duration = Duration::from_millis(5);

/// Counters of one exporter.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) rows: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) queue_full: AtomicU64,
    pub(super) spool_full: AtomicU64,
    pub(super) spool_failed: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) spool_bytes: AtomicU64,
    /// The process ends.
    pub(super) closing: AtomicBool,
    error: Mutex<Option<String>>,
}

impl Counts {
    /// Something went wrong; says so in the log when it is news.
    pub(super) fn fail(&self, what: &'static str, why: &str) {
        self.failures.fetch_add(1, Relaxed);
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        if error.as_deref() != Some(why) {
            tracing::warn!(exporter = "clickhouse", why, "{what}");
            *error = Some(why.to_owned());
        }
    }

    /// It works again.
    pub(super) fn recover(&self) {
        if self.error.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            tracing::info!(exporter = "clickhouse", "the export goes on");
        }
    }

    fn read(&self) -> ExporterCounts {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        ExporterCounts {
            exporter: "clickhouse",
            rows: of(&self.rows),
            bytes: of(&self.bytes),
            failures: of(&self.failures),
            dropped: vec![
                ("queue_full", of(&self.queue_full)),
                ("spool_full", of(&self.spool_full)),
                ("spool_failed", of(&self.spool_failed)),
                ("refused", of(&self.refused)),
            ],
            spool_bytes: of(&self.spool_bytes),
            last_error: self.error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

#[derive(Debug)]
struct Running {
    counts: Arc<Counts>,
    threads: [JoinHandle<()>; 2],
}

/// The exporters of one process.
#[derive(Debug, Default)]
pub struct Exports(Mutex<Option<Running>>);

impl Exports {
    fn running(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What they came to.
    pub fn counts(&self) -> Vec<ExporterCounts> {
        self.running().iter().map(|running| running.counts.read()).collect()
    }

    /// Starts the export to ClickHouse.
    ///
    /// # Errors
    /// PGS0113: the spool can't be written to, or belongs to another process.
    pub fn start(&self, settings: &ClickHouseSettings, events: &Events) -> Result<(), Problem> {
        let counts = Arc::new(Counts::default());
        let spool = Arc::new(Spool::open(&settings.spool, settings.spool_bytes_max, &counts)?);
        let place = Place::clone(&settings.place);
        let client = Client::new(place, settings.password.clone());
        let (sealed, arrivals) = channel();
        let (_, ear) = events.hub.listen_on_thread();
        let sink =
            Sink::new(settings, events.identity(), Arc::clone(&spool), sealed, Arc::clone(&counts));
        let poster = Poster::new(client, spool, arrivals, Arc::clone(&counts));
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
            thread.map_err(|error| Problem::new(113, format!("cannot start the export: {error}")))
        };
        let threads = [
            spawn("pgsonde-export", Box::new(move || sink.run(&ear)))?,
            spawn("pgsonde-post", Box::new(move || poster.run()))?,
        ];
        *self.running() = Some(Running { counts, threads });
        Ok(())
    }

    /// The process ends, the hub is closed: what was heard goes to the spool, and to the store if it answers in time.
    pub fn close(&self) {
        let Some(running) = self.running().take() else { return };
        running.counts.closing.store(true, Relaxed);
        let limit = Instant::now() + LAST_BATCHES_LIMIT;
        while !running.threads.iter().all(JoinHandle::is_finished) && Instant::now() < limit {
            std::thread::sleep(LAST_BATCHES_POLL);
        }
    }
}
