//! What the fuzzers call, and what the replay of their seeds calls.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::{GrammarLimits, GrammarSource, Lexicon, Tokenizer, Vocabulary};

/// Tokens followed of each grammar at most.
const MOST: usize = 64;
/// Ends an answer; behind the bytes.
const END: u32 = 256;
/// Tokens of more than a byte.
const WORDS: [&str; 8] = ["{\"", "\":", "\", \"", "}", "true", "12", "ab", " the"];

/// A tokenizer that can spell anything.
static LEXICON: LazyLock<Option<Lexicon>> = LazyLock::new(|| {
    let bytes = (0..=255).map(|byte| format!("<0x{byte:02X}>"));
    let tokens = bytes.chain(["</s>".to_owned()]).chain(WORDS.map(str::to_owned)).collect::<Vec<_>>();
    let kind = |id| if id < END { 6 } else { 1 + 2 * i32::from(id == END) };
    let vocabulary = Vocabulary {
        model: "llama".to_owned(),
        scores: Some(vec![0.0; tokens.len()]),
        types: Some((0..tokens.len() as u32).map(kind).collect()),
        eos: Some(END),
        add_space_prefix: Some(false),
        tokens,
        ..Vocabulary::default()
    };
    let tokenizer = Arc::new(Tokenizer::from_vocabulary(vocabulary).ok()?);
    let vocab = tokenizer.vocab_size();
    Lexicon::new(tokenizer, vocab, &[END]).ok()
});

/// Compiles the bytes as a grammar, whose kind the first byte says, and follows it: whatever the mask allows must be
/// taken.
pub fn grammar(bytes: &'static [u8]) {
    let Some((&kind, text)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(text).into_owned();
    let source = match kind {
        b'j' => GrammarSource::JsonSchema(text),
        b'r' => GrammarSource::Regex(text),
        b'l' => GrammarSource::Lark(text),
        _ => GrammarSource::Choice(text.lines().map(str::to_owned).collect()),
    };
    let lexicon = LEXICON.as_ref().expect("a vocabulary of bytes is one that grammars take");
    let limits = GrammarLimits { time: Duration::from_secs(60), ..GrammarLimits::default() };
    let Ok(grammar) = lexicon.compile(&source, &limits) else { return };
    let mut matcher = grammar.matcher();
    let mut mask = vec![0; grammar.mask_len()];
    for step in 0..MOST {
        if matcher.mask(&mut mask).is_err() || matcher.is_finished() {
            return;
        }
        let allowed = (0..32 * mask.len() as u32).filter(|id| mask[*id as usize / 32] >> (id % 32) & 1 == 1);
        let allowed = allowed.collect::<Vec<_>>();
        // The bytes decide the way, too.
        let turn = step + usize::from(bytes[step % bytes.len()]);
        let token = allowed[turn % allowed.len()];
        let taken = matcher.accept(token);
        let refused = matches!(taken, Err(crate::GrammarError::NotAllowed { .. }));
        assert!(!refused, "token {token} was allowed and is refused");
    }
}
