//! Two measures of order: the longest increasing run, and the correlation of arrival and position.

/// Length of the longest strictly increasing subsequence.
pub(super) fn increasing_run(positions: impl Iterator<Item = u16>) -> usize {
    let mut tails: Vec<u16> = Vec::new();
    for position in positions {
        let at = tails.partition_point(|tail| *tail < position);
        match tails.get_mut(at) {
            Some(tail) => *tail = position,
            None => tails.push(position),
        }
    }
    tails.len()
}

/// Pearson's correlation of the index of arrival and the position; 0 where either does not vary.
pub(super) fn rank_correlation(positions: impl Iterator<Item = u16>) -> f64 {
    let (mut n, mut x_sum, mut y_sum, mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (index, position) in positions.enumerate() {
        let (x, y) = (index as f64, f64::from(position));
        n += 1.0;
        x_sum += x;
        y_sum += y;
        xx += x * x;
        yy += y * y;
        xy += x * y;
    }
    let spread = (n * xx - x_sum * x_sum) * (n * yy - y_sum * y_sum);
    if spread <= 0.0 { 0.0 } else { (n * xy - x_sum * y_sum) / spread.sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_of_order() {
        for (positions, run, rank) in [
            (&[][..], 0, 0.0),
            (&[7], 1, 0.0),
            (&[0, 1, 2, 3], 4, 1.0),
            (&[3, 2, 1, 0], 1, -1.0),
            (&[2, 2, 2], 1, 0.0),
            (&[0, 2, 1, 3], 3, 0.8),
        ] {
            assert_eq!(increasing_run(positions.iter().copied()), run, "{positions:?}");
            let correlation = rank_correlation(positions.iter().copied());
            assert!((correlation - rank).abs() < 1e-9, "{positions:?}: {correlation}");
        }
    }
}
