//! Recorded requests: JSON, one a line, as OpenAI's interfaces take them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

use crate::{Error, Model};

/// The most bytes of a trace.
const BYTES_MAX: u64 = 1 << 30;

/// A request of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Its prompt.
    pub prompt: Vec<u32>,
    /// Tokens of its answer.
    pub output: u32,
}

/// Reads a trace: each line an object with `prompt` (text, or token ids), or `messages` whose texts are joined, and
/// `max_tokens` or `max_completion_tokens`, which is `output` where it says nothing; a batch file's `body` holds them.
pub fn read_trace(path: &Path, model: &Model, output: u32) -> Result<Vec<Ask>, Error> {
    let fail = |error| Error::File { path: path.to_owned(), error };
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text)).map_err(fail)?;
    let wrong = |line: usize, reason: &str| fail(io::Error::other(format!("line {line}: {reason}")));
    let mut asks = vec![];
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        let value: Value = serde_json::from_str(line).map_err(|error| wrong(number, &error.to_string()))?;
        let body = value.get("body").unwrap_or(&value);
        let prompt = prompt(body, model)?.ok_or_else(|| {
            wrong(number, "it has neither `prompt` (text or token ids) nor `messages` with texts")
        })?;
        let asked = ["max_completion_tokens", "max_tokens"].iter().find_map(|key| body.get(*key)?.as_u64());
        let output = asked.map_or(output, |asked| u32::try_from(asked).unwrap_or(u32::MAX)).max(1);
        asks.push(Ask { prompt, output });
    }
    if asks.is_empty() {
        return Err(wrong(1, "there is no request in it"));
    }
    Ok(asks)
}

fn prompt(body: &Value, model: &Model) -> Result<Option<Vec<u32>>, Error> {
    if let Some(ids) = body.get("prompt").and_then(Value::as_array) {
        return Ok(ids.iter().map(|id| u32::try_from(id.as_u64()?).ok()).collect());
    }
    let text =
        match (body.get("prompt").and_then(Value::as_str), body.get("messages").and_then(Value::as_array)) {
            (Some(text), _) => text.to_owned(),
            (None, Some(messages)) => {
                let texts = messages.iter().filter_map(|message| message.get("content")?.as_str());
                texts.collect::<Vec<_>>().join("\n")
            }
            (None, None) => return Ok(None),
        };
    Ok(if text.is_empty() { None } else { Some(model.encode(&text)?) })
}
