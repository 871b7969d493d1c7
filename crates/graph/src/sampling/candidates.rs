//! Tokens that may still be drawn, and what narrows them down.

use std::cmp::Ordering;

use super::weight::{FALL_MAX, ONE, Scale, share};

/// Into how many ranges keys are divided to find the one that holds the last token kept.
const RANGES: usize = 256;
const RANGES_PER_HALVING: f64 = RANGES as f64 / FALL_MAX as f64;

/// A token that may be drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub logit: f32,
    pub id: u32,
    pub weight: u64,
}

/// Tokens in order of their ids.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    kept: Vec<Candidate>,
    /// Work space: the same in another order.
    ranked: Vec<Candidate>,
}

impl Candidates {
    /// Starts over with no token of a vocabulary. Memory is taken for all of it at once, so that no later row asks for
    /// more; what is not touched costs nothing.
    pub(super) fn start(&mut self, vocab: usize) {
        self.kept.clear();
        self.kept.reserve(vocab);
        self.ranked.clear();
        self.ranked.reserve(vocab);
    }

    /// Adds those tokens, given by the first's id, whose logits reach a floor and that weigh something. What is not a
    /// number is below no floor.
    pub(super) fn add(&mut self, first: u32, logits: &[f32], weights: &[u64], floor: f32) {
        let tokens = (first..).zip(logits).zip(weights);
        let tokens = tokens.map(|((id, &logit), &weight)| Candidate { logit, id, weight });
        let reaches = |logit: f32| logit >= floor || logit.is_nan();
        self.kept.extend(tokens.filter(|token| token.weight > 0 && reaches(token.logit)));
    }

    /// Adds some tokens, in order of their ids, that weigh something.
    pub(super) fn add_listed(
        &mut self,
        tokens: impl Iterator<Item = (u32, f32)>,
        weight: impl Fn(f32) -> u64,
    ) {
        let tokens = tokens.map(|(id, logit)| Candidate { logit, id, weight: weight(logit) });
        self.kept.extend(tokens.filter(|token| token.weight > 0));
    }

    /// Leaves those whose logits are larger than this one.
    pub(super) fn keep_above(&mut self, logit: f32) {
        self.kept.retain(|token| token.logit > logit);
    }

    /// The weight of the last by logits; zero where there is none.
    pub(super) fn lightest(&self) -> u64 {
        self.kept.iter().max_by(|a, b| by_logit(a, b)).map_or(0, |token| token.weight)
    }

    /// The weight of all.
    pub(super) fn mass(&self) -> u64 {
        mass(&self.kept)
    }

    /// The `count` largest, at least one.
    pub(super) fn keep_top(&mut self, count: usize) {
        if count >= self.kept.len() {
            return;
        }
        self.ranked.clone_from(&self.kept);
        let last = *self.ranked.select_nth_unstable_by(count - 1, by_logit).1;
        self.kept.retain(|token| by_logit(token, &last).is_le());
    }

    /// The likeliest that weigh `need` together.
    pub(super) fn keep_likeliest(&mut self, need: u64, scale: &Scale) {
        self.keep_first(need, |token| f64::from(scale.fall(token.logit)));
    }

    /// Those whose information is nearest to the mean, until they weigh a share of all.
    ///
    /// A token's information is the logarithm of its likelihood's inverse. Entropy is its mean, so what is common to
    /// all, the logarithm of their sum, falls out of the difference: what is left is how far the logits fall.
    pub(super) fn keep_typical(&mut self, part: f32, scale: &Scale) {
        let mass = self.mass();
        let fall = |token: &Candidate| f64::from(scale.fall(token.logit));
        let mean = self.kept.iter().map(|token| token.weight as f64 * fall(token)).sum::<f64>() / mass as f64;
        self.keep_first(share(mass, part), |token| (fall(token) - mean).abs());
    }

    /// Those that weigh at least so many times what the heaviest does.
    pub(super) fn keep_min_p(&mut self, min_p: f32) {
        let heaviest = self.kept.iter().map(|token| token.weight).max().unwrap_or(ONE);
        let least = f64::from(min_p) * heaviest as f64;
        self.kept.retain(|token| token.weight as f64 >= least);
    }

    /// The token at which the weights, summed in order of ids, pass this place among them.
    pub(super) fn at(&self, mut place: u64) -> u32 {
        for token in &self.kept {
            match place.checked_sub(token.weight) {
                Some(left) => place = left,
                None => return token.id,
            }
        }
        self.kept.last().map_or(0, |token| token.id)
    }

    /// The tokens, the likeliest first.
    pub(super) fn sorted(&mut self) -> &[Candidate] {
        self.kept.sort_unstable_by(by_logit);
        &self.kept
    }

    /// Those of the smallest keys, and among equals of the largest logits, that weigh `need` together. Keys are falls, or
    /// differences of falls. The last token kept is found without sorting: first the range of keys it is in, then by
    /// putting half of what is left aside each time.
    fn keep_first(&mut self, mut need: u64, key: impl Fn(&Candidate) -> f64) {
        let range = |token: &Candidate| ((key(token) * RANGES_PER_HALVING) as usize).min(RANGES - 1);
        let mut masses = [0; RANGES];
        self.kept.iter().for_each(|token| masses[range(token)] += token.weight);
        let mut holds_last = 0;
        while holds_last + 1 < RANGES && masses[holds_last] < need {
            need -= masses[holds_last];
            holds_last += 1;
        }
        self.ranked.clear();
        self.ranked.extend(self.kept.iter().filter(|token| range(token) == holds_last));
        let order = |a: &Candidate, b: &Candidate| key(a).total_cmp(&key(b)).then(by_logit(a, b));
        if let Some(last) = last_within(&mut self.ranked, need, order) {
            self.kept.retain(|token| order(token, &last).is_le());
        }
    }
}

/// The last of those that come first in an order and weigh `need` together.
fn last_within(
    mut rest: &mut [Candidate],
    mut need: u64,
    order: impl Fn(&Candidate, &Candidate) -> Ordering,
) -> Option<Candidate> {
    while rest.len() > 1 {
        let half = rest.len() / 2;
        rest.select_nth_unstable_by(half, &order);
        let (first, second) = rest.split_at_mut(half);
        let mass = mass(first);
        if mass >= need {
            rest = first;
        } else {
            need -= mass;
            rest = second;
        }
    }
    rest.first().copied()
}

/// The larger logit first, and among equals the smaller id. What is not a number counts as -∞.
fn by_logit(a: &Candidate, b: &Candidate) -> Ordering {
    // Adding zero makes the two zeros equal.
    let key = |logit: f32| if logit.is_nan() { f32::NEG_INFINITY } else { logit + 0.0 };
    key(b.logit).total_cmp(&key(a.logit)).then(a.id.cmp(&b.id))
}

fn mass(tokens: &[Candidate]) -> u64 {
    tokens.iter().map(|token| token.weight).sum()
}
