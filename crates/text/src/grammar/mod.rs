//! Grammars: which tokens may come next, so that the text comes out as it was asked for.
//!
//! A [`GrammarSource`] says what text is wanted. [`Lexicon::compile`] makes a [`Grammar`] of it, which any number of
//! requests may share, and [`Grammar::matcher`] follows one answer. Sources come from strangers: bytes, depth, time
//! and what parts of it may cost are limited, and a source beyond them is an error. The parsing itself is
//! `llguidance`'s.
//!
//! Compiling takes from a millisecond to the time limit and does not belong on a thread that others wait for. Following
//! costs tens of microseconds per token for what is usually asked, milliseconds at worst.

mod error;
mod lexicon;
mod matcher;
mod source;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

use llguidance::api::TopLevelGrammar;

pub use error::GrammarError;
pub use lexicon::Lexicon;
pub use matcher::Matcher;
pub use source::{GrammarLimits, GrammarSource, MAX_CHOICES, MAX_GRAMMAR_BYTES, MAX_GRAMMAR_DEPTH};

/// Grammars that may be in the making at once. Those that ran out of time still work until they run out of fuel.
const COMPILING: usize = 8;
/// Stack of a thread that compiles, bytes: rules that refer to one another are followed by recursion, and with
/// `MAX_GRAMMAR_BYTES` they can be many. What is not used costs nothing.
const STACK_BYTES: usize = 512 << 20;

static IN_THE_MAKING: AtomicUsize = AtomicUsize::new(0);

/// A grammar that is ready to be followed. Requests share it.
pub struct Grammar {
    /// A matcher at the beginning, whose lexer is warm.
    first: Mutex<llguidance::Matcher>,
    lexicon: Lexicon,
}

impl std::fmt::Debug for Grammar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grammar").field("lexicon", &self.lexicon).finish()
    }
}

impl Lexicon {
    /// Makes a grammar ready, on a thread of its own. Returns within the time limit.
    pub fn compile(&self, source: &GrammarSource, limits: &GrammarLimits) -> Result<Grammar, GrammarError> {
        let kind = source.kind();
        let place = Place::take()?;
        let parsed = source.parsed(limits)?;
        let (to, from) = sync_channel(1);
        let lexicon = self.clone();
        let work = move || {
            let made = lexicon.make(kind, parsed);
            drop(place);
            // Nobody listens any more where the time is over.
            let _ = to.send(made);
        };
        let thread =
            Builder::new().name("polysilicon-grammar".to_owned()).stack_size(STACK_BYTES).spawn(work);
        thread.map_err(|error| GrammarError::invalid(kind, format!("there is no thread for it: {error}")))?;
        from.recv_timeout(limits.time).unwrap_or_else(|error| match error {
            RecvTimeoutError::Timeout => Err(GrammarError::TooSlow { kind, limit: limits.time }),
            RecvTimeoutError::Disconnected => Err(GrammarError::invalid(kind, "it is beyond the parser")),
        })
    }

    fn make(self, kind: &'static str, parsed: TopLevelGrammar) -> Result<Grammar, GrammarError> {
        let parser =
            self.factory.create_parser(parsed).map_err(|error| GrammarError::invalid(kind, error))?;
        let first = llguidance::Matcher::new(Ok(parser));
        let grammar = Grammar { first: Mutex::new(first), lexicon: self };
        // Some faults show with the first token only: that there is none, or too many ways to it.
        let mut mask = vec![0; grammar.lexicon.mask_len()];
        let tried = grammar.shared_matcher().mask(&mut mask);
        tried.map_err(|error| GrammarError::invalid(kind, reason(error)))?;
        Ok(grammar)
    }
}

impl Grammar {
    /// Follows an answer from its beginning.
    pub fn matcher(&self) -> Matcher {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        Matcher::new(first.deep_clone(), self.lexicon.allowed.clone())
    }

    /// As [`Grammar::matcher`], but what it learns of the lexer is the grammar's as well.
    fn shared_matcher(&self) -> Matcher {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        Matcher::new(first.clone(), self.lexicon.allowed.clone())
    }

    /// Words of a mask: a bit for each token of the model.
    pub fn mask_len(&self) -> usize {
        self.lexicon.mask_len()
    }
}

/// The reason without the sentence around it.
fn reason(error: GrammarError) -> String {
    match error {
        GrammarError::Stuck { reason } => reason,
        other => other.to_string(),
    }
}

/// A place among the grammars in the making.
struct Place;

impl Place {
    fn take() -> Result<Place, GrammarError> {
        let place = Place;
        // Counted first, so that two who ask at once cannot both have the last place.
        if IN_THE_MAKING.fetch_add(1, Ordering::Relaxed) < COMPILING {
            return Ok(place);
        }
        Err(GrammarError::Busy { limit: COMPILING })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        IN_THE_MAKING.fetch_sub(1, Ordering::Relaxed);
    }
}
