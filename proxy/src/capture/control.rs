//! The proxy's side of events: who listens, and the capture that runs or doesn't.

use super::compose::Identity;
use super::files;
use super::hub::{EventHub, News, Refused};
use super::writer::{Ends, Writer};
use crate::clock;
use crate::config::{CaptureSettings, Settings};
use crate::export::CaptureCounts;
use crate::problem::Problem;
use pgsonde_analyzer::events::Who;
use pgsonde_analyzer::snapshot::Snapshot;
use pgsonde_analyzer::{Analyzer, Redaction};
use pgsonde_wire::foreign::startup_parameters;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Code of a capture folder that can't be written to.
const NO_CAPTURE: u16 = 112;
/// Longest wait for the last frame of a capture when the process ends.
const LAST_FRAME_LIMIT: Duration = Duration::from_secs(3);
/// Longest name of a client that was turned away, in bytes.
const LABEL_BYTES_MAX: usize = 256;
/// How often it is looked at.
const LAST_FRAME_POLL: Duration = Duration::from_millis(5);

/// Counters of all captures of the process.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) written_bytes: AtomicU64,
    pub(crate) errors: AtomicU64,
}

#[derive(Debug)]
struct Running {
    listener: u64,
    /// It was asked for with an end of its own.
    ends: bool,
    thread: JoinHandle<()>,
}

/// Listeners and capture of one process.
#[derive(Debug)]
pub struct Events {
    /// Who listens.
    pub hub: EventHub,
    settings: Mutex<CaptureSettings>,
    unit_gap_us: u64,
    redaction: Redaction,
    counts: Arc<Counts>,
    /// Ordinal of the next file, so that captures of one process have names of their own.
    next_file: Arc<AtomicU64>,
    running: Mutex<Option<Running>>,
}

impl Events {
    /// Nobody listens yet.
    pub fn new(settings: &Settings) -> Self {
        Self {
            hub: EventHub::default(),
            settings: Mutex::new(settings.capture.clone()),
            unit_gap_us: u64::try_from(settings.profile.unit_gap.as_micros()).unwrap_or(u64::MAX),
            redaction: settings.profile.redact,
            counts: Arc::default(),
            next_file: Arc::new(AtomicU64::new(1)),
            running: Mutex::default(),
        }
    }

    /// What the capture came to.
    pub fn counts(&self) -> CaptureCounts {
        CaptureCounts {
            written_bytes: self.counts.written_bytes.load(Relaxed),
            errors: self.counts.errors.load(Relaxed),
        }
    }

    /// How captures are configured.
    pub(crate) fn settings(&self) -> CaptureSettings {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on captures are configured so. One that runs goes on in a new file, unless it has an end of its own:
    /// that one keeps its settings. Waits for the last frame of the old file.
    ///
    /// # Errors
    /// PGS0112: the folder can't be written to any more.
    pub(crate) fn change(&self, new: &CaptureSettings) -> Result<(), Problem> {
        if self.settings() == *new {
            return Ok(());
        }
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = new.clone();
        let goes_on = self.running().as_ref().is_some_and(|running| !running.ends);
        if goes_on && self.stop() { self.start_capture() } else { Ok(()) }
    }

    /// What is the same in all lines.
    pub(crate) fn identity(&self) -> Identity {
        let identity = Identity::new(self.hub.proxy_id(), clock::started_at(), self.unit_gap_us);
        Identity { redaction: self.redaction, ..identity }
    }

    /// Passes on what the analyzer heard.
    pub(crate) fn hear(&self, analyzer: &mut Analyzer) {
        if !self.hub.is_listened() {
            return;
        }
        let (events, lost) = analyzer.take_heard();
        if !events.is_empty() {
            self.hub.tell(&News::Heard(Arc::new(events)));
        }
        self.lose(lost, "memory_limit");
    }

    /// Passes on the snapshot of a tick.
    pub(crate) fn tick(&self, snapshot: &Arc<Snapshot>) {
        if self.hub.is_listened() {
            self.hub.tell(&News::Snapshot(Arc::clone(snapshot)));
        }
    }

    /// Tells of events that are gone.
    pub(crate) fn lose(&self, events: u64, reason: &'static str) {
        if events > 0 && self.hub.is_listened() {
            self.hub.tell(&News::Lost { events, reason });
        }
    }

    /// Tells of a client that was turned away; `startup_packet` is its StartupMessage, read
    /// only if anybody listens; `peer` is its address without the port.
    pub(crate) fn refuse(&self, startup_packet: &[u8], peer: &str, reason: &'static str) {
        if !self.hub.is_listened() {
            return;
        }
        let startup = startup_parameters(startup_packet);
        let label = |text: &str| Arc::from(pgsonde_analyzer::text::cut(text, LABEL_BYTES_MAX));
        let who = Who {
            database: label(&startup.database),
            user: label(&startup.user),
            application_name: label(&startup.application_name),
            client: Arc::from(peer),
            ..Who::default()
        };
        // Of a client that never came to anything there is no pseudonym.
        let who = if self.redaction == Redaction::AllText { Who::default() } else { who };
        let refused = Refused { at_us: clock::now_us(), who, reason };
        self.hub.tell(&News::Refused(Arc::new(refused)));
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.as_ref().is_some_and(|running| running.thread.is_finished()) {
            *running = None;
        }
        running
    }

    /// The captures of the folder, oldest first.
    pub(crate) fn files(&self) -> Vec<files::Found> {
        let folder = self.settings().dir;
        folder.and_then(|folder| files::list(&folder).ok()).unwrap_or_default()
    }

    /// Whether a capture is being written.
    pub(crate) fn is_capturing(&self) -> bool {
        self.running().is_some()
    }

    /// Starts the capture that the settings ask for, if they do.
    ///
    /// # Errors
    /// PGS0112: the folder can't be written to.
    pub fn start_capture(&self) -> Result<(), Problem> {
        if self.settings().dir.is_some() { self.start(Ends::default()).map(|_| ()) } else { Ok(()) }
    }

    /// Starts a capture; false where one runs already, or where the settings name no folder.
    ///
    /// # Errors
    /// PGS0112: the folder can't be written to.
    pub(crate) fn start(&self, ends: Ends) -> Result<bool, Problem> {
        let settings = self.settings();
        let mut running = self.running();
        let Some(folder) = settings.dir.clone().filter(|_| running.is_none()) else {
            return Ok(false);
        };
        let refused = |error: &std::io::Error| {
            Problem::new(NO_CAPTURE, format!("cannot write captures to {}", folder.display()))
                .note(super::reason(error))
                .help("capture.dir (or --capture) names a folder that the proxy may write to")
        };
        files::prepare(&folder)
            .and_then(|()| files::probe(&folder))
            .map_err(|error| refused(&error))?;
        let has_end = ends.bytes.is_some() || ends.after.is_some();
        let (listener, ear) = self.hub.listen_on_thread();
        let writer = Writer::new(
            &settings,
            folder.clone(),
            self.identity(),
            Arc::clone(&self.counts),
            Arc::clone(&self.next_file),
            ends,
        );
        let thread = std::thread::Builder::new()
            .name("pgsonde-capture".to_owned())
            .spawn(move || writer.run(&ear))
            .map_err(|error| refused(&error))?;
        *running = Some(Running { listener, ends: has_end, thread });
        Ok(true)
    }

    /// Ends the capture that runs and waits for its last frame; false where none runs.
    pub(crate) fn stop(&self) -> bool {
        let Some(running) = self.running().take() else { return false };
        self.hub.dismiss(running.listener);
        wait(&running.thread);
        true
    }

    /// The process ends: everybody is told, and the capture is given a moment for its last frame.
    pub(crate) fn close(&self) {
        self.hub.close();
        if let Some(running) = self.running().take() {
            wait(&running.thread);
        }
    }
}

fn wait(thread: &JoinHandle<()>) {
    let limit = Instant::now() + LAST_FRAME_LIMIT;
    while !thread.is_finished() && Instant::now() < limit {
        std::thread::sleep(LAST_FRAME_POLL);
    }
}
