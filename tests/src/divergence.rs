//! How far predictions are from those of a base.

/// Predictions beside those of a base, position by position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Divergence {
    /// Positions compared.
    pub positions: usize,
    /// The mean Kullback-Leibler divergence from the base, in nats.
    pub mean: f64,
    /// The largest.
    pub max: f64,
    /// The share of positions whose likeliest token is the base's.
    pub same_top: f64,
}

impl Divergence {
    /// Of rows of logits from those of the base.
    ///
    /// # Panics
    /// Where the two are not equally many whole rows, or something is no number.
    pub fn of(logits: &[f32], base: &[f32], vocab: usize) -> Divergence {
        assert_eq!(logits.len(), base.len(), "there are as many predictions");
        assert!(base.len().is_multiple_of(vocab) && !base.is_empty(), "rows are whole");
        let positions = base.len() / vocab;
        let (mut sum, mut max, mut same) = (0.0, 0.0f64, 0);
        for (row, base) in logits.chunks_exact(vocab).zip(base.chunks_exact(vocab)) {
            let divergence = kullback_leibler(&log_softmax(base), &log_softmax(row));
            assert!(divergence.is_finite(), "predictions are numbers");
            sum += divergence;
            max = max.max(divergence);
            same += usize::from(top(row) == top(base));
        }
        let positions_f = positions as f64;
        Divergence { positions, mean: sum / positions_f, max, same_top: same as f64 / positions_f }
    }
}

/// `sum of p (ln p - ln q)`
fn kullback_leibler(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>().max(0.0)
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum = logits.iter().map(|&x| f64::from(x - largest).exp()).sum::<f64>();
    logits.iter().map(|&x| f64::from(x - largest) - sum.ln()).collect()
}

fn top(logits: &[f32]) -> Option<usize> {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_predictions_do_not_diverge() {
        let logits = [1.0, 2.0, 0.5, -3.0, 0.0, 9.0];
        let divergence = Divergence::of(&logits, &logits, 3);
        assert_eq!(divergence, Divergence { positions: 2, mean: 0.0, max: 0.0, same_top: 1.0 });
    }

    #[test]
    fn divergence_is_what_the_definition_says() {
        // Three quarters and a quarter against halves.
        let divergence = Divergence::of(&[0.0, 0.0, 5.0, 5.0], &[3.0f32.ln(), 0.0, 1.0, 1.0], 2);
        let wanted = 0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln();
        assert!((divergence.max - wanted).abs() < 1e-7 && (divergence.mean - wanted / 2.0).abs() < 1e-7);
        assert_eq!(Divergence::of(&[0.0, 1.0], &[1.0, 0.0], 2).same_top, 0.0);
    }
}
