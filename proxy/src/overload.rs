//! Whether the analyzer keeps up with what the workers send.
//!
//! What doesn't fit into the queue is dropped and counted, so that forwarding keeps its speed. Where that goes on, the
//! analyzer leaves texts and findings aside, which takes a quarter of the time, until there has been calm; if it
//! comes back too soon, the next calm has to last longer. It never goes on to `bypass` by itself: sessions that
//! were not looked at once can't be followed again, so that the remedy would outlast the need for as long as a pool
//! keeps its connections.

/// Ticks in a row with losses after which the analyzer is relieved.
const LOSING_TICKS: u32 = 4;
/// Ticks in a row without a loss after which it takes everything up again.
const CALM_TICKS_MIN: u32 = 20;
/// The same where it was too soon again and again.
const CALM_TICKS_MAX: u32 = 640;

/// Tells from the losses of each tick whether the analyzer is to be relieved.
#[derive(Debug)]
pub struct Overload {
    /// Losses as of the latest tick.
    lost: u64,
    losing: u32,
    calm: u32,
    calm_wanted: u32,
    relieved: bool,
}

impl Default for Overload {
    fn default() -> Self {
        Self { lost: 0, losing: 0, calm: 0, calm_wanted: CALM_TICKS_MIN, relieved: false }
    }
}

impl Overload {
    /// Whether only counters are kept for now.
    pub fn is_relieved(&self) -> bool {
        self.relieved
    }

    /// A tick is over; `lost` statements didn't reach the analyzer since the start. True if it is to be relieved from
    /// here on, or not any more.
    pub fn tick(&mut self, lost: u64) -> bool {
        let calm = std::mem::replace(&mut self.lost, lost) == lost;
        if calm {
            (self.calm, self.losing) = (self.calm.saturating_add(1), 0);
        } else {
            (self.calm, self.losing) = (0, self.losing + 1);
        }
        if self.relieved {
            return self.calm >= self.calm_wanted && self.change(false);
        }
        if self.calm >= self.calm_wanted {
            self.calm_wanted = CALM_TICKS_MIN;
        }
        self.losing >= LOSING_TICKS && self.change(true)
    }

    fn change(&mut self, relieved: bool) -> bool {
        self.relieved = relieved;
        if !relieved {
            // Taken back by as long a calm again.
            self.calm_wanted = (self.calm_wanted * 2).min(CALM_TICKS_MAX);
        }
        (self.calm, self.losing) = (0, 0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks until the state changes, each with that many losses more.
    fn ticks(overload: &mut Overload, losses: u64, max: u32) -> Option<u32> {
        (1..=max).find(|_| overload.tick(overload.lost + losses))
    }

    #[test]
    fn a_short_burst_changes_nothing() {
        let mut overload = Overload::default();
        for _ in 0..10 {
            assert_eq!(ticks(&mut overload, 7, LOSING_TICKS - 1), None);
            assert_eq!(ticks(&mut overload, 0, 1), None);
        }
        assert!(!overload.is_relieved());
    }

    #[test]
    fn lasting_losses_relieve_and_calm_takes_it_back() {
        let mut overload = Overload::default();
        assert_eq!(ticks(&mut overload, 1, 100), Some(LOSING_TICKS));
        assert!(overload.is_relieved());
        assert_eq!(ticks(&mut overload, 0, CALM_TICKS_MIN - 1), None);
        assert_eq!(ticks(&mut overload, 1, 1), None, "calm begins anew");
        assert_eq!(ticks(&mut overload, 0, 100), Some(CALM_TICKS_MIN));
        assert!(!overload.is_relieved());
    }

    #[test]
    fn each_relapse_asks_for_more_calm_and_lasting_calm_forgives() {
        let mut overload = Overload::default();
        let mut wanted = CALM_TICKS_MIN;
        for _ in 0..8 {
            assert_eq!(ticks(&mut overload, 1, 100), Some(LOSING_TICKS));
            assert_eq!(ticks(&mut overload, 0, 10_000), Some(wanted));
            wanted = (wanted * 2).min(CALM_TICKS_MAX);
        }
        assert_eq!(ticks(&mut overload, 0, CALM_TICKS_MAX), None);
        assert_eq!(ticks(&mut overload, 1, 100), Some(LOSING_TICKS));
        assert_eq!(ticks(&mut overload, 0, 100), Some(CALM_TICKS_MIN));
    }
}
