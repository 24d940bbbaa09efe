//! Medians, quantiles and a bootstrap interval.

use crate::work::Random;

/// A quantile of sorted values, by nearest rank.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[len / 2],
        len => (sorted[len / 2 - 1] + sorted[len / 2]) / 2.0,
    }
}

/// Smallest and largest.
pub fn range(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)))
}

/// The 95 % interval of the median, by 2,000 resamples of a fixed seed.
pub fn median_interval(values: &[f64]) -> (f64, f64) {
    let mut random = Random::new(95);
    let mut medians: Vec<f64> = (0..2_000)
        .map(|_| median(&(0..values.len()).map(|_| values[random.below(values.len())]).collect::<Vec<_>>()))
        .collect();
    medians.sort_by(f64::total_cmp);
    (quantile(&medians, 0.025), quantile(&medians, 0.975))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quantiles_are_those_of_the_values() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((quantile(&values, 0.5), quantile(&values, 0.99), quantile(&values, 1.0)), (50.0, 99.0, 100.0));
        assert_eq!(range(&values), (1.0, 100.0));
    }

    #[test]
    fn the_interval_holds_the_median_and_narrows() {
        let mut random = Random::new(1);
        let mut values = |count: usize| -> Vec<f64> { (0..count).map(|_| random.below(1_000) as f64).collect() };
        let (few, many) = (values(20), values(2_000));
        let (low, high) = median_interval(&many);
        assert!(low <= median(&many) && median(&many) <= high);
        let (wide_low, wide_high) = median_interval(&few);
        assert!(high - low < wide_high - wide_low);
    }
}
