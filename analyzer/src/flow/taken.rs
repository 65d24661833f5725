//! Executions that a published occurrence has explained: each counts in one occurrence only.

use crate::Map;
use std::collections::VecDeque;

/// Executions remembered; older ones can't be explained again, because their parents are gone.
const TAKEN_MAX: usize = 65_536;

/// Ordinals of executions, the newest ones.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    known: Map<u32, ()>,
    order: VecDeque<u32>,
}

impl Taken {
    pub(crate) fn contains(&self, execution: u32) -> bool {
        !self.known.is_empty() && self.known.contains_key(&execution)
    }

    pub(crate) fn insert(&mut self, execution: u32) {
        if self.known.insert(execution, ()).is_none() {
            self.order.push_back(execution);
            if self.order.len() > TAKEN_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut taken = Taken::default();
        (0..=TAKEN_MAX as u32).for_each(|execution| taken.insert(execution));
        assert!(!taken.contains(0));
        assert!(taken.contains(1) && taken.contains(TAKEN_MAX as u32));
        assert_eq!(taken.known.len(), TAKEN_MAX);
    }
}
