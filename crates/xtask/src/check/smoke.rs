//! The command as users get it, run once on the model inside it.

use std::path::Path;

use serde_json::Value;

use super::command::output;
use super::tally::Tally;

/// Tokens asked for.
const TOKENS: usize = 8;

/// Generates a few tokens and reads the answer as a script would.
pub fn run(root: &Path) -> Result<Tally, String> {
    let answer = output(root, "cargo", &format!("run --release --quiet -- run -n {TOKENS} --json"))?;
    println!("{}", answer.trim_end());
    verify(&answer).map(|()| Tally::default())
}

fn verify(answer: &str) -> Result<(), String> {
    let answer: Value = serde_json::from_str(answer)
        .map_err(|error| format!("`run --json` printed what is not one JSON object: {error}"))?;
    let ids = answer["ids"].as_array().ok_or("`run --json` printed no `ids`")?;
    if ids.is_empty() || ids.len() > TOKENS || !ids.iter().all(Value::is_u64) {
        return Err(format!(
            "`run --json -n {TOKENS}` printed {} `ids`, or some that are no token ids",
            ids.len()
        ));
    }
    let text = answer["text"].as_str().ok_or("`run --json` printed no `text`")?;
    if text.trim().is_empty() { Err("the embedded model wrote nothing".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_ids_and_text() {
        assert_eq!(verify(r#"{"ids": [1, 2, 3], "text": " a cat"}"#), Ok(()));
        for wrong in
            ["", "{}", r#"{"ids": []}"#, r#"{"ids": [-1], "text": "a"}"#, r#"{"ids": [1], "text": ""}"#]
        {
            assert!(verify(wrong).is_err(), "{wrong}");
        }
        assert!(verify(r#"{"ids": [1,2,3,4,5,6,7,8,9], "text": "a"}"#).is_err());
    }
}
