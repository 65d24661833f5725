//! Durations as counts: exact sums and extremes, quantiles to two digits, buckets over fixed bounds.
//!
//! The only file that knows `hdrhistogram`. A histogram costs kilobytes, so the first samples are kept as a
//! plain list, which also makes small quantiles exact.

use crate::snapshot::{Latency, ROW_BUCKETS_US};
use hdrhistogram::Histogram;

/// Samples kept as a list before a histogram is allocated.
const LIST_SAMPLES_MAX: usize = 32;
/// Longest duration that a histogram tells apart (one hour), in microseconds; bounds its memory.
const HISTOGRAM_VALUE_MAX_US: u64 = 3_600 * 1_000_000;
/// Significant digits of full and of coarse quantiles.
const DIGITS: u8 = 2;
const COARSE_DIGITS: u8 = 1;

/// Quantiles of a stream of microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Quantiles {
    digits: u8,
    list: Vec<u32>,
    histogram: Option<Box<Histogram<u32>>>,
}

impl Quantiles {
    /// Two significant digits, 5 to 13 KiB after the first samples.
    pub(crate) fn fine() -> Self {
        Self { digits: DIGITS, list: Vec::new(), histogram: None }
    }

    /// One significant digit, 1 to 2 KiB after the first samples.
    pub(crate) fn coarse() -> Self {
        Self { digits: COARSE_DIGITS, list: Vec::new(), histogram: None }
    }

    /// Bytes that it keeps alive.
    pub(crate) fn bytes(&self) -> usize {
        let counts = self.histogram.as_ref().map_or(0, |histogram| histogram.distinct_values());
        self.list.capacity() * size_of::<u32>() + counts * size_of::<u32>()
    }

    /// Adds one sample.
    pub(crate) fn record(&mut self, us: u64) {
        let us = us.min(HISTOGRAM_VALUE_MAX_US);
        match &mut self.histogram {
            Some(histogram) => grow_and_record(histogram, us),
            None if self.list.len() < LIST_SAMPLES_MAX => self.list.push(narrow(us)),
            None => {
                self.spill();
                self.record(us);
            }
        }
    }

    /// Nearest-rank quantile, 0 without samples.
    pub(crate) fn at(&self, quantile: f64) -> u64 {
        match &self.histogram {
            Some(histogram) => histogram.value_at_quantile(quantile),
            None => {
                let mut sorted = self.list.clone();
                sorted.sort_unstable();
                nearest_rank(&sorted, quantile).into()
            }
        }
    }

    /// What adds up with others.
    pub(crate) fn sketch(&self) -> Sketch {
        let coarse = self.digits == COARSE_DIGITS;
        let samples: Vec<(u64, u64)> = match &self.histogram {
            Some(histogram) => histogram
                .iter_recorded()
                .map(|at| {
                    let value = histogram.lowest_equivalent(at.value_iterated_to());
                    (value, u64::from(at.count_at_value()))
                })
                .collect(),
            None => {
                let mut sorted = self.list.clone();
                sorted.sort_unstable();
                merged(
                    &sorted.iter().map(|us| (u64::from(*us), 1)).collect::<Vec<_>>(),
                    &[],
                    |us| us,
                )
            }
        };
        Sketch { coarse, values: samples }
    }

    fn spill(&mut self) {
        // One and two digits are inside what the crate accepts (0 to 5), so this can't be an error;
        // without a histogram the list would simply stay full.
        if let Ok(mut histogram) = Histogram::new(self.digits) {
            histogram.auto(true);
            for sample in self.list.drain(..) {
                grow_and_record(&mut histogram, sample.into());
            }
            self.histogram = Some(Box::new(histogram));
        } else {
            self.list.clear();
        }
    }
}

/// `record` grows the histogram where needed; `saturating_record` would clamp to its present range instead.
/// It can only fail above the largest value of all, and values are bounded before.
fn grow_and_record(histogram: &mut Histogram<u32>, us: u64) {
    if histogram.record(us).is_err() {
        histogram.saturating_record(us);
    }
}

/// The element at `ceil(quantile * len)`, from a sorted slice; the default (0) of an empty one.
pub(crate) fn nearest_rank<T: Copy + Default>(sorted: &[T], quantile: f64) -> T {
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
}

/// Median of unsorted numbers (nearest rank), 0 without any.
pub(crate) fn median(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    nearest_rank(&sorted, 0.5)
}

/// A distribution that adds up without error: while it has few samples, each by itself, then those of a histogram with
/// one or two significant digits. Which of both depends on the number alone, so that the sum of sketches is the sketch
/// of all samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// One significant digit instead of two.
    pub coarse: bool,
    /// Values (samples, or the lowest of a bucket) in ascending order, each with its number.
    pub values: Vec<(u64, u64)>,
}

impl Sketch {
    /// Adds another one.
    pub fn add(&mut self, more: &Self) {
        self.coarse |= more.coarse;
        let all = self.samples() + more.samples();
        let scale = (all > LIST_SAMPLES_MAX as u64).then(|| scale(self.coarse)).flatten();
        let place =
            |value: u64| scale.as_ref().map_or(value, |scale| scale.lowest_equivalent(value));
        self.values = merged(&self.values, &more.values, place);
    }

    /// Samples.
    pub fn samples(&self) -> u64 {
        self.values.iter().map(|(_, count)| count).sum()
    }

    /// Nearest-rank quantile as the histogram gives it, 0 without samples.
    pub fn at(&self, quantile: f64) -> u64 {
        let all = self.samples();
        let rank = ((quantile * all as f64).ceil() as u64).max(1);
        let mut below = 0;
        let found = self.values.iter().find(|(_, count)| {
            below += count;
            below >= rank
        });
        let Some((value, _)) = found else { return 0 };
        let scale = (all > LIST_SAMPLES_MAX as u64).then(|| scale(self.coarse)).flatten();
        scale.map_or(*value, |scale| scale.highest_equivalent(*value))
    }
}

/// What says which values share a bucket.
fn scale(coarse: bool) -> Option<Histogram<u32>> {
    Histogram::new(if coarse { COARSE_DIGITS } else { DIGITS }).ok()
}

/// Two ascending lists as one; values at one place are one.
fn merged(
    left: &[(u64, u64)],
    right: &[(u64, u64)],
    place: impl Fn(u64) -> u64,
) -> Vec<(u64, u64)> {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    let mut all: Vec<(u64, u64)> = Vec::with_capacity(left.len() + right.len());
    loop {
        let next = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) if a.0 <= b.0 => left.next(),
            (Some(_), None) => left.next(),
            _ => right.next(),
        };
        let Some((value, count)) = next else { return all };
        let value = place(*value);
        match all.last_mut() {
            Some(last) if last.0 == value => last.1 += count,
            _ => all.push((value, *count)),
        }
    }
}

/// Durations that add up without error: what a row says about time can be made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurationSketch {
    /// The distribution, two significant digits.
    pub sketch: Sketch,
    /// Samples.
    pub count: u64,
    /// Smallest in microseconds; the largest number without samples.
    pub min_us: u64,
    /// Largest in microseconds.
    pub max_us: u64,
    /// Sum in microseconds.
    pub sum_us: u128,
    /// Sum of squares, in square microseconds.
    pub squares: u128,
}

impl Default for DurationSketch {
    fn default() -> Self {
        let sketch = Sketch::default();
        Self { sketch, count: 0, min_us: u64::MAX, max_us: 0, sum_us: 0, squares: 0 }
    }
}

impl DurationSketch {
    /// Adds another one.
    pub fn add(&mut self, more: &Self) {
        self.sketch.add(&more.sketch);
        self.count += more.count;
        self.min_us = self.min_us.min(more.min_us);
        self.max_us = self.max_us.max(more.max_us);
        self.sum_us += more.sum_us;
        self.squares += more.squares;
    }

    /// The summary; zeros without samples.
    pub fn summary(&self) -> Latency {
        let at =
            |quantile| self.sketch.at(quantile).clamp(self.min_us.min(self.max_us), self.max_us);
        summary(self, at)
    }
}

fn summary(of: &DurationSketch, at: impl Fn(f64) -> u64) -> Latency {
    if of.count == 0 {
        return Latency::default();
    }
    let count = of.count as f64;
    let mean = of.sum_us as f64 / count;
    let variance = (of.squares as f64 / count - mean * mean).max(0.0);
    Latency {
        count: of.count,
        min_us: of.min_us,
        p50_us: at(0.50),
        p95_us: at(0.95),
        p99_us: at(0.99),
        max_us: of.max_us,
        mean_us: mean,
        stddev_us: variance.sqrt(),
    }
}

fn narrow(us: u64) -> u32 {
    u32::try_from(us).unwrap_or(u32::MAX)
}

/// The quantile of counts by bucket, linear within its bucket as `histogram_quantile` of Prometheus is; the last
/// bound where it lies above, `None` without counts.
pub(crate) fn bucket_quantile(
    buckets: &[u64; ROW_BUCKETS_US.len() + 1],
    quantile: f64,
) -> Option<u64> {
    let count: u64 = buckets.iter().sum();
    let rank = (quantile * count as f64).ceil().max(1.0);
    let (mut below, mut lower) = (0.0, 0);
    for (bound, in_bucket) in ROW_BUCKETS_US.iter().zip(buckets) {
        let inside = *in_bucket as f64;
        if inside > 0.0 && below + inside >= rank {
            let width = (bound - lower) as f64;
            return Some(lower + (width * (rank - below) / inside) as u64);
        }
        below += inside;
        lower = *bound;
    }
    (count > 0).then_some(lower)
}

/// Everything that a digest row says about time.
#[derive(Clone, Debug)]
pub(crate) struct Durations {
    quantiles: Quantiles,
    buckets: [u64; ROW_BUCKETS_US.len() + 1],
    count: u64,
    min_us: u64,
    max_us: u64,
    sum_us: u128,
    squares: u128,
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            quantiles: Quantiles::fine(),
            buckets: [0; ROW_BUCKETS_US.len() + 1],
            count: 0,
            min_us: u64::MAX,
            max_us: 0,
            sum_us: 0,
            squares: 0,
        }
    }
}

impl Durations {
    /// Adds one duration.
    pub(crate) fn record(&mut self, us: u64) {
        self.quantiles.record(us);
        self.buckets[ROW_BUCKETS_US.partition_point(|bound| *bound < us)] += 1;
        self.count += 1;
        self.min_us = self.min_us.min(us);
        self.max_us = self.max_us.max(us);
        self.sum_us += u128::from(us);
        // Durations beyond 2^40 us (13 days) only come from a broken clock; they may not overflow the sum.
        let bounded = u128::from(us.min(1 << 40));
        self.squares += bounded * bounded;
    }

    /// Bytes that it keeps alive.
    pub(crate) fn bytes(&self) -> usize {
        self.quantiles.bytes()
    }

    /// Samples under each of [`ROW_BUCKETS_US`], then those above.
    pub(crate) fn buckets(&self) -> [u64; 25] {
        self.buckets
    }

    /// The longest, 0 without samples.
    pub(crate) fn max_us(&self) -> u64 {
        self.max_us
    }

    /// Any quantile, in microseconds.
    pub(crate) fn at(&self, quantile: f64) -> u64 {
        self.quantiles.at(quantile).clamp(self.min_us.min(self.max_us), self.max_us)
    }

    /// The summary; zeros without samples.
    pub(crate) fn summary(&self) -> Latency {
        summary(&self.sums(Sketch::default()), |quantile| self.at(quantile))
    }

    /// What adds up with others.
    pub(crate) fn sketch(&self) -> DurationSketch {
        self.sums(self.quantiles.sketch())
    }

    fn sums(&self, sketch: Sketch) -> DurationSketch {
        DurationSketch {
            sketch,
            count: self.count,
            min_us: self.min_us,
            max_us: self.max_us,
            sum_us: self.sum_us,
            squares: self.squares,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(samples: impl IntoIterator<Item = u64>) -> Durations {
        let mut durations = Durations::default();
        samples.into_iter().for_each(|us| durations.record(us));
        durations
    }

    #[test]
    fn no_samples_are_zeros() {
        assert_eq!(of([]).summary(), Latency::default());
        assert_eq!(of([]).at(0.5), 0);
    }

    #[test]
    fn few_samples_are_exact_by_nearest_rank() {
        let summary = of([40, 10, 30, 20]).summary();
        assert_eq!(
            (summary.min_us, summary.p50_us, summary.p95_us, summary.max_us),
            (10, 20, 40, 40)
        );
        assert_eq!(summary.mean_us, 25.0);
        assert_eq!(summary.stddev_us, 125f64.sqrt());
    }

    #[test]
    fn the_switch_to_a_histogram_keeps_every_sample() {
        for count in [31, 32, 33, 1_000, 100_000] {
            let durations = of(1..=count);
            let summary = durations.summary();
            assert_eq!(summary.count, count);
            assert_eq!((summary.min_us, summary.max_us), (1, count));
            let exact = count.div_ceil(2) as f64;
            assert!((summary.p50_us as f64 - exact).abs() <= exact * 0.01, "{count}: {summary:?}");
            let exact = (count * 99).div_ceil(100) as f64;
            assert!((summary.p99_us as f64 - exact).abs() <= exact * 0.01, "{count}: {summary:?}");
            assert_eq!(durations.buckets().iter().sum::<u64>(), count);
        }
    }

    #[test]
    fn bounds_belong_to_their_own_bucket() {
        for (us, index) in [(0, 0), (1, 0), (2, 1), (3, 2), (50_000_000, 23), (50_000_001, 24)] {
            assert_eq!(of([us]).buckets()[index], 1, "{us}");
        }
    }

    #[test]
    fn sketches_of_parts_add_up_to_the_sketch_of_all() {
        // A spread of values over six decades, cut into parts of many sizes.
        let values: Vec<u64> =
            (0..5_000_u64).map(|i| (i * i * 7_919) % 2_000_003 + i % 3).collect();
        for (parts, of_each) in [(2, 16), (2, 17), (3, 1), (40, 1), (7, 100), (1, 5_000), (50, 100)]
        {
            let all = of(values[..parts * of_each].iter().copied());
            let mut sum = DurationSketch::default();
            for part in values[..parts * of_each].chunks(of_each) {
                sum.add(&of(part.iter().copied()).sketch());
            }
            assert_eq!(sum, all.sketch(), "{parts} x {of_each}");
            assert_eq!(sum.summary(), all.summary(), "{parts} x {of_each}");
            for quantile in [0.01, 0.25, 0.9, 0.999, 1.0] {
                assert_eq!(sum.sketch.at(quantile), all.quantiles.at(quantile), "{quantile}");
            }
        }
        assert_eq!(DurationSketch::default().summary(), Latency::default());
    }

    #[test]
    fn a_quantile_of_buckets_lies_in_its_bucket() {
        let quantile =
            |samples: &[u64]| bucket_quantile(&of(samples.iter().copied()).buckets(), 0.95);
        assert_eq!(quantile(&[]), None);
        // All in (100, 200]: the 19th of 20 is 95 % of the way.
        assert_eq!(quantile(&[150; 20]), Some(195));
        assert_eq!(quantile(&[1]), Some(1));
        // 94 of 100 are below; the 95th is the first of six in (1,000, 2,000].
        let samples: Vec<u64> = [10; 94].into_iter().chain([1_500; 6]).collect();
        assert_eq!(quantile(&samples), Some(1_166));
        assert_eq!(quantile(&[u64::MAX]), Some(50_000_000));
    }

    #[test]
    fn a_wild_value_neither_panics_nor_takes_memory() {
        let durations = of((0..40).map(|_| u64::MAX));
        assert_eq!(durations.summary().max_us, u64::MAX);
    }
}
