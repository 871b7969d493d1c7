//! Values as text: as Python's `str` writes them, since templates are written against it, and as JSON.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

use super::budget::{MAX_DEPTH, spend};

/// What writing one value costs besides its text, bytes: it stands for the time.
const VALUE_BYTES: usize = 32;

/// A value as Python prints it: text as it is, `True`, `None`, and `['a', {'b': 1.0}]`.
pub(super) fn python_str(state: &mut State, value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    match value.as_str() {
        Some(text) => push(state, &mut out, text)?,
        None => python_repr(state, &mut out, value, 0)?,
    }
    Ok(out)
}

fn python_repr(state: &mut State, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
    check(state, depth)?;
    match value.kind() {
        ValueKind::Undefined => Ok(()),
        ValueKind::None => push(state, out, "None"),
        ValueKind::Bool => push(state, out, if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => push(state, out, &number(value)),
        ValueKind::String => push(state, out, &python_quoted(value.as_str().unwrap_or_default())),
        ValueKind::Map => {
            push(state, out, "{")?;
            for (index, key) in value.try_iter()?.enumerate() {
                push(state, out, if index == 0 { "" } else { ", " })?;
                python_repr(state, out, &key, depth + 1)?;
                push(state, out, ": ")?;
                python_repr(state, out, &value.get_item(&key)?, depth + 1)?;
            }
            push(state, out, "}")
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let (open, close) = if value.is_tuple() { ("(", ")") } else { ("[", "]") };
            push(state, out, open)?;
            for (index, item) in value.try_iter()?.enumerate() {
                push(state, out, if index == 0 { "" } else { ", " })?;
                python_repr(state, out, &item, depth + 1)?;
            }
            push(state, out, close)
        }
        _ => push(state, out, &value.to_string()),
    }
}

/// How `json.dumps` is asked to write.
pub(super) struct Json {
    /// Spaces per level; on one line where `None`.
    pub(super) indent: Option<usize>,
    /// Characters beyond ASCII as `\uXXXX`.
    pub(super) ascii: bool,
    /// Between items, between key and value.
    pub(super) separators: (String, String),
    pub(super) sort_keys: bool,
}

impl Json {
    /// A value as Python's `json.dumps` writes it.
    pub(super) fn write(&self, state: &mut State, value: &Value) -> Result<String, Error> {
        let mut out = String::new();
        self.value(state, &mut out, value, 0)?;
        Ok(out)
    }

    fn value(&self, state: &mut State, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        check(state, depth)?;
        match value.kind() {
            ValueKind::None => push(state, out, "null"),
            ValueKind::Bool => push(state, out, if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => push(state, out, &number(value)),
            ValueKind::String => push(state, out, &self.quoted(value.as_str().unwrap_or_default())),
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                push(state, out, "{")?;
                for (index, key) in keys.iter().enumerate() {
                    self.separate(state, out, index, depth + 1)?;
                    let text = python_str(state, key)?;
                    push(state, out, &self.quoted(&text))?;
                    push(state, out, &self.separators.1)?;
                    self.value(state, out, &value.get_item(key)?, depth + 1)?;
                }
                self.close(state, out, keys.is_empty(), depth, "}")
            }
            ValueKind::Seq | ValueKind::Iterable => {
                push(state, out, "[")?;
                let mut empty = true;
                for (index, item) in value.try_iter()?.enumerate() {
                    self.separate(state, out, index, depth + 1)?;
                    self.value(state, out, &item, depth + 1)?;
                    empty = false;
                }
                self.close(state, out, empty, depth, "]")
            }
            kind => Err(Error::new(ErrorKind::InvalidOperation, format!("{kind} cannot be written as JSON"))),
        }
    }

    fn separate(&self, state: &mut State, out: &mut String, index: usize, depth: usize) -> Result<(), Error> {
        if index > 0 {
            push(state, out, &self.separators.0)?;
        }
        self.line(state, out, depth)
    }

    fn close(
        &self,
        state: &mut State,
        out: &mut String,
        empty: bool,
        depth: usize,
        bracket: &str,
    ) -> Result<(), Error> {
        if !empty {
            self.line(state, out, depth)?;
        }
        push(state, out, bracket)
    }

    fn line(&self, state: &mut State, out: &mut String, depth: usize) -> Result<(), Error> {
        match self.indent {
            Some(indent) => push(state, out, &format!("\n{}", " ".repeat(indent * depth))),
            None => Ok(()),
        }
    }

    fn quoted(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 2);
        out.push('"');
        for character in text.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                // The seal stays itself, or it could not be taken out again.
                crate::tokenizer::SEAL => out.push(character),
                '\0'..='\u{1f}' => out.push_str(&escaped(character)),
                _ if self.ascii && !character.is_ascii() => out.push_str(&escaped(character)),
                _ => out.push(character),
            }
        }
        out.push('"');
        out
    }
}

fn escaped(character: char) -> String {
    character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

fn python_quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if character == quote => out.extend(['\\', quote]),
            _ => out.push(character),
        }
    }
    out.push(quote);
    out
}

/// Python writes floats below 1e-4 and from 1e16 on with an exponent of at least two digits.
fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    let Ok(float) = f64::try_from(value.clone()) else { return value.to_string() };
    let size = float.abs();
    if !float.is_finite() || size == 0.0 || (1e-4..1e16).contains(&size) {
        return match float {
            _ if float.is_nan() => "NaN".into(),
            _ if float.is_infinite() => if float > 0.0 { "Infinity" } else { "-Infinity" }.into(),
            _ => format!("{float:?}"),
        };
    }
    let text = format!("{float:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) =
                exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

fn push(state: &mut State, out: &mut String, text: &str) -> Result<(), Error> {
    spend(state, text.len())?;
    out.push_str(text);
    Ok(())
}

/// Asked at every value: a list that holds another twice, and so on, is small in memory and endless on paper.
fn check(state: &mut State, depth: usize) -> Result<(), Error> {
    match depth {
        0..=MAX_DEPTH => spend(state, VALUE_BYTES),
        _ => {
            Err(Error::new(ErrorKind::OutOfFuel, format!("values are nested deeper than {MAX_DEPTH} levels")))
        }
    }
}
