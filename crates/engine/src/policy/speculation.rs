//! How many tokens to guess: as many as make a token cheapest, by what steps were measured to cost and guesses to be
//! worth. Where a step costs as much for many tokens as for one, as at the memory wall, guessing is nearly free; where each
//! token costs its own, it is not.

use std::time::Duration;

/// The most tokens guessed at a time.
pub(crate) const DRAFTS: u32 = 8;

/// How much the last step counts.
const LEARNING: f64 = 0.05;

/// What steps cost, as a line through those that were measured: so much per step and so much per token.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StepCost {
    /// Running means of tokens, time, tokens squared and their product.
    tokens: f64,
    time: f64,
    squares: f64,
    products: f64,
    steps: u32,
}

impl StepCost {
    /// Learns what a step of so many tokens cost.
    pub(crate) fn learn(&mut self, tokens: u32, time_ns: u64) {
        let (tokens, time) = (f64::from(tokens), time_ns as f64);
        self.steps = self.steps.saturating_add(1);
        // The first steps count alike.
        let weight = LEARNING.max(1.0 / f64::from(self.steps));
        let mix = |mean: &mut f64, value: f64| *mean += weight * (value - *mean);
        mix(&mut self.tokens, tokens);
        mix(&mut self.time, time);
        mix(&mut self.squares, tokens * tokens);
        mix(&mut self.products, tokens * time);
    }

    /// What a step costs, and each of its tokens beside that, in nanoseconds. Where all steps were alike there is no
    /// telling, and a token is taken to cost a sixteenth of a step.
    fn line(&self) -> (f64, f64) {
        let spread = self.squares - self.tokens * self.tokens;
        let slope = (self.products - self.tokens * self.time) / spread;
        let per_token =
            if spread > 1e-6 * self.squares && slope.is_finite() { slope } else { self.time / 16.0 };
        let per_token = per_token.clamp(0.0, self.time / self.tokens.max(1.0));
        (self.time - per_token * self.tokens, per_token)
    }

    /// How many tokens a sequence guesses whose guesses are right so often and cost `each`, in a step that it shares with
    /// others, of `most` at most.
    pub(crate) fn drafts(&self, right: f32, each: Duration, sequences: u32, most: u32) -> u32 {
        let (per_step, per_token) = self.line();
        let each = each.as_nanos() as f64;
        let share = per_step / f64::from(sequences.max(1));
        let right = f64::from(right.clamp(0.0, 1.0));
        let (mut best, mut cheapest) = (0, share + per_token);
        let (mut made, mut chance) = (1.0, 1.0);
        for drafts in 1..=most.min(DRAFTS) {
            chance *= right;
            made += chance;
            let guessed = f64::from(drafts);
            let price = (share + per_token * (guessed + 1.0) + each * guessed) / made;
            if price < cheapest {
                (best, cheapest) = (drafts, price);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(per_step: u64, per_token: u64) -> StepCost {
        let mut cost = StepCost::default();
        (0..200).for_each(|step| cost.learn(1 + step % 5, per_step + u64::from(1 + step % 5) * per_token));
        cost
    }

    #[test]
    fn the_line_is_found() {
        let (per_step, per_token) = cost(1000, 10).line();
        assert!((per_step - 1000.0).abs() < 1.0 && (per_token - 10.0).abs() < 0.5, "{per_step} {per_token}");
    }

    #[test]
    fn guesses_are_made_where_they_pay() {
        let free = Duration::ZERO;
        assert_eq!(cost(1000, 0).drafts(0.5, free, 1, 8), 8, "they are free");
        assert_eq!(cost(0, 1000).drafts(0.9, free, 1, 8), 0, "they cost as much as tokens");
        assert_eq!(cost(1000, 10).drafts(0.0, free, 1, 8), 0, "they are wrong");
        let alone = cost(1000, 100).drafts(0.7, free, 1, 8);
        let together = cost(1000, 100).drafts(0.7, free, 64, 8);
        assert!(alone > 2 && together == 0, "{alone} alone, {together} among many");
        assert_eq!(cost(1000, 0).drafts(0.9, free, 1, 3), 3);
        let dear = |ns| cost(1000, 0).drafts(0.8, Duration::from_nanos(ns), 1, 8);
        assert!(dear(100) > 2 && dear(100) < 8 && dear(900) == 0, "the drafter takes its time");
    }
}
