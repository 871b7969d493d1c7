//! Grammars: that what they allow is what was asked for, and that no source of them does harm.

#![allow(clippy::unwrap_used)] // A failed look-up is a failed test.

#[path = "../common/mod.rs"]
mod common;
mod hostile;
mod kinds;
mod replay;
mod schemas;
mod validate;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use text::{Grammar, GrammarError, GrammarLimits, GrammarSource, Lexicon, Matcher, Tokenizer};

/// Ends of the test vocabularies.
const ENDS: [u32; 2] = [2, 4];

/// A tokenizer and what grammars need of it.
struct Words {
    tokenizer: Arc<Tokenizer>,
    lexicon: Lexicon,
}

/// One tokenizer spells bytes as characters, the other has pieces that begin with a space and bytes beside them.
static BYTE_LEVEL: LazyLock<Words> = LazyLock::new(|| Words::new("llama-bpe"));
static PIECES: LazyLock<Words> = LazyLock::new(|| Words::new("sentencepiece"));

impl Words {
    fn new(name: &str) -> Words {
        let tokenizer = Arc::new(common::tokenizer(name));
        // A model may tell more tokens apart than its tokenizer has.
        let lexicon = Lexicon::new(tokenizer.clone(), tokenizer.vocab_size() + 70, &ENDS).unwrap();
        Words { tokenizer, lexicon }
    }

    fn compile(&self, source: &GrammarSource) -> Result<Grammar, GrammarError> {
        // As long as it takes: what must hold is that it ends, on a machine of any speed.
        let limits = GrammarLimits { time: Duration::from_secs(600), ..GrammarLimits::default() };
        self.lexicon.compile(source, &limits)
    }

    /// The text of tokens, as somebody reads it.
    fn text(&self, ids: &[u32]) -> String {
        let mut decoder = self.tokenizer.decoder_within(true);
        let mut text: String = ids.iter().map(|&id| decoder.push(id)).collect();
        text += &decoder.finish();
        text
    }

    /// The tokens that a mask allows, once it is certain that they are text, or ends where an end may be.
    fn allowed(&self, matcher: &mut Matcher) -> Vec<u32> {
        let mut mask = vec![u32::MAX; self.lexicon.mask_len()];
        matcher.mask(&mut mask).unwrap();
        let bits = (0..32 * mask.len() as u32).filter(|id| mask[*id as usize / 32] >> (id % 32) & 1 == 1);
        let allowed = bits.collect::<Vec<_>>();
        let may_end = matcher.is_complete().unwrap();
        for &end in &ENDS {
            assert_eq!(allowed.contains(&end), may_end, "an answer ends where it may");
        }
        for id in allowed.iter().filter(|id| !ENDS.contains(id)) {
            assert!(self.tokenizer.bytes(*id).is_some_and(|bytes| !bytes.is_empty()), "{id} is no text");
            assert!(!self.tokenizer.is_control(*id), "{id} is a control token");
        }
        allowed
    }

    /// An answer of tokens drawn at random from what is allowed, until one is an end.
    fn walk(&self, grammar: &Grammar, seed: u64) -> Vec<u32> {
        let mut matcher = grammar.matcher();
        let mut random = Random(seed);
        let mut ids = vec![];
        while ids.len() < 2000 {
            let allowed = self.allowed(&mut matcher);
            let ends = allowed.contains(&ENDS[0]) && random.next().is_multiple_of(4);
            let id = if ends { ENDS[0] } else { allowed[random.next() as usize % allowed.len()] };
            matcher.accept(id).unwrap();
            if ENDS.contains(&id) {
                assert!(matcher.is_finished());
                return ids;
            }
            ids.push(id);
        }
        panic!("an answer has no end: {}", self.text(&ids));
    }
}

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 ^ self.0 >> 29) >> 11
    }
}
