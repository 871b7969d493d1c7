//! What a device needs that chooses tokens itself: which rows it may, and what the host makes of what it tells.

use super::weight::{ONE, Scale};
use crate::Row;

/// A choice that looks at the logits as they came and cuts none off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice {
    /// The largest, the first among equals.
    Largest,
    /// Drawn from all, step 5 and step 10 of the definition alone.
    Drawn {
        /// Halvings of a token's weight per unit of logit.
        steepness: f32,
    },
}

impl Row<'_> {
    /// The choice where it is as plain as that.
    pub fn choice(&self) -> Option<Choice> {
        let sampling = self.sampling;
        if !sampling.penalties.is_none() || !self.bias.is_empty() || self.mask.is_some() {
            return None;
        }
        if sampling.temperature <= 0.0 {
            return Some(Choice::Largest);
        }
        let steepness = Scale::new(0.0, sampling.temperature).steepness();
        (!sampling.cuts()).then_some(Choice::Drawn { steepness })
    }
}

/// The logarithm of the sum of a row's exponentials, from its largest logit and the sum of the weights of all of them at a
/// temperature of one, in units of the largest's weight over 2^39.
pub fn normaliser(largest: f32, mass: u64) -> f32 {
    if !largest.is_finite() {
        return largest;
    }
    largest + (mass as f64 / ONE as f64).ln() as f32
}
