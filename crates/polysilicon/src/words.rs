//! What a model's vocabulary is to grammars and samplers: made when it is first asked for, and kept with the model.

use std::sync::{Arc, OnceLock};

use engine::RefuseError;
use text::{GrammarError, GrammarLimits, GrammarSource, Lexicon, Tokenizer};

use crate::{Error, Sampling};

/// The most texts that end what DRY takes for a repetition: each is looked for in every token.
const MAX_BREAKERS: usize = 64;

/// What ends a repetition unless said: the beginnings of lines, names of speakers, quotations and lists.
const BREAKERS: [&str; 4] = ["\n", ":", "\"", "*"];

/// A grammar that is ready for one model; any number of requests may follow it. A clone is the same grammar.
#[derive(Clone, Debug)]
pub struct Grammar {
    compiled: Arc<text::Grammar>,
    lexicon: Arc<Lexicon>,
}

/// Whether both are clones of one.
impl PartialEq for Grammar {
    fn eq(&self, other: &Grammar) -> bool {
        Arc::ptr_eq(&self.compiled, &other.compiled)
    }
}

/// The vocabulary of one model.
pub(crate) struct Words {
    vocab: u32,
    /// Tokens that end an answer.
    ends: Vec<u32>,
    lexicon: OnceLock<Result<Arc<Lexicon>, GrammarError>>,
    /// Tokens that end a repetition unless said, one bit each.
    breakers: OnceLock<Arc<[u32]>>,
}

impl Words {
    /// Of a model that tells so many tokens apart.
    pub fn new(vocab: u32, ends: &[u32]) -> Words {
        // Files declare end tokens that their vocabulary does not reach; those never come.
        let ends = ends.iter().copied().filter(|&id| id < vocab).collect();
        Words { vocab, ends, lexicon: OnceLock::new(), breakers: OnceLock::new() }
    }

    /// Tokens that end an answer.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Makes a grammar ready.
    pub fn grammar(&self, tokenizer: &Arc<Tokenizer>, source: &GrammarSource) -> Result<Grammar, Error> {
        let lexicon = self
            .lexicon
            .get_or_init(|| Lexicon::new(tokenizer.clone(), self.vocab as usize, &self.ends).map(Arc::new));
        let lexicon = lexicon.clone()?;
        let compiled = lexicon.compile(source, &GrammarLimits::default())?;
        Ok(Grammar { compiled: Arc::new(compiled), lexicon })
    }

    /// An answer's place at the beginning of its grammar.
    pub fn follow(&self, grammar: &Grammar) -> Result<Box<dyn engine::Grammar>, Error> {
        match self.lexicon.get() {
            Some(Ok(lexicon)) if Arc::ptr_eq(lexicon, &grammar.lexicon) => {
                Ok(Box::new(Place(grammar.compiled.matcher())))
            }
            _ => Err(Error::Word(
                "the grammar was made for another model; make one with this model's `grammar`".to_owned(),
            )),
        }
    }

    /// Tokens that end what DRY takes for a repetition, one bit each: those that contain one of the texts, those that end
    /// an answer, and control tokens.
    pub fn breakers(&self, tokenizer: Option<&Tokenizer>, sampling: &Sampling) -> Result<Arc<[u32]>, Error> {
        if sampling.choice.penalties.dry.is_none() {
            return Ok(Arc::default());
        }
        let Some(texts) = &sampling.breakers else {
            return Ok(self.breakers.get_or_init(|| self.breaking(tokenizer, &BREAKERS)).clone());
        };
        let (given, limit) = (texts.len(), MAX_BREAKERS);
        if given > limit {
            return Err(RefuseError::TooMany { what: "texts that end repetitions", given, limit }.into());
        }
        if tokenizer.is_none() && given > 0 {
            return Err(Error::Word(
                "the model has no tokenizer, so no text can end a repetition; leave the breakers out"
                    .to_owned(),
            ));
        }
        Ok(self.breaking(tokenizer, texts))
    }

    fn breaking(&self, tokenizer: Option<&Tokenizer>, texts: &[impl AsRef<str>]) -> Arc<[u32]> {
        let mut bits = vec![0u32; self.vocab.div_ceil(32) as usize];
        let mut set = |id: u32| bits[id as usize / 32] |= 1 << (id % 32);
        self.ends.iter().for_each(|&id| set(id));
        let texts = texts.iter().map(|text| text.as_ref().as_bytes()).filter(|text| !text.is_empty());
        let texts = texts.collect::<Vec<_>>();
        let contains =
            |token: &[u8]| texts.iter().any(|text| token.windows(text.len()).any(|part| part == *text));
        if let Some(tokenizer) = tokenizer {
            let breaks = |id: &u32| tokenizer.is_control(*id) || tokenizer.bytes(*id).is_some_and(contains);
            (0..self.vocab).filter(breaks).for_each(&mut set);
        }
        bits.into()
    }
}

/// Where an answer stands in its grammar, as the engine sees it.
struct Place(text::Matcher);

impl engine::Grammar for Place {
    fn mask(&mut self, mask: &mut [u32]) -> Result<(), String> {
        self.0.mask(mask).map_err(|error| error.to_string())
    }

    fn accept(&mut self, token: u32) -> Result<(), String> {
        self.0.accept(token).map_err(|error| error.to_string())
    }

    fn is_complete(&self) -> bool {
        self.0.is_finished()
    }

    fn fork(&self) -> Box<dyn engine::Grammar> {
        Box::new(Place(self.0.fork()))
    }
}
