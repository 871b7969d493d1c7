//! How far two sets of values are apart, in one report rather than one number.

use std::fmt;

/// The error of `got` against `want`.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorStats {
    /// Values compared.
    pub count: usize,
    /// Sum of squared differences over the sum of squared wanted values.
    pub nmse: f64,
    /// Largest difference.
    pub max_abs: f64,
    /// Where the largest difference stands.
    pub max_at: usize,
    /// Largest difference over the spread (maximum less minimum) of the wanted values.
    pub max_of_spread: f64,
    /// Root of the mean squared difference.
    pub rms: f64,
    /// 50th, 90th and 99th percentile of the differences.
    pub percentiles: [f64; 3],
    /// Values that are not finite on one side and differ from the other.
    pub not_finite: usize,
}

impl ErrorStats {
    /// Compares value by value. Slices of unequal length are a programmer's error.
    pub fn new(got: &[f32], want: &[f32]) -> ErrorStats {
        assert_eq!(got.len(), want.len(), "only values of one shape can be compared");
        let mut differences = Vec::with_capacity(got.len());
        let (mut error, mut power, mut not_finite) = (0.0f64, 0.0f64, 0);
        let (mut max_abs, mut max_at) = (0.0f64, 0);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
            if !(g.is_finite() && w.is_finite()) {
                // The same infinity on both sides is a mask, not an error.
                not_finite += usize::from(g != w);
                continue;
            }
            let (g, w) = (f64::from(g), f64::from(w));
            let difference = (g - w).abs();
            error += difference * difference;
            power += w * w;
            (low, high) = (low.min(w), high.max(w));
            if difference > max_abs {
                (max_abs, max_at) = (difference, i);
            }
            differences.push(difference);
        }
        differences.sort_by(f64::total_cmp);
        let at = |share: f64| match differences.len() {
            0 => 0.0,
            n => differences[((n - 1) as f64 * share).round() as usize],
        };
        let ratio = |over: f64, under: f64| if over == 0.0 { 0.0 } else { over / under };
        ErrorStats {
            count: got.len(),
            nmse: ratio(error, power),
            max_abs,
            max_at,
            max_of_spread: ratio(max_abs, high - low),
            rms: (error / differences.len().max(1) as f64).sqrt(),
            percentiles: [at(0.5), at(0.9), at(0.99)],
            not_finite,
        }
    }

    /// Whether the normalised squared error is within `nmse` and every value is as finite as it should be.
    pub fn within(&self, nmse: f64) -> bool {
        self.not_finite == 0 && self.nmse <= nmse
    }
}

impl fmt::Display for ErrorStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99] = self.percentiles;
        write!(
            f,
            "nmse {:.2e}, max {:.3e} at {} ({:.1e} of the spread), p50 {p50:.1e}, p90 {p90:.1e}, p99 {p99:.1e}",
            self.nmse, self.max_abs, self.max_at, self.max_of_spread
        )?;
        if self.not_finite > 0 {
            write!(f, ", {} of {} not finite", self.not_finite, self.count)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_no_error() {
        let stats = ErrorStats::new(&[1.0, f32::NEG_INFINITY], &[1.0, f32::NEG_INFINITY]);
        assert!(stats.within(0.0));
        assert!(ErrorStats::new(&[], &[]).within(0.0));
        assert!(ErrorStats::new(&[0.0], &[0.0]).within(0.0));
    }

    #[test]
    fn differences_are_measured_and_nan_never_passes() {
        let stats = ErrorStats::new(&[1.0, 2.5], &[1.0, 2.0]);
        assert_eq!((stats.max_abs, stats.max_at), (0.5, 1));
        assert!((stats.nmse - 0.05).abs() < 1e-12);
        assert!((stats.max_of_spread - 0.5).abs() < 1e-12);
        assert!(!ErrorStats::new(&[f32::NAN], &[1.0]).within(1.0));
    }
}
