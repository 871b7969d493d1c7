//! Draws a token from a row of logits, looking at as little of it as the cuts allow.
//!
//! Every way here gives the token that the plain definition gives (`tests.rs` holds them to it): floors only leave
//! out tokens that a cut would leave out as well.

use super::Sampling;
use super::candidates::Candidates;
use super::peaks::{Peaks, STRETCH, argmax};
use super::weight::{ONE, Scale, share};

/// Where `top_p` looks for its tokens, in halvings of the likeliest's weight: first among the likely, and in all only
/// where those do not suffice.
const FLOORS: [f64; 2] = [8.0, 16.0];

/// Draws tokens, keeping its work space.
#[derive(Debug, Default)]
pub(super) struct Draw {
    peaks: Peaks,
    masses: Vec<u64>,
    pub(super) candidates: Candidates,
    /// Of a row of which not all is known: its tokens in order of their ids, and the ids alone.
    pub(super) listed: Vec<(u32, f32)>,
    pub(super) ids: Vec<u32>,
}

impl Draw {
    /// The token of a row at a uniform number.
    pub(super) fn token(&mut self, logits: &[f32], sampling: &Sampling, uniform: f64) -> u32 {
        self.peaks.survey(logits);
        let largest = self.peaks.largest();
        if !largest.is_finite() {
            return argmax(logits);
        }
        let scale = Scale::new(largest, sampling.temperature);
        if !sampling.cuts() {
            return self.uncut(logits, &scale, uniform);
        }
        self.cut(logits, sampling, &scale);
        let mass = self.candidates.mass();
        self.candidates.at(place(mass, uniform))
    }

    /// The `count` largest logits, the largest first; all where there are fewer.
    pub(super) fn largest(&mut self, logits: &[f32], count: usize) -> impl Iterator<Item = (u32, f32)> {
        self.peaks.survey(logits);
        let floor = self.peaks.reached_by(count);
        self.candidates.start(logits.len());
        for (first, peak, stretch) in self.peaks.stretches(logits) {
            if peak >= floor {
                // Even those that would weigh nothing.
                self.candidates.add(first, stretch, &[ONE; STRETCH], floor);
            }
        }
        self.candidates.keep_top(count);
        self.candidates.sorted().iter().map(|token| (token.id, token.logit))
    }

    /// No token is cut off: sums of stretches lead to the one in which the token is.
    fn uncut(&mut self, logits: &[f32], scale: &Scale, uniform: f64) -> u32 {
        let mut left = place(self.weigh_all(logits, scale), uniform);
        for ((first, _, stretch), &mass) in self.peaks.stretches(logits).zip(&self.masses) {
            if left >= mass {
                left -= mass;
                continue;
            }
            for (id, &logit) in (first..).zip(stretch) {
                match left.checked_sub(scale.weight(logit)) {
                    Some(rest) => left = rest,
                    None => return id,
                }
            }
        }
        unreachable!("a place is below the sum of all weights")
    }

    /// Leaves the candidates that pass every cut.
    fn cut(&mut self, logits: &[f32], sampling: &Sampling, scale: &Scale) {
        let Sampling { top_k, typical, top_p, min_p, .. } = *sampling;
        let mut need = None;
        if top_k > 0 {
            let floor = self.peaks.reached_by(top_k as usize);
            self.gather(logits, floor, scale);
            self.candidates.keep_top(top_k as usize);
        } else if typical < 1.0 {
            self.gather(logits, f32::NEG_INFINITY, scale);
        } else if top_p < 1.0 {
            let all = share(self.weigh_all(logits, scale), top_p);
            self.gather_mass(logits, all, scale);
            need = Some(all);
        } else {
            self.gather(logits, scale.min_p_floor(min_p), scale);
        }
        self.narrow(sampling, scale, need);
    }

    /// The cuts behind `top_k`, of which `top_p` leaves what weighs `need` where that is known.
    pub(super) fn narrow(&mut self, sampling: &Sampling, scale: &Scale, need: Option<u64>) {
        let Sampling { typical, top_p, min_p, .. } = *sampling;
        if typical < 1.0 {
            self.candidates.keep_typical(typical, scale);
        }
        if top_p < 1.0 {
            let need = need.unwrap_or_else(|| share(self.candidates.mass(), top_p));
            self.candidates.keep_likeliest(need, scale);
        }
        if min_p > 0.0 {
            self.candidates.keep_min_p(min_p);
        }
    }

    /// Weighs each stretch; the sum of all.
    fn weigh_all(&mut self, logits: &[f32], scale: &Scale) -> u64 {
        self.masses.clear();
        let mass = |peak, stretch| if scale.is_nothing(peak) { 0 } else { scale.mass(stretch) };
        self.masses.extend(self.peaks.stretches(logits).map(|(_, peak, stretch)| mass(peak, stretch)));
        self.masses.iter().sum()
    }

    /// Makes candidates of all tokens that weigh something and whose logits reach a floor.
    fn gather(&mut self, logits: &[f32], floor: f32, scale: &Scale) {
        self.candidates.start(logits.len());
        let mut weights = [0; STRETCH];
        for (first, peak, stretch) in self.peaks.stretches(logits) {
            if peak >= floor {
                scale.weights(stretch, &mut weights);
                self.candidates.add(first, stretch, &weights, floor);
            }
        }
    }

    /// Makes candidates of the likeliest tokens that weigh so much together, and of some more.
    fn gather_mass(&mut self, logits: &[f32], need: u64, scale: &Scale) {
        let floors = FLOORS.map(|fall| scale.floor(fall));
        for floor in floors.into_iter().chain([f32::NEG_INFINITY]) {
            self.gather(logits, floor, scale);
            if self.candidates.mass() >= need {
                break;
            }
        }
    }
}

/// The place among so many units that a number in `[0, 1)` stands for.
pub(super) fn place(mass: u64, uniform: f64) -> u64 {
    ((uniform * mass as f64) as u64).min(mass.saturating_sub(1))
}
