//! The thread that listens, and makes requests of what it hears.

use super::convert::{Histograms, Source};
use super::outbox::{Outbox, Request, Signal};
use super::units::{Choice, Units};
use crate::capture::{Ear, FindingWatch, News};
use crate::clock;
use crate::config::OtlpSettings;
use crate::exports::{Counts, Loss};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use pgsonde_analyzer::events::Heard;
use pgsonde_analyzer::snapshot::Snapshot;
use prost::Message;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Spans and records of one request.
const ROWS_MAX: usize = 512;
/// Time after which a smaller request leaves.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// What the thread owns.
pub(super) struct Sink {
    source: Source,
    units: Units,
    findings: FindingWatch,
    records: Vec<LogRecord>,
    histograms: Histograms,
    latest: Option<Arc<Snapshot>>,
    interval: Duration,
    outbox: Outbox,
    counts: Arc<Counts>,
}

impl Sink {
    pub(super) fn new(
        settings: &OtlpSettings,
        source: Source,
        outbox: Outbox,
        counts: Arc<Counts>,
    ) -> Self {
        let choice = Choice {
            sample_millionths: settings.sample_millionths,
            slow_us: settings.slow_us,
            gap_us: source.identity.unit_gap_us,
        };
        Self {
            source,
            units: Units::new(choice),
            findings: FindingWatch::default(),
            records: Vec::new(),
            histograms: Histograms::default(),
            latest: None,
            interval: settings.interval,
            outbox,
            counts,
        }
    }

    /// Listens until nobody tells anything any more.
    pub(super) fn run(mut self, ear: &Ear<Receiver<News>>) {
        let flush_interval = FLUSH_INTERVAL.min(self.interval);
        let mut flush = Instant::now() + flush_interval;
        let mut sums = Instant::now() + self.interval;
        loop {
            match ear.queue.recv_timeout(flush.saturating_duration_since(Instant::now())) {
                Ok(news) => self.take(&news),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.counts.lose(ear.missed(), Loss::QueueFull);
            let now = Instant::now();
            if now >= flush {
                self.flush();
                flush = now + flush_interval;
            }
            if now >= sums {
                self.sums();
                sums = now + self.interval;
            }
        }
        self.counts.lose(ear.missed(), Loss::QueueFull);
        self.units.end_all();
        self.flush();
        self.sums();
    }

    fn take(&mut self, news: &News) {
        match news {
            News::Heard(events) => {
                for event in events.iter() {
                    if let Heard::Statement(event) = event {
                        self.units.take(event);
                    }
                }
            }
            News::Snapshot(snapshot) => self.snapshot(snapshot),
            News::Lost { events, .. } => self.counts.lose(*events, Loss::QueueFull),
            News::Refused(_) => {}
        }
    }

    fn snapshot(&mut self, snapshot: &Arc<Snapshot>) {
        for (state, finding) in self.findings.changes(snapshot, false) {
            self.records.push(self.source.finding(state, finding, snapshot.at_us));
        }
        for id in self.findings.withdrawn(snapshot) {
            self.records.push(self.source.withdrawn(id, snapshot.at_us));
        }
        self.latest = Some(Arc::clone(snapshot));
    }

    fn flush(&mut self) {
        let (chosen, let_go) = self.units.ready(clock::now_us());
        self.counts.lose(let_go, Loss::UnitsFull);
        for part in chosen.chunks(ROWS_MAX) {
            self.put(Signal::Traces, &self.source.spans(part), part.len() as u64);
        }
        let records = std::mem::take(&mut self.records);
        for part in records.chunks(ROWS_MAX) {
            self.put(Signal::Logs, &self.source.logs(part.to_vec()), part.len() as u64);
        }
    }

    fn sums(&mut self) {
        let Some(latest) = self.latest.take() else { return };
        if let Some((request, points)) = self.histograms.request(&self.source, &latest) {
            self.put(Signal::Metrics, &request, points);
        }
    }

    fn put(&self, signal: Signal, message: &impl Message, rows: u64) {
        match Request::of(signal, message, rows) {
            Ok(request) => self.outbox.put(request),
            Err(error) => self.counts.fail("cannot make a request", &error.to_string()),
        }
    }
}
