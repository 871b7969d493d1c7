//! What a caller asks for, in integers.

use std::sync::Arc;
use std::time::Duration;

use graph::{Dry, Sampling};

use crate::limits::{BIAS_ENTRIES, STOP_IDS, TOP_LOGPROBS};
use crate::{Drafter, Grammar, RefuseError};

/// A prompt to continue. Stop *strings* are for whoever makes the text: it cancels.
#[derive(Clone, Debug)]
pub struct Request {
    /// Token ids to continue; at least one.
    pub prompt: Vec<u32>,
    /// How many of the prompt's last tokens were made by the model, in an answer that is to go on: penalties and the
    /// grammar count them as such.
    pub made: u32,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The most tokens to make; the context bounds them too.
    pub max_tokens: u32,
    /// Ids that end the answer: the model's end tokens and the caller's own. The one that did is part of the answer.
    pub stop: Vec<u32>,
    /// Go on after one of `stop`, as benches do.
    pub ignore_end: bool,
    /// Decides every random choice.
    pub seed: u64,
    /// Which of several answers to one prompt this is; each draws its own numbers from the seed.
    pub answer: u64,
    /// How many of the likeliest tokens to tell at each position.
    pub top_logprobs: u32,
    /// Added to the logits of single tokens before choosing.
    pub bias: Vec<(u32, f32)>,
    /// One bit per token id, set where it ends what DRY takes for a repetition; shorter where the rest are clear.
    pub breakers: Arc<[u32]>,
    /// Whether each token of the prompt but the first comes with its log-probability and the likeliest in its place. Its
    /// state is computed then, kept or not.
    pub prompt_logprobs: bool,
    /// Whether each token comes with the logits it was drawn from.
    pub logits: bool,
    /// Goes before others: a level is worth ten seconds of waiting.
    pub priority: i8,
    /// The request ends when so much time has passed since it came, whatever was made until then.
    pub deadline: Option<Duration>,
    /// Whose it is: requests of unlike tenants share no state.
    pub tenant: u64,
    /// Who guesses ahead, where that is wanted; nobody does where penalties or a grammar make each row wait for the token
    /// before it.
    pub drafter: Option<Box<dyn Drafter>>,
    /// For benches: guesses count as right this often, whatever they are. The answer is then not the model's.
    pub synthetic: Option<f32>,
    /// The form of the answer, where it has one.
    pub grammar: Option<Box<dyn Grammar>>,
}

impl Request {
    /// Continues a prompt greedily for as long as the context allows.
    pub fn new(prompt: Vec<u32>) -> Request {
        Request {
            prompt,
            made: 0,
            sampling: Sampling::default(),
            max_tokens: u32::MAX,
            stop: vec![],
            ignore_end: false,
            seed: 0,
            answer: 0,
            top_logprobs: 0,
            bias: vec![],
            breakers: Arc::default(),
            prompt_logprobs: false,
            logits: false,
            priority: 0,
            deadline: None,
            tenant: 0,
            drafter: None,
            synthetic: None,
            grammar: None,
        }
    }

    /// Holds the request against every bound, for a model of `vocab` tokens and a context of `context` tokens.
    pub fn check(&self, vocab: u32, context: u32) -> Result<(), RefuseError> {
        check_prompt(&self.prompt, vocab)?;
        if self.prompt.len() as u64 >= u64::from(context) {
            return Err(RefuseError::PromptTooLong { tokens: self.prompt.len(), context });
        }
        at_most("tokens of an answer that is to go on", self.made as usize, self.prompt.len())?;
        at_most("stop ids", self.stop.len(), STOP_IDS)?;
        at_most("logit bias entries", self.bias.len(), BIAS_ENTRIES)?;
        at_most("words of tokens that end repetitions", self.breakers.len(), vocab.div_ceil(32) as usize)?;
        at_most("top log-probabilities", self.top_logprobs as usize, TOP_LOGPROBS as usize)?;
        for &id in &self.stop {
            known(id, vocab, || "the stop ids".into())?;
        }
        for &(id, bias) in &self.bias {
            known(id, vocab, || "the logit bias".into())?;
            within("a logit bias", bias, "a number", !bias.is_nan() && bias < f32::INFINITY)?;
        }
        if let Some(share) = self.synthetic {
            within(
                "the share of guesses that count as right",
                share,
                "from 0 to 1",
                (0.0..=1.0).contains(&share),
            )?;
        }
        check_sampling(&self.sampling)
    }
}

/// What any prompt must be.
pub(crate) fn check_prompt(ids: &[u32], vocab: u32) -> Result<(), RefuseError> {
    if ids.is_empty() {
        return Err(RefuseError::EmptyPrompt);
    }
    ids.iter().enumerate().try_for_each(|(i, &id)| known(id, vocab, || format!("the prompt at {i}")))
}

/// Fails where a list is longer than its bound.
pub(crate) fn at_most(what: &'static str, given: usize, limit: usize) -> Result<(), RefuseError> {
    if given > limit { Err(RefuseError::TooMany { what, given, limit }) } else { Ok(()) }
}

fn check_sampling(sampling: &Sampling) -> Result<(), RefuseError> {
    let Sampling { temperature, top_k: _, typical, top_p, min_p, penalties } = *sampling;
    let Dry { multiplier, base, allowed_length: _, window: _ } = penalties.dry;
    let positive = |x: f32| x > 0.0 && x.is_finite();
    within("temperature", temperature, "0 or more", temperature == 0.0 || positive(temperature))?;
    within("typical", typical, "above 0 and at most 1", typical > 0.0 && typical <= 1.0)?;
    within("top_p", top_p, "above 0 and at most 1", top_p > 0.0 && top_p <= 1.0)?;
    within("min_p", min_p, "from 0 to 1", (0.0..=1.0).contains(&min_p))?;
    within("repetition penalty", penalties.repetition, "above 0", positive(penalties.repetition))?;
    within("presence penalty", penalties.presence, "a finite number", penalties.presence.is_finite())?;
    within("frequency penalty", penalties.frequency, "a finite number", penalties.frequency.is_finite())?;
    within("dry multiplier", multiplier, "0 or more", multiplier == 0.0 || positive(multiplier))?;
    within("dry base", base, "above 0", positive(base))
}

fn known(id: u32, vocab: u32, place: impl Fn() -> String) -> Result<(), RefuseError> {
    if id < vocab { Ok(()) } else { Err(RefuseError::UnknownToken { id, place: place(), vocab }) }
}

fn within(name: &'static str, value: f32, range: &'static str, holds: bool) -> Result<(), RefuseError> {
    if holds { Ok(()) } else { Err(RefuseError::OutOfRange { name, value, range }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl Fn(&mut Request)) -> String {
        let mut request = Request::new(vec![1, 2, 3]);
        assert_eq!(request.check(10, 8), Ok(()));
        change(&mut request);
        request.check(10, 8).expect_err("the request is bad").to_string()
    }

    #[test]
    fn each_bound_is_told_in_a_sentence() {
        assert!(refusal(|r| r.prompt.clear()).starts_with("the prompt is empty"));
        let long = refusal(|r| r.prompt = vec![1; 8]);
        assert!(long.contains("has 8 tokens") && long.contains("holds 8"), "{long}");
        let unknown = refusal(|r| r.prompt[1] = 10);
        assert!(unknown.contains("token id 10") && unknown.contains("the prompt at 1"), "{unknown}");
        assert!(refusal(|r| r.stop = vec![11]).contains("token id 11 (in the stop ids)"));
        assert!(refusal(|r| r.stop = vec![0; 1025]).contains("1025 stop ids"));
        assert!(refusal(|r| r.bias = vec![(12, 0.0)]).contains("token id 12 (in the logit bias)"));
        assert!(refusal(|r| r.bias = vec![(1, 0.0); 1025]).contains("1025 logit bias entries"));
        assert!(refusal(|r| r.bias = vec![(1, f32::NAN)]).contains("a logit bias is NaN"));
        assert!(
            refusal(|r| r.breakers = Arc::new([0, 0])).contains("2 words of tokens that end repetitions")
        );
        assert!(refusal(|r| r.synthetic = Some(1.5)).contains("count as right is 1.5"));
        assert!(refusal(|r| r.top_logprobs = 21).contains("21 top log-probabilities"));
    }

    #[test]
    fn sampling_is_held_to_its_ranges() {
        assert!(refusal(|r| r.sampling.temperature = -1.0).starts_with("temperature is -1"));
        assert!(refusal(|r| r.sampling.temperature = f32::INFINITY).starts_with("temperature is inf"));
        assert!(refusal(|r| r.sampling.top_p = 0.0).starts_with("top_p is 0"));
        assert!(refusal(|r| r.sampling.top_p = f32::NAN).starts_with("top_p is NaN"));
        assert!(refusal(|r| r.sampling.typical = 0.0).starts_with("typical is 0"));
        assert!(refusal(|r| r.sampling.min_p = 1.5).starts_with("min_p is 1.5"));
        assert!(refusal(|r| r.sampling.penalties.repetition = 0.0).starts_with("repetition penalty is 0"));
        assert!(refusal(|r| r.sampling.penalties.presence = f32::NAN).starts_with("presence penalty"));
        assert!(refusal(|r| r.sampling.penalties.frequency = f32::INFINITY).starts_with("frequency penalty"));
        assert!(
            refusal(|r| r.sampling.penalties.dry.multiplier = -0.5).starts_with("dry multiplier is -0.5")
        );
        assert!(refusal(|r| r.sampling.penalties.dry.base = f32::NAN).starts_with("dry base is NaN"));
    }

    #[test]
    fn a_bias_may_forbid_a_token() {
        let request = Request { bias: vec![(1, f32::NEG_INFINITY)], ..Request::new(vec![1]) };
        assert_eq!(request.check(10, 8), Ok(()));
    }
}
