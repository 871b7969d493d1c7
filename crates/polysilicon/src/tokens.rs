//! A model's tokenizer, chat template and end tokens, wherever they come from.

use std::path::Path;
use std::sync::Arc;

use models::Config;
use text::{ChatTemplate, TextError, Tokenizer, TokenizerConfig, Vocabulary, generation_eos};
use weights::Gguf;
use weights::gguf::{MetadataError, Optional};

use crate::Error;

/// What turns text into ids and back. All of it may be missing.
#[derive(Default)]
pub(crate) struct Tokens {
    pub tokenizer: Option<Arc<Tokenizer>>,
    pub template: Option<ChatTemplate>,
    /// The template's source.
    pub template_source: Option<String>,
    /// Tokens that end an answer.
    pub end: Vec<u32>,
    /// Bytes of the longest token.
    pub longest: usize,
}

/// Control tokens that end an answer wherever a vocabulary has them. GGUF names one end token, where
/// generation_config.json lists several.
const END_NAMES: [&str; 7] =
    ["<|endoftext|>", "<|im_end|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|return|>", "<|call|>"];

/// The largest tokenizer.json that is read, in bytes.
pub(crate) const TOKENIZER_BYTES_MAX: u64 = 128 << 20;

/// The largest of the other files, in bytes.
const SMALL_BYTES_MAX: u64 = 16 << 20;

impl Tokens {
    /// From the files beside a Hugging Face model's weights.
    pub fn from_folder(folder: &Path, config: &Config) -> Result<Tokens, Error> {
        let read = |name: &str| {
            let most = if name == "tokenizer.json" { TOKENIZER_BYTES_MAX } else { SMALL_BYTES_MAX };
            read_optional(&folder.join(name), most)
        };
        let settings = match read("tokenizer_config.json")? {
            Some(bytes) => TokenizerConfig::from_json(&bytes)?,
            None => TokenizerConfig::default(),
        };
        let tokenizer = match read("tokenizer.json")? {
            Some(bytes) => Some(Arc::new(Tokenizer::from_json_with(&bytes, &settings)?)),
            None => None,
        };
        let source = match read("chat_template.jinja")? {
            Some(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            None => settings.chat_template.clone(),
        };
        let mut end = match read("generation_config.json")? {
            Some(bytes) => generation_eos(&bytes)?,
            None => vec![],
        };
        end.extend(config.ids("eos_token_id"));
        end.extend(tokenizer.as_deref().and_then(Tokenizer::eos));
        Tokens::new(tokenizer, source, settings.special_tokens(), end)
    }

    /// From a GGUF file's metadata.
    pub fn from_gguf(file: &Gguf) -> Result<Tokens, Error> {
        let metadata = file.metadata();
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        let vocabulary = vocabulary(file).map_err(models::GgufError::from)?;
        let source = metadata.str("tokenizer.chat_template").optional().map_err(models::GgufError::from)?;
        let ids = ["eos_token_id", "eot_token_id", "eom_token_id"].map(|name| metadata.u32(&key(name)).ok());
        let Some(vocabulary) = vocabulary else {
            return Tokens::new(None, None, vec![], ids.into_iter().flatten().collect());
        };
        let spelled = |id: Option<u32>| id.and_then(|id| vocabulary.tokens.get(id as usize).cloned());
        let named =
            [("bos_token", vocabulary.bos), ("eos_token", vocabulary.eos), ("pad_token", vocabulary.pad)];
        let special =
            named.into_iter().filter_map(|(name, id)| Some((name.to_owned(), spelled(id)?))).collect();
        let tokenizer = Tokenizer::from_vocabulary(vocabulary)?;
        let named =
            END_NAMES.iter().filter_map(|name| tokenizer.id(name)).filter(|&id| tokenizer.is_control(id));
        let end = ids.into_iter().flatten().chain(named).collect();
        Tokens::new(Some(Arc::new(tokenizer)), source.map(str::to_owned), special, end)
    }

    fn new(
        tokenizer: Option<Arc<Tokenizer>>,
        template_source: Option<String>,
        special: Vec<(String, String)>,
        mut end: Vec<u32>,
    ) -> Result<Tokens, Error> {
        let template = match &template_source {
            Some(source) => Some(ChatTemplate::new(source, special).map_err(TextError::from)?),
            None => None,
        };
        end.sort_unstable();
        end.dedup();
        let bytes = |tokenizer: &Tokenizer| {
            let ids = 0..tokenizer.vocab_size() as u32;
            ids.filter_map(|id| tokenizer.bytes(id).map(<[u8]>::len)).max().unwrap_or(0)
        };
        let longest = tokenizer.as_deref().map_or(0, bytes).max(1);
        Ok(Tokens { tokenizer, template, template_source, end, longest })
    }
}

fn vocabulary(file: &Gguf) -> Result<Option<Vocabulary>, MetadataError> {
    let metadata = file.metadata();
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let Some(model) = metadata.str(&key("model")).optional()? else { return Ok(None) };
    // Some files of random weights say so in this way.
    if model == "none" || model == "no_vocab" {
        return Ok(None);
    }
    let words = |name: &str| {
        Ok(metadata.strs(&key(name)).optional()?.map(|words| words.map(str::to_owned).collect()))
    };
    let id = |name: &str| metadata.u32(&key(name)).optional();
    let flag = |name: &str| metadata.bool(&key(name)).optional();
    Ok(Some(Vocabulary {
        model: model.to_owned(),
        pre: metadata.str(&key("pre")).optional()?.map(str::to_owned),
        tokens: words("tokens")?.unwrap_or_default(),
        scores: metadata.f32s(&key("scores")).optional()?,
        types: metadata.i32s(&key("token_type")).optional()?,
        merges: words("merges")?,
        bos: id("bos_token_id")?,
        eos: id("eos_token_id")?,
        unk: id("unknown_token_id")?,
        pad: id("padding_token_id")?,
        add_bos: flag("add_bos_token")?,
        add_eos: flag("add_eos_token")?,
        add_space_prefix: flag("add_space_prefix")?,
    }))
}

/// A file's bytes, at most so many, or `None` where there is no such file.
pub(crate) fn read_optional(path: &Path, most: u64) -> Result<Option<Vec<u8>>, Error> {
    let fail = |error| Error::File { path: path.to_owned(), error };
    let facts = match std::fs::metadata(path) {
        Ok(facts) => facts,
        // A link that leads nowhere is a file that is missing, not one that was never there.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !path.is_symlink() => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    if !facts.is_file() || facts.len() > most {
        let reason = format!("it is no regular file of at most {most} bytes");
        return Err(fail(std::io::Error::new(std::io::ErrorKind::InvalidData, reason)));
    }
    std::fs::read(path).map(Some).map_err(fail)
}
