//! A model's configuration: the keys of Hugging Face's config.json, whether they come from there or from a GGUF file.

use serde_json::{Map, Value};

/// A configuration that cannot be a model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is no JSON object of reasonable size.
    #[error("config.json {reason}")]
    File {
        /// What is wrong with it.
        reason: String,
    },
    /// A key is missing that has no default.
    #[error("the configuration has no `{key}`, which a model of type `{model}` needs")]
    Missing {
        /// The key.
        key: String,
        /// The model type.
        model: String,
    },
    /// A key has a value that no such model can have.
    #[error("the configuration's `{key}` is {found}, but {reason}")]
    Value {
        /// The key.
        key: String,
        /// The value found.
        found: String,
        /// What it must be.
        reason: String,
    },
    /// Nobody here knows this architecture.
    #[error("`{name}` is no architecture this build knows; it knows {known}")]
    Architecture {
        /// The name found.
        name: String,
        /// The names known.
        known: String,
    },
}

/// The largest config.json that is read, in bytes.
pub const CONFIG_BYTES_MAX: usize = 4 << 20;

/// The most layers a model may have.
pub const LAYERS_MAX: u32 = 1024;

/// The largest width or vocabulary.
pub const WIDTH_MAX: u32 = 1 << 24;

/// The most attention heads.
pub const HEADS_MAX: u32 = 1 << 12;

/// The most experts.
pub const EXPERTS_MAX: u32 = 1 << 12;

/// The widest attention head.
pub const HEAD_WIDTH_MAX: u32 = 1 << 13;

/// Keys and values.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    map: Map<String, Value>,
    at: String,
}

impl Config {
    /// Reads config.json. Of a multimodal model, the part about text.
    pub fn from_json(bytes: &[u8]) -> Result<Config, ConfigError> {
        let fail = |reason: String| ConfigError::File { reason };
        if bytes.len() > CONFIG_BYTES_MAX {
            return Err(fail(format!("is {} bytes long; at most {CONFIG_BYTES_MAX} are read", bytes.len())));
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(map)) => Ok(Config { map, at: String::new() }),
            Ok(_) => Err(fail("is not a JSON object".to_owned())),
            Err(error) => Err(fail(format!("is not JSON: {error}"))),
        }
    }

    /// A configuration of these keys.
    pub fn from_map(map: Map<String, Value>) -> Config {
        Config { map, at: String::new() }
    }

    /// `model_type`, or nothing.
    pub fn model_type(&self) -> &str {
        self.map.get("model_type").and_then(Value::as_str).unwrap_or("?")
    }

    /// The architecture the file names first.
    pub fn architecture(&self) -> Option<&str> {
        self.map.get("architectures")?.get(0)?.as_str()
    }

    /// Whether the key is there and not null.
    pub fn has(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(|value| !value.is_null())
    }

    /// Whether the key is there, null or not.
    pub fn names(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// A count: a whole number from 1 to [`WIDTH_MAX`].
    pub fn count(&self, key: &str) -> Result<u32, ConfigError> {
        let value = self.value(key)?;
        let count = value.as_u64().filter(|n| (1..=u64::from(WIDTH_MAX)).contains(n));
        count
            .map(|n| n as u32)
            .ok_or_else(|| self.wrong(key, format!("it must be a whole number from 1 to {WIDTH_MAX}")))
    }

    /// A whole number, zero included.
    pub fn whole(&self, key: &str) -> Result<u32, ConfigError> {
        let whole = self.value(key)?.as_u64().and_then(|n| u32::try_from(n).ok());
        whole.ok_or_else(|| self.wrong(key, "it must be a whole number".to_owned()))
    }

    /// A count, or this where the key is absent.
    pub fn count_or(&self, key: &str, default: u32) -> Result<u32, ConfigError> {
        if self.has(key) { self.count(key) } else { Ok(default) }
    }

    /// A positive, finite number.
    pub fn number(&self, key: &str) -> Result<f64, ConfigError> {
        let number = self.value(key)?.as_f64().filter(|x| x.is_finite() && *x > 0.0);
        number.ok_or_else(|| self.wrong(key, "it must be a positive number".to_owned()))
    }

    /// A positive number, or this where the key is absent.
    pub fn number_or(&self, key: &str, default: f64) -> Result<f64, ConfigError> {
        if self.has(key) { self.number(key) } else { Ok(default) }
    }

    /// A number that is not negative, or this where the key is absent.
    pub fn amount_or(&self, key: &str, default: f64) -> Result<f64, ConfigError> {
        if !self.has(key) {
            return Ok(default);
        }
        let number = self.value(key)?.as_f64().filter(|x| x.is_finite() && *x >= 0.0);
        number.ok_or_else(|| self.wrong(key, "it must be a number that is not negative".to_owned()))
    }

    /// A flag, or this where the key is absent.
    pub fn flag_or(&self, key: &str, default: bool) -> Result<bool, ConfigError> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(key, "it must be true or false".to_owned())),
        }
    }

    /// A word, or this where the key is absent.
    pub fn word_or<'a>(&'a self, key: &str, default: &'a str) -> Result<&'a str, ConfigError> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::String(word)) => Ok(word),
            Some(_) => Err(self.wrong(key, "it must be a string".to_owned())),
        }
    }

    /// The words of a list, or `None` where the key is absent.
    pub fn words(&self, key: &str) -> Result<Option<Vec<&str>>, ConfigError> {
        if !self.has(key) {
            return Ok(None);
        }
        let list = self.value(key)?.as_array();
        let words = list.and_then(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
        words.map(Some).ok_or_else(|| self.wrong(key, "it must be a list of strings".to_owned()))
    }

    /// The positive numbers of a list, or `None` where the key is absent.
    pub fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>, ConfigError> {
        if !self.has(key) {
            return Ok(None);
        }
        let positive = |value: &Value| value.as_f64().filter(|x| x.is_finite() && *x > 0.0);
        let list = self.value(key)?.as_array();
        let numbers = list.and_then(|list| list.iter().map(positive).collect::<Option<Vec<_>>>());
        numbers.map(Some).ok_or_else(|| self.wrong(key, "it must be a list of positive numbers".to_owned()))
    }

    /// Token ids: one, or a list of them.
    pub fn ids(&self, key: &str) -> Vec<u32> {
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        match self.map.get(key) {
            Some(Value::Array(list)) => list.iter().filter_map(id).collect(),
            Some(value) => id(value).into_iter().collect(),
            None => vec![],
        }
    }

    /// The object under a key, or `None` where it is absent or null.
    pub fn object(&self, key: &str) -> Result<Option<Config>, ConfigError> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(map)) => {
                Ok(Some(Config { map: map.clone(), at: format!("{}{key}.", self.at) }))
            }
            Some(_) => Err(self.wrong(key, "it must be an object".to_owned())),
        }
    }

    /// The error that says what is wrong with a key.
    pub fn wrong(&self, key: &str, reason: String) -> ConfigError {
        let mut found = self.map.get(key).map_or("absent".to_owned(), Value::to_string);
        if let Some((cut, _)) = found.char_indices().nth(80) {
            found.truncate(cut);
            found.push_str("...");
        }
        ConfigError::Value { key: format!("{}{key}", self.at), found, reason }
    }

    fn value(&self, key: &str) -> Result<&Value, ConfigError> {
        let found = self.map.get(key).filter(|value| !value.is_null());
        found.ok_or_else(|| ConfigError::Missing {
            key: format!("{}{key}", self.at),
            model: self.model_type().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_and_named() {
        let config =
            Config::from_json(br#"{"a": 3, "b": -1, "c": {"d": "x"}, "e": null, "f": 1e99}"#).unwrap();
        assert_eq!(config.count("a"), Ok(3));
        assert_eq!(config.count_or("e", 7), Ok(7));
        assert!(config.count("b").unwrap_err().to_string().contains("`b` is -1"));
        assert!(config.count("f").is_err());
        let inner = config.object("c").unwrap().unwrap();
        assert!(inner.number("d").unwrap_err().to_string().contains("`c.d`"));
        assert!(config.count("zz").unwrap_err().to_string().contains("`zz`"));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for bad in [&b"[1]"[..], b"{", b"", &[b'['; 100_000]] {
            assert!(Config::from_json(bad).is_err());
        }
        assert!(Config::from_json(&vec![b' '; CONFIG_BYTES_MAX + 1]).is_err());
    }
}
