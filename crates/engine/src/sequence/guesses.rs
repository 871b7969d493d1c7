//! What a sequence guesses ahead, from the question to the drafter to what came of it.

use std::time::Duration;

use super::Sequence;
use crate::random::uniform;
use crate::speculate::{Ask, Guesses};

impl Sequence {
    /// Whether it may guess what follows.
    pub(crate) fn guesses(&self) -> bool {
        self.guesses.is_some()
    }

    /// Asks its drafter to guess what follows the token that it decodes next: so many tokens, given how often guesses were
    /// right and what they cost.
    pub(crate) fn ask_drafter(&mut self, most: impl FnOnce(f32, Duration) -> u32) {
        let Some(guesses) = &mut self.guesses else { return };
        // The last token it may make follows a token that it has or drafts.
        let room = self.limit.saturating_sub(self.tokens.len() as u32 + 1);
        let most = most(guesses.promise(), guesses.cost()).min(room);
        guesses.ask(&Ask { tokens: &self.tokens, most, request: &self.request });
    }

    /// Takes what its drafter guesses; how many of its drafts a step would compute beside the token that it decodes.
    pub(crate) fn take_drafts(&mut self, most: u32, vocab: u32) -> u32 {
        let Some(guesses) = &mut self.guesses else { return 0 };
        guesses.answer(most, vocab);
        if self.request.synthetic.is_some() {
            guesses.make_up(most);
        }
        guesses.drafts().len() as u32
    }

    /// Takes its guesses back.
    pub(crate) fn forget_drafts(&mut self) {
        self.guesses.iter_mut().for_each(Guesses::forget);
    }

    /// What it guesses to follow.
    pub(crate) fn drafts(&self) -> &[u32] {
        self.guesses.as_ref().map_or(&[], Guesses::drafts)
    }

    /// Whether a token is the one that was guessed, in a step's row of this place.
    pub(crate) fn agrees(&self, place: u32, token: u32) -> bool {
        let Some(&draft) = self.drafts().get(place as usize) else { return false };
        match self.request.synthetic {
            Some(share) => {
                let position = self.tokens.len() as u64;
                uniform(!self.request.seed, self.request.answer, position) < f64::from(share)
            }
            None => draft == token,
        }
    }

    /// Notes how many of the guesses were wrong that a step has computed: their positions will be written again.
    pub(crate) fn settle_drafts(&mut self, wrong: u32) {
        let Some(guesses) = &mut self.guesses else { return };
        let drafted = guesses.drafts().len() as u32;
        self.drafted += drafted;
        self.accepted += drafted - wrong;
        guesses.learn(drafted - wrong);
        if self.running {
            self.launched -= wrong;
        }
    }
}
