//! Where one answer stands in its grammar.

use std::sync::Arc;

use super::GrammarError;
use super::lexicon::Allowed;

/// Where one answer stands in its grammar. It is given the answer's tokens one by one and tells which may come next.
pub struct Matcher {
    parser: llguidance::Matcher,
    allowed: Arc<Allowed>,
    /// End tokens taken. The parser is not told of them.
    ended: usize,
}

impl std::fmt::Debug for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matcher").field("stop", &self.parser.stop_reason()).finish()
    }
}

impl Matcher {
    pub(super) fn new(parser: llguidance::Matcher, allowed: Arc<Allowed>) -> Matcher {
        Matcher { parser, allowed, ended: 0 }
    }

    /// Writes which tokens may come next, a bit for each. Where the answer may end, its end tokens are among them, and
    /// where nothing else may come, they are all there is: none, in a vocabulary that has none.
    pub fn mask(&mut self, mask: &mut [u32]) -> Result<(), GrammarError> {
        assert_eq!(mask.len(), self.allowed.text.len(), "a mask has a bit for each token of the model");
        if self.is_finished() {
            mask.copy_from_slice(&self.allowed.ends);
            return Ok(());
        }
        let found = self.parser.compute_mask().map_err(GrammarError::stuck)?;
        let may_end = self.is_complete()?;
        for (i, word) in mask.iter_mut().enumerate() {
            // Some grammars can name tokens by their numbers; text stays text.
            let end = if may_end { self.allowed.ends[i] } else { 0 };
            *word = found.as_slice().get(i).map_or(0, |found| found & self.allowed.text[i]) | end;
        }
        if mask.iter().all(|&word| word == 0) && !may_end {
            return Err(GrammarError::stuck("no token of the vocabulary can come next"));
        }
        Ok(())
    }

    /// Takes the answer's next token.
    pub fn accept(&mut self, token: u32) -> Result<(), GrammarError> {
        let not_allowed = GrammarError::NotAllowed { token };
        if self.allowed.is_end(token) && self.is_complete()? {
            self.ended += 1;
            return Ok(());
        }
        if self.is_finished() || !self.allowed.is_text(token) {
            return Err(not_allowed);
        }
        // Tried first: a token that does not fit leaves the matcher where it was.
        match self.parser.try_consume_tokens(&[token]).map_err(GrammarError::stuck)? {
            0 => Err(not_allowed),
            _ => Ok(()),
        }
    }

    /// Takes the last so many tokens back.
    pub fn rewind(&mut self, tokens: usize) -> Result<(), GrammarError> {
        let ends = tokens.min(self.ended);
        self.ended -= ends;
        self.parser.rollback(tokens - ends).map_err(GrammarError::stuck)
    }

    /// The tokens that must come next, as the model's tokenizer cuts them; none where the grammar leaves a choice.
    pub fn forced(&mut self) -> Vec<u32> {
        if self.is_finished() { vec![] } else { self.parser.compute_ff_tokens() }
    }

    /// Whether the answer may end here.
    pub fn is_complete(&mut self) -> Result<bool, GrammarError> {
        Ok(self.is_finished() || self.parser.is_accepting().map_err(GrammarError::stuck)?)
    }

    /// Whether the answer has ended, or can only end.
    pub fn is_finished(&self) -> bool {
        self.ended > 0 || self.parser.is_stopped() && self.parser.stop_reason().is_ok()
    }

    /// Another answer that stands where this one does.
    pub fn fork(&self) -> Matcher {
        Matcher { parser: self.parser.clone(), allowed: self.allowed.clone(), ended: self.ended }
    }
}
