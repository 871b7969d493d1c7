//! Rows of which the device tells the largest logits alone: often they decide the draw, whatever the others are.
//!
//! Everything that was not told is at most as large as the last that was. So what is larger than that one is known to be
//! all there is above it, ties aside, and what the rest weighs has a bound. A cut whose result could depend on the rest
//! decides nothing here, and the row is drawn from all its logits.

use super::Sampling;
use super::candidates::Candidate;
use super::draw::{Draw, place};
use super::weight::{ONE, Scale, share};

/// The largest logits of a row.
#[derive(Clone, Copy, Debug)]
pub struct Largest<'a> {
    /// Whose they are, the largest first; among equals in any order.
    pub ids: &'a [u32],
    /// The logits.
    pub logits: &'a [f32],
    /// Tokens that there are.
    pub vocab: u32,
    /// The logarithm of the sum of all exponentials.
    pub normaliser: f32,
}

impl Largest<'_> {
    /// How many tokens are known for certain to be the largest.
    pub(super) fn certain(&self) -> usize {
        self.logits.partition_point(|&logit| logit > self.least())
    }

    /// The likeliest token and its logit: the first among equals, where all equals are known.
    pub(super) fn first(&self) -> Option<(u32, f32)> {
        let equal = self.logits[..self.certain()].iter().take_while(|&&logit| logit == self.logits[0]);
        self.ids[..equal.count()].iter().min().map(|&id| (id, self.logits[0]))
    }

    /// What no other logit exceeds; below everything where there is no other.
    fn least(&self) -> f32 {
        match self.logits.last() {
            Some(&last) if self.ids.len() < self.vocab as usize => last,
            _ => f32::NEG_INFINITY,
        }
    }

    /// Whether this is what it says it is: each token once, logits in order, and numbers.
    fn is_sound(&self, ids: &[u32]) -> bool {
        let Largest { logits, vocab, normaliser, .. } = *self;
        ids.len() == logits.len()
            && logits.first().is_some_and(|largest| largest.is_finite())
            && !normaliser.is_nan()
            && logits.windows(2).all(|pair| pair[0] >= pair[1])
            && ids.windows(2).all(|pair| pair[0] < pair[1])
            && ids.last().is_some_and(|&last| last < vocab)
    }
}

impl Draw {
    /// Puts the tokens that are known in order of their ids; false where they are not what they should be.
    pub(super) fn list(&mut self, known: &Largest<'_>) -> bool {
        self.listed.clear();
        self.listed.extend(known.ids.iter().copied().zip(known.logits.iter().copied()));
        self.listed.sort_unstable_by_key(|&(id, _)| id);
        self.ids.clear();
        self.ids.extend(self.listed.iter().map(|&(id, _)| id));
        known.is_sound(&self.ids)
    }

    /// The token of a listed row at a uniform number, where what is known decides it, and its logit.
    pub(super) fn among(
        &mut self,
        known: &Largest<'_>,
        sampling: &Sampling,
        uniform: f64,
    ) -> Option<(u32, f32)> {
        let Sampling { top_k, typical, top_p, min_p, .. } = *sampling;
        let (scale, least) = (Scale::new(known.logits[0], sampling.temperature), known.least());
        self.candidates.start(self.listed.len());
        self.candidates.add_listed(self.listed.iter().copied(), |logit| scale.weight(logit));
        let mut need = None;
        if top_k > 0 && (top_k as usize) <= known.certain() {
            self.candidates.keep_top(top_k as usize);
        } else if least == f32::NEG_INFINITY || scale.is_nothing(least) {
            // Everything that weighs something is known.
            if top_k > 0 {
                self.candidates.keep_top(top_k as usize);
            }
        } else if top_k > 0 || typical < 1.0 {
            return None;
        } else if top_p < 1.0 {
            let rest = u64::from(known.vocab) - self.listed.len() as u64;
            let least_mass = self.candidates.mass();
            let most_mass = least_mass.saturating_add(rest.saturating_mul(scale.most(least)));
            self.candidates.keep_above(least);
            need = Some(self.need_between(share(least_mass, top_p), share(most_mass, top_p), &scale)?);
        } else if least < scale.min_p_floor(min_p) {
            self.candidates.keep_above(least);
        } else {
            return None;
        }
        self.narrow(sampling, &scale, need);
        let id = self.candidates.at(place(self.candidates.mass(), uniform));
        let at = self.ids.binary_search(&id).ok()?;
        Some(self.listed[at])
    }

    /// What `top_p` is to leave where it lies somewhere between two masses, if it leaves the same tokens for all of
    /// them.
    fn need_between(&mut self, low: u64, high: u64, scale: &Scale) -> Option<u64> {
        if self.candidates.mass() < high {
            return None;
        }
        self.candidates.keep_likeliest(high, scale);
        (self.candidates.mass() - self.candidates.lightest() < low).then_some(high)
    }

    /// The `count` largest of a listed row, the largest first.
    pub(super) fn told(&mut self, known: &Largest<'_>, count: usize) -> &[Candidate] {
        self.candidates.start(self.listed.len());
        if count > 0 {
            let least = known.least();
            let certain = self.listed.iter().copied().filter(|&(_, logit)| logit > least);
            self.candidates.add_listed(certain, |_| ONE);
            self.candidates.keep_top(count);
        }
        self.candidates.sorted()
    }
}
