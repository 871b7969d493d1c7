//! Calibrations from recorded runs: least squares of relative errors, over terms none of which is less than nothing.

/// Terms of a calibration.
const TERMS: usize = 6;

/// Rounds of descent; each improves one term after another, and few terms settle soon.
const ROUNDS: usize = 20_000;

/// A step that was timed, and what its terms are multiplied by.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The model; whole models are left out to see what a fit is worth.
    pub model: String,
    /// Seconds for weights, for keys and values and for operations by the sheet, layers, one, and sequences.
    pub factors: [f64; TERMS],
    /// Seconds that the step took.
    pub seconds: f64,
}

impl Sample {
    /// What terms say of it.
    pub fn predicted(&self, terms: &[f64; TERMS]) -> f64 {
        self.factors.iter().zip(terms).map(|(factor, term)| factor * term).sum()
    }
}

/// Terms under which samples are explained best: how much longer weights, keys and values and operations take, and seconds
/// per layer, per step and per sequence.
pub fn fit(samples: &[Sample]) -> [f64; TERMS] {
    let rows =
        samples.iter().map(|sample| sample.factors.map(|factor| factor / sample.seconds)).collect::<Vec<_>>();
    let mut terms = [0.0; TERMS];
    let mut left = vec![1.0; rows.len()];
    for _ in 0..ROUNDS {
        for term in 0..TERMS {
            let norm = rows.iter().map(|row| row[term] * row[term]).sum::<f64>();
            if norm <= 0.0 {
                continue;
            }
            let slope = rows.iter().zip(&left).map(|(row, left)| row[term] * left).sum::<f64>();
            let next = (terms[term] + slope / norm).max(0.0);
            let step = next - terms[term];
            rows.iter().zip(&mut left).for_each(|(row, left)| *left -= step * row[term]);
            terms[term] = next;
        }
    }
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_found_again_and_none_is_negative() {
        let truth = [1.3, 2.0, 0.0, 30e-6, 100e-6, 0.0];
        let sample = |n: u32| {
            let n = f64::from(n);
            let factors = [
                1e-3 * (1.0 + n),
                1e-4 * (n * n % 7.0),
                1e-4 * (n % 3.0),
                16.0 + 4.0 * (n % 5.0),
                1.0,
                1.0 + n % 4.0,
            ];
            let sample = Sample { model: String::new(), factors, seconds: 1.0 };
            Sample { seconds: sample.predicted(&truth), ..sample }
        };
        let samples = (0..24).map(sample).collect::<Vec<_>>();
        let terms = fit(&samples);
        for sample in &samples {
            assert!((sample.predicted(&terms) / sample.seconds - 1.0).abs() < 1e-3, "{terms:?}");
        }
        assert!(terms.iter().all(|&term| term >= 0.0) && (terms[0] - 1.3).abs() < 0.02, "{terms:?}");
    }
}
