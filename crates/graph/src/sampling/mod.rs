//! How a row of logits becomes a token: one definition for every backend, the same bits on every machine.
//!
//! The order is that of llama.cpp, but that the temperature comes before the cuts, as in vLLM and `transformers`:
//!
//! 1. The bias is added.
//! 2. Penalties: repetition, then presence and frequency, then DRY ([`Dry`]).
//! 3. What the mask lacks becomes -∞.
//! 4. Where the temperature is zero, the largest is taken, the first among equals; this is the end.
//! 5. Weights: `2^39 exp((logit - largest) / temperature)`, rounded to whole numbers, whose sums are exact.
//! 6. `top_k`: the so many largest logits.
//! 7. `typical`: those whose information is nearest to the mean, until they have this share of the weight left.
//! 8. `top_p`: the largest, until they have this share of the weight left.
//! 9. `min_p`: those at least this many times as heavy as the heaviest left.
//! 10. The draw: in order of ids, the token at which the weights' sum passes the uniform number's share of all.
//!
//! What is told of a token, its log-probability and the likeliest in its place, is always the model's own: from the
//! logits as they came.

mod adjust;
mod candidates;
mod device;
mod draw;
mod dry;
mod known;
mod options;
mod peaks;
#[cfg(test)]
mod tests;
mod weight;

use adjust::adjust;
pub use device::{Choice, normaliser};
use draw::Draw;
use dry::Repeats;
pub use known::Largest;
pub use options::{Dry, Penalties, Sampling};
use peaks::{argmax, largest};
use weight::Scale;

use crate::{Fetch, Row, Sampled};

/// Chooses tokens, keeping its work space.
#[derive(Debug, Default)]
pub struct Sampler {
    adjusted: Vec<f32>,
    repeats: Repeats,
    draw: Draw,
}

/// What a device may know of a row of logits before the row is sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowStats {
    /// The place of the largest; the first among equals.
    pub largest: u32,
    /// The logarithm of the sum of their exponentials.
    pub normaliser: f32,
}

impl RowStats {
    /// Of these logits.
    pub fn of(logits: &[f32]) -> RowStats {
        RowStats { largest: argmax(logits), normaliser: log_sum_exp(logits) }
    }
}

impl Sampler {
    /// Samples one row and appends what it asked for to the fetch.
    pub fn sample(&mut self, logits: &[f32], row: &Row<'_>, fetch: &mut Fetch) {
        self.sample_known(logits, RowStats::of(logits), row, fetch);
    }

    /// As [`Sampler::sample`], where the device has looked at all the logits already.
    pub fn sample_known(&mut self, logits: &[f32], stats: RowStats, row: &Row<'_>, fetch: &mut Fetch) {
        let logprob = |id: u32| logits[id as usize] - stats.normaliser;
        let id = self.choose(logits, stats, row);
        fetch.sampled.push(Sampled { id, logprob: logprob(id) });
        if row.top > 0 {
            let top = self.draw.largest(logits, row.top as usize);
            fetch.top.extend(top.map(|(id, _)| (id, logprob(id))));
        }
        if row.logits {
            fetch.logits.extend_from_slice(logits);
        }
    }

    /// As [`Sampler::sample`], where the device keeps a row to itself but for its largest logits. Says whether those
    /// decide what becomes of the row, whatever the others are; where they do not, the fetch is as it was.
    pub fn sample_largest(&mut self, known: &Largest<'_>, row: &Row<'_>, fetch: &mut Fetch) -> bool {
        let told = row.top.min(known.vocab) as usize;
        if !row.is_plain() || row.logits || told > known.certain() || !self.draw.list(known) {
            return false;
        }
        let drawn = match row.sampling.temperature <= 0.0 {
            true => known.first(),
            false => self.draw.among(known, row.sampling, row.uniform),
        };
        let Some((id, logit)) = drawn else { return false };
        fetch.sampled.push(Sampled { id, logprob: logit - known.normaliser });
        let top = self.draw.told(known, told);
        fetch.top.extend(top.iter().map(|token| (token.id, token.logit - known.normaliser)));
        true
    }

    fn choose(&mut self, logits: &[f32], stats: RowStats, row: &Row<'_>) -> u32 {
        let sampling = row.sampling;
        let is_greedy = sampling.temperature <= 0.0;
        if row.is_plain() {
            return if is_greedy { stats.largest } else { self.draw.token(logits, sampling, row.uniform) };
        }
        self.adjusted.clear();
        self.adjusted.extend_from_slice(logits);
        adjust(&mut self.adjusted, row, &mut self.repeats);
        if is_greedy {
            argmax(&self.adjusted)
        } else {
            self.draw.token(&self.adjusted, sampling, row.uniform)
        }
    }
}

fn log_sum_exp(logits: &[f32]) -> f32 {
    let largest = largest(logits);
    if !largest.is_finite() {
        return largest;
    }
    normaliser(largest, Scale::new(largest, 1.0).mass(logits))
}
