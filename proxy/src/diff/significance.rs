//! Whether two histograms over the same buckets differ by more than chance.
//!
//! The test is Mann and Whitney's (Ann. Math. Statist. 18, 1947, 50-60): how often would a random execution of head be
//! slower than one of base? All executions of a bucket are tied; the variance is corrected for ties and the statistic
//! taken as normal (Lehmann, Nonparametrics, 1975, section 1.3), which is good from about 20 samples on each side. For many
//! statements at once the p values are held to Holm's bounds (Scand. J. Statist. 6, 1979, 65-70), so that a diff in which
//! nothing changed calls any statement slower with probability alpha at most.
//!
//! What it can't see: a change inside of one bucket (they grow by 2 to 2.5 times), and one of the slow tail alone.

/// Samples on each side from which it is asked.
pub(super) const SAMPLES_MIN: u64 = 20;
/// Probability of a false alarm in a whole diff.
pub(super) const ALPHA: f64 = 0.01;

/// What the test says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    /// Two-sided.
    pub(super) p: f64,
    /// Probability that an execution of head is slower than one of base, ties counted half.
    pub(super) slower: f64,
}

/// Compares counts over the same buckets; nothing where either side has fewer than [`SAMPLES_MIN`].
#[allow(clippy::cast_precision_loss)]
pub(super) fn mann_whitney(base: &[u64], head: &[u64]) -> Option<Outcome> {
    let (n, m) = (base.iter().sum::<u64>(), head.iter().sum::<u64>());
    if base.len() != head.len() || n < SAMPLES_MIN || m < SAMPLES_MIN {
        return None;
    }
    let (n, m) = (n as f64, m as f64);
    let all = n + m;
    let (mut below, mut u, mut ties) = (0.0, 0.0, 0.0);
    for (base, head) in base.iter().zip(head) {
        let (base, head) = (*base as f64, *head as f64);
        u += head * (below + base / 2.0);
        below += base;
        let tied = base + head;
        ties += tied * tied * tied - tied;
    }
    let slower = u / (n * m);
    let variance = n * m / 12.0 * ((all + 1.0) - ties / (all * (all - 1.0)));
    if variance <= 0.0 {
        // Everything in one bucket.
        return Some(Outcome { p: 1.0, slower });
    }
    let distance = ((u - n * m / 2.0).abs() - 0.5).max(0.0);
    Some(Outcome { p: erfc(distance / variance.sqrt() / std::f64::consts::SQRT_2), slower })
}

/// Which of these p values are significant together, by Holm's step-down procedure.
#[allow(clippy::cast_precision_loss)]
pub(super) fn holm(p_values: &[f64]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]).then(a.cmp(b)));
    let mut significant = vec![false; p_values.len()];
    for (rank, index) in order.iter().enumerate() {
        if p_values[*index] > ALPHA / (p_values.len() - rank) as f64 {
            break;
        }
        significant[*index] = true;
    }
    significant
}

/// Complementary error function, to a relative error of 1.2e-7 (Numerical Recipes, Press et al., 1992, section 6.2:
/// Chebyshev fit).
fn erfc(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.5 * x.abs());
    let terms = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let sum = terms.iter().rev().fold(0.0, |sum, term| sum * t + term);
    let value = t * (-x * x + sum).exp();
    if x >= 0.0 { value } else { 2.0 - value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erfc_has_its_known_values() {
        // Abramowitz and Stegun, table 7.1.
        for (x, value) in [
            (0.0, 1.0),
            (0.5, 0.479_500_1),
            (1.0, 0.157_299_2),
            (2.0, 0.004_677_7),
            (-1.0, 1.842_700_8),
        ] {
            assert!((erfc(x) - value).abs() < 2e-7, "{x}: {}", erfc(x));
        }
    }

    #[test]
    fn equal_histograms_are_equal_and_shifted_ones_are_not() {
        let base = [0, 50, 50, 0, 0];
        let same = mann_whitney(&base, &base).unwrap();
        assert!((same.slower - 0.5).abs() < 1e-12);
        assert!(same.p > 0.9, "{same:?}");
        let shifted = mann_whitney(&base, &[0, 0, 50, 50, 0]).unwrap();
        // Half of head is above all of base, half ties with half of base: 1/2 + 1/2 (1/2 + 1/4).
        assert!((shifted.slower - 0.875).abs() < 1e-12, "{shifted:?}");
        assert!(shifted.p < 1e-6, "{shifted:?}");
        let mirrored = mann_whitney(&[0, 0, 50, 50, 0], &base).unwrap();
        assert!((mirrored.slower + shifted.slower - 1.0).abs() < 1e-12);
        assert_eq!(mirrored.p, shifted.p);
    }

    #[test]
    fn a_statistic_by_hand() {
        // base 10 in a, 10 in b; head 5 in a, 15 in b: U = 5*5 + 15*(10+5) = 250 of 400, ties 15^3-15 + 25^3-25,
        // variance = 400/12 * (41 - 18960/1560) = 961.54, z = (50-0.5)/31.009 = 1.5963, p = 0.1104.
        let outcome = mann_whitney(&[10, 10], &[5, 15]).unwrap();
        assert!((outcome.slower - 0.625).abs() < 1e-12);
        assert!((outcome.p - 0.1104).abs() < 2e-4, "{outcome:?}");
    }

    #[test]
    fn few_samples_and_one_bucket_say_nothing() {
        assert_eq!(mann_whitney(&[19, 0], &[0, 1_000]), None);
        assert_eq!(mann_whitney(&[1_000, 0], &[0, 19]), None);
        assert!(mann_whitney(&[20, 0], &[0, 20]).is_some());
        assert_eq!(mann_whitney(&[500, 0], &[900, 0]).unwrap().p, 1.0);
        assert_eq!(mann_whitney(&[], &[]), None);
    }

    #[test]
    fn holm_holds_the_smallest_to_the_strictest_bound() {
        assert_eq!(holm(&[0.004, 0.9, 0.003]), [true, false, true]);
        // 0.01 / 3 is the bound of the smallest one.
        assert_eq!(holm(&[0.0034, 0.9, 0.9]), [false, false, false]);
        assert_eq!(holm(&[0.009]), [true]);
        assert_eq!(holm(&[]), Vec::<bool>::new());
        let many = vec![0.001; 5_000];
        assert!(holm(&many).iter().all(|significant| !significant), "chance, at 5,000 statements");
    }

    #[test]
    fn chance_alone_is_hardly_ever_called_slower() {
        // Two samples of the same distribution, by a fixed linear congruential generator; 200 statements per diff.
        let mut state = 42_u64;
        let mut draw = |count: usize| {
            let mut buckets = [0_u64; 6];
            for _ in 0..count {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let value = (state >> 33) % 100;
                let bucket = match value {
                    0..=9 => 0,
                    10..=39 => 1,
                    40..=79 => 2,
                    80..=94 => 3,
                    95..=98 => 4,
                    _ => 5,
                };
                buckets[bucket] += 1;
            }
            buckets
        };
        let mut alarms = 0;
        for _ in 0..50 {
            let p_values: Vec<f64> =
                (0..200).map(|_| mann_whitney(&draw(60), &draw(90)).unwrap().p).collect();
            alarms += usize::from(holm(&p_values).contains(&true));
        }
        assert!(alarms <= 3, "{alarms} of 50 diffs without a change raised an alarm");
    }
}
