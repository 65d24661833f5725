//! Rank correlation (Spearman, with averaged ranks for ties).

/// Correlation of the ranks, -1 to 1; `None` where one side has no variation.
pub(super) fn correlation(pairs: &[(u64, u64)]) -> Option<f64> {
    let of = |side: fn(&(u64, u64)) -> u64| ranks(&pairs.iter().map(side).collect::<Vec<_>>());
    let (a, b) = (of(|pair| pair.0), of(|pair| pair.1));
    let mean = (pairs.len() as f64 + 1.0) / 2.0;
    let product = |x: &[f64], y: &[f64]| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum()
    };
    let scale = (product(&a, &a) * product(&b, &b)).sqrt();
    (scale > 0.0).then(|| product(&a, &b) / scale)
}

fn ranks(values: &[u64]) -> Vec<f64> {
    let below = |value: u64| values.iter().filter(|other| **other < value).count() as f64;
    let equal = |value: u64| values.iter().filter(|other| **other == value).count() as f64;
    values.iter().map(|value| below(*value) + (equal(*value) + 1.0) / 2.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_correlations() {
        for (name, pairs, expected) in [
            ("rising", &[(1, 10), (2, 20), (3, 21)][..], Some(1.0)),
            ("falling", &[(1, 30), (2, 20), (3, 10)], Some(-1.0)),
            ("no variation", &[(5, 1), (5, 2)], None),
            ("nothing", &[], None),
            // ranks 1.5 1.5 3 4 against 1 2 3 4: 4.5 / sqrt(4.5 * 5)
            ("a tie", &[(1, 1), (1, 2), (2, 3), (3, 4)], Some(4.5 / 22.5_f64.sqrt())),
        ] {
            let found = correlation(pairs);
            assert_eq!(found.is_some(), expected.is_some(), "{name}");
            let near = found.unwrap_or(0.0) - expected.unwrap_or(0.0);
            assert!(near.abs() < 1e-9, "{name}: {found:?}");
        }
    }
}
