//! The thread that writes a capture: lines into zstd frames, frames into files.
//!
//! Each flush is one complete frame, so that a file can be read at any time and a crash loses at most what was not
//! flushed. A write that fails loses its frame, is counted, and leaves a `gap` line in the next frame that succeeds; the
//! file is cut back to its last whole frame.

use super::compose::{Composer, Identity};
use super::control::Counts;
use super::files;
use super::hub::{Ear, News};
use crate::clock;
use crate::config::CaptureSettings;
use pgsonde_analyzer::snapshot::Snapshot;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Bytes of lines that are flushed before their time.
const FRAME_BYTES_MAX: usize = 4 << 20;

/// When a capture ends by itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ends {
    /// After so many compressed bytes.
    pub(crate) bytes: Option<u64>,
    /// After this time.
    pub(crate) after: Option<Duration>,
}

/// The file that is being written.
struct Current {
    path: PathBuf,
    file: File,
    bytes: u64,
}

/// Events that are missing since a moment.
#[derive(Clone, Copy, Debug, Default)]
struct Missing {
    events: u64,
    since_us: u64,
}

impl Missing {
    fn add(&mut self, events: u64, now_us: u64) {
        if self.events == 0 {
            self.since_us = now_us;
        }
        self.events += events;
    }
}

/// What the thread owns.
pub(crate) struct Writer {
    composer: Composer,
    folder: PathBuf,
    flush_interval: Duration,
    rotate_bytes: u64,
    bytes_max: u64,
    level: i32,
    counts: Arc<Counts>,
    next_file: Arc<AtomicU64>,
    ends: Ends,
    host: Option<String>,
    lines: Vec<u8>,
    /// Statements in `lines`.
    events: u64,
    begun: bool,
    current: Option<Current>,
    /// Bytes of all other files of the folder.
    other_bytes: u64,
    written_bytes: u64,
    unwritten: Missing,
    latest: Option<Arc<Snapshot>>,
    fails: bool,
}

impl Writer {
    pub(crate) fn new(
        settings: &CaptureSettings,
        folder: PathBuf,
        identity: Identity,
        counts: Arc<Counts>,
        next_file: Arc<AtomicU64>,
        ends: Ends,
    ) -> Self {
        Self {
            composer: Composer::new(identity, settings.kinds)
                .for_replay()
                .sampling(settings.sample_millionths),
            folder,
            flush_interval: settings.flush_interval,
            rotate_bytes: settings.rotate_bytes,
            bytes_max: settings.bytes_max,
            level: settings.level,
            counts,
            next_file,
            ends,
            host: host_name(),
            lines: Vec::new(),
            events: 0,
            begun: false,
            current: None,
            other_bytes: 0,
            written_bytes: 0,
            unwritten: Missing::default(),
            latest: None,
            fails: false,
        }
    }

    /// Writes until nobody tells anything any more, or until it has what it was to get.
    pub(crate) fn run(mut self, ear: &Ear<Receiver<News>>) {
        let started = Instant::now();
        self.begin();
        let mut due = started + self.flush_interval;
        loop {
            match ear.queue.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(news) => self.take(&news),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.note_missed(ear.missed());
            if Instant::now() >= due || self.lines.len() >= FRAME_BYTES_MAX {
                self.flush();
                due = Instant::now() + self.flush_interval;
            }
            let enough = self.ends.bytes.is_some_and(|bytes| self.written_bytes >= bytes)
                || self.ends.after.is_some_and(|after| started.elapsed() >= after);
            if enough {
                break;
            }
        }
        self.note_missed(ear.missed());
        self.flush();
        self.end_file();
    }

    fn take(&mut self, news: &News) {
        if let News::Snapshot(snapshot) = news {
            self.latest = Some(Arc::clone(snapshot));
        }
        let before = self.composer.statements;
        self.begin();
        self.composer.news(news, clock::now_us(), || true, &mut self.lines);
        self.events += self.composer.statements.saturating_sub(before);
    }

    fn note_missed(&mut self, events: u64) {
        if events > 0 {
            self.counts.errors.fetch_add(events, Relaxed);
            let now_us = clock::now_us();
            self.composer.gap([now_us, now_us], events, "queue_full", &mut self.lines);
        }
    }

    /// The first lines of a file, unless they stand there.
    fn begin(&mut self) {
        if self.begun {
            return;
        }
        self.begun = true;
        self.composer.begin_anew();
        let now_us = clock::now_us();
        self.composer.capture(now_us, self.host.as_deref(), &mut self.lines);
        if self.unwritten.events > 0 {
            let from_to_us = [self.unwritten.since_us, now_us];
            let events = std::mem::take(&mut self.unwritten).events;
            self.composer.gap(from_to_us, events, "write_failed", &mut self.lines);
        }
        if let Some(latest) = self.latest.clone() {
            self.composer.snapshot(&latest, true, &mut self.lines);
        }
    }

    /// Writes the lines as one frame; goes on to the next file when this one is large enough.
    fn flush(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        let written = self.write();
        self.lines.clear();
        let events = std::mem::take(&mut self.events);
        match written {
            Ok(()) => {
                if std::mem::take(&mut self.fails) {
                    tracing::info!("the capture goes on");
                }
            }
            Err(error) => self.failed(&error, events),
        }
        if self.current.as_ref().is_some_and(|current| current.bytes >= self.rotate_bytes) {
            self.end_file();
        }
    }

    /// What was in the frame is gone: a new file begins with all that its lines need.
    fn failed(&mut self, error: &io::Error, events: u64) {
        self.counts.errors.fetch_add(1, Relaxed);
        self.unwritten.add(events.max(1), clock::now_us());
        if !std::mem::replace(&mut self.fails, true) {
            let reason = super::reason(error);
            tracing::warn!(reason, "cannot write the capture; trying again with every flush");
        }
        self.begun = false;
        self.current = None;
    }

    fn write(&mut self) -> io::Result<()> {
        let frame = zstd::bulk::compress(&self.lines, self.level)?;
        let bytes = frame.len() as u64;
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.create()?,
        };
        let room = self.bytes_max.saturating_sub(current.bytes + bytes);
        if self.other_bytes > room {
            self.other_bytes = files::make_room(&self.folder, Some(&current.path), room)?;
        }
        if let Err(error) = current.file.write_all(&frame) {
            current.file.set_len(current.bytes)?;
            if current.bytes == 0 {
                std::fs::remove_file(&current.path)?;
            }
            return Err(error);
        }
        current.bytes += bytes;
        self.written_bytes += bytes;
        self.counts.written_bytes.fetch_add(bytes, Relaxed);
        self.current = Some(current);
        Ok(())
    }

    fn create(&mut self) -> io::Result<Current> {
        let identity = self.composer.identity();
        let number = self.next_file.fetch_add(1, Relaxed);
        let started_us = identity.unix_us(clock::now_us());
        let (path, file) = files::create(&self.folder, started_us, &identity.proxy_id, number)?;
        self.other_bytes = files::make_room(&self.folder, Some(&path), self.bytes_max)?;
        Ok(Current { path, file, bytes: 0 })
    }

    /// The last lines of a file: findings as they stand, and that it ends on purpose.
    fn end_file(&mut self) {
        if self.current.is_none() {
            return;
        }
        if let Some(latest) = self.latest.clone() {
            self.composer.snapshot(&latest, true, &mut self.lines);
        }
        self.composer.end(clock::now_us(), &mut self.lines);
        if let Err(error) = self.write() {
            self.failed(&error, 0);
        }
        self.lines.clear();
        self.begun = false;
        self.current = None;
    }
}

fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}
