//! Single values for the counts of a histogram.

/// What the values of buckets may have been: of each bucket as many as fell into it, at the same height in all, so that
/// together they are `sum`. One value alone comes out as it was.
///
/// `counts` has one more than `bounds`, for what is above the last. Buckets without values are left out.
pub(crate) fn spread(bounds: &[f64], counts: &[u64], sum: f64) -> Vec<(u64, f64)> {
    let low = |i: usize| i.checked_sub(1).map_or(0.0, |below| bounds[below]);
    let high = |i: usize| bounds.get(i).copied().unwrap_or_else(|| low(i));
    let total = |edge: &dyn Fn(usize) -> f64| counts.iter().enumerate().map(|(i, n)| *n as f64 * edge(i)).sum::<f64>();
    let (lowest, highest) = (total(&low), total(&high));
    let height = if highest > lowest { ((sum - lowest) / (highest - lowest)).clamp(0.0, 1.0) } else { 0.0 };
    let unbounded = counts.last().copied().unwrap_or(0);
    // Only what has no bound can have made more than all bounds together.
    let beyond = if unbounded > 0 { (sum - highest).max(0.0) / unbounded as f64 } else { 0.0 };
    let value = |i: usize| low(i) + height * (high(i) - low(i)) + if i == bounds.len() { beyond } else { 0.0 };
    counts.iter().enumerate().filter(|(_, n)| **n > 0).map(|(i, n)| (*n, value(i))).collect()
}

/// The value below which a part of all lies (nearest rank); `values` from the lowest to the highest.
pub(crate) fn quantile(values: &[(u64, f64)], part: f64) -> f64 {
    let rank = (values.iter().map(|v| v.0).sum::<u64>() as f64 * part).ceil();
    let mut below = 0.0;
    for (n, value) in values {
        below += *n as f64;
        if below >= rank {
            return *value;
        }
    }
    values.last().map_or(0.0, |v| v.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[(u64, f64)]) -> f64 {
        values.iter().map(|(n, v)| *n as f64 * v).sum()
    }

    #[test]
    fn one_value_is_what_it_was() {
        for (counts, value) in [([1, 0, 0], 0.07), ([0, 1, 0], 0.1), ([0, 0, 1], 77.0), ([0, 0, 1], 5.0)] {
            let spread = spread(&[0.1, 5.0], &counts, value);
            assert!(spread.len() == 1 && (spread[0].1 - value).abs() < 1e-12, "{counts:?} {value}: {spread:?}");
        }
    }

    #[test]
    fn together_they_are_the_sum_and_each_is_in_its_bucket() {
        let bounds = [0.1, 1.0, 5.0];
        for (counts, total) in [([3, 2, 0, 0], 1.2), ([1, 0, 1, 0], 3.0), ([9, 0, 0, 1], 100.0), ([0, 4, 4, 2], 31.0)] {
            let values = spread(&bounds, &counts, total);
            assert!((sum(&values) - total).abs() < 1e-9, "{counts:?}: {values:?}");
            assert_eq!(values.iter().map(|v| v.0).sum::<u64>(), counts.iter().sum::<u64>());
            for (_, value) in &values {
                assert!((0.0..=100.0).contains(value), "{values:?}");
            }
        }
        // The sum is read a moment before or after the counts.
        assert_eq!(spread(&bounds, &[0, 1, 0, 0], 0.0), [(1, 0.1)]);
        assert_eq!(spread(&bounds, &[0, 1, 0, 0], 9.0), [(1, 1.0)]);
        assert!(spread(&bounds, &[0; 4], 0.0).is_empty());
    }

    #[test]
    fn quantiles_are_of_nearest_rank() {
        let values = [(1, 0.1), (1, 0.4)];
        assert_eq!([0.5, 0.9, 0.99].map(|q| quantile(&values, q)), [0.1, 0.4, 0.4]);
        assert_eq!([0.5, 0.9, 0.95, 0.99].map(|q| quantile(&[(90, 1.0), (9, 2.0), (1, 3.0)], q)), [1.0, 1.0, 2.0, 2.0]);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
