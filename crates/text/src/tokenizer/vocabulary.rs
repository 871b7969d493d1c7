//! The vocabulary inside a GGUF file (`tokenizer.ggml.*`), rebuilt as a tokenizer.

use tokenizers::AddedToken;
use tokenizers::models::bpe::Vocab;

use super::json::sequence_ends;
use super::pieces::{MAX_VOCABULARY, Piece};
use super::{Ends, Parts, Tokenizer, byte_level, guarded, sentencepiece};
use crate::TextError;

/// Kinds of token, as GGUF numbers them.
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// What GGUF metadata says about a tokenizer, each field named after its key `tokenizer.ggml.*`.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    /// `gpt2` (byte-level BPE) or `llama` (SentencePiece BPE).
    pub model: String,
    /// How a byte-level vocabulary cuts text into words, e.g. `llama-bpe`, `qwen2`.
    pub pre: Option<String>,
    /// All tokens; a token's place is its id. Empty ones are never produced. Of equal ones the first is produced.
    pub tokens: Vec<String>,
    /// SentencePiece scores, one per token: the higher, the sooner two pieces are joined into it.
    pub scores: Option<Vec<f32>>,
    /// Kinds, one per token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. Other numbers count as
    /// normal.
    pub types: Option<Vec<i32>>,
    /// Pairs of tokens with a space between, best first. Pairs of unknown tokens are skipped.
    pub merges: Option<Vec<String>>,
    /// `bos_token_id`.
    pub bos: Option<u32>,
    /// `eos_token_id`.
    pub eos: Option<u32>,
    /// `unknown_token_id`.
    pub unk: Option<u32>,
    /// `padding_token_id`.
    pub pad: Option<u32>,
    /// Whether encoding begins with `bos`; by default where the model's family does.
    pub add_bos: Option<bool>,
    /// Whether encoding ends with `eos`; by default not.
    pub add_eos: Option<bool>,
    /// Whether a SentencePiece text begins with a space that is not there; by default so.
    pub add_space_prefix: Option<bool>,
}

impl Tokenizer {
    /// Rebuilds the tokenizer of a GGUF file.
    pub fn from_vocabulary(mut vocabulary: Vocabulary) -> Result<Self, TextError> {
        vocabulary.check()?;
        let build = match vocabulary.model.as_str() {
            "gpt2" => byte_level::build,
            "llama" => sentencepiece::build,
            _ => return Err(TextError::Unsupported { part: "model", name: vocabulary.model }),
        };
        let built = build(&mut vocabulary)?;
        let mut inner = tokenizers::Tokenizer::new(built.model);
        let finish = || -> tokenizers::Result<tokenizers::Tokenizer> {
            inner.with_normalizer(built.normalizer)?;
            inner.with_pre_tokenizer(Some(built.pre_tokenizer));
            Ok(inner)
        };
        let mut inner = guarded(finish).map_err(TextError::tokenizer)?;
        let bos = vocabulary.bos.filter(|_| vocabulary.add_bos.unwrap_or(built.add_bos));
        let eos = vocabulary.eos.filter(|_| vocabulary.add_eos == Some(true));
        inner.with_post_processor(Some(sequence_ends(bos, eos)?));
        Self::assemble(Parts {
            inner,
            added: vocabulary.added(),
            rule: built.rule,
            ends: Ends { bos: vocabulary.bos, eos: vocabulary.eos, unk: vocabulary.unk, pad: vocabulary.pad },
            pieces: vocabulary.pieces(),
        })
    }
}

/// What the two kinds of vocabulary differ in.
pub(super) struct Built {
    pub(super) model: tokenizers::models::bpe::BPE,
    pub(super) normalizer: Option<tokenizers::NormalizerWrapper>,
    pub(super) pre_tokenizer: tokenizers::PreTokenizerWrapper,
    pub(super) rule: super::Rule,
    /// Whether the family begins its sequences with `bos` where the file does not say.
    pub(super) add_bos: bool,
}

impl Vocabulary {
    fn check(&self) -> Result<(), TextError> {
        let tokens = self.tokens.len();
        if tokens == 0 || tokens > MAX_VOCABULARY {
            return Err(TextError::tokenizer(format!("tokenizer.ggml.tokens has {tokens} entries")));
        }
        let lengths = [
            ("scores", self.scores.as_ref().map(Vec::len)),
            ("token_type", self.types.as_ref().map(Vec::len)),
        ];
        for (key, length) in lengths {
            if length.is_some_and(|length| length != tokens) {
                let reason = format!("tokenizer.ggml.{key} has another length than the {tokens} tokens");
                return Err(TextError::tokenizer(reason));
            }
        }
        let ids = [("bos", self.bos), ("eos", self.eos), ("unknown", self.unk), ("padding", self.pad)];
        for (key, id) in ids {
            if let Some(id) = id.filter(|&id| id as usize >= tokens) {
                let reason = format!("tokenizer.ggml.{key}_token_id is {id}, beyond the {tokens} tokens");
                return Err(TextError::tokenizer(reason));
            }
        }
        Ok(())
    }

    /// Ids by text, for the model; of equal texts the first counts.
    pub(super) fn ids(&self) -> Vocab {
        let mut ids = Vocab::with_capacity(self.tokens.len());
        for (id, token) in (0..).zip(&self.tokens) {
            if !token.is_empty() {
                ids.entry(token.clone()).or_insert(id);
            }
        }
        ids
    }

    /// Whether text may be joined into this token.
    pub(super) fn is_text(&self, id: u32) -> bool {
        !matches!(self.kind(id), UNKNOWN | CONTROL | UNUSED) && !self.has_role(id)
    }

    fn kind(&self, id: u32) -> i32 {
        self.types.as_ref().and_then(|types| types.get(id as usize)).copied().unwrap_or_default()
    }

    fn has_role(&self, id: u32) -> bool {
        [self.bos, self.eos, self.unk, self.pad].contains(&Some(id))
    }

    fn added(&self) -> Vec<AddedToken> {
        let token = |(id, text): (u32, &String)| {
            let special = matches!(self.kind(id), CONTROL | UNKNOWN) || self.has_role(id);
            let found_whole = special || self.kind(id) == USER_DEFINED;
            (found_whole && !text.is_empty())
                .then(|| AddedToken::from(text.as_str(), special).normalized(false))
        };
        (0..).zip(&self.tokens).filter_map(token).collect()
    }

    fn pieces(&self) -> Vec<Piece<'_>> {
        let pieces = (0..).zip(&self.tokens).map(|(id, text)| {
            let verbatim = matches!(self.kind(id), CONTROL | USER_DEFINED | UNKNOWN) || self.has_role(id);
            Piece { id, text, verbatim }
        });
        pieces.collect()
    }
}
