//! Text to token ids and back.
//!
//! The rules of a tokenizer come from `tokenizer.json` or from the vocabulary inside a GGUF file and run in the
//! `tokenizers` crate. What is added here is the border between text and control: a control token (`<|im_start|>`,
//! `</s>`) is produced by a chat template or by the tokenizer's own rule for the ends of a sequence, never by text
//! that a user wrote.

mod alphabet;
mod byte_level;
mod growth;
mod json;
pub(crate) mod pieces;
mod seal;
mod sentencepiece;
mod vocabulary;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value;
use tokenizers::normalizers::{Replace, Sequence};
use tokenizers::tokenizer::pre_tokenizer::OffsetType;
use tokenizers::{AddedToken, AddedVocabulary, Encoding, Model, NormalizerWrapper, PreTokenizer, Token};

use crate::{ChatTemplate, Clock, Conversation, Decoder, TextError};
use pieces::{Piece, Pieces, Rule};
pub(crate) use seal::SEAL;
use seal::Seals;
pub use vocabulary::Vocabulary;

/// Longest text encoded in one call, bytes: beyond the context of most models, and kept low because encoding takes
/// some 150 times the text's memory.
pub const MAX_TEXT_BYTES: usize = 8 << 20;

/// A model's tokenizer. Cheap to clone references to; safe to share between threads.
pub struct Tokenizer {
    /// Model, normalizer, pre-tokenizer and post-processor.
    inner: tokenizers::Tokenizer,
    /// Finds added tokens in text, but no control tokens.
    plain: AddedVocabulary,
    /// Finds control tokens too: for what a template wrote.
    marked: AddedVocabulary,
    /// The normalizer with the seals taken out first.
    unsealing: NormalizerWrapper,
    pieces: Arc<Pieces>,
    seals: Seals,
    ends: Ends,
}

/// Token ids with a role of their own.
#[derive(Debug, Clone, Copy, Default)]
struct Ends {
    bos: Option<u32>,
    eos: Option<u32>,
    unk: Option<u32>,
    pad: Option<u32>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("size", &self.vocab_size()).field("ends", &self.ends).finish()
    }
}

impl Tokenizer {
    /// Encodes text as a prompt of its own: with the tokens that this tokenizer puts at the ends of a sequence where
    /// `ends` is set (`transformers`' default), without where the text continues another.
    ///
    /// Control tokens spelled out in `text` are encoded as the characters they are written with.
    pub fn encode(&self, text: &str, ends: bool) -> Result<Vec<u32>, TextError> {
        self.run(&self.plain, self.inner.get_normalizer(), text, ends)
    }

    /// Encodes a rendered chat template: control tokens are recognised, except where the text was
    /// [sealed](Self::seal). Nothing is added at the ends, since templates write them out.
    pub fn encode_template(&self, rendered: &str) -> Result<Vec<u32>, TextError> {
        self.run(&self.marked, Some(&self.unsealing), rendered, false)
    }

    /// Renders `conversation`, every string in it sealed, and encodes the result.
    pub fn encode_chat(
        &self,
        template: &ChatTemplate,
        conversation: &Conversation,
        clock: &Clock,
    ) -> Result<Vec<u32>, TextError> {
        let sealed = conversation.map_strings(&|text| self.seal(text));
        self.encode_template(&template.render(&sealed, clock)?)
    }

    /// Marks a user's text so that no control token is found in it, nor any that it would complete together with the
    /// text before and after it, once a template has put it in its place.
    ///
    /// The mark is the noncharacter U+FDD0 inside what would be a control token, which
    /// [`encode_template`](Self::encode_template) takes out again; it is removed from the text itself. A template that
    /// deletes characters in the middle of a user's string, or changes their case, can undo the protection.
    pub fn seal(&self, text: &str) -> String {
        self.seals.seal(text)
    }

    /// [`seal`](Self::seal) on every string inside a JSON value.
    pub fn seal_json(&self, value: &Value) -> Value {
        crate::template::map_strings(value, &|text| self.seal(text))
    }

    /// Starts decoding a stream of tokens; `skip_control` leaves control tokens out of the text.
    pub fn decoder(&self, skip_control: bool) -> Decoder {
        Decoder::new(self.pieces.clone(), skip_control)
    }

    /// As [`decoder`](Self::decoder), for tokens in the middle of a text: no space is taken off its front.
    pub fn decoder_within(&self, skip_control: bool) -> Decoder {
        Decoder::within(self.pieces.clone(), skip_control)
    }

    /// Whether decoding writes spaces between tokens, so that their bytes, joined, are not the text.
    pub fn separates_tokens(&self) -> bool {
        self.pieces.rule.joiner.is_some()
    }

    /// The text of all of `ids`.
    pub fn decode(&self, ids: &[u32], skip_control: bool) -> String {
        let mut decoder = self.decoder(skip_control);
        let mut text: String = ids.iter().map(|&id| decoder.push(id)).collect();
        text += &decoder.finish();
        text
    }

    /// The bytes a token stands for; `None` where no token has this id.
    pub fn bytes(&self, id: u32) -> Option<&[u8]> {
        self.pieces.bytes(id)
    }

    /// The token as the vocabulary spells it, e.g. `Ġhello`.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.pieces.text(id)
    }

    /// The id of a token, given as the vocabulary spells it.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// One more than the highest token id.
    pub fn vocab_size(&self) -> usize {
        self.pieces.len()
    }

    /// Whether a token marks structure rather than text. A token of a single character counts as text, whatever its
    /// file says, for nothing could tell it from the character.
    pub fn is_control(&self, id: u32) -> bool {
        self.pieces.is_control(id)
    }

    /// The token that begins a sequence.
    pub fn bos(&self) -> Option<u32> {
        self.ends.bos
    }

    /// The token that ends a sequence.
    pub fn eos(&self) -> Option<u32> {
        self.ends.eos
    }

    /// The token for what the vocabulary cannot spell.
    pub fn unk(&self) -> Option<u32> {
        self.ends.unk
    }

    /// The token that fills up batches.
    pub fn pad(&self) -> Option<u32> {
        self.ends.pad
    }
}

/// Everything a loader has found out.
struct Parts<'a> {
    inner: tokenizers::Tokenizer,
    /// Added tokens in the order of their ids; the special ones are control tokens.
    added: Vec<AddedToken>,
    rule: Rule,
    pieces: Vec<Piece<'a>>,
    ends: Ends,
}

impl Tokenizer {
    fn assemble(mut parts: Parts<'_>) -> Result<Self, TextError> {
        for token in &mut parts.added {
            token.special &= token.content.chars().nth(1).is_some();
            // Control tokens are found in the text as it stands, before any normalizer has changed it.
            token.normalized &= !token.special;
        }
        let plain = added_vocabulary(&parts, true)?;
        let marked = added_vocabulary(&parts, false)?;
        let unseal = Replace::new(SEAL.to_string(), "").map_err(TextError::tokenizer)?;
        let mut unsealing = vec![unseal.into()];
        unsealing.extend(parts.inner.get_normalizer().cloned());
        let special = parts.added.iter().filter(|token| token.special);
        let control: HashSet<&str> = special.map(|token| &*token.content).collect();
        let seals = Seals::new(control.iter().map(|&text| text.to_owned()).collect());
        let pieces = Pieces::new(parts.rule, parts.pieces, &control)?;
        let tokenizer = Self {
            plain,
            marked,
            unsealing: Sequence::new(unsealing).into(),
            pieces: Arc::new(pieces),
            seals,
            ends: parts.ends,
            inner: parts.inner,
        };
        // A post-processor may name tokens it lacks, which shows on first use.
        tokenizer.encode("a", true)?;
        Ok(tokenizer)
    }

    fn run(
        &self,
        added: &AddedVocabulary,
        normalizer: Option<&NormalizerWrapper>,
        text: &str,
        ends: bool,
    ) -> Result<Vec<u32>, TextError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(TextError::TooLarge { what: "text", bytes: text.len(), limit: MAX_TEXT_BYTES });
        }
        let encode = || -> tokenizers::Result<Encoding> {
            let mut split = added.extract_and_normalize(normalizer, text);
            if let Some(pre_tokenizer) = self.inner.get_pre_tokenizer() {
                pre_tokenizer.pre_tokenize(&mut split)?;
            }
            split.tokenize(|part| self.tokenize(part.get()))?;
            let encoding = split.into_encoding(None, 0, OffsetType::None)?;
            self.inner.post_process(encoding, None, ends)
        };
        let encoding = guarded(encode).map_err(|reason| TextError::Encode { reason })?;
        let ids = encoding.get_ids();
        match ids.iter().find(|&&id| id as usize >= self.pieces.len()) {
            Some(id) => {
                Err(TextError::Encode { reason: format!("it gave token {id}, which does not exist") })
            }
            None => Ok(ids.to_vec()),
        }
    }

    /// Tokens of a part of text that holds no control token: where the model finds one all the same (as a word of its
    /// vocabulary), the characters are encoded one by one instead.
    fn tokenize(&self, part: &str) -> tokenizers::Result<Vec<Token>> {
        let model = self.inner.get_model();
        let forbidden = |id: u32| self.is_control(id) && Some(id) != self.ends.unk;
        let mut tokens = model.tokenize(part)?;
        while let Some(at) = tokens.iter().position(|token| forbidden(token.id)) {
            let mut spelled = Vec::new();
            for character in tokens[at].value.chars() {
                spelled.extend(model.tokenize(character.encode_utf8(&mut [0; 4]))?);
            }
            spelled.retain(|token| !forbidden(token.id));
            tokens.splice(at..=at, spelled);
        }
        Ok(tokens)
    }
}

fn added_vocabulary(parts: &Parts<'_>, plain: bool) -> Result<AddedVocabulary, TextError> {
    let mut added = AddedVocabulary::new();
    added.set_encode_special_tokens(plain);
    added
        .add_tokens(parts.added.iter().cloned(), parts.inner.get_model(), parts.inner.get_normalizer())
        .map_err(TextError::tokenizer)?;
    Ok(added)
}

/// Runs code of the `tokenizers` crate on data that came from a file.
///
/// That crate indexes and unwraps where a file contradicts itself, so a panic there is a statement about the file and
/// becomes an error. Nothing half-done survives it: loading drops what it was making, and encoding changes only a
/// per-thread cache of finished words, through a cell that is released as the stack unwinds.
fn guarded<T>(run: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("its parts contradict each other".to_owned()),
    }
}
