//! `sequential_independent`: slow reads one after another, none of which was given a value of another's result.
//!
//! Only a candidate: what one of them returned may still have decided whether the next was to run.

use super::report::{Report, ms};
use super::run::Body;
use super::step::{Scene, Step};
use super::traits::Role;
use crate::finding::{EvidenceValue, Kind, Proof};
use crate::findings::cost::OccurrenceCost;
use crate::labels::DatabaseId;
use crate::record::{Micros, SessionId};
use std::sync::Arc;

/// Reads of one row that are followed.
const READS_MAX: usize = 16;
/// Hashes kept of the results of one row of reads.
const CELLS_MAX: usize = 16_384;

/// One slow read.
#[derive(Clone, Debug)]
struct Read {
    digest: u64,
    service_us: u64,
    round_trip: u32,
    body: Box<Body>,
}

/// Slow reads in a row on one session.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    reads: Vec<Read>,
    /// Hashes of their results, sorted.
    cells: Vec<u32>,
    /// Not everything of their results was kept: a further one can't be judged.
    incomplete: bool,
    /// The unit has written: another connection would not see it.
    wrote: bool,
    database: DatabaseId,
    session: SessionId,
    unit: u64,
    first_us: Micros,
    last_us: Micros,
}

impl Reads {
    /// Takes in one execution.
    pub(super) fn step(&mut self, step: &Step<'_>, scene: &mut Scene<'_>) {
        let limits = &scene.limits.loops;
        let paused = step.think_us > limits.sequential_think_max_us;
        if !self.reads.is_empty() && (paused || step.unit != self.unit) {
            self.finish(scene);
        }
        if step.fresh {
            self.wrote = false;
        }
        if step.traits.role.is_quiet() {
            return;
        }
        let slow = step.service_us() >= scene.limits.loops.sequential_service_min_us;
        let read = step.traits.role == Role::Read && !step.traits.locking && slow;
        if !read || self.wrote {
            self.wrote |= !matches!(step.traits.role, Role::Read | Role::Fetch);
            self.finish(scene);
            return;
        }
        if !self.is_independent(step) {
            self.finish(scene);
        }
        self.add(step);
    }

    fn is_independent(&self, step: &Step<'_>) -> bool {
        let told_apart =
            |read: &Read| read.digest != step.digest() && read.round_trip != step.round_trip();
        !self.incomplete
            && self.reads.len() < READS_MAX
            && self.reads.iter().all(told_apart)
            && !step.seen.binds().any(|cell| self.cells.binary_search(&cell.hash).is_ok())
    }

    fn add(&mut self, step: &Step<'_>) {
        if self.reads.is_empty() {
            self.first_us = step.begin_us();
            self.unit = step.unit;
            (self.database, self.session) = (step.seen.database, step.session());
        }
        let mut body = Box::new(Body::new(step));
        body.add(step);
        self.reads.push(Read {
            digest: step.digest(),
            service_us: step.service_us(),
            round_trip: step.round_trip(),
            body,
        });
        self.last_us = step.end_us();
        self.incomplete |= step.seen.record.truncated;
        for column in step.seen.columns() {
            let cells = column.cells.of(&step.seen.batch.cells);
            let room = CELLS_MAX.saturating_sub(self.cells.len());
            self.incomplete |= cells.len() > room;
            self.cells.extend(cells.iter().take(room).filter(|cell| **cell != 0));
        }
        self.cells.sort_unstable();
        self.cells.dedup();
    }

    /// The row is over.
    pub(super) fn finish(&mut self, scene: &mut Scene<'_>) {
        if self.reads.is_empty() {
            return;
        }
        let limits = &scene.limits.loops;
        let sum_us: u64 = self.reads.iter().map(|read| read.service_us).sum();
        let longest_us = self.reads.iter().map(|read| read.service_us).max().unwrap_or(0);
        let saved_us = sum_us - longest_us;
        if self.reads.len() as u64 >= limits.sequential_reads_min
            && saved_us >= limits.sequential_saved_min_us
        {
            scene.out.extend(self.report(saved_us, sum_us));
        }
        self.reads.clear();
        self.cells = Vec::new();
        self.incomplete = false;
    }

    /// Nothing came for longer than a pause may be.
    pub(super) fn tick(&mut self, now: Micros, scene: &mut Scene<'_>) {
        if now.saturating_sub(self.last_us) > scene.limits.loops.sequential_think_max_us {
            self.finish(scene);
        }
    }

    fn report(&self, saved_us: u64, sum_us: u64) -> Option<Report> {
        let longest = self.reads.iter().max_by_key(|read| (read.service_us, read.digest))?;
        // The set of reads is the claim; it is named after the one with the least digest.
        let first = self.reads.iter().min_by_key(|read| read.digest)?;
        let (kind, proof) = (Kind::SequentialIndependent, Proof::Sequence);
        let mut report = Report::new(kind, proof, self.database, &first.body.statement);
        let mut digests: Vec<u64> = self.reads.iter().map(|read| read.digest).collect();
        digests.sort_unstable();
        report.partner = Some(digests.into_iter().fold(0, super::step::mix));
        report.cost = OccurrenceCost {
            saved_low_us: saved_us,
            saved_high_us: saved_us,
            rtt_us: longest.body.rtt_us,
            service_p50_us: longest.service_us,
            busy_us: sum_us,
            round_trips: self.reads.len() as u64 - 1,
            bytes: None,
        };
        let n = self.reads.len();
        report.sentence = format!(
            "Candidate: {n} slow reads ran one after another ({:.0} ms in all, the longest {:.0} ms), and none was \
             given a value that another one had returned. They may be independent of each other.",
            sum_us as f64 / 1_000.0,
            longest.service_us as f64 / 1_000.0
        );
        let listed = |read: &Read| -> Arc<str> {
            let took_ms = read.service_us as f64 / 1_000.0;
            Arc::from(format!("{} ({took_ms:.1} ms)", read.body.statement.summary))
        };
        report.evidence = vec![
            ("reads", EvidenceValue::Count(n as u64)),
            ("reads_ms", EvidenceValue::List(self.reads.iter().map(listed).collect())),
            ("sum_ms", ms(sum_us)),
            ("longest_ms", ms(longest.service_us)),
        ];
        (report.sender, report.session) = (first.body.sender.clone(), self.session);
        (report.first_us, report.last_us) = (self.first_us, self.last_us);
        Some(report)
    }
}
