//! The recent past in steps of equal length: everything together, and the costliest digests of each step.

use crate::latency::bucket_quantile;
use crate::limits::Limits;
use crate::record::Micros;
use crate::snapshot::{DigestPoint, HistoryStep, Point, ROW_BUCKETS_US};
use std::collections::VecDeque;
use std::sync::Arc;

/// Counts by bucket of [`ROW_BUCKETS_US`], and what is above.
pub(crate) type RowBuckets = [u64; ROW_BUCKETS_US.len() + 1];

/// Sums since the start, of a digest or of everything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    pub(crate) rows: u64,
    pub(crate) total_us: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) buckets: RowBuckets,
}

impl Sums {
    /// What was added since `before`.
    pub(crate) fn since(&self, before: &Self) -> Point {
        let mut buckets = self.buckets;
        buckets.iter_mut().zip(before.buckets).for_each(|(count, before)| *count -= before);
        Point {
            calls: self.calls - before.calls,
            errors: self.errors - before.errors,
            rows: self.rows - before.rows,
            total_us: self.total_us - before.total_us,
            received_bytes: self.received_bytes - before.received_bytes,
            sent_bytes: self.sent_bytes - before.sent_bytes,
            p95_us: bucket_quantile(&buckets, 0.95),
        }
    }
}

/// Steps that are over, oldest first.
#[derive(Debug)]
pub(crate) struct History {
    step_us: u64,
    steps_max: usize,
    begin_us: Micros,
    before: Sums,
    steps: VecDeque<Arc<HistoryStep>>,
    /// The same, made once per step for all the snapshots in it.
    shared: Arc<[Arc<HistoryStep>]>,
}

impl History {
    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let points = self.steps.iter().map(|step| step.digests.len()).sum::<usize>();
        points * size_of::<DigestPoint>() + self.steps.len() * size_of::<HistoryStep>()
    }

    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            step_us: limits.history_step_us.max(1),
            steps_max: limits.history_steps_max,
            begin_us: 0,
            before: Sums::default(),
            steps: VecDeque::new(),
            shared: Arc::default(),
        }
    }

    /// Whether the present step is over at `now`.
    pub(crate) fn is_due(&self, now: Micros) -> bool {
        now.saturating_sub(self.begin_us) >= self.step_us
    }

    /// Ends the present step: `all` is the sum of everything since the start, `digests` what each digest did in
    /// the step.
    pub(crate) fn end_step(&mut self, now: Micros, all: Sums, step: HistoryStep) {
        let all_of_step = all.since(&self.before);
        let begin_us = self.begin_us;
        self.steps.push_back(Arc::new(HistoryStep {
            begin_us,
            end_us: now,
            all: all_of_step,
            ..step
        }));
        while self.steps.len() > self.steps_max {
            self.steps.pop_front();
        }
        (self.begin_us, self.before) = (now, all);
        self.shared = self.steps.iter().cloned().collect();
    }

    /// The steps for a snapshot.
    pub(crate) fn steps(&self) -> Arc<[Arc<HistoryStep>]> {
        self.shared.clone()
    }
}
