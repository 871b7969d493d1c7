//! The small JSON files beside a tokenizer, read leniently: a field of an unexpected shape counts as absent, because
//! these files are written by hand and grow new fields, and none of them is needed to run a model.

use serde_json::{Map, Value};

use crate::TextError;

/// Largest configuration file read, bytes (a long list of added tokens takes a few hundred thousand).
const MAX_CONFIG_BYTES: usize = 16 << 20;

/// What `tokenizer_config.json` says that `tokenizer.json` does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenizerConfig {
    /// Text of the token that begins a sequence.
    pub bos_token: Option<String>,
    /// Text of the token that ends a sequence.
    pub eos_token: Option<String>,
    /// Text of the token for what the vocabulary cannot spell.
    pub unk_token: Option<String>,
    /// Text of the token that fills up batches.
    pub pad_token: Option<String>,
    /// Whether encoding begins with the first of these; `None` leaves it to `tokenizer.json`.
    pub add_bos_token: Option<bool>,
    /// Whether encoding ends with `eos_token`; `None` leaves it to `tokenizer.json`.
    pub add_eos_token: Option<bool>,
    /// The chat template; of several the one named `default`.
    pub chat_template: Option<String>,
    /// Further chat templates by name, e.g. `tool_use`.
    pub named_templates: Vec<(String, String)>,
}

impl TokenizerConfig {
    /// Reads `tokenizer_config.json`; only text that is not a JSON object is an error.
    pub fn from_json(json: &[u8]) -> Result<Self, TextError> {
        let object = object("tokenizer_config.json", json)?;
        let token = |name: &str| match object.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Object(token) => Some(token.get("content")?.as_str()?.to_owned()),
            _ => None,
        };
        let flag = |name: &str| object.get(name).and_then(Value::as_bool);
        let named_templates = named_templates(object.get("chat_template"));
        let single = object.get("chat_template").and_then(Value::as_str).map(str::to_owned);
        let default = || named_templates.iter().find(|(name, _)| name == "default").map(|(_, t)| t.clone());
        Ok(Self {
            bos_token: token("bos_token"),
            eos_token: token("eos_token"),
            unk_token: token("unk_token"),
            pad_token: token("pad_token"),
            add_bos_token: flag("add_bos_token"),
            add_eos_token: flag("add_eos_token"),
            chat_template: single.or_else(default),
            named_templates,
        })
    }

    /// The special tokens by the names that templates use, for [`crate::ChatTemplate::new`].
    pub fn special_tokens(&self) -> Vec<(String, String)> {
        let named = [
            ("bos_token", &self.bos_token),
            ("eos_token", &self.eos_token),
            ("unk_token", &self.unk_token),
            ("pad_token", &self.pad_token),
        ];
        named.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.clone()?))).collect()
    }
}

/// The end tokens of `generation_config.json`: one id, a list of them, or none. Values that are no token id are
/// skipped.
pub fn generation_eos(json: &[u8]) -> Result<Vec<u32>, TextError> {
    let object = object("generation_config.json", json)?;
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    Ok(match object.get("eos_token_id") {
        Some(Value::Array(ids)) => ids.iter().filter_map(id).collect(),
        Some(value) => id(value).into_iter().collect(),
        None => Vec::new(),
    })
}

fn object(file: &'static str, json: &[u8]) -> Result<Map<String, Value>, TextError> {
    if json.len() > MAX_CONFIG_BYTES {
        return Err(TextError::TooLarge { what: file, bytes: json.len(), limit: MAX_CONFIG_BYTES });
    }
    serde_json::from_slice(json).map_err(|error| TextError::Config { file, reason: error.to_string() })
}

fn named_templates(value: Option<&Value>) -> Vec<(String, String)> {
    let entry = |entry: &Value| {
        Some((entry.get("name")?.as_str()?.to_owned(), entry.get("template")?.as_str()?.to_owned()))
    };
    value.and_then(Value::as_array).into_iter().flatten().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_tokens_as_text_or_object_and_skips_what_is_odd() {
        let config = TokenizerConfig::from_json(
            br#"{"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>", "unk_token": 7,
                 "add_bos_token": true, "add_eos_token": "no", "chat_template": "{{ messages }}"}"#,
        )
        .unwrap();
        assert_eq!(config.special_tokens(), [("bos_token", "<s>"), ("eos_token", "</s>")].map(owned));
        assert_eq!((config.add_bos_token, config.add_eos_token), (Some(true), None));
        assert_eq!(config.chat_template.as_deref(), Some("{{ messages }}"));
    }

    #[test]
    fn of_several_templates_the_default_is_taken() {
        let config = TokenizerConfig::from_json(
            br#"{"chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}, 3]}"#,
        )
        .unwrap();
        assert_eq!(config.chat_template.as_deref(), Some("D"));
        assert_eq!(config.named_templates, [("tool_use", "T"), ("default", "D")].map(owned));
    }

    #[test]
    fn end_tokens_are_one_or_many() {
        assert_eq!(generation_eos(br#"{"eos_token_id": 2}"#).unwrap(), [2]);
        assert_eq!(generation_eos(br#"{"eos_token_id": [1, -1, "x", 99999999999, 5]}"#).unwrap(), [1, 5]);
        assert!(generation_eos(b"{}").unwrap().is_empty());
        for bad in [&b"[]"[..], b"{", b"", b"\xff"] {
            assert!(matches!(generation_eos(bad), Err(TextError::Config { .. })));
        }
    }

    fn owned((name, text): (&str, &str)) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }
}
