//! What all sessions together may hold to follow their conversations: requests on their way, names, half frames.
//!
//! A session's own limits bound one peer; many sessions at their limits would still add up to gigabytes. So each
//! session tells the process what it holds, in steps of [`STEP_BYTES`], and is forwarded unseen where that would
//! be too much. A session that holds less than a step touches nothing shared.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes that all sessions together hold to follow their conversations; above it a session that wants more turns
/// opaque (`memory`).
pub const TRACKING_BYTES_MAX: usize = 128 << 20;

/// What a session holds is told in steps of this many bytes, rounded down; so each may hold this much untold.
pub const STEP_BYTES: usize = 16 << 10;

/// The budget of the process.
#[derive(Debug)]
pub struct TrackingBudget {
    held: AtomicUsize,
    bytes_max: usize,
}

impl Default for TrackingBudget {
    fn default() -> Self {
        Self::new(TRACKING_BYTES_MAX)
    }
}

impl TrackingBudget {
    /// Nothing held, of `bytes_max`.
    pub fn new(bytes_max: usize) -> Self {
        Self { held: AtomicUsize::new(0), bytes_max }
    }

    /// Bytes held now by all sessions, in whole steps.
    pub fn held_bytes(&self) -> usize {
        self.held.load(Relaxed)
    }
}

/// One session's part of the budget, given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<TrackingBudget>,
    told: usize,
}

impl Share {
    /// Nothing yet.
    pub fn of(budget: Arc<TrackingBudget>) -> Self {
        Self { budget, told: 0 }
    }

    /// The session holds this many bytes now. False if that is too much: then nothing more was taken.
    #[must_use]
    pub fn hold(&mut self, bytes: usize) -> bool {
        let steps = bytes / STEP_BYTES * STEP_BYTES;
        if steps <= self.told {
            self.give_back(self.told - steps);
            return true;
        }
        let more = steps - self.told;
        let held = self.budget.held.fetch_add(more, Relaxed) + more;
        self.told = steps;
        if held <= self.budget.bytes_max {
            return true;
        }
        self.give_back(more);
        false
    }

    fn give_back(&mut self, bytes: usize) {
        if bytes > 0 {
            self.budget.held.fetch_sub(bytes, Relaxed);
            self.told -= bytes;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back(self.told);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_share_what_there_is() {
        let budget = Arc::new(TrackingBudget::new(4 * STEP_BYTES));
        let share = || Share::of(Arc::clone(&budget));
        let (mut first, mut second) = (share(), share());
        assert!(first.hold(STEP_BYTES - 1));
        assert_eq!(budget.held_bytes(), 0, "less than a step is not told");
        assert!(first.hold(3 * STEP_BYTES + 5));
        assert!(second.hold(STEP_BYTES));
        assert_eq!(budget.held_bytes(), 4 * STEP_BYTES);
        assert!(!second.hold(2 * STEP_BYTES), "one step too many");
        assert_eq!(budget.held_bytes(), 4 * STEP_BYTES, "what is refused is not counted");
        assert!(first.hold(0));
        assert!(second.hold(4 * STEP_BYTES), "what one gives back another may hold");
        drop(second);
        assert_eq!(budget.held_bytes(), 0);
    }
}
