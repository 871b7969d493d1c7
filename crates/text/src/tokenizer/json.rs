//! Loading `tokenizer.json`, with the names of its special tokens from `tokenizer_config.json`.

use serde_json::Value;
use tokenizers::processors::template::{SpecialToken, TemplateProcessing};
use tokenizers::{AddedToken, ModelWrapper};

use super::growth::refuse_growth;
use super::pieces::{MAX_VOCABULARY, Piece, Rule};
use super::{Ends, Parts, Tokenizer, guarded};
use crate::{TextError, TokenizerConfig};

/// Largest `tokenizer.json` read, bytes (the largest known take about 35 MB).
const MAX_TOKENIZER_BYTES: usize = 128 << 20;

impl Tokenizer {
    /// Loads `tokenizer.json` alone: [`bos`](Self::bos) and its like are unknown then.
    pub fn from_json(json: &[u8]) -> Result<Self, TextError> {
        Self::from_json_with(json, &TokenizerConfig::default())
    }

    /// Loads `tokenizer.json` with what `tokenizer_config.json` says about special tokens.
    pub fn from_json_with(json: &[u8], config: &TokenizerConfig) -> Result<Self, TextError> {
        if json.len() > MAX_TOKENIZER_BYTES {
            let (what, limit) = ("tokenizer.json", MAX_TOKENIZER_BYTES);
            return Err(TextError::TooLarge { what, bytes: json.len(), limit });
        }
        let value: Value = serde_json::from_slice(json).map_err(TextError::tokenizer)?;
        refuse_unsound(&value)?;
        refuse_growth(&value)?;
        let load = || -> tokenizers::Result<tokenizers::Tokenizer> {
            let mut inner: tokenizers::Tokenizer = serde_json::from_value(value)?;
            // As `transformers`: a prompt is neither cut nor padded because a file once was trained so.
            inner.with_truncation(None)?;
            inner.with_padding(None);
            Ok(inner)
        };
        let mut inner = guarded(load).map_err(TextError::tokenizer)?;
        let ends = ends(&inner, config);
        add_named(&mut inner, &ends)?;
        set_ends(&mut inner, config, &ends)?;
        let rule = Rule::from_decoder(inner.get_decoder())?;
        let mut added: Vec<(u32, AddedToken)> = inner.get_added_tokens_decoder().into_iter().collect();
        added.sort_by_key(|(id, _)| *id);
        let vocabulary = inner.get_vocab(true);
        if vocabulary.len() > MAX_VOCABULARY {
            return Err(TextError::tokenizer(format!("it has {} tokens", vocabulary.len())));
        }
        let pieces = vocabulary.iter().map(|(text, &id)| Piece { id, text, verbatim: false }).collect();
        Self::assemble(Parts {
            inner,
            added: added.into_iter().map(|(_, token)| token).collect(),
            rule,
            pieces,
            ends,
        })
    }
}

/// Refuses the one shape that the `tokenizers` crate reads unsoundly: a prefix for inner pieces, which it cuts off
/// without regard to where characters begin. No byte-level or SentencePiece model has one.
fn refuse_unsound(tokenizer: &Value) -> Result<(), TextError> {
    let prefix = &tokenizer["model"]["continuing_subword_prefix"];
    let byte_pairs = tokenizer["model"]["merges"].is_array();
    match prefix.as_str() {
        Some(prefix) if byte_pairs && !prefix.is_empty() => {
            Err(TextError::Unsupported { part: "continuing_subword_prefix", name: prefix.to_owned() })
        }
        _ => Ok(()),
    }
}

fn ends(inner: &tokenizers::Tokenizer, config: &TokenizerConfig) -> Ends {
    let id = |text: &Option<String>| text.as_deref().and_then(|text| inner.token_to_id(text));
    let unk = match inner.get_model() {
        ModelWrapper::BPE(model) => model.unk_token.clone(),
        ModelWrapper::WordLevel(model) => Some(model.unk_token.clone()),
        ModelWrapper::WordPiece(model) => Some(model.unk_token.clone()),
        ModelWrapper::Unigram(_) => None,
    };
    Ends {
        bos: id(&config.bos_token),
        eos: id(&config.eos_token),
        unk: id(&unk).or_else(|| id(&config.unk_token)),
        pad: id(&config.pad_token),
    }
}

/// A token with a role is a control token, whether or not the file lists it among its added ones.
fn add_named(inner: &mut tokenizers::Tokenizer, ends: &Ends) -> Result<(), TextError> {
    let known = inner.get_added_tokens_decoder();
    let named = [ends.bos, ends.eos, ends.unk, ends.pad].into_iter().flatten();
    let missing = named.filter(|id| known.get(id).is_none_or(|token| !token.special));
    let tokens: Vec<AddedToken> = missing
        .filter_map(|id| {
            let token =
                known.get(&id).cloned().or_else(|| Some(AddedToken::from(inner.id_to_token(id)?, true)))?;
            Some(token.special(true))
        })
        .collect();
    inner.add_special_tokens(tokens).map_err(TextError::tokenizer)?;
    Ok(())
}

/// Where the configuration speaks of begin and end tokens, it replaces the file's own rule for the ends, as
/// `transformers` does.
fn set_ends(
    inner: &mut tokenizers::Tokenizer,
    config: &TokenizerConfig,
    ends: &Ends,
) -> Result<(), TextError> {
    if config.add_bos_token.is_none() && config.add_eos_token.is_none() {
        return Ok(());
    }
    let wanted = |flag: Option<bool>, id: Option<u32>| id.filter(|_| flag == Some(true));
    let processor =
        sequence_ends(wanted(config.add_bos_token, ends.bos), wanted(config.add_eos_token, ends.eos))?;
    inner.with_post_processor(Some(processor));
    Ok(())
}

/// A post-processor that puts `bos` before and `eos` after the text.
pub(super) fn sequence_ends(bos: Option<u32>, eos: Option<u32>) -> Result<TemplateProcessing, TextError> {
    let mut single = vec!["$A"];
    let mut tokens = Vec::new();
    for (name, id, at) in [("BOS", bos, 0), ("EOS", eos, usize::MAX)] {
        let Some(id) = id else { continue };
        single.insert(at.min(single.len()), name);
        tokens
            .push(SpecialToken::new(name.into(), vec![id], vec![name.into()]).map_err(TextError::tokenizer)?);
    }
    TemplateProcessing::builder()
        .try_single(single)
        .map_err(TextError::tokenizer)?
        .special_tokens(tokens)
        .build()
        .map_err(TextError::tokenizer)
}
