//! The latest values of something, for medians.

/// Values kept.
const SAMPLES_MAX: usize = 64;

/// A ring of values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    values: Vec<f64>,
    next: usize,
}

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        if self.values.len() < SAMPLES_MAX {
            self.values.push(value);
        } else {
            self.values[self.next] = value;
            self.next = (self.next + 1) % SAMPLES_MAX;
        }
    }

    /// Puts `new` in the place of the latest value that equals `old`, if there is one.
    pub(crate) fn replace(&mut self, old: f64, new: f64) {
        let (newer, older) = self.values.split_at_mut(self.next);
        let mut latest_first = newer.iter_mut().rev().chain(older.iter_mut().rev());
        if let Some(value) = latest_first.find(|value| **value == old) {
            *value = new;
        }
    }

    /// Nearest-rank median, if there is a value.
    pub(crate) fn median(&self) -> Option<f64> {
        let mut sorted = self.values.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(sorted.len().div_ceil(2).max(1) - 1).copied()
    }

    /// The same as a whole number.
    pub(crate) fn median_count(&self) -> Option<u64> {
        self.median().map(|value| value as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_the_latest_values() {
        let mut samples = Samples::default();
        assert_eq!(samples.median(), None);
        for (value, median) in [(5.0, 5.0), (1.0, 1.0), (9.0, 5.0)] {
            samples.push(value);
            assert_eq!(samples.median(), Some(median));
        }
        samples.replace(9.0, 0.5);
        samples.replace(77.0, 99.0);
        assert_eq!(samples.median(), Some(1.0));
        (0..SAMPLES_MAX).for_each(|_| samples.push(2.0));
        assert_eq!(samples.median_count(), Some(2));
    }
}
