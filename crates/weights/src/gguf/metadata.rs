//! The key-value pairs of a GGUF file, and access to them by type.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use super::value::{Strs, Value};
use crate::error::show;

/// Key-value pairs, each key once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    pairs: BTreeMap<Box<str>, Value>,
}

/// Why a key does not give what was asked of it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// There is no such key.
    #[error("the GGUF file lacks the key `{key}`")]
    Missing {
        /// The key.
        key: String,
    },
    /// The value has another type.
    #[error("key `{key}` of the GGUF file should be {wanted}, but is {found}")]
    Type {
        /// The key.
        key: String,
        /// The type asked for.
        wanted: &'static str,
        /// The type in the file.
        found: String,
    },
    /// The value is a number that does not fit.
    #[error("key `{key}` of the GGUF file is {value}, which is no {wanted}")]
    Range {
        /// The key.
        key: String,
        /// The value in the file.
        value: String,
        /// The type asked for.
        wanted: &'static str,
    },
}

/// Turns "there is no such key" into `None`, and leaves other errors as they are.
pub trait Optional<T> {
    /// `Ok(None)` where the key is missing.
    fn optional(self) -> Result<Option<T>, MetadataError>;
}

impl<T> Optional<T> for Result<T, MetadataError> {
    fn optional(self) -> Result<Option<T>, MetadataError> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(MetadataError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Metadata {
    /// The value of a key.
    pub fn find(&self, key: &str) -> Option<&Value> {
        self.pairs.get(key)
    }

    /// Every pair, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.pairs.iter().map(|(key, value)| (&**key, value))
    }

    /// A string.
    pub fn str(&self, key: &str) -> Result<&str, MetadataError> {
        match self.value(key)? {
            Value::Str(text) => Ok(text),
            other => Err(wrong(key, "a string", other)),
        }
    }

    /// A bool.
    pub fn bool(&self, key: &str) -> Result<bool, MetadataError> {
        match self.value(key)? {
            Value::Bool(value) => Ok(*value),
            other => Err(wrong(key, "a bool", other)),
        }
    }

    /// An integer of any width that fits.
    pub fn u32(&self, key: &str) -> Result<u32, MetadataError> {
        let value = self.value(key)?;
        integer(key, value, "u32")
    }

    /// An integer of any width that fits.
    pub fn u64(&self, key: &str) -> Result<u64, MetadataError> {
        let value = self.value(key)?;
        integer(key, value, "u64")
    }

    /// An integer of any width that fits.
    pub fn i32(&self, key: &str) -> Result<i32, MetadataError> {
        let value = self.value(key)?;
        integer(key, value, "i32")
    }

    /// A float of either width, rounded to f32.
    pub fn f32(&self, key: &str) -> Result<f32, MetadataError> {
        let value = self.value(key)?;
        value.as_float().map(|v| v as f32).ok_or_else(|| wrong(key, "a float", value))
    }

    /// An array of strings.
    pub fn strs(&self, key: &str) -> Result<Strs<'_>, MetadataError> {
        let value = self.value(key)?;
        let strs = match value {
            Value::Array(array) => array.strs(),
            _ => None,
        };
        strs.ok_or_else(|| wrong(key, "an array of strings", value))
    }

    /// An array of integers of any width that fit.
    pub fn i32s(&self, key: &str) -> Result<Vec<i32>, MetadataError> {
        self.array(key, "an array of integers", |value| integer(key, value, "i32"))
    }

    /// An array of integers of any width that fit.
    pub fn u32s(&self, key: &str) -> Result<Vec<u32>, MetadataError> {
        self.array(key, "an array of integers", |value| integer(key, value, "u32"))
    }

    /// An array of floats of either width, rounded to f32.
    pub fn f32s(&self, key: &str) -> Result<Vec<f32>, MetadataError> {
        let float =
            |value: &Value| value.as_float().map(|v| v as f32).ok_or_else(|| wrong(key, "a float", value));
        self.array(key, "an array of floats", float)
    }

    /// An array of bools.
    pub fn bools(&self, key: &str) -> Result<Vec<bool>, MetadataError> {
        self.array(key, "an array of bools", |value| match value {
            Value::Bool(value) => Ok(*value),
            other => Err(wrong(key, "a bool", other)),
        })
    }

    /// Adds a pair; false where the key is there already.
    #[must_use]
    pub(super) fn insert(&mut self, key: String, value: Value) -> bool {
        match self.pairs.entry(key.into_boxed_str()) {
            Slot::Vacant(slot) => {
                slot.insert(value);
                true
            }
            Slot::Occupied(_) => false,
        }
    }

    fn value(&self, key: &str) -> Result<&Value, MetadataError> {
        self.find(key).ok_or_else(|| MetadataError::Missing { key: key.to_owned() })
    }

    fn array<T>(
        &self,
        key: &str,
        wanted: &'static str,
        item: impl Fn(&Value) -> Result<T, MetadataError>,
    ) -> Result<Vec<T>, MetadataError> {
        let value = self.value(key)?;
        let values = match value {
            Value::Array(array) => array.values(),
            _ => None,
        };
        let values = values.ok_or_else(|| wrong(key, wanted, value))?;
        values.map(|value| item(&value)).collect()
    }
}

fn integer<T: TryFrom<i128>>(key: &str, value: &Value, wanted: &'static str) -> Result<T, MetadataError> {
    let integer = value.as_integer().ok_or_else(|| wrong(key, "an integer", value))?;
    T::try_from(integer).map_err(|_| MetadataError::Range {
        key: key.to_owned(),
        value: integer.to_string(),
        wanted,
    })
}

fn wrong(key: &str, wanted: &'static str, found: &Value) -> MetadataError {
    MetadataError::Type { key: show(key), wanted, found: found.type_name() }
}

impl FromIterator<(String, Value)> for Metadata {
    /// The first value of a key stays.
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(pairs: I) -> Metadata {
        let mut metadata = Metadata::default();
        for (key, value) in pairs {
            let _ = metadata.insert(key, value);
        }
        metadata
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::Array;
    use super::*;

    fn metadata() -> Metadata {
        let pairs: [(&str, Value); 5] = [
            ("name", "a".into()),
            ("layers", 12u64.into()),
            ("below", (-1i32).into()),
            ("eps", 1e-5f64.into()),
            ("tokens", ["<s>", "", "é"].into_iter().collect::<Array>().into()),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    #[test]
    fn values_come_by_type_whatever_their_width() {
        let m = metadata();
        assert_eq!(m.str("name"), Ok("a"));
        assert_eq!((m.u32("layers"), m.i32("layers"), m.f32("eps")), (Ok(12), Ok(12), Ok(1e-5)));
        assert_eq!(m.strs("tokens").unwrap().collect::<Vec<_>>(), ["<s>", "", "é"]);
        assert_eq!(m.strs("tokens").unwrap().len(), 3);
    }

    #[test]
    fn errors_name_the_key_and_the_type_found() {
        let m = metadata();
        assert_eq!(m.u32("none").optional(), Ok(None));
        let error = m.u32("name").optional().unwrap_err().to_string();
        assert!(error.contains("`name`") && error.contains("string"), "{error}");
        let error = m.u32("below").unwrap_err().to_string();
        assert!(error.contains("-1"), "{error}");
        let error = m.f32s("tokens").unwrap_err().to_string();
        assert!(error.contains("array of string"), "{error}");
    }
}
