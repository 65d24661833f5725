//! The thread that makes batches: what the analyzer heard, as lines, by table and day.

use super::spool::{NoPlace, Spool};
use super::tables;
use crate::capture::{Composer, Ear, Identity, News};
use crate::clock;
use crate::config::ClickHouseSettings;
use crate::exports::{Counts, Loss};
use pgsonde_analyzer::Redaction;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// Compression in the spool and on the wire.
const ZSTD_LEVEL: i32 = 3;
/// Bytes of lines that are sealed before their number or time is reached.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Time until what is told once (names of statements, findings) is told again, where some of it may have been lost: a
/// disk that is full stays so for a while, and each attempt would count as another loss.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// Microseconds of a day: a batch lies in one partition, so that the store takes it as a whole or not at all.
const DAY_US: u64 = 86_400_000_000;

#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    rows: u64,
}

/// What the thread owns.
pub(super) struct Sink {
    composer: Composer,
    spool: Arc<Spool>,
    sealed: Sender<()>,
    counts: Arc<Counts>,
    batch_rows: u64,
    batch_interval: Duration,
    batches: BTreeMap<(&'static str, u64), Lines>,
    rows: u64,
    bytes: usize,
    next: u64,
    tell_again_at: Option<Instant>,
    scratch: Vec<u8>,
}

impl Sink {
    pub(super) fn new(
        settings: &ClickHouseSettings,
        identity: Identity,
        spool: Arc<Spool>,
        sealed: Sender<()>,
        counts: Arc<Counts>,
    ) -> Self {
        // A store outlives the wish to see everything: it is never given more than texts without literals.
        let redaction = match identity.redaction {
            Redaction::Off => Redaction::Literals,
            level => level,
        };
        let identity = Identity { redaction, ..identity };
        Self {
            composer: Composer::new(identity, settings.kinds).sampling(settings.sample_millionths),
            spool,
            sealed,
            counts,
            batch_rows: settings.batch_rows,
            batch_interval: settings.batch_interval,
            batches: BTreeMap::new(),
            rows: 0,
            bytes: 0,
            next: 1,
            tell_again_at: None,
            scratch: Vec::new(),
        }
    }

    /// Makes batches until nobody tells anything any more.
    pub(super) fn run(mut self, ear: &Ear<Receiver<News>>) {
        let mut due = Instant::now() + self.batch_interval;
        loop {
            match ear.queue.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(news) => self.take(&news),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.note_missed(ear.missed());
            let enough = self.rows >= self.batch_rows || self.bytes >= BATCH_BYTES_MAX;
            if enough || Instant::now() >= due {
                self.seal();
                due = Instant::now() + self.batch_interval;
            }
        }
        self.note_missed(ear.missed());
        self.seal();
    }

    fn take(&mut self, news: &News) {
        let mut lines = std::mem::take(&mut self.scratch);
        self.composer.news(news, clock::now_us(), || true, &mut lines);
        self.sort(&lines);
        lines.clear();
        self.scratch = lines;
    }

    fn note_missed(&mut self, events: u64) {
        if events > 0 {
            self.lose(events, Loss::QueueFull);
        }
    }

    fn lose(&mut self, events: u64, why: Loss) {
        self.counts.lose(events, why);
        let (now_us, mut lines) = (clock::now_us(), Vec::new());
        self.composer.gap([now_us, now_us], events, why.name(), &mut lines);
        self.sort(&lines);
    }

    /// Each line to its table and day.
    fn sort(&mut self, lines: &[u8]) {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let Some((table, ts_us)) = tables::of_line(line) else { continue };
            let batch = self.batches.entry((table, ts_us / DAY_US)).or_default();
            tables::put_line(table, line, &mut batch.bytes);
            batch.rows += 1;
            self.rows += 1;
            self.bytes += line.len();
        }
    }

    fn seal(&mut self) {
        if self.tell_again_at.is_some_and(|at| Instant::now() >= at) {
            self.tell_again_at = None;
            self.composer.begin_anew();
        }
        (self.rows, self.bytes) = (0, 0);
        let mut lost = [(Loss::SpoolFull, 0), (Loss::SpoolFailed, 0)];
        for ((table, _), lines) in std::mem::take(&mut self.batches) {
            match self.put(table, &lines) {
                Ok(()) => {}
                Err(NoPlace::Full) => {
                    self.counts.fail("the spool is full; rows are dropped", "the spool is full");
                    lost[0].1 += lines.rows;
                }
                Err(NoPlace::Failed(why)) => {
                    self.counts.fail("rows are dropped", &why);
                    lost[1].1 += lines.rows;
                }
            }
        }
        for (why, events) in lost.into_iter().filter(|(_, events)| *events > 0) {
            // Names of statements may have been among the lost.
            self.tell_again_at.get_or_insert(Instant::now() + TELL_AGAIN_AFTER);
            self.lose(events, why);
        }
    }

    fn put(&mut self, table: &'static str, lines: &Lines) -> Result<(), NoPlace> {
        let packed = zstd::bulk::compress(&lines.bytes, ZSTD_LEVEL)
            .map_err(|error| NoPlace::Failed(error.to_string()))?;
        let identity = self.composer.identity();
        let token = format!(
            "{:016}-{}-{:09}-{}-{table}",
            identity.unix_us(clock::now_us()),
            identity.proxy_id,
            self.next,
            lines.rows
        );
        self.next += 1;
        self.spool.put(&token, &packed)?;
        // The poster ends after this thread.
        let _ = self.sealed.send(());
        Ok(())
    }
}
