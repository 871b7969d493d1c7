//! Guessing ahead: what a caller may ask for, and the model that guesses for another.

use std::str::FromStr;

use engine::{DraftModel, Drafter, PromptLookup};

use crate::{Error, Opened};

/// Who guesses what follows, so that one step can compute several tokens. It changes how long an answer takes and nothing
/// else: each token is drawn as it would be without guesses, and guesses that do not pay are given up. Nobody guesses where
/// penalties or a grammar make each token wait for the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Speculation {
    /// The draft model, where there is one; else nobody.
    #[default]
    Auto,
    /// Nobody.
    Off,
    /// What followed the last few tokens before, in the prompt or in the answer.
    Ngram,
    /// The draft model: see [`Builder::draft`](crate::Builder::draft).
    Draft,
}

impl Speculation {
    /// Who guesses for one answer.
    pub(crate) fn drafter(self, draft: Option<&DraftModel>) -> Result<Option<Box<dyn Drafter>>, Error> {
        match (self, draft) {
            (Speculation::Off, _) | (Speculation::Auto, None) => Ok(None),
            (Speculation::Ngram, _) => Ok(Some(Box::new(PromptLookup::default()))),
            (Speculation::Auto | Speculation::Draft, Some(model)) => Ok(Some(model.drafter())),
            (Speculation::Draft, None) => Err(Error::Word(
                "there is no draft model to guess with; load one beside the model (--draft MODEL)".to_owned(),
            )),
        }
    }
}

impl FromStr for Speculation {
    type Err = Error;

    fn from_str(word: &str) -> Result<Speculation, Error> {
        match word {
            "auto" => Ok(Speculation::Auto),
            "off" => Ok(Speculation::Off),
            "ngram" => Ok(Speculation::Ngram),
            "draft" => Ok(Speculation::Draft),
            _ => Err(Error::Word(format!("`{word}` is none of auto, off, ngram and draft"))),
        }
    }
}

/// Of all tokens, one in so many may be another in a draft model: models of one family differ in a few.
const OTHERS: usize = 100;

/// Refuses a draft model whose tokens are others than the model's: it would never be right.
pub(crate) fn check_draft(draft: &Opened, model: &Opened) -> Result<(), Error> {
    let (few, many) = (draft.tokens()?.tokenizer, model.tokens()?.tokenizer);
    let (Some(few), Some(many)) = (few, many) else { return Ok(()) };
    let most = few.vocab_size().min(many.vocab_size());
    let differ = (0..most as u32).filter(|&id| few.bytes(id) != many.bytes(id)).count();
    if differ * OTHERS <= most {
        return Ok(());
    }
    Err(Error::Word(format!(
        "{} cannot guess for {}: {differ} of their first {most} tokens differ; choose a draft model of the same family",
        draft.name(),
        model.name()
    )))
}
