//! Sums over the last hour, in ten-minute slots.

use crate::record::Micros;

const SLOT_US: u64 = 600 * 1_000_000;
const SLOTS: usize = 6;

/// `N` sums that forget what is older than an hour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hour<const N: usize> {
    slots: [(u64, [u64; N]); SLOTS],
}

impl<const N: usize> Default for Hour<N> {
    fn default() -> Self {
        Self { slots: [(0, [0; N]); SLOTS] }
    }
}

impl<const N: usize> Hour<N> {
    /// Adds to the slot of `at_us`.
    pub(crate) fn add(&mut self, at_us: Micros, more: [u64; N]) {
        let number = at_us / SLOT_US;
        let slot = &mut self.slots[number as usize % SLOTS];
        if slot.0 > number {
            return;
        }
        if slot.0 < number {
            *slot = (number, [0; N]);
        }
        for (sum, more) in slot.1.iter_mut().zip(more) {
            *sum += more;
        }
    }

    /// The sums of the slots that are not older than the window.
    pub(crate) fn sums(&self, now: Micros) -> [u64; N] {
        let current = now / SLOT_US;
        let mut sums = [0; N];
        for (number, slot) in &self.slots {
            if *number <= current && number + (SLOTS as u64) > current {
                for (sum, more) in sums.iter_mut().zip(slot) {
                    *sum += more;
                }
            }
        }
        sums
    }
}

/// How long the window reaches back from `now`, in microseconds: 50 to 60 minutes, or since `start_us`.
pub(crate) fn window_us(start_us: Micros, now: Micros) -> u64 {
    let first = (now / SLOT_US).saturating_sub(SLOTS as u64 - 1) * SLOT_US;
    now.saturating_sub(first.max(start_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_forgets_slot_by_slot() {
        let mut hour = Hour::<1>::default();
        (0..7).for_each(|slot| hour.add(slot * SLOT_US, [1]));
        for (now, sum) in [(6, 6), (7, 5), (11, 1), (12, 0)] {
            assert_eq!(hour.sums(now * SLOT_US), [sum], "{now}");
        }
    }

    #[test]
    fn the_window_begins_with_the_observation() {
        for (start, now, window) in [(0, 5, 5), (100, 150, 50), (0, 6 * SLOT_US, 5 * SLOT_US)] {
            assert_eq!(window_us(start, now), window);
        }
    }
}
