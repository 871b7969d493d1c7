//! What a caller may say about the choice of a token.

/// How to choose a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 is greedy.
    pub temperature: f32,
    /// Only the so many largest; 0 is all.
    pub top_k: u32,
    /// Only those whose information is nearest to what was to be expected, until their probabilities sum to this.
    pub typical: f32,
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
    /// What tokens lose that would go on repeating.
    pub dry: Dry,
}

/// "Don't repeat yourself": a token that followed before where the text ended as it ends now loses
/// `multiplier * base^(length - allowed_length)`, where `length` tokens agree and that is `allowed_length` at least.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dry {
    /// The loss at the allowed length; 0 is none.
    pub multiplier: f32,
    /// By how much each further token that agrees multiplies it.
    pub base: f32,
    /// How many tokens may agree before anything is lost.
    pub allowed_length: u32,
    /// Only so many of the newest tokens are looked at; 0 is all.
    pub window: u32,
}

impl Sampling {
    /// The likeliest token, nothing taken from anything.
    pub const GREEDY: Sampling = Sampling {
        temperature: 0.0,
        top_k: 0,
        typical: 1.0,
        top_p: 1.0,
        min_p: 0.0,
        penalties: Penalties::NONE,
    };

    /// Whether some tokens may be cut off before one is drawn.
    pub(super) fn cuts(&self) -> bool {
        self.top_k > 0 || self.typical < 1.0 || self.top_p < 1.0 || self.min_p > 0.0
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling::GREEDY
    }
}

impl Penalties {
    /// Nothing is taken.
    pub const NONE: Penalties = Penalties { repetition: 1.0, presence: 0.0, frequency: 0.0, dry: Dry::NONE };

    /// Whether nothing is taken, so that the choice does not depend on the tokens before.
    pub fn is_none(&self) -> bool {
        !self.counts() && self.dry.is_none()
    }

    /// Whether something is taken by how often a token was seen.
    pub fn counts(&self) -> bool {
        self.repetition != 1.0 || self.presence != 0.0 || self.frequency != 0.0
    }
}

impl Default for Penalties {
    fn default() -> Self {
        Penalties::NONE
    }
}

impl Dry {
    /// Off; the rest is what llama.cpp's users start from, over all tokens.
    pub const NONE: Dry = Dry { multiplier: 0.0, base: 1.75, allowed_length: 2, window: 0 };

    /// Whether nothing is taken.
    pub fn is_none(&self) -> bool {
        self.multiplier == 0.0
    }
}

impl Default for Dry {
    fn default() -> Self {
        Dry::NONE
    }
}
