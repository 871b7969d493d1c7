//! Guesses that what followed the last few tokens before follows them again: free, and good where an answer repeats its
//! prompt (edits, quotes, code).

use std::collections::HashMap;

use super::{Ask, Drafter};

/// The most tokens that are compared backwards; places that agree in so many are equally good.
const LONGEST: usize = 16;

/// Places that are compared, the latest first.
const TRIES: usize = 64;

/// No place, in links.
const NONE: u32 = u32::MAX;

/// Finds earlier places where the last two tokens stood, as compressors do: each place is linked to the one before it.
/// What it does for a token does not depend on how many there are.
#[derive(Clone, Debug, Default)]
pub struct PromptLookup {
    /// The latest place of each pair of tokens: that of the second.
    latest: HashMap<(u32, u32), u32>,
    /// Of each place, the one before it of the same pair.
    before: Vec<u32>,
    found: Vec<u32>,
}

impl PromptLookup {
    /// Links the places of new tokens. A sequence's tokens never change, so all others are linked already.
    fn link(&mut self, tokens: &[u32]) {
        let new = self.before.len()..tokens.len();
        for place in new {
            let pair = place.checked_sub(1).map(|first| (tokens[first], tokens[place]));
            let before = pair.and_then(|pair| self.latest.insert(pair, place as u32));
            self.before.push(before.unwrap_or(NONE));
        }
    }

    /// The end of the earlier stretch that agrees best with the last tokens; among equals the latest, which is the
    /// likeliest to be about the same thing.
    fn best(&self, tokens: &[u32]) -> Option<usize> {
        let (mut best, mut longest) = (None, 0);
        let mut place = *self.before.last()?;
        for _ in 0..TRIES {
            if place == NONE || longest == LONGEST {
                break;
            }
            let earlier = tokens[..=place as usize].iter().rev();
            let agree = earlier.zip(tokens.iter().rev()).take(LONGEST).take_while(|(a, b)| a == b).count();
            if agree > longest {
                (best, longest) = (Some(place as usize), agree);
            }
            place = self.before[place as usize];
        }
        best
    }
}

impl Drafter for PromptLookup {
    fn ask(&mut self, ask: &Ask<'_>) {
        self.found.clear();
        self.link(ask.tokens);
        let Some(end) = self.best(ask.tokens) else { return };
        let known = &ask.tokens[end + 1..];
        for i in 0..ask.most as usize {
            // A stretch that reaches the end goes on with what it gave.
            let next = known.get(i).copied().unwrap_or_else(|| self.found[i - known.len()]);
            self.found.push(next);
        }
    }

    fn answer(&mut self, out: &mut Vec<u32>) {
        out.append(&mut self.found);
    }

    fn fork(&self) -> Box<dyn Drafter> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;

    fn draft(lookup: &mut PromptLookup, tokens: &[u32], most: u32) -> Vec<u32> {
        let mut out = vec![];
        lookup.ask(&Ask { tokens, most, request: &Request::new(vec![]) });
        lookup.answer(&mut out);
        out
    }

    #[test]
    fn what_followed_before_follows_again() {
        let draft = |tokens: &[u32], most| draft(&mut PromptLookup::default(), tokens, most);
        assert_eq!(draft(&[1, 2, 3, 4, 5, 9, 2, 3], 2), [4, 5]);
        assert_eq!(draft(&[1, 2, 3, 7, 0, 2, 3, 8, 1, 2, 3], 3), [7, 0, 2], "the longer match");
        assert_eq!(draft(&[2, 3, 7, 2, 3, 8, 2, 3], 1), [8], "the later match");
        assert_eq!(draft(&[5, 5, 5, 5], 3), [5, 5, 5], "what is made up already is gone on with");
        assert_eq!(draft(&[9, 1, 2, 3, 1, 2, 3], 5), [1, 2, 3, 1, 2]);
        for nothing in [&[][..], &[1], &[1, 2], &[1, 2, 3, 4]] {
            assert_eq!(draft(nothing, 3), [0; 0]);
        }
    }

    #[test]
    fn tokens_come_one_after_another() {
        let tokens = (0..300).map(|i| i * i % 17).collect::<Vec<u32>>();
        let mut lookup = PromptLookup::default();
        for end in 0..tokens.len() {
            let fresh = draft(&mut PromptLookup::default(), &tokens[..end], 4);
            assert_eq!(draft(&mut lookup, &tokens[..end], 4), fresh);
        }
        assert_eq!(draft(&mut lookup, &tokens, 2).len(), 2);
    }
}
