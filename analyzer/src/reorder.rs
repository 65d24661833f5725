//! A queue that puts what came from several workers back into the order of its time.
//!
//! Records of one session arrive in order; those of different sessions don't, because batches are up to
//! 100 ms old. Whoever has to see them in order lets them wait here for long enough.

use crate::Map;
use crate::record::{Micros, SessionId};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// One waiting entry.
#[derive(Debug)]
struct Waiting<T> {
    at_us: Micros,
    ordinal: u64,
    session: SessionId,
    bytes: usize,
    what: T,
}

impl<T> Waiting<T> {
    fn key(&self) -> (Micros, u64) {
        (self.at_us, self.ordinal)
    }
}

impl<T> PartialEq for Waiting<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Waiting<T> {}

impl<T> PartialOrd for Waiting<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Waiting<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// What a session has waiting.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    count: usize,
    last_us: Micros,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Reorder<T> {
    heap: BinaryHeap<Reverse<Waiting<T>>>,
    lines: Map<SessionId, Line>,
    ordinal: u64,
    now: Micros,
    bytes: usize,
    wait_us: u64,
    entries_max: usize,
    bytes_max: usize,
    /// Entries that were handed out early because there were too many.
    pub(crate) overflowed: u64,
}

impl<T> Reorder<T> {
    pub(crate) fn new(wait_us: u64, entries_max: usize, bytes_max: usize) -> Self {
        Self {
            heap: BinaryHeap::new(),
            lines: Map::default(),
            ordinal: 0,
            now: 0,
            bytes: 0,
            wait_us,
            entries_max,
            bytes_max,
            overflowed: 0,
        }
    }

    /// Whether anything of the session waits: then everything else of it has to wait behind.
    pub(crate) fn holds(&self, session: SessionId) -> bool {
        !self.lines.is_empty() && self.lines.contains_key(&session)
    }

    /// Adds an entry; a session's entries never overtake one another.
    pub(crate) fn push(&mut self, session: SessionId, at_us: Micros, bytes: usize, what: T) {
        let line = self.lines.entry(session).or_default();
        line.count += 1;
        line.last_us = line.last_us.max(at_us);
        self.ordinal += 1;
        self.bytes += bytes;
        let (at_us, ordinal) = (line.last_us, self.ordinal);
        self.heap.push(Reverse(Waiting { at_us, ordinal, session, bytes, what }));
    }

    /// Time goes on.
    pub(crate) fn advance(&mut self, now: Micros) {
        self.now = self.now.max(now);
    }

    /// The earliest entry, if it has waited for long enough or if there are too many.
    ///
    /// The earliest goes rather than the newest: so each session keeps its order.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let Reverse(first) = self.heap.peek()?;
        let ripe = first.at_us.saturating_add(self.wait_us) <= self.now;
        let full = self.heap.len() > self.entries_max || self.bytes > self.bytes_max;
        if !ripe && !full {
            return None;
        }
        self.overflowed += u64::from(!ripe);
        let Reverse(first) = self.heap.pop()?;
        self.bytes -= first.bytes;
        if let Some(line) = self.lines.get_mut(&first.session) {
            line.count -= 1;
            if line.count == 0 {
                self.lines.remove(&first.session);
            }
        }
        Some(first.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut Reorder<u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn entries_come_out_in_the_order_of_time_once_they_have_waited() {
        let mut queue = Reorder::new(250, 100, 1_000);
        queue.push(SessionId(1), 1_000, 1, 2);
        queue.push(SessionId(2), 900, 1, 1);
        queue.push(SessionId(1), 1_100, 1, 3);
        queue.advance(1_149);
        assert!(drain(&mut queue).is_empty());
        queue.advance(1_150);
        assert_eq!(drain(&mut queue), [1]);
        assert!(queue.holds(SessionId(1)) && !queue.holds(SessionId(2)));
        queue.advance(1_350);
        assert_eq!(drain(&mut queue), [2, 3]);
        assert!(!queue.holds(SessionId(1)));
    }

    #[test]
    fn a_session_keeps_its_order_even_if_its_times_do_not() {
        let mut queue = Reorder::new(250, 100, 1_000);
        queue.push(SessionId(1), 1_000, 1, 1);
        queue.push(SessionId(1), 500, 1, 2);
        queue.push(SessionId(2), 600, 1, 0);
        queue.advance(10_000);
        assert_eq!(drain(&mut queue), [0, 1, 2]);
    }

    #[test]
    fn too_many_or_too_large_entries_go_early_and_are_counted() {
        for (entries_max, bytes_max, bytes) in [(2, 1_000, 1), (100, 20, 10)] {
            let mut queue = Reorder::new(250, entries_max, bytes_max);
            for n in 0..5 {
                queue.push(SessionId(u64::from(n)), 1_000 - u64::from(n), bytes, n);
            }
            assert_eq!(drain(&mut queue), [4, 3, 2]);
            assert_eq!(queue.overflowed, 3);
            queue.advance(2_000);
            assert_eq!(drain(&mut queue), [1, 0]);
        }
    }
}
