//! The thread that sends batches: in their order, again until the store has them, and no batch twice.
//!
//! A batch lies in one partition and one block, so the store takes it as a whole or not at all. Where an answer got
//! lost (or the batch is a dead process's), the store is asked for the batch's last row before it is sent again; the
//! batch's name is its query id, so that no second attempt begins while the first one still runs, and the
//! deduplication token of stores that know one.

use super::client::{Client, Refusal, quoted};
use super::spool::{Batch, Spool};
use super::tables::{self, Dialect};
use crate::exports::{BackOff, Counts, Loss, sleep};
use std::collections::HashSet;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// Wait for a new batch where there is none.
const IDLE: Duration = Duration::from_secs(1);
/// Attempts for a batch whose rows the store can't read.
const UNREADABLE_ATTEMPTS_MAX: u32 = 3;
/// Most bytes of a batch unpacked.
const UNPACKED_BYTES_MAX: usize = 64 << 20;

/// What the thread owns.
pub(super) struct Poster {
    client: Client,
    spool: Arc<Spool>,
    arrivals: Receiver<()>,
    counts: Arc<Counts>,
    dialect: Option<Dialect>,
    /// Batches that may be there already.
    uncertain: HashSet<String>,
    unreadable: u32,
    back_off: BackOff,
}

impl Poster {
    pub(super) fn new(
        client: Client,
        spool: Arc<Spool>,
        arrivals: Receiver<()>,
        counts: Arc<Counts>,
    ) -> Self {
        // What lies there now is another process's.
        let found = spool.batches("").unwrap_or_default();
        Self {
            client,
            spool,
            arrivals,
            counts,
            dialect: None,
            uncertain: found.into_iter().map(|batch| batch.token).collect(),
            unreadable: 0,
            back_off: BackOff::default(),
        }
    }

    /// Sends until the sink has ended, and then what is left, once.
    pub(super) fn run(mut self) {
        loop {
            let done = self.send_all();
            let wait = match done {
                Ok(()) => IDLE,
                Err(()) => self.back_off.wait(),
            };
            if done.is_err() && self.counts.closing.load(Relaxed) {
                return;
            }
            match self.wait(wait, done.is_ok()) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let _left = self.send_all();
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// For a new batch, or after a failure for its time.
    fn wait(&self, time: Duration, wakes: bool) -> Result<(), RecvTimeoutError> {
        if wakes {
            return self.arrivals.recv_timeout(time);
        }
        sleep(time, &self.counts);
        Ok(())
    }

    fn send_all(&mut self) -> Result<(), ()> {
        let batches = self.spool.batches("").map_err(|error| {
            self.counts.fail("cannot read the spool", &error.to_string());
        })?;
        for batch in batches {
            match self.send(&batch) {
                Ok(()) => {
                    self.counts.rows.fetch_add(batch.rows, Relaxed);
                    self.finished(&batch);
                    self.counts.recover();
                    self.back_off.reset();
                }
                Err(refusal) => self.failed(&batch, &refusal)?,
            }
        }
        Ok(())
    }

    fn finished(&mut self, batch: &Batch) {
        self.uncertain.remove(&batch.token);
        self.unreadable = 0;
        self.spool.remove(batch);
    }

    /// Whether the next batch may be tried.
    fn failed(&mut self, batch: &Batch, refusal: &Refusal) -> Result<(), ()> {
        self.counts.fail("cannot export to ClickHouse; trying again", refusal.words());
        // A refusal says nothing of the rows either: where a view fails, they stand in its table already.
        if !matches!(refusal, Refusal::Unreachable(_)) {
            self.uncertain.insert(batch.token.clone());
        }
        // The store may be another one when it is back.
        self.dialect = None;
        if refusal.is_about_rows() {
            self.unreadable += 1;
            if self.unreadable >= UNREADABLE_ATTEMPTS_MAX {
                self.counts.lose(batch.rows, Loss::Refused);
                tracing::error!(rows = batch.rows, "ClickHouse can't read a batch; it is dropped");
                self.finished(batch);
                return Ok(());
            }
        }
        Err(())
    }

    fn send(&mut self, batch: &Batch) -> Result<(), Refusal> {
        let local = |error: std::io::Error| Refusal::Unreachable(error.to_string());
        let packed = self.spool.read(batch).map_err(local)?;
        let dialect = match self.dialect {
            Some(dialect) => dialect,
            None => *self.dialect.insert(self.client.dialect()?),
        };
        if self.uncertain.contains(&batch.token) && self.is_there(batch, &packed)? {
            return Ok(());
        }
        let packed = match dialect {
            Dialect::Modern => packed,
            Dialect::Compat => repacked(&packed).map_err(local)?,
        };
        self.client.insert(&batch.table, dialect, &batch.token, &packed)?;
        self.counts.bytes.fetch_add(packed.len() as u64, Relaxed);
        Ok(())
    }

    /// Whether the store has the batch: as a whole or not at all, so its last row tells.
    fn is_there(&self, batch: &Batch, packed: &[u8]) -> Result<bool, Refusal> {
        let lines = zstd::bulk::decompress(packed, UNPACKED_BYTES_MAX)
            .map_err(|error| Refusal::Unreachable(error.to_string()))?;
        let last = lines.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let Ok(row) = serde_json::from_slice::<serde_json::Value>(last) else { return Ok(false) };
        let conditions = tables::identity(&batch.table).iter().map(|column| match &row[*column] {
            serde_json::Value::String(text) => format!("{column} = {}", quoted(text)),
            // What is absent is zero or empty; of these columns all are numbers.
            serde_json::Value::Null => format!("{column} = 0"),
            value => format!("{column} = {value}"),
        });
        let conditions: Vec<String> = conditions.collect();
        let sql = format!("SELECT count() FROM {} WHERE {}", batch.table, conditions.join(" AND "));
        let answer = self.client.query(&sql)?;
        Ok(answer.trim().parse::<u64>().is_ok_and(|count| count > 0))
    }
}

/// gzip for stores that don't know zstd.
fn repacked(packed: &[u8]) -> std::io::Result<Vec<u8>> {
    let lines = zstd::bulk::decompress(packed, UNPACKED_BYTES_MAX)?;
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(&lines)?;
    out.finish()
}
