//! SentencePiece BPE (Llama's first kind) out of a GGUF file: pieces with scores, and bytes for what has no piece.

use std::cmp::Reverse;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};

use super::pieces::Rule;
use super::vocabulary::{Built, Vocabulary};
use super::{alphabet, guarded};
use crate::TextError;

/// Longest piece that is taken apart into merges, characters; real ones have at most 16 to 48.
const MAX_PIECE_CHARS: usize = 256;

pub(super) fn build(vocabulary: &mut Vocabulary) -> Result<Built, TextError> {
    let ids = vocabulary.ids();
    let merges = match &vocabulary.scores {
        Some(scores) => merges(vocabulary, &ids, scores),
        None => return Err(TextError::tokenizer("tokenizer.ggml.scores is missing")),
    };
    let mut builder = BPE::builder().vocab_and_merges(ids, merges).byte_fallback(true).fuse_unk(true);
    if let Some(unk) = vocabulary.unk.and_then(|id| vocabulary.tokens.get(id as usize)) {
        builder = builder.unk_token(unk.clone());
    }
    let prefix = vocabulary.add_space_prefix.unwrap_or(true);
    let scheme = if prefix { PrependScheme::First } else { PrependScheme::Never };
    Ok(Built {
        model: guarded(|| builder.build()).map_err(TextError::tokenizer)?,
        normalizer: None,
        pre_tokenizer: Metaspace::new('\u{2581}', scheme, false).into(),
        rule: Rule::sentencepiece(prefix),
        add_bos: true,
    })
}

/// Every way to put a piece together from two others, best first.
///
/// The file lists no merges: SentencePiece joins whichever neighbours make the piece with the highest score, which is a
/// list of merges in the order of the scores. Pieces that are not text (control, bytes) cannot be put together.
fn merges(vocabulary: &Vocabulary, ids: &Vocab, scores: &[f32]) -> Vec<(String, String)> {
    let text_id = |text: &str| {
        let id = ids.get(text).copied().filter(|&id| vocabulary.is_text(id))?;
        alphabet::fallback_byte(text).is_none().then_some(id)
    };
    let mut merges = Vec::new();
    for (id, piece) in (0u32..).zip(&vocabulary.tokens) {
        if text_id(piece) != Some(id) {
            continue;
        }
        let length = piece.chars().count();
        if length > MAX_PIECE_CHARS {
            continue;
        }
        for (left_length, (at, _)) in piece.char_indices().enumerate().skip(1) {
            let (left, right) = piece.split_at(at);
            if let (Some(left_id), Some(right_id)) = (text_id(left), text_id(right)) {
                // Adding zero makes a negative zero an ordinary one.
                let score = Score(scores[id as usize] + 0.0);
                let lengths = (left_length, length - left_length);
                merges.push((Reverse((score, lengths)), (id, left_id, right_id), (left, right)));
            }
        }
    }
    merges.sort_by_key(|&(score, order, _)| (score, order));
    merges.into_iter().map(|(_, _, (left, right))| (left.to_owned(), right.to_owned())).collect()
}

/// A score in a total order; a file may hold anything, not-a-number too.
#[derive(Debug, Clone, Copy)]
struct Score(f32);

impl Ord for Score {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Score {}
