//! How a row of logits becomes a token: one definition for every backend.
//!
//! Order: penalties, bias and mask on the logits; greedy where the temperature is zero; else temperature, the `top_k`
//! largest, the smallest set whose probability reaches `top_p`, those at least `min_p` times as likely as the
//! likeliest, and the token at which the cumulated probability passes the row's uniform number.

use crate::{Fetch, Row, Sampled};

/// How to choose a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 is greedy.
    pub temperature: f32,
    /// Only the so many largest; 0 is all.
    pub top_k: u32,
    /// Only the likeliest whose probabilities sum to this.
    pub top_p: f32,
    /// Only those at least this many times as likely as the likeliest.
    pub min_p: f32,
    /// What tokens seen before lose.
    pub penalties: Penalties,
}

/// What tokens lose that were seen before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Penalties {
    /// Divides positive logits and multiplies negative ones of tokens in prompt or output; 1 is none.
    pub repetition: f32,
    /// Subtracted once from tokens in the output.
    pub presence: f32,
    /// Subtracted from tokens in the output as often as they stand there.
    pub frequency: f32,
}

impl Default for Sampling {
    fn default() -> Self {
        let penalties = Penalties { repetition: 1.0, presence: 0.0, frequency: 0.0 };
        Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, penalties }
    }
}

impl Penalties {
    /// Whether nothing is taken.
    pub fn is_none(&self) -> bool {
        self.repetition == 1.0 && self.presence == 0.0 && self.frequency == 0.0
    }
}

/// Chooses tokens, keeping its work space.
#[derive(Debug, Default)]
pub struct Sampler {
    logits: Vec<f32>,
    candidates: Vec<(f32, u32)>,
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
        let is_plain = row.sampling.penalties.is_none() && row.bias.is_empty() && row.mask.is_none();
        let id = if is_plain && row.sampling.temperature <= 0.0 {
            stats.largest
        } else {
            self.logits.clear();
            self.logits.extend_from_slice(logits);
            adjust(&mut self.logits, row);
            if row.sampling.temperature <= 0.0 { argmax(&self.logits) } else { self.draw(row) }
        };
        fetch.sampled.push(Sampled { id, logprob: logprob(id) });
        if row.top > 0 {
            self.candidates.clear();
            self.candidates.extend(logits.iter().copied().zip(0..));
            keep_largest(&mut self.candidates, row.top as usize);
            fetch.top.extend(self.candidates.iter().map(|&(_, id)| (id, logprob(id))));
        }
        if row.logits {
            fetch.logits.extend_from_slice(logits);
        }
    }

    fn draw(&mut self, row: &Row<'_>) -> u32 {
        let Sampling { temperature, top_k, top_p, min_p, .. } = *row.sampling;
        let candidates = &mut self.candidates;
        candidates.clear();
        let finite = self.logits.iter().copied().zip(0..).filter(|(logit, _)| *logit > f32::NEG_INFINITY);
        candidates.extend(finite);
        let count = if top_k == 0 { candidates.len() } else { top_k as usize };
        keep_largest(candidates, count);
        let Some(&(largest, first)) = candidates.first() else { return argmax(&self.logits) };
        for (logit, _) in candidates.iter_mut() {
            // The difference first: a tiny temperature would make infinities of the logits themselves.
            *logit = ((*logit - largest) / temperature).exp();
        }
        if top_p < 1.0 {
            let total = candidates.iter().map(|&(p, _)| f64::from(p)).sum::<f64>();
            let mut sum = 0.0;
            let mut kept = 0;
            while kept < candidates.len() && sum < f64::from(top_p) * total {
                sum += f64::from(candidates[kept].0);
                kept += 1;
            }
            candidates.truncate(kept.max(1));
        }
        candidates.retain(|&(p, _)| p >= min_p);
        let total = candidates.iter().map(|&(p, _)| f64::from(p)).sum::<f64>();
        let mut left = row.uniform * total;
        for &(p, id) in candidates.iter() {
            left -= f64::from(p);
            if left < 0.0 {
                return id;
            }
        }
        candidates.last().map_or(first, |&(_, id)| id)
    }
}

/// Penalties, bias and mask.
fn adjust(logits: &mut [f32], row: &Row<'_>) {
    let penalties = &row.sampling.penalties;
    if !penalties.is_none() {
        for seen in row.seen {
            let Some(logit) = logits.get_mut(seen.id as usize) else { continue };
            *logit = if *logit > 0.0 { *logit / penalties.repetition } else { *logit * penalties.repetition };
            if seen.generated > 0 {
                *logit -= penalties.presence + penalties.frequency * seen.generated as f32;
            }
        }
    }
    for &(id, bias) in row.bias {
        if let Some(logit) = logits.get_mut(id as usize) {
            *logit += bias;
        }
    }
    if let Some(mask) = row.mask {
        for (id, logit) in logits.iter_mut().enumerate() {
            if mask.get(id / 32).is_none_or(|bits| bits >> (id % 32) & 1 == 0) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

/// The `count` largest, in order; among equals the smaller id first.
fn keep_largest(candidates: &mut Vec<(f32, u32)>, count: usize) {
    // Adding zero makes the two zeros equal.
    let order = |a: &(f32, u32), b: &(f32, u32)| (b.0 + 0.0).total_cmp(&(a.0 + 0.0)).then(a.1.cmp(&b.1));
    if count < candidates.len() {
        candidates.select_nth_unstable_by(count, order);
        candidates.truncate(count);
    }
    candidates.sort_unstable_by(order);
}

/// The place of the largest; the first among equals.
fn argmax(logits: &[f32]) -> u32 {
    let mut best = (f32::NEG_INFINITY, 0);
    for (id, &logit) in (0..).zip(logits) {
        if logit > best.0 {
            best = (logit, id);
        }
    }
    best.1
}

fn log_sum_exp(logits: &[f32]) -> f32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum = logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum::<f64>();
    largest + sum.ln() as f32
}
