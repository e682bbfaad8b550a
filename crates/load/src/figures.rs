//! Figures of repeated measurements.

/// The middle of some numbers, or NaN of none.
#[must_use]
pub fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The largest of some numbers, or NaN of none.
#[must_use]
pub fn best(numbers: &[f64]) -> f64 {
    numbers.iter().copied().fold(f64::NAN, f64::max)
}

/// The median of the quotients of two series measured in the same rounds: what was slow for both
/// cancels out.
#[must_use]
pub fn paired_ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    let quotients: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
    median(&quotients)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_best() {
        assert_eq!(median(&[3.0, 1.0, 2.0]).to_bits(), 2.0f64.to_bits());
        assert_eq!(median(&[4.0, 1.0]).to_bits(), 2.5f64.to_bits());
        assert!(median(&[]).is_nan());
        assert_eq!(best(&[1.0, 3.0, 2.0]).to_bits(), 3.0f64.to_bits());
        assert!(best(&[]).is_nan());
    }

    #[test]
    fn a_slow_round_does_not_change_the_ratio() {
        let ours = [4.0, 2.0, 4.0];
        let theirs = [2.0, 1.0, 2.0];
        assert_eq!(paired_ratio(&ours, &theirs).to_bits(), 2.0f64.to_bits());
    }
}
