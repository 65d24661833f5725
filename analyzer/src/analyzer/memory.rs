//! One bound for all that the analyzer holds: what it sheds when it is short of memory, in which order.
//!
//! Every table has a limit of its own; this one counts when these are set too high for the machine. What is held is
//! reckoned, not measured: tables report their entries and what these keep alive, once a tick.

use super::Analyzer;
use crate::record::Micros;
use crate::snapshot::MemoryUse;

/// Bytes that a session with its units and marks is reckoned as.
const SESSION_BYTES: usize = 1_536;
/// Bytes that a finding with its samples is reckoned as.
const FINDING_BYTES: usize = 4_096;
/// Shedding goes on until this share of the limit is held, in percent; counters alone end there as well.
const LOW_WATER_PERCENT: usize = 75;

/// What became of the bound so far.
#[derive(Debug, Default)]
pub(super) struct Memory {
    held_bytes: usize,
    /// New texts, results and findings are left aside.
    is_short: bool,
    sheds: u64,
    digests_shed: u64,
}

impl Analyzer {
    /// Leaves texts and findings aside, or takes them up again: then senders must send their texts again, and
    /// detectors begin anew. A statement whose text came before is still counted under its digest.
    pub fn set_counters_only(&mut self, counters_only: bool) {
        let before = self.counts_only();
        self.counters_only = counters_only;
        self.resume_after(before);
    }

    /// Whether texts and findings are left aside, by order or for want of memory.
    pub(super) fn counts_only(&self) -> bool {
        self.counters_only || self.memory.is_short
    }

    fn resume_after(&mut self, counted_only: bool) {
        if counted_only && !self.counts_only() {
            self.findings.begin_anew(&self.limits);
        }
    }

    /// Sheds what has to go: first what senders send again and what nobody misses in the sums (older texts,
    /// examples, results held for a proof), then the cheapest digests, whose sums go on under `other`. If that is not
    /// enough, nothing but counters is kept until it is.
    pub(super) fn bound_memory(&mut self, now: Micros) {
        let max = self.limits.memory_bytes_max;
        let low = max / 100 * LOW_WATER_PERCENT;
        let before = self.counts_only();
        self.memory.held_bytes = self.reckoned_bytes();
        if self.memory.held_bytes > max {
            self.memory.sheds += 1;
            self.texts.forget_previous();
            self.digests.forget_examples();
            self.findings.begin_anew(&self.limits);
            let excess = self.reckoned_bytes().saturating_sub(low);
            let (digests, calls) = self.digests.shed(excess, now);
            self.memory.digests_shed += digests;
            self.counters.books.other += calls;
            self.memory.held_bytes = self.reckoned_bytes();
            self.memory.is_short = self.memory.held_bytes > max;
        } else if self.memory.held_bytes <= low {
            self.memory.is_short = false;
        }
        self.resume_after(before);
    }

    fn reckoned_bytes(&self) -> usize {
        self.texts.bytes()
            + self.digests.bytes()
            + self.findings.held_bytes()
            + self.findings.len() * FINDING_BYTES
            + self.history.bytes()
            + self.sessions.len() * SESSION_BYTES
    }

    pub(super) fn memory_use(&self) -> MemoryUse {
        MemoryUse {
            held_bytes: self.memory.held_bytes as u64,
            max_bytes: self.limits.memory_bytes_max as u64,
            is_short: self.memory.is_short,
            sheds: self.memory.sheds,
            digests_shed: self.memory.digests_shed,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::limits::Limits;
    use crate::testing::{Exec, Stream};

    fn stream(memory_bytes_max: usize) -> Stream {
        Stream::new(Limits { memory_bytes_max, ..Limits::default() })
    }

    /// `n` statements that nothing makes one digest of.
    fn run(stream: &mut Stream, from: usize, n: usize) {
        for number in from..from + n {
            let sql = format!("select a{number} from t{number} where b{number} = 1");
            stream.exec(Exec { sql: &sql, us: 100, rows: Some(1), ..Exec::default() });
        }
    }

    #[test]
    fn what_is_shed_is_counted_and_no_sum_falls() {
        let mut stream = stream(512 * 1024);
        let mut calls_before = 0;
        for round in 0..20 {
            run(&mut stream, round * 100, 100);
            let snapshot = stream.analyzer.snapshot(stream.now);
            let calls = snapshot.digests.iter().map(|row| row.totals.calls).sum::<u64>()
                + snapshot.other.calls;
            assert_eq!(calls, calls_before + 100, "round {round}");
            calls_before = calls;
            stream.analyzer.tick(stream.now);
            let memory = stream.analyzer.snapshot(stream.now).memory;
            assert!(memory.held_bytes <= memory.max_bytes, "{memory:?}");
        }
        let memory = stream.analyzer.snapshot(stream.now).memory;
        assert!(memory.sheds > 0 && memory.digests_shed > 0 && !memory.is_short, "{memory:?}");
    }

    #[test]
    fn with_room_nothing_is_shed() {
        let mut stream = stream(64 * 1024 * 1024);
        run(&mut stream, 0, 500);
        stream.analyzer.tick(stream.now);
        let snapshot = stream.analyzer.snapshot(stream.now);
        let memory = snapshot.memory;
        assert_eq!((memory.sheds, memory.digests_shed, snapshot.digests.len()), (0, 0, 500));
        let each = memory.held_bytes / 500;
        assert!((1_000..20_000).contains(&each), "{each} bytes each");
    }

    #[test]
    fn where_shedding_is_not_enough_only_counters_are_kept() {
        // Not even one open session fits.
        let mut stream = stream(1_024);
        run(&mut stream, 0, 50);
        stream.analyzer.tick(stream.now);
        let first = stream.analyzer.snapshot(stream.now);
        assert!(first.memory.is_short, "{:?}", first.memory);
        run(&mut stream, 50, 50);
        let second = stream.analyzer.snapshot(stream.now);
        assert_eq!(second.digests.iter().filter(|row| !row.query_text.is_empty()).count(), 0);
        let all = |calls: u64, more: u64| calls + more;
        let counted = second.digests.iter().map(|row| row.totals.calls).sum();
        assert_eq!(all(counted, second.other.calls), 100, "but every statement is counted");
    }
}
