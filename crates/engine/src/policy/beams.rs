//! Which beams go on: of all continuations the likeliest, as in `transformers`.
//!
//! Twice as many are looked at as there are beams, since some end the text. Those that do are answers if they are among the
//! first; of the others the first go on. An answer's score is its log-probability over its length to the power of a
//! penalty, and the search is over when no beam promises a better one than those that are there.

/// How wide and towards what a search goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Aim {
    /// Beams, and answers.
    pub width: u32,
    /// Above 0 long answers are worth more, below 0 short ones.
    pub length_penalty: f64,
}

/// A way to go on: which beam, by which token, and the log-probability of all its tokens then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Next {
    pub beam: usize,
    pub token: u32,
    pub logprob: f64,
}

/// What becomes of the beams.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Choice {
    /// Those that go on, the likeliest first.
    pub on: Vec<Next>,
    /// Those that have ended.
    pub ended: Vec<Next>,
}

impl Aim {
    /// How many of the likeliest tokens each beam must tell.
    pub(crate) fn looked_at(&self) -> u32 {
        2 * self.width
    }

    /// Chooses among beams of so much log-probability and their likeliest tokens.
    pub(crate) fn choose<'a>(
        &self,
        beams: impl Iterator<Item = (f64, &'a [(u32, f32)])>,
        ends: impl Fn(u32) -> bool,
    ) -> Choice {
        let mut all = vec![];
        for (beam, (sum, top)) in beams.enumerate() {
            all.extend(top.iter().map(|&(token, logprob)| Next {
                beam,
                token,
                logprob: sum + f64::from(logprob),
            }));
        }
        all.retain(|next| next.logprob > f64::NEG_INFINITY);
        // Among equals the better beam goes first: the sort is stable.
        all.sort_by(|a, b| b.logprob.total_cmp(&a.logprob));
        all.truncate(self.looked_at() as usize);
        let mut choice = Choice::default();
        for (rank, next) in all.into_iter().enumerate() {
            match ends(next.token) {
                true if rank < self.width as usize => choice.ended.push(next),
                true => {}
                false if choice.on.len() < self.width as usize => choice.on.push(next),
                false => break,
            }
        }
        choice
    }

    /// What an answer of so many tokens is worth.
    pub(crate) fn score(&self, logprob: f64, tokens: u32) -> f64 {
        logprob / f64::from(tokens.max(1)).powf(self.length_penalty)
    }

    /// Whether the answers that are there, by their scores, are better than what the likeliest beam promises.
    pub(crate) fn is_over(&self, answers: impl Iterator<Item = f64>, logprob: f64, tokens: u32) -> bool {
        let better = answers.filter(|&score| score >= self.score(logprob, tokens));
        better.take(self.width as usize).count() == self.width as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AIM: Aim = Aim { width: 2, length_penalty: 1.0 };

    fn next(beam: usize, token: u32, logprob: f64) -> Next {
        Next { beam, token, logprob }
    }

    #[test]
    fn the_likeliest_go_on_whichever_beam_they_are_of() {
        let beams: [(f64, &[(u32, f32)]); 2] =
            [(-1.0, &[(5, -2.0), (6, -4.0)]), (-1.5, &[(7, -0.5), (8, -1.0)])];
        let choice = AIM.choose(beams.into_iter(), |_| false);
        assert_eq!((choice.on, choice.ended), (vec![next(1, 7, -2.0), next(1, 8, -2.5)], vec![]));
    }

    #[test]
    fn ends_are_answers_only_among_the_first() {
        let top: &[(u32, f32)] = &[(0, -1.0), (5, -2.0), (1, -3.0), (6, -4.0)];
        let choice = AIM.choose([(0.0, top)].into_iter(), |token| token < 2);
        assert_eq!(choice.ended, [next(0, 0, -1.0)]);
        assert_eq!(choice.on, [next(0, 5, -2.0), next(0, 6, -4.0)]);
        let none = AIM.choose([(0.0, top)].into_iter(), |_| true);
        assert_eq!((none.on.len(), none.ended.len()), (0, 2));
        let impossible: &[(u32, f32)] = &[(5, -1.0), (6, f32::NEG_INFINITY)];
        assert_eq!(AIM.choose([(0.0, impossible)].into_iter(), |_| false).on.len(), 1);
    }

    #[test]
    fn a_search_ends_when_nothing_better_can_come() {
        assert_eq!(AIM.score(-6.0, 3), -2.0);
        assert_eq!(Aim { length_penalty: 0.0, ..AIM }.score(-6.0, 3), -6.0);
        assert!(!AIM.is_over([-1.0].into_iter(), -100.0, 2), "one is missing");
        assert!(AIM.is_over([-1.0, -2.0].into_iter(), -6.0, 3));
        assert!(!AIM.is_over([-1.0, -2.1].into_iter(), -6.0, 3));
    }
}
