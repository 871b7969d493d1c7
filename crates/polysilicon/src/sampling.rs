//! How a caller wants tokens chosen.

use std::time::Duration;

use graph::{Dry, Penalties};

use crate::Grammar;

use crate::Speculation;

/// Options of a generation. Greedy unless a temperature is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    pub(crate) choice: graph::Sampling,
    pub(crate) max_tokens: u32,
    pub(crate) stop: Vec<String>,
    pub(crate) stop_ids: Vec<u32>,
    pub(crate) seed: u64,
    pub(crate) top_logprobs: u32,
    pub(crate) prompt_logprobs: bool,
    pub(crate) speculation: Speculation,
    pub(crate) synthetic: Option<f32>,
    pub(crate) bias: Vec<(u32, f32)>,
    /// What ends repetitions, where it was said.
    pub(crate) breakers: Option<Vec<String>>,
    pub(crate) grammar: Option<Grammar>,
    pub(crate) ignore_end: bool,
    pub(crate) priority: i8,
    pub(crate) deadline: Option<Duration>,
    pub(crate) tenant: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling {
            choice: graph::Sampling::default(),
            max_tokens: u32::MAX,
            stop: vec![],
            stop_ids: vec![],
            seed: 0,
            top_logprobs: 0,
            prompt_logprobs: false,
            speculation: Speculation::Auto,
            synthetic: None,
            bias: vec![],
            breakers: None,
            grammar: None,
            ignore_end: false,
            priority: 0,
            deadline: None,
            tenant: 0,
        }
    }
}

impl Sampling {
    /// Whether it is always the likeliest token that comes, until one ends the answer.
    pub(crate) fn is_likeliest(&self) -> bool {
        let as_it_is = self.choice.temperature == 0.0 && self.choice.penalties.is_none();
        as_it_is && self.bias.is_empty() && self.stop.is_empty() && self.grammar.is_none()
    }

    /// Divides the logits; 0 always takes the likeliest token.
    #[must_use]
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.choice.temperature = temperature;
        self
    }

    /// Only the `k` likeliest tokens; 0 is all.
    #[must_use]
    pub fn top_k(mut self, k: u32) -> Self {
        self.choice.top_k = k;
        self
    }

    /// Only the tokens that are about as likely as was to be expected, whose probabilities reach `p` together.
    #[must_use]
    pub fn typical(mut self, p: f32) -> Self {
        self.choice.typical = p;
        self
    }

    /// Only the likeliest tokens whose probabilities reach `p` together.
    #[must_use]
    pub fn top_p(mut self, p: f32) -> Self {
        self.choice.top_p = p;
        self
    }

    /// Only tokens at least `p` times as likely as the likeliest.
    #[must_use]
    pub fn min_p(mut self, p: f32) -> Self {
        self.choice.min_p = p;
        self
    }

    /// What tokens lose that were seen before: `repetition` divides or multiplies (1 is none), `presence` is
    /// subtracted once, `frequency` for each time.
    #[must_use]
    pub fn penalties(mut self, repetition: f32, presence: f32, frequency: f32) -> Self {
        let dry = self.choice.penalties.dry;
        self.choice.penalties = Penalties { repetition, presence, frequency, dry };
        self
    }

    /// "Don't repeat yourself": what tokens lose that would go on with a repetition.
    #[must_use]
    pub fn dry(mut self, dry: Dry) -> Self {
        self.choice.penalties.dry = dry;
        self
    }

    /// Texts that end what [`Sampling::dry`] takes for a repetition, in place of a new line, `:`, `"` and `*`. End tokens
    /// and control tokens always do.
    #[must_use]
    pub fn dry_breakers(mut self, texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.breakers = Some(texts.into_iter().map(Into::into).collect());
        self
    }

    /// Answers in the form of a grammar, which [`Model::grammar`](crate::Model::grammar) makes. The answer ends where the
    /// grammar does, end tokens ignored or not.
    #[must_use]
    pub fn grammar(mut self, grammar: &Grammar) -> Self {
        self.grammar = Some(grammar.clone());
        self
    }

    /// The most tokens to make; by default as many as the context holds.
    #[must_use]
    pub fn max_tokens(mut self, n: u32) -> Self {
        self.max_tokens = n;
        self
    }

    /// Ends the text before this string.
    #[must_use]
    pub fn stop(mut self, stop: impl Into<String>) -> Self {
        self.stop.push(stop.into());
        self
    }

    /// Ends after this token, as after the model's own end tokens.
    #[must_use]
    pub fn stop_id(mut self, id: u32) -> Self {
        self.stop_ids.push(id);
        self
    }

    /// Decides every random choice: the same seed, the same answer.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Tells the `n` likeliest tokens at each position.
    #[must_use]
    pub fn top_logprobs(mut self, n: u32) -> Self {
        self.top_logprobs = n;
        self
    }

    /// Tells what the model thinks of the prompt, too: the log-probability of each of its tokens but the first, and the
    /// likeliest in its place, as many as [`Sampling::top_logprobs`] says. With no tokens to make, the prompt is all there
    /// is to be told.
    #[must_use]
    pub fn prompt_logprobs(mut self, tell: bool) -> Self {
        self.prompt_logprobs = tell;
        self
    }

    /// Who guesses ahead: the draft model unless said, where there is one.
    #[must_use]
    pub fn speculate(mut self, who: Speculation) -> Self {
        self.speculation = who;
        self
    }

    /// For benches of speculation: guesses count as right this often, whatever they are. The answer is then not the
    /// model's.
    #[must_use]
    pub fn synthetic_acceptance(mut self, share: f32) -> Self {
        self.synthetic = Some(share);
        self
    }

    /// Adds to the logit of a token.
    #[must_use]
    pub fn bias(mut self, id: u32, bias: f32) -> Self {
        self.bias.push((id, bias));
        self
    }

    /// Goes before other requests: each level is worth ten seconds of waiting.
    #[must_use]
    pub fn priority(mut self, level: i8) -> Self {
        self.priority = level;
        self
    }

    /// Ends after this time, whatever has been made until then.
    #[must_use]
    pub fn deadline(mut self, after: Duration) -> Self {
        self.deadline = Some(after);
        self
    }

    /// Whose request it is: what one tenant's prompts have left in the cache is used by that tenant alone.
    #[must_use]
    pub fn tenant(mut self, tenant: u64) -> Self {
        self.tenant = tenant;
        self
    }

    /// Goes on after end tokens, as benches do.
    #[must_use]
    pub fn ignore_end(mut self, ignore: bool) -> Self {
        self.ignore_end = ignore;
        self
    }
}
