//! How much longer the steps of a `tokenizer.json` may make a text.
//!
//! A few `Replace` steps in a row multiply a text without bound, so the file is judged before anything is built from
//! it. Every step is taken at its worst: the bound holds for any text, not for the usual one.

use serde_json::{Map, Value};

use crate::TextError;

/// Longest string that a step may put into a text, bytes.
const MAX_LITERAL_BYTES: usize = 1 << 10;
/// Most entries in any list of a post-processor; with the bound on growth, it keeps what templates add small.
const MAX_LIST: usize = 256;
/// Most times longer that a text may become on its way to tokens, or a token on its way back to text.
const MAX_GROWTH: usize = 64;
/// Strings that are only looked for, or that are a table: they never enter a text as they are.
const NEVER_WRITTEN: [&str; 2] = ["pattern", "precompiled_charsmap"];

/// Refuses a `tokenizer.json` whose steps make text much longer, naming the part at fault.
pub(super) fn refuse_growth(tokenizer: &Value) -> Result<(), TextError> {
    // A text passes the first three one after another; tokens pass the decoder alone.
    for path in [&["normalizer", "pre_tokenizer", "post_processor"][..], &["decoder"]] {
        let mut growth = 1;
        for part in path {
            growth = grown(&tokenizer[part], part, growth)?;
        }
    }
    Ok(())
}

/// The growth after `value`, a step, a list of steps or a piece of one, where it was `growth` before.
fn grown(value: &Value, part: &str, mut growth: usize) -> Result<usize, TextError> {
    match value {
        Value::String(text) if text.len() > MAX_LITERAL_BYTES => Err(TextError::tokenizer(format!(
            "tokenizer.json's {part} has a string of {} bytes, and {MAX_LITERAL_BYTES} is the most",
            text.len()
        ))),
        Value::Array(list) if part == "post_processor" && list.len() > MAX_LIST => {
            Err(TextError::tokenizer(format!(
                "tokenizer.json's {part} has a list of {} entries, and {MAX_LIST} is the most",
                list.len()
            )))
        }
        Value::Array(list) => list.iter().try_fold(growth, |growth, entry| grown(entry, part, growth)),
        Value::Object(step) => {
            growth = growth.saturating_mul(factor(step, part)?);
            if growth > MAX_GROWTH {
                return Err(TextError::tokenizer(format!(
                    "tokenizer.json's {part} makes text up to {growth} times longer, and {MAX_GROWTH} times is the most"
                )));
            }
            let written = step.iter().filter(|(key, _)| !NEVER_WRITTEN.contains(&key.as_str()));
            written.map(|(_, value)| value).try_fold(growth, |growth, value| grown(value, part, growth))
        }
        _ => Ok(growth),
    }
}

/// How many times longer one step makes a text at most. Whatever its fields could mean counts, since a file may leave
/// out a step's type and may add fields that its type does not have.
fn factor(step: &Map<String, Value>, part: &str) -> Result<usize, TextError> {
    let text = |key: &str| step.get(key).and_then(Value::as_str);
    let replace = match (step.get("pattern"), text("content")) {
        (Some(pattern), Some(content)) => replacement(pattern, content, part)?,
        _ => 1,
    };
    // Once for each stretch of text between added tokens, which may be a single byte.
    let prepend = 1 + text("prepend").map_or(0, str::len);
    let template = step.get("single").and_then(Value::as_array).map_or(0, |pieces| {
        // At least one, so that templates in a row come to an end.
        pieces.iter().filter(|piece| piece.get("Sequence").is_some()).count().max(1)
    });
    let kind = match text("type") {
        // A byte becomes a character of up to two; a space before it does so too.
        Some("ByteLevel") if step.get("add_prefix_space") != Some(&Value::Bool(false)) => 4,
        // For BERT's, spaces around every Chinese character.
        Some("ByteLevel" | "BertNormalizer") => 2,
        _ => 1,
    };
    Ok([replace, prepend, 1 + template, kind].into_iter().fold(1, usize::saturating_mul))
}

/// How many times longer a `Replace` makes a text at most.
fn replacement(pattern: &Value, content: &str, part: &str) -> Result<usize, TextError> {
    match pattern.get("String").and_then(Value::as_str) {
        Some("") => Err(TextError::tokenizer(format!("tokenizer.json's {part} replaces an empty string"))),
        Some(literal) => Ok(content.len().div_ceil(literal.len()).max(1)),
        // A regular expression can match between bytes, which then stay.
        None => Ok(1 + content.len()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn replace(pattern: Value, content: &str) -> Value {
        json!({"type": "Replace", "pattern": pattern, "content": content})
    }

    fn refusal(part: &str, step: Value) -> String {
        refuse_growth(&json!({ part: step })).unwrap_err().to_string()
    }

    #[test]
    fn replacements_in_a_row_are_refused() {
        let tenfold = replace(json!({"String": "a"}), "aaaaaaaaaa");
        let steps = json!({"type": "Sequence", "normalizers": vec![tenfold.clone(); 7]});
        assert!(refusal("normalizer", steps).contains("normalizer makes text up to 100 times longer"));
        assert!(refuse_growth(&json!({"normalizer": tenfold})).is_ok());

        let nested = json!({"type": "Sequence", "normalizers": [tenfold, {"normalizers": [tenfold]}]});
        assert!(refusal("normalizer", nested).contains("100 times"));
        let doubling = vec![replace(json!({"Regex": ""}), "a"); 7];
        assert!(refusal("normalizer", json!({"normalizers": doubling})).contains("128 times"));
        let mut disguised = replace(json!({"String": "aaaa"}), "");
        disguised["prepend"] = json!("a".repeat(64));
        assert!(refusal("normalizer", disguised).contains("65 times"));
        assert!(refusal("normalizer", replace(json!({"String": ""}), "a")).contains("an empty string"));
    }

    #[test]
    fn normalizer_and_pre_tokenizer_count_together() {
        let tenfold = replace(json!({"String": "a"}), "aaaaaaaaaa");
        let levels = vec![json!({"type": "ByteLevel", "add_prefix_space": false}); 3];
        let pre_tokenizer = json!({"type": "Sequence", "pretokenizers": levels});
        let both = json!({"normalizer": tenfold, "pre_tokenizer": pre_tokenizer});
        assert!(refuse_growth(&both).unwrap_err().to_string().contains("pre_tokenizer makes text up to 80"));
    }

    #[test]
    fn long_strings_and_lists_are_refused() {
        let prepend = json!({"type": "Prepend", "prepend": "a".repeat(50_000_000)});
        assert!(refusal("normalizer", prepend).contains("normalizer makes text up to 50000001 times longer"));
        let decoder = replace(json!({"String": "e"}), &"e".repeat(100_000));
        assert!(refusal("decoder", decoder).contains("decoder makes text up to 100000 times longer"));
        let suffix = json!({"type": "BPEDecoder", "suffix": "a".repeat(1025)});
        assert!(refusal("decoder", suffix).contains("a string of 1025 bytes, and 1024 is the most"));
        let ids = json!({"special_tokens": {"a": {"id": "a", "ids": vec![0; 257], "tokens": []}}});
        assert!(refusal("post_processor", ids).contains("a list of 257 entries"));
        let copies = json!({"single": vec![json!({"Sequence": {"id": "A", "type_id": 0}}); 64]});
        assert!(refusal("post_processor", copies).contains("65 times"));
    }

    #[test]
    fn the_usual_steps_pass() {
        let space = |from: &str, to: &str| replace(json!({"String": from}), to);
        let llama = json!({
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Prepend", "prepend": "▁"}, space(" ", "▁"),
            ]},
            "pre_tokenizer": null,
            "post_processor": {"type": "TemplateProcessing", "single": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
            ], "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
            "decoder": {"type": "Sequence", "decoders": [
                space("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ]},
        });
        assert!(refuse_growth(&llama).is_ok());
        let split = json!({"type": "Split", "pattern": {"Regex": "a".repeat(2000)}, "behavior": "Isolated"});
        let level = json!({"type": "ByteLevel", "add_prefix_space": true});
        let bytes = json!({
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]},
            "post_processor": level,
            "decoder": level,
        });
        assert!(refuse_growth(&bytes).is_ok());
    }
}
