//! Likelihood as whole numbers: sums of them are exact in any order, so a cut or a draw has one meaning however it is
//! computed, on whatever machine.

use std::f32::consts::{LN_2, LOG2_E};

/// The weight of the likeliest token. Sums over any vocabulary of up to 2^24 tokens stay below 2^64, and what rounds
/// to nothing is less likely than the likeliest by a factor of 2^40.
pub(super) const ONE: u64 = 1 << 39;

/// Falls from here on weigh nothing.
pub(super) const FALL_MAX: f32 = 40.0;

/// Adding this to a float below 2^22 leaves its nearest whole number in the low bits.
const WHOLE: f32 = 1.5 * (1 << 23) as f32;

/// Adding this to a double up to 1 leaves it, in units of 1 / `ONE`, in the low bits.
const FIXED: f64 = (1u64 << 52) as f64 / ONE as f64;

/// `2^x = 1 + x q(x)`, where `q` goes through the Chebyshev points of [-1/2, 1/2]: within 1e-8 of the truth.
const Q: [f32; 6] = [LN_2, 0.240_226_5, 0.055_503_57, 0.009_618_083, 0.001_339_086_3, 0.000_154_531_63];

/// How logits become weights: `ONE * exp((logit - largest) / temperature)`, rounded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    largest: f32,
    /// Halvings of the weight per unit of logit.
    steepness: f32,
}

impl Scale {
    /// For a row whose largest logit this is, a finite one.
    pub(super) fn new(largest: f32, temperature: f32) -> Scale {
        // However small the temperature, nothing times the steepness must be nothing.
        Scale { largest, steepness: (LOG2_E / temperature).min(f32::MAX) }
    }

    /// Halvings of the weight per unit of logit.
    pub(super) fn steepness(&self) -> f32 {
        self.steepness
    }

    /// How often the likeliest token's weight is halved to give this logit's. Not a number where the logit is not.
    #[inline]
    pub(super) fn fall(&self, logit: f32) -> f32 {
        (self.largest - logit) * self.steepness
    }

    /// The weight of a logit.
    #[inline]
    pub(super) fn weight(&self, logit: f32) -> u64 {
        fixed(self.likelihood(logit))
    }

    /// The weights of logits.
    pub(super) fn weights(&self, logits: &[f32], weights: &mut [u64]) {
        for (weight, &logit) in weights.iter_mut().zip(logits) {
            *weight = self.weight(logit);
        }
    }

    /// The sum of the weights of logits.
    pub(super) fn mass(&self, logits: &[f32]) -> u64 {
        let (eights, rest) = logits.as_chunks::<8>();
        let mut lanes = [0u64; 8];
        for eight in eights {
            // Two steps, for vectors hold twice as many floats as sums.
            let likelihoods = eight.map(|logit| self.likelihood(logit));
            for (lane, likelihood) in lanes.iter_mut().zip(likelihoods) {
                *lane = lane.wrapping_add(fixed(likelihood));
            }
        }
        lanes.iter().sum::<u64>() + rest.iter().map(|&logit| self.weight(logit)).sum::<u64>()
    }

    /// `exp((logit - largest) / temperature)`: without branches, so that loops over it become vectors.
    #[inline]
    fn likelihood(&self, logit: f32) -> f32 {
        let fall = self.fall(logit);
        // What is not a number is as little as can be.
        let fall = if fall < FALL_MAX { fall } else { FALL_MAX };
        let shifted = fall + WHOLE;
        let x = (shifted - WHOLE) - fall;
        let q = Q[0] + x * (Q[1] + x * (Q[2] + x * (Q[3] + x * (Q[4] + x * Q[5]))));
        let exponent = 127u32.wrapping_sub(shifted.to_bits()) << 23;
        (1.0 + x * q) * f32::from_bits(exponent)
    }

    /// Whether this logit and all below it weigh nothing.
    pub(super) fn is_nothing(&self, logit: f32) -> bool {
        self.fall(logit) >= FALL_MAX
    }

    /// A logit below which every weight is less than `min_p` of the likeliest's: a halving to spare, for weights are
    /// rounded.
    pub(super) fn min_p_floor(&self, min_p: f32) -> f32 {
        self.floor(1.0 - f64::from(min_p).log2())
    }

    /// What no logit up to this one weighs more than: weights are within a millionth of exponentials, and rounded.
    pub(super) fn most(&self, logit: f32) -> u64 {
        let weight = self.weight(logit);
        weight + weight / 1000 + 2
    }

    /// About where weights have fallen by so many halvings.
    pub(super) fn floor(&self, fall: f64) -> f32 {
        (f64::from(self.largest) - fall / f64::from(self.steepness)) as f32
    }
}

/// A likelihood in units of 1 / `ONE`.
#[inline]
fn fixed(likelihood: f32) -> u64 {
    (f64::from(likelihood) + FIXED).to_bits().wrapping_sub(FIXED.to_bits())
}

/// The part of a mass that a share of it is: one at least, and no more than there is.
pub(super) fn share(mass: u64, share: f32) -> u64 {
    ((f64::from(share) * mass as f64).ceil() as u64).clamp(1, mass.max(1))
}
