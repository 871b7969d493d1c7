//! Calibrations from recorded runs: least squares of relative errors, over terms none of which is less than nothing; and what
//! such a fit is worth, by leaving out whole models.

use serde::{Deserialize, Serialize};

/// Terms of a calibration.
const TERMS: usize = 6;

/// Rounds of descent; each improves one term after another, and few terms settle soon.
const ROUNDS: usize = 20_000;

/// Steps of one sort that were timed: what one of them takes on average, and at best.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The model; whole models are left out to see what a fit is worth.
    pub model: String,
    /// What was timed.
    pub what: String,
    /// Seconds to read its weights at the bandwidth that memory gave meanwhile.
    pub weights_s: f64,
    /// The same of keys and values.
    pub state_s: f64,
    /// Seconds to do its operations at the peak that was measured.
    pub compute_s: f64,
    /// Layers.
    pub layers: f64,
    /// Sequences.
    pub sequences: f64,
    /// Seconds that it took.
    pub seconds: f64,
}

impl Sample {
    /// What the terms of a calibration are multiplied by.
    fn factors(&self) -> [f64; TERMS] {
        [self.weights_s, self.state_s, self.compute_s, self.layers, 1.0, self.sequences]
    }

    /// What terms say of it, which is never less than it takes at best.
    pub fn predicted(&self, terms: &[f64; TERMS]) -> f64 {
        let told = self.factors().iter().zip(terms).map(|(factor, term)| factor * term).sum::<f64>();
        told.max(self.weights_s + self.state_s).max(self.compute_s)
    }

    /// Whether all of it can be: files may say anything.
    pub fn is_sound(&self) -> bool {
        let factors = self.factors();
        self.seconds.is_finite()
            && self.seconds > 0.0
            && factors.iter().all(|factor| factor.is_finite() && *factor >= 0.0)
    }
}

/// Terms under which samples are explained best: how much longer weights, keys and values and operations take, and seconds
/// per layer, per step and per sequence.
pub fn fit(samples: &[Sample]) -> [f64; TERMS] {
    let rows = samples.iter().map(|sample| sample.factors().map(|factor| factor / sample.seconds));
    let rows = rows.collect::<Vec<_>>();
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

/// A sample with what is predicted of it by a fit that has seen nothing of its model.
#[derive(Clone, Debug, PartialEq)]
pub struct Held<'a> {
    /// The sample.
    pub sample: &'a Sample,
    /// Seconds that are predicted.
    pub predicted_s: f64,
}

impl Held<'_> {
    /// How far that is off, as a share; above nothing where too long is predicted.
    pub fn error(&self) -> f64 {
        self.predicted_s / self.sample.seconds - 1.0
    }
}

/// Every sample, predicted from those of all other models; nothing where there is but one model.
pub fn held_out(samples: &[Sample]) -> Vec<Held<'_>> {
    let mut models = samples.iter().map(|sample| sample.model.as_str()).collect::<Vec<_>>();
    models.sort_unstable();
    models.dedup();
    if models.len() < 2 {
        return vec![];
    }
    let of_model = |model: &str| {
        let (own, others): (Vec<_>, Vec<_>) = samples.iter().partition(|sample| sample.model == model);
        let terms = fit(&others.into_iter().cloned().collect::<Vec<_>>());
        own.into_iter().map(move |sample| Held { sample, predicted_s: sample.predicted(&terms) })
    };
    models.into_iter().flat_map(of_model).collect()
}

/// The error that half of them exceed, whatever its sign.
pub fn median_error(held: &[Held<'_>]) -> f64 {
    let mut errors = held.iter().map(|held| held.error().abs()).collect::<Vec<_>>();
    errors.sort_by(f64::total_cmp);
    errors.get(errors.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(truth: [f64; TERMS]) -> Vec<Sample> {
        let sample = |n: u32| {
            let model = format!("model {}", n % 3);
            let n = f64::from(n);
            let sample = Sample {
                model,
                weights_s: 1e-3 * (1.0 + n),
                state_s: 1e-4 * (n * n % 7.0),
                compute_s: 1e-4 * (n % 3.0),
                layers: 16.0 + 4.0 * (n % 5.0),
                sequences: 1.0 + n % 4.0,
                ..Sample::default()
            };
            Sample { seconds: sample.predicted(&truth), ..sample }
        };
        (0..24).map(sample).collect()
    }

    #[test]
    fn terms_are_found_again_and_none_is_negative() {
        let samples = samples([1.3, 2.0, 0.0, 30e-6, 100e-6, 0.0]);
        let terms = fit(&samples);
        for sample in &samples {
            assert!((sample.predicted(&terms) / sample.seconds - 1.0).abs() < 1e-3, "{terms:?}");
        }
        assert!(terms.iter().all(|&term| term >= 0.0) && (terms[0] - 1.3).abs() < 0.02, "{terms:?}");
    }

    #[test]
    fn a_model_is_predicted_by_what_others_took() {
        let mut samples = samples([1.3, 2.0, 0.0, 30e-6, 100e-6, 0.0]);
        assert!(median_error(&held_out(&samples)) < 0.01);
        assert!(held_out(&samples[..1]).is_empty(), "nothing is left to fit to");
        // A model that is unlike all others is not hidden by having been seen.
        for sample in samples.iter_mut().filter(|sample| sample.model == "model 1") {
            sample.seconds *= 1.5;
        }
        let held = held_out(&samples);
        let odd = held.iter().filter(|held| held.sample.model == "model 1").cloned().collect::<Vec<_>>();
        assert!(odd.len() == 8 && median_error(&odd) > 0.2, "{}", median_error(&odd));
    }

    #[test]
    fn what_no_step_can_take_is_no_sample() {
        let sound = samples([1.0; TERMS]).remove(1);
        assert!(sound.is_sound());
        for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(!Sample { seconds, ..sound.clone() }.is_sound());
        }
        assert!(!Sample { weights_s: -1.0, ..sound }.is_sound());
    }
}
