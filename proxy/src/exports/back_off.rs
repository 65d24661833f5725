//! Waits between attempts.

use super::Counts;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// First wait after a failure; it doubles …
const MIN: Duration = Duration::from_millis(250);
/// … up to this.
const MAX: Duration = Duration::from_secs(30);
/// Longest sleep at a time, so that the end of the process is noticed.
const STEP: Duration = Duration::from_millis(50);

/// The next wait.
#[derive(Debug)]
pub(crate) struct BackOff(Duration);

impl Default for BackOff {
    fn default() -> Self {
        Self(MIN)
    }
}

impl BackOff {
    /// How long to wait now; the next time it is twice as long.
    pub(crate) fn wait(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(MAX);
        wait
    }

    /// Something worked.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Sleeps, or until the process ends.
pub(crate) fn sleep(time: Duration, counts: &Counts) {
    let mut left = time;
    while left > Duration::ZERO && !counts.closing.load(Relaxed) {
        std::thread::sleep(STEP.min(left));
        left = left.saturating_sub(STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_half_a_minute_and_begin_anew() {
        let mut back_off = BackOff::default();
        let waits: Vec<u128> = (0..9).map(|_| back_off.wait().as_millis()).collect();
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        back_off.reset();
        assert_eq!(back_off.wait(), MIN);
    }
}
