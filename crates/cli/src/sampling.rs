//! Arguments that say how tokens are chosen, and what form the answer must have.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, value_parser};
use polysilicon::{Dry, Error, GrammarSource, MAX_GRAMMAR_BYTES, Model, Sampling};

use crate::units::parse_bias;

/// How tokens are chosen.
#[derive(Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// The most tokens to make; the model may stop before
    #[arg(short = 'n', long, value_name = "N", default_value_t = 512, value_parser = value_parser!(u32).range(1..))]
    max_tokens: u32,
    /// Divides the logits; 0 always takes the likeliest token
    #[arg(long, value_name = "F", default_value_t = 0.0, allow_negative_numbers = true)]
    temperature: f32,
    /// Only tokens about as likely as was to be expected, whose probabilities reach this together
    #[arg(long, value_name = "F", default_value_t = 1.0, allow_negative_numbers = true)]
    typical_p: f32,
    /// Only the likeliest tokens whose probabilities reach this together
    #[arg(long, value_name = "F", default_value_t = 1.0, allow_negative_numbers = true)]
    top_p: f32,
    /// Only this many of the likeliest tokens; 0 is all
    #[arg(long, value_name = "N", default_value_t = 0)]
    top_k: u32,
    /// Only tokens at least this many times as likely as the likeliest
    #[arg(long, value_name = "F", default_value_t = 0.0, allow_negative_numbers = true)]
    min_p: f32,
    /// Divides or multiplies the logits of tokens seen before; 1 is none
    #[arg(long, value_name = "F", default_value_t = 1.0, allow_negative_numbers = true)]
    repetition_penalty: f32,
    /// Subtracted from the logits of tokens seen before
    #[arg(long, value_name = "F", default_value_t = 0.0, allow_negative_numbers = true)]
    presence_penalty: f32,
    /// Subtracted from the logits of tokens for each time they were seen
    #[arg(long, value_name = "F", default_value_t = 0.0, allow_negative_numbers = true)]
    frequency_penalty: f32,
    /// Subtracted from the logits of tokens that would go on with a repetition (DRY); 0 is off
    #[arg(long, value_name = "F", default_value_t = Dry::NONE.multiplier, allow_negative_numbers = true)]
    dry_multiplier: f32,
    /// Multiplies that for each further token of the repetition
    #[arg(long, value_name = "F", default_value_t = Dry::NONE.base, allow_negative_numbers = true)]
    dry_base: f32,
    /// Tokens that may repeat before anything is subtracted
    #[arg(long, value_name = "N", default_value_t = Dry::NONE.allowed_length)]
    dry_allowed_length: u32,
    /// Look for repetitions among this many of the newest tokens; 0 is all
    #[arg(long, value_name = "N", default_value_t = Dry::NONE.window)]
    dry_window: u32,
    /// A repetition does not reach across this text; may be given several times, `none` is none [default: a new line, :, "
    /// and *]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    dry_sequence_breaker: Vec<String>,
    /// Add to the logit of a token, e.g. 15043=-2.5; may be given several times
    #[arg(long, value_name = "ID=F", value_parser = parse_bias)]
    logit_bias: Vec<(u32, f32)>,
    /// Decides every random choice: the same seed, the same answer
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// End before this text; may be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    stop: Vec<String>,
    /// Go on after the model's end tokens
    #[arg(long)]
    ignore_eos: bool,
}

/// What form the answer must have.
#[derive(Args)]
#[command(next_help_heading = "Form of the answer")]
#[group(multiple = false)]
pub struct FormArgs {
    /// JSON that the schema in this file allows
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Text of the grammar in this file, in Lark's notation; it begins with the rule `start`
    #[arg(long, value_name = "FILE")]
    grammar: Option<PathBuf>,
    /// Text that all of this regular expression matches
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    regex: Option<String>,
    /// One of several texts; given once for each
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    choice: Vec<String>,
}

impl SamplingArgs {
    /// The same, as the library takes it.
    pub fn sampling(&self) -> Sampling {
        let sampling = Sampling::default()
            .max_tokens(self.max_tokens)
            .temperature(self.temperature)
            .typical(self.typical_p)
            .top_p(self.top_p)
            .top_k(self.top_k)
            .min_p(self.min_p)
            .penalties(self.repetition_penalty, self.presence_penalty, self.frequency_penalty)
            .dry(self.dry())
            .seed(self.seed)
            .ignore_end(self.ignore_eos);
        let sampling = match self.dry_sequence_breaker.as_slice() {
            [] => sampling,
            [none] if none == "none" => sampling.dry_breakers([""; 0]),
            texts => sampling.dry_breakers(texts),
        };
        let sampling = self.logit_bias.iter().fold(sampling, |sampling, &(id, bias)| sampling.bias(id, bias));
        self.stop.iter().fold(sampling, Sampling::stop)
    }

    fn dry(&self) -> Dry {
        Dry {
            multiplier: self.dry_multiplier,
            base: self.dry_base,
            allowed_length: self.dry_allowed_length,
            window: self.dry_window,
        }
    }
}

impl FormArgs {
    /// What was asked for, read before a model is loaded for it.
    pub fn source(&self) -> Result<Option<GrammarSource>, Error> {
        if let Some(path) = &self.schema {
            return read(path).map(GrammarSource::JsonSchema).map(Some);
        }
        if let Some(path) = &self.grammar {
            return read(path).map(GrammarSource::Lark).map(Some);
        }
        if let Some(regex) = &self.regex {
            return Ok(Some(GrammarSource::Regex(regex.clone())));
        }
        let choices = Some(&self.choice).filter(|choices| !choices.is_empty());
        Ok(choices.cloned().map(GrammarSource::Choice))
    }
}

/// The same choice of tokens, of those that the form allows where there is one.
pub fn formed(sampling: Sampling, source: Option<&GrammarSource>, model: &Model) -> Result<Sampling, Error> {
    match source {
        Some(source) => Ok(sampling.grammar(&model.grammar(source)?)),
        None => Ok(sampling),
    }
}

/// The text of a grammar's file; of one that is too long, no more than shows that.
fn read(path: &Path) -> Result<String, Error> {
    let fail = |error| Error::File { path: path.to_owned(), error };
    let mut bytes = vec![];
    let read = |file: File| file.take(MAX_GRAMMAR_BYTES as u64 + 1).read_to_end(&mut bytes);
    File::open(path).and_then(read).map_err(fail)?;
    if bytes.len() > MAX_GRAMMAR_BYTES {
        let reason = format!("it has more than the {MAX_GRAMMAR_BYTES} bytes of a grammar; make it smaller");
        return Err(fail(io::Error::other(reason)));
    }
    String::from_utf8(bytes).map_err(|_| fail(io::Error::other("it is not text in UTF-8")))
}
