//! The analyzer's thread: batches in, an immutable snapshot out on each tick.

use crate::clock;
use crate::hot::outbox::{Parcel, counted_statements};
use crate::marks;
use crate::orders::AnalyzerOrder;
use crate::overload::Overload;
use crate::shared::Shared;
use pgsonde_analyzer::Analyzer;
use pgsonde_analyzer::limits::Limits;
use pgsonde_analyzer::record::RecordBatch;
use pgsonde_analyzer::snapshot::Snapshot;
use pgsonde_analyzer::value::Salt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// The parser recurses; its trees can be deep.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// Time between two snapshots.
const TICK: Duration = Duration::from_millis(500);

/// The analyzer and where its input comes from and its output goes to.
pub struct Analysis {
    /// Limits, also for a restart.
    pub limits: Limits,
    /// Key of the value hashes.
    pub salt: Salt,
    /// Batches of all workers.
    pub full: Receiver<Parcel>,
    /// Empty batches back, one channel per worker.
    pub spare: Vec<SyncSender<RecordBatch>>,
    /// Where renderings find the latest snapshot.
    pub snapshots: watch::Sender<Arc<Snapshot>>,
    /// Process-wide state.
    pub shared: Arc<Shared>,
    /// What the main thread wants.
    pub orders: Receiver<AnalyzerOrder>,
    /// Whether texts and findings are to be left aside.
    pub counters_only: bool,
    /// Whether they have to be.
    pub overload: Overload,
    /// How often they were taken up again.
    pub resumptions: u32,
}

impl Analysis {
    /// Starts the thread; it ends when all workers have let go of their channel.
    ///
    /// # Errors
    /// The thread can't be made.
    pub fn spawn(self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new()
            .name("pgsonde-analyzer".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || self.run())
    }

    fn run(mut self) {
        let mut analyzer = self.fresh();
        let mut next_tick_us = 0;
        let mut marks_seen = 0;
        loop {
            let now_us = clock::now_us();
            if now_us >= next_tick_us {
                let answers = self.obey(&mut analyzer);
                self.note_overload(&mut analyzer);
                self.publish(&mut analyzer, now_us);
                answers.into_iter().for_each(Answer::give);
                next_tick_us = clock::now_us() + TICK.as_micros() as u64;
            }
            let left = Duration::from_micros(next_tick_us.saturating_sub(clock::now_us()));
            match self.full.recv_timeout(left) {
                Ok(parcel) => {
                    // A mark is set before what runs under it: it is known before its records are.
                    for change in marks::news(&mut marks_seen) {
                        analyzer.mark_process(change.at_us, change.mark.as_ref());
                    }
                    self.take(&mut analyzer, parcel);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let now_us = clock::now_us();
        if catch_unwind(AssertUnwindSafe(|| analyzer.finish(now_us))).is_err() {
            self.restart(&mut analyzer, 0);
        }
        self.publish(&mut analyzer, now_us);
    }

    fn fresh(&self) -> Analyzer {
        let mut analyzer = Analyzer::new(self.limits.clone(), self.salt.clone());
        analyzer.set_counters_only(self.keeps_counters_only());
        analyzer
    }

    fn keeps_counters_only(&self) -> bool {
        self.counters_only || self.overload.is_relieved()
    }

    /// Leaves texts and findings aside, or takes them up again: then it wants the texts that it did not take.
    fn change_depth(&mut self, analyzer: &mut Analyzer, change: impl FnOnce(&mut Self)) {
        let before = self.keeps_counters_only();
        change(self);
        let now = self.keeps_counters_only();
        if now != before {
            self.resumptions += u32::from(before);
            analyzer.set_counters_only(now);
            self.announce_epoch(analyzer);
        }
    }

    /// Carries out what the main thread wants. The answers are given when the snapshot shows it.
    fn obey(&mut self, analyzer: &mut Analyzer) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Ok(order) = self.orders.try_recv() {
            match order {
                AnalyzerOrder::Limits(limits) => {
                    self.limits = (*limits).clone();
                    analyzer.set_limits(*limits);
                }
                AnalyzerOrder::CountersOnly(counters_only) => {
                    self.change_depth(analyzer, |this| this.counters_only = counters_only);
                }
                AnalyzerOrder::Advice(verdicts) => analyzer.advise(verdicts, clock::now_us()),
                AnalyzerOrder::QueryIds(ids) => analyzer.name_queries(ids),
                AnalyzerOrder::Mute(rule, to) => {
                    // Also for an analyzer that starts anew.
                    self.limits.mutes.push(rule.clone());
                    answers.push(Answer { done: analyzer.mute(rule), to });
                }
                AnalyzerOrder::Sketch(to) => {
                    let now_us = clock::now_us();
                    match catch_unwind(AssertUnwindSafe(|| analyzer.sketched(now_us))) {
                        // Whoever asked may have gone.
                        Ok(sketched) => drop(to.send(Box::new(sketched))),
                        Err(_) => self.restart(analyzer, 0),
                    }
                }
                AnalyzerOrder::Unmute(target, to) => {
                    self.limits.mutes.retain(|rule| rule.target != target);
                    answers.push(Answer { done: analyzer.unmute(&target), to });
                }
            }
        }
        answers
    }

    fn take(&self, analyzer: &mut Analyzer, Parcel { worker, mut batch }: Parcel) {
        self.shared.outbox.queued_batches.fetch_sub(1, Relaxed);
        let events = &self.shared.events;
        analyzer.listen(events.hub.is_listened());
        let ingested = catch_unwind(AssertUnwindSafe(|| analyzer.ingest(&batch)));
        if ingested.is_err() {
            self.restart(analyzer, counted_statements(&batch));
        }
        events.hear(analyzer);
        self.shared.advisor.hear(&batch, analyzer);
        self.announce_epoch(analyzer);
        clear(&mut batch);
        // A full channel means that enough empty batches lie there already.
        let _ = self.spare[worker].try_send(batch);
    }

    fn publish(&mut self, analyzer: &mut Analyzer, now_us: u64) {
        let made = catch_unwind(AssertUnwindSafe(|| {
            analyzer.tick(now_us);
            analyzer.snapshot(now_us)
        }));
        match made {
            Ok(snapshot) => {
                self.note_memory(analyzer, &snapshot);
                let snapshot = Arc::new(snapshot);
                self.shared.events.tick(&snapshot);
                drop(self.snapshots.send_replace(snapshot));
            }
            Err(_) => self.restart(analyzer, 0),
        }
    }

    /// Relieves the analyzer where it doesn't keep up.
    fn note_overload(&mut self, analyzer: &mut Analyzer) {
        let lost = self.shared.outbox.dropped_statements.load(Relaxed);
        let mut changed = false;
        self.change_depth(analyzer, |this| changed = this.overload.tick(lost));
        if !changed {
            return;
        }
        let relieved = self.overload.is_relieved();
        self.shared.overloaded.store(relieved, Relaxed);
        if relieved {
            tracing::warn!(lost, "the analyzer does not keep up: nothing but counters is kept");
        } else {
            tracing::info!(lost, "the analyzer keeps up again");
        }
    }

    /// Says when the analyzer gives up everything but counters for want of memory, and when it takes it up again: then
    /// it wants the texts that it left aside.
    fn note_memory(&mut self, analyzer: &Analyzer, snapshot: &Snapshot) {
        let memory = snapshot.memory;
        if self.shared.memory_short.swap(memory.is_short, Relaxed) == memory.is_short {
            return;
        }
        let (held_bytes, max_bytes) = (memory.held_bytes, memory.max_bytes);
        if memory.is_short {
            tracing::warn!(
                held_bytes,
                max_bytes,
                "profile.memory_limit: nothing but counters is kept"
            );
        } else {
            tracing::info!(held_bytes, max_bytes, "profile.memory_limit: there is room again");
            self.resumptions += 1;
            self.announce_epoch(analyzer);
        }
    }

    /// A panic in the analyzer costs its statistics, not the process. Statements that were prepared before are
    /// counted without their text until they are prepared again.
    fn restart(&self, analyzer: &mut Analyzer, lost_statements: u64) {
        tracing::error!("the analyzer failed and starts anew; its statistics begin at zero");
        *analyzer = self.fresh();
        self.shared.analyzer_restarts.fetch_add(1, Relaxed);
        self.shared.restart_dropped_statements.fetch_add(lost_statements, Relaxed);
        self.shared.events.lose(lost_statements, "analyzer_restart");
    }

    /// Epochs count on over restarts, and over pauses in which no text was taken: the workers must notice that the new analyzer knows no texts.
    fn announce_epoch(&self, analyzer: &Analyzer) {
        let restarts = self.shared.analyzer_restarts.load(Relaxed) as u32;
        let epoch = analyzer
            .text_epoch()
            .wrapping_add(restarts.wrapping_mul(1 << 24))
            .wrapping_add(self.resumptions.wrapping_mul(1 << 16));
        self.shared.outbox.epoch.store(epoch, Relaxed);
    }
}

/// The answer to an order of the main thread.
struct Answer {
    done: bool,
    to: oneshot::Sender<bool>,
}

impl Answer {
    fn give(self) {
        // Whoever asked may have gone.
        let _ = self.to.send(self.done);
    }
}

/// Empties a batch but keeps its capacity.
pub fn clear(batch: &mut RecordBatch) {
    let RecordBatch {
        epoch,
        events,
        texts,
        bytes,
        binds,
        columns,
        fields,
        cells,
        samples,
        widths,
        values,
    } = batch;
    *epoch = 0;
    events.clear();
    texts.clear();
    bytes.clear();
    binds.clear();
    columns.clear();
    fields.clear();
    cells.clear();
    samples.clear();
    widths.clear();
    values.clear();
}
