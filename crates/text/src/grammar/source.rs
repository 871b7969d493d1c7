//! What a caller writes down as a grammar, and what is refused before anything is built from it.

use std::collections::BTreeSet;
use std::time::Duration;

use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};

use super::GrammarError;

/// Most bytes of a grammar, unless the caller says otherwise.
pub const MAX_GRAMMAR_BYTES: usize = 128 << 10;
/// Most levels of a JSON schema, unless the caller says otherwise.
pub const MAX_GRAMMAR_DEPTH: usize = 64;
/// Most choices of a list.
pub const MAX_CHOICES: usize = 10_000;
/// The largest product of the unlike divisors that a schema may ask for: a number is followed by its remainder.
const MAX_DIVISOR: f64 = 10_000.0;

/// The whitespace that JSON may have between its parts: a space, or a new line with its indentation. Where any
/// amount is allowed, a model that has nothing to say writes nothing else.
const WHITESPACE: &str = r"\x20|\x0A\x20{0,32}";

/// What is said to those who bring llama.cpp's grammars.
const GBNF: &str =
    "it is GBNF; write `start: \"a\" other`, as Lark does, where it says `root ::= \"a\" other`";

/// A grammar as it is written down.
#[derive(Debug, Clone, PartialEq)]
pub enum GrammarSource {
    /// Any JSON object.
    JsonObject,
    /// JSON that this schema allows.
    JsonSchema(String),
    /// Text that all of this regular expression matches.
    Regex(String),
    /// Text of a context-free grammar in Lark's notation, which begins with the rule `start`.
    Lark(String),
    /// One of these texts.
    Choice(Vec<String>),
}

/// What compiling a grammar may take. Memory follows from the bytes: what is built is metered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrammarLimits {
    /// Bytes of the source.
    pub bytes: usize,
    /// Levels of a JSON schema.
    pub depth: usize,
    /// Time until the grammar is ready.
    pub time: Duration,
}

impl Default for GrammarLimits {
    fn default() -> Self {
        Self { bytes: MAX_GRAMMAR_BYTES, depth: MAX_GRAMMAR_DEPTH, time: Duration::from_secs(3) }
    }
}

impl GrammarSource {
    /// What kind of grammar this is, in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::JsonObject | Self::JsonSchema(_) => "JSON schema",
            Self::Regex(_) => "regular expression",
            Self::Lark(_) => "Lark grammar",
            Self::Choice(_) => "list of choices",
        }
    }

    /// The same, as the parser takes it; fails where it is plain that it cannot be taken.
    pub(super) fn parsed(&self, limits: &GrammarLimits) -> Result<TopLevelGrammar, GrammarError> {
        let (kind, bytes, limit) = (self.kind(), self.bytes(), limits.bytes);
        if bytes > limit {
            return Err(GrammarError::TooLarge { kind, bytes, limit });
        }
        Ok(match self {
            Self::JsonObject => TopLevelGrammar::from_json_schema(compact(json!({"type": "object"}))),
            Self::JsonSchema(text) => {
                let schema =
                    serde_json::from_str(text).map_err(|error| GrammarError::invalid(kind, error))?;
                check_schema(&schema, limits.depth)?;
                TopLevelGrammar::from_json_schema(compact(schema))
            }
            Self::Regex(regex) => TopLevelGrammar::from_regex(regex),
            Self::Lark(text) if text.lines().any(is_gbnf) => return Err(GrammarError::invalid(kind, GBNF)),
            Self::Lark(text) => TopLevelGrammar::from_lark(text.clone()),
            Self::Choice(choices) => TopLevelGrammar::from_lark(choice(choices)?),
        })
    }

    fn bytes(&self) -> usize {
        match self {
            Self::JsonObject => 0,
            Self::JsonSchema(text) | Self::Regex(text) | Self::Lark(text) => text.len(),
            Self::Choice(choices) => choices.iter().map(String::len).sum(),
        }
    }
}

/// Whether a line begins a rule of GBNF, as none of Lark does.
fn is_gbnf(line: &str) -> bool {
    let name = line.split_once("::=").map_or("", |(name, _)| name.trim());
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
}

/// A schema with the whitespace it allows, unless it says so itself.
fn compact(mut schema: Value) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.entry("x-guidance").or_insert_with(|| json!({"whitespace_pattern": WHITESPACE}));
    }
    schema
}

/// A list of choices as a grammar: one terminal, which costs a state per character and not a rule per choice.
fn choice(choices: &[String]) -> Result<String, GrammarError> {
    let invalid = |reason: &str| GrammarError::invalid("list of choices", reason);
    if choices.is_empty() || choices.iter().any(String::is_empty) {
        return Err(invalid("it is empty, or one of the choices is; give texts to choose from"));
    }
    if choices.len() > MAX_CHOICES {
        let reason = format!("it has {} choices, and {MAX_CHOICES} are the most; give fewer", choices.len());
        return Err(invalid(&reason));
    }
    let quoted = choices.iter().map(|choice| Value::from(choice.as_str()).to_string());
    Ok(format!("start: CHOICE\nCHOICE: {}\n", quoted.collect::<Vec<_>>().join(" | ")))
}

/// Refuses what the parser would work on without measure.
fn check_schema(schema: &Value, limit: usize) -> Result<(), GrammarError> {
    let mut divisors = BTreeSet::new();
    let mut todo = vec![(schema, 1)];
    while let Some((value, depth)) = todo.pop() {
        if depth > limit {
            return Err(GrammarError::TooDeep { limit });
        }
        match value {
            Value::Array(list) => todo.extend(list.iter().map(|value| (value, depth + 1))),
            Value::Object(map) => {
                divisors.extend(map.get("multipleOf").and_then(divisor));
                todo.extend(map.values().map(|value| (value, depth + 1)));
            }
            _ => {}
        }
    }
    let product = divisors.into_iter().map(|divisor| divisor as f64).product::<f64>();
    if product > MAX_DIVISOR {
        let reason = format!(
            "its multipleOf come to {product} together, and {MAX_DIVISOR} is the most; leave some out"
        );
        return Err(GrammarError::invalid("JSON schema", reason));
    }
    Ok(())
}

/// The digits of a divisor as a whole number: what its remainders are counted in.
fn divisor(value: &Value) -> Option<u64> {
    let text = value.as_number()?.to_string();
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "-"));
    let digits = digits.chars().filter(char::is_ascii_digit).collect::<String>();
    Some(if exponent.starts_with('-') { digits.parse().unwrap_or(u64::MAX) } else { u64::MAX })
}
