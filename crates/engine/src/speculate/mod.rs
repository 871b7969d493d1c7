//! Guessing ahead: a drafter says what may follow, one step computes all of it, and what agrees with the tokens that the
//! step draws is kept. Each token is drawn with the number that plain decoding would have drawn it with, so wherever a row's
//! logits do not depend on its company the answer is exactly the one without guessing.
//!
//! Heads that guess from a model's own activations (EAGLE, multi-token prediction) would be one more [`Drafter`]: a step can
//! bring values out by name, and [`Ask`] is where a drafter would find them.

mod lookup;
mod model;

use std::fmt;
use std::time::Duration;

pub use lookup::PromptLookup;
pub use model::DraftModel;

use crate::Request;

/// What a drafter is asked.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// All of a sequence's tokens so far.
    pub tokens: &'a [u32],
    /// The most tokens to guess.
    pub most: u32,
    /// What the sequence asked for: how its tokens are drawn, and by which numbers.
    pub request: &'a Request,
}

/// Guesses what follows in one answer.
pub trait Drafter: Send {
    /// Begins to guess what follows. Before a step all sequences are asked, and only then must any answer, so a drafter
    /// can work for all together.
    fn ask(&mut self, ask: &Ask<'_>);

    /// Appends what it guesses since it was asked last, in order; nothing where it has no idea.
    fn answer(&mut self, out: &mut Vec<u32>);

    /// What a guess costs, as far as that is known.
    fn cost(&self) -> Duration {
        Duration::ZERO
    }

    /// Another like it, for another answer.
    fn fork(&self) -> Box<dyn Drafter>;
}

impl Clone for Box<dyn Drafter> {
    fn clone(&self) -> Self {
        self.fork()
    }
}

impl fmt::Debug for dyn Drafter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Drafter {{ cost: {:?} }}", self.cost())
    }
}

/// How a sequence guesses, and how well that went.
#[derive(Debug)]
pub(crate) struct Guesses {
    drafter: Box<dyn Drafter>,
    /// How many it was asked for.
    asked: u32,
    /// What was guessed for the next step, or is being computed.
    drafts: Vec<u32>,
    /// The share of guesses that were right, the last ones counting most.
    accepted: f32,
    /// Steps since the last guess.
    rest: u32,
}

/// How much one guess changes the share of right ones.
const LEARNING: f32 = 0.1;

/// What is thought of a drafter that has guessed nothing yet.
const HOPE: f32 = 0.6;

/// Steps after which one that was not worth it is tried again.
const PATIENCE: u32 = 64;

impl Guesses {
    pub(crate) fn new(drafter: Box<dyn Drafter>) -> Guesses {
        Guesses { drafter, asked: 0, drafts: vec![], accepted: HOPE, rest: 0 }
    }

    /// What was guessed.
    pub(crate) fn drafts(&self) -> &[u32] {
        &self.drafts
    }

    /// The share of guesses that were right; better than that where it has not been tried for long.
    pub(crate) fn promise(&self) -> f32 {
        if self.rest >= PATIENCE { self.accepted.max(HOPE) } else { self.accepted }
    }

    /// What one of them costs.
    pub(crate) fn cost(&self) -> Duration {
        self.drafter.cost()
    }

    /// Whether tokens must be known before the next step: to guess behind them.
    pub(crate) fn need_host(&self) -> bool {
        self.asked > 0 || self.rest >= PATIENCE
    }

    /// Has the drafter begin.
    pub(crate) fn ask(&mut self, ask: &Ask<'_>) {
        self.asked = ask.most;
        if ask.most > 0 {
            self.drafter.ask(ask);
        } else if self.rest >= PATIENCE {
            // It was thought of again, and would still not pay: steps overlap until its next turn.
            self.rest = 0;
        }
    }

    /// Takes what the drafter guesses, `most` tokens of a vocabulary.
    pub(crate) fn answer(&mut self, most: u32, vocab: u32) {
        self.drafts.clear();
        if self.asked > 0 {
            self.drafter.answer(&mut self.drafts);
            let known = self.drafts.iter().position(|&id| id >= vocab).unwrap_or(usize::MAX);
            self.drafts.truncate(known.min(most.min(self.asked) as usize));
        }
    }

    /// Guesses anything at all up to what was asked for, where drafts are known to be right by themselves.
    pub(crate) fn make_up(&mut self, most: u32) {
        self.drafts.resize(most.min(self.asked) as usize, 0);
    }

    /// Takes back what was guessed last.
    pub(crate) fn forget(&mut self) {
        self.drafts.clear();
    }

    /// Learns how many of the guesses were right, and forgets them.
    pub(crate) fn learn(&mut self, right: u32) {
        let guessed = self.drafts.len() as u32;
        self.rest = if guessed == 0 { self.rest.saturating_add(1) } else { 0 };
        // Those behind the first wrong one were not tried.
        for place in 0..guessed.min(right + 1) {
            let was_right = if place < right { 1.0 } else { 0.0 };
            self.accepted += LEARNING * (was_right - self.accepted);
        }
        self.drafts.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_that_fail_promise_less_until_they_are_tried_again() {
        let request = Request::new(vec![]);
        let ask = |most| Ask { tokens: &[1, 2, 3, 1, 2], most, request: &request };
        let mut guesses = Guesses::new(Box::new(PromptLookup::default()));
        for _ in 0..40 {
            guesses.ask(&ask(1));
            guesses.answer(1, 10);
            assert_eq!(guesses.drafts(), [3]);
            guesses.learn(0);
        }
        assert!(guesses.promise() < 0.05);
        guesses.ask(&ask(0));
        assert!(!guesses.need_host(), "it guesses no more");
        (0..PATIENCE).for_each(|_| guesses.learn(0));
        assert!(guesses.promise() == HOPE && guesses.need_host());
        guesses.ask(&ask(2));
        guesses.answer(2, 10);
        guesses.learn(2);
        assert!(guesses.promise() < 0.3 && guesses.promise() > 0.15);
    }

    #[test]
    fn what_is_no_token_is_not_guessed() {
        let request = Request::new(vec![]);
        let mut guesses = Guesses::new(Box::new(PromptLookup::default()));
        guesses.ask(&Ask { tokens: &[1, 2, 3, 9, 4, 1, 2], most: 5, request: &request });
        guesses.answer(5, 9);
        assert_eq!(guesses.drafts(), [3]);
    }
}
