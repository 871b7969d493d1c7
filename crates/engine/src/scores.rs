//! Log-probabilities of a prompt's own tokens: each row is made to choose the token that the prompt has next, and tells
//! what the model thinks of it. So devices need to know nothing about it.

use std::slice;

use graph::Sampling;

/// Added to a token's logit, it outweighs all others.
const FORCE: f32 = f32::MAX;

/// What is told of a prompt, and how far that is.
#[derive(Debug)]
pub(crate) struct Scores {
    /// Of each position but the last, the bias that makes its row choose the token behind it.
    forced: Vec<(u32, f32)>,
    greedy: Sampling,
    /// Rows that were told.
    told: u32,
}

impl Scores {
    /// Nothing is told yet of this prompt.
    pub(crate) fn new(prompt: &[u32]) -> Scores {
        let forced = prompt[1..].iter().map(|&id| (id, FORCE)).collect();
        Scores { forced, greedy: Sampling::default(), told: 0 }
    }

    /// The first position whose row is still wanted.
    pub(crate) fn next_row(&self) -> Option<u32> {
        ((self.told as usize) < self.forced.len()).then_some(self.told)
    }

    /// How the row at a position of the prompt chooses.
    pub(crate) fn choice(&self, position: u32) -> Option<(&Sampling, &[(u32, f32)])> {
        Some((&self.greedy, slice::from_ref(self.forced.get(position as usize)?)))
    }

    /// Notes that the next row was told: the position and the id of the token that it is about.
    pub(crate) fn tell(&mut self) -> Option<(u32, u32)> {
        let (id, _) = *self.forced.get(self.told as usize)?;
        self.told += 1;
        Some((self.told, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_but_the_first_is_told_once() {
        let mut scores = Scores::new(&[7, 8, 9]);
        assert_eq!(scores.next_row(), Some(0));
        assert_eq!(scores.choice(1).map(|(_, bias)| bias[0].0), Some(9));
        assert!(scores.choice(2).is_none(), "the answer begins behind it");
        assert_eq!([scores.tell(), scores.tell(), scores.tell()], [Some((1, 8)), Some((2, 9)), None]);
        assert_eq!(scores.next_row(), None);
        assert_eq!(Scores::new(&[7]).next_row(), None);
    }
}
