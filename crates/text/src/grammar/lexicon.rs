//! A vocabulary as grammars read it: the bytes of its tokens in a tree, and its own way of cutting text into tokens.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use llguidance::ParserFactory;
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

use super::GrammarError;
use crate::Tokenizer;

/// Tokens longer than this are never allowed by a grammar; the tree does not hold them.
const TOKEN_BYTES: usize = 1000;
/// Most bytes of all tokens together: what the tree can number.
const VOCABULARY_BYTES: usize = (1 << 22) - 1;
/// What no token that text is made of begins with. The parser marks its own special tokens with it.
const MARK: u8 = 0xff;

/// What compiling a grammar and following it may cost. The units are the parser's: in a millisecond it spends some
/// fifty of the first, and some fifteen of the second, in thousands.
const COMPILE_FUEL: u64 = 300_000;
const STEP_FUEL: u64 = 200_000;
/// States of the lexer, 1 to 2 KiB each.
const LEXER_STATES: usize = 40_000;
/// Alternatives that are open at one place: a schema's optional properties, for example, twice.
const ALTERNATIVES: usize = 8_000;

/// A tokenizer's vocabulary, prepared for grammars. Making it takes a good part of a second for 150,000 tokens; after
/// that it serves all grammars, on any thread.
#[derive(Clone)]
pub struct Lexicon {
    pub(super) factory: Arc<ParserFactory>,
    pub(super) allowed: Arc<Allowed>,
}

/// Which tokens a grammar may ever allow, one bit each.
#[derive(Debug)]
pub(super) struct Allowed {
    /// Those that stand for text.
    pub(super) text: Vec<u32>,
    /// Those that end an answer.
    pub(super) ends: Vec<u32>,
    pub(super) vocab: usize,
}

impl std::fmt::Debug for Lexicon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lexicon").field("vocab", &self.allowed.vocab).finish()
    }
}

impl Lexicon {
    /// Prepares a tokenizer for a model that tells `vocab` tokens apart and ends with one of `ends`.
    pub fn new(tokenizer: Arc<Tokenizer>, vocab: usize, ends: &[u32]) -> Result<Lexicon, GrammarError> {
        if tokenizer.separates_tokens() {
            return Err(refused("it writes spaces between tokens, so that a token's text is not its own"));
        }
        let ends = ends.iter().copied().filter(|&id| (id as usize) < vocab).collect::<Vec<_>>();
        let words = words(&tokenizer, vocab, &ends);
        if words.iter().map(Vec::len).sum::<usize>() > VOCABULARY_BYTES {
            return Err(refused(&format!("its tokens have more than {VOCABULARY_BYTES} bytes together")));
        }
        let allowed = Allowed::new(&words, &ends);
        // The parser's own tables are sized by what the vocabularies of today need; what it cannot hold, it panics at.
        let build = || -> Result<ParserFactory, String> {
            let trie = TokTrie::from(&TokRxInfo::new(vocab as u32, INVALID_TOKEN), &words);
            let trie = if ends.is_empty() { trie } else { trie.with_eos_tokens(&ends) };
            let environment: TokEnv = Arc::new(Environment { trie, tokenizer });
            let slices = SlicedBiasComputer::general_slices();
            ParserFactory::new(&environment, Default::default(), &slices).map_err(|error| error.to_string())
        };
        let built =
            catch_unwind(AssertUnwindSafe(build)).unwrap_or_else(|_| Err("it is too large".to_owned()));
        let mut factory = built.map_err(|reason| refused(&reason))?;
        limit(&mut factory);
        Ok(Lexicon { factory: Arc::new(factory), allowed: Arc::new(allowed) })
    }

    /// Words of a mask: a bit for each token of the model.
    pub fn mask_len(&self) -> usize {
        self.allowed.text.len()
    }
}

fn limit(factory: &mut ParserFactory) {
    factory.quiet();
    let limits = factory.limits_mut();
    limits.initial_lexer_fuel = COMPILE_FUEL;
    limits.step_lexer_fuel = STEP_FUEL;
    limits.max_lexer_states = LEXER_STATES;
    limits.max_items_in_row = ALTERNATIVES;
    limits.verbose_errors = false;
}

fn refused(reason: &str) -> GrammarError {
    GrammarError::Tokenizer { reason: reason.to_owned() }
}

/// The bytes of each token; none for those that no grammar may allow: control tokens, and ids without a token.
fn words(tokenizer: &Tokenizer, vocab: usize, ends: &[u32]) -> Vec<Vec<u8>> {
    let word = |id: u32| {
        let is_text = !tokenizer.is_control(id) && !ends.contains(&id);
        let bytes = tokenizer.bytes(id).filter(|_| is_text).unwrap_or_default();
        if bytes.len() > TOKEN_BYTES || bytes.first() == Some(&MARK) { vec![] } else { bytes.to_vec() }
    };
    (0..vocab as u32).map(word).collect()
}

impl Allowed {
    fn new(words: &[Vec<u8>], ends: &[u32]) -> Allowed {
        let mut allowed = Allowed {
            text: vec![0; words.len().div_ceil(32)],
            ends: vec![0; words.len().div_ceil(32)],
            vocab: words.len(),
        };
        let texts = (0..).zip(words).filter(|(_, word)| !word.is_empty());
        texts.for_each(|(id, _)| set(&mut allowed.text, id));
        ends.iter().for_each(|&id| set(&mut allowed.ends, id));
        allowed
    }

    pub(super) fn is_text(&self, id: u32) -> bool {
        is_set(&self.text, id)
    }

    pub(super) fn is_end(&self, id: u32) -> bool {
        is_set(&self.ends, id)
    }
}

fn set(mask: &mut [u32], id: u32) {
    mask[id as usize / 32] |= 1 << (id % 32);
}

fn is_set(mask: &[u32], id: u32) -> bool {
    mask.get(id as usize / 32).is_some_and(|word| word >> (id % 32) & 1 == 1)
}

/// How the parser sees the tokenizer.
struct Environment {
    trie: TokTrie,
    tokenizer: Arc<Tokenizer>,
}

impl TokenizerEnv for Environment {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    /// The tokens that the tokenizer itself makes of text. They matter where a grammar allows only one continuation:
    /// of all the ways to spell it, that is the one the model has learned.
    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let encoded = std::str::from_utf8(bytes).ok().and_then(|text| {
            let plain = self.encode("", text);
            // Some tokenizers put a space before whatever comes first; a new line keeps it away from the text.
            plain.or_else(|| self.encode("\n", text))
        });
        encoded.unwrap_or_else(|| self.trie.greedy_tokenize(bytes))
    }
}

impl Environment {
    /// The tokens of a text that follows another, where they are told apart and spell nothing but the text.
    fn encode(&self, before: &str, text: &str) -> Option<Vec<TokenId>> {
        let mut tokens = self.tokenizer.encode(&format!("{before}{text}"), false).ok()?;
        let is_text = |tokens: &[TokenId]| {
            let mut rest = text.as_bytes();
            let mut known = tokens.iter().map(|&id| self.trie.token(id));
            let spelled = known.all(|word| {
                let after = rest.strip_prefix(word).filter(|_| !word.is_empty());
                rest = after.unwrap_or(rest);
                after.is_some()
            });
            spelled && rest.is_empty()
        };
        // A space and a new line, each a token of its own or not there, are what may come before.
        let start = (0..=2.min(tokens.len())).find(|&start| is_text(&tokens[start..]))?;
        if before.is_empty() && start > 0 {
            return None;
        }
        Some(tokens.split_off(start))
    }
}
