//! The tokenizer of a Hugging Face folder as GGUF says it.
//!
//! GGUF does not hold the rule by which text is cut into words but a name for it. The name is found by trying: of the
//! names known, the first under which the vocabulary encodes a sample of text, and its own words, as the original does.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value as Json;
use text::{Tokenizer, Vocabulary};
use weights::gguf::{Array, Value};

use crate::open::Origin;
use crate::tokens::{TOKENIZER_BYTES_MAX, read_optional};
use crate::{Error, Opened};

/// Names for ways to cut text into words; one of them stands for each way that is known.
const CUTS: [&str; 8] =
    ["llama-bpe", "qwen2", "gpt-4o", "tekken", "gpt-2", "smollm", "smaug-bpe", "stablelm2"];

/// Text in which the ways differ.
const SAMPLE: &str = "Hello, world! It's 12345 o'clock; I'LL say we'd've naïve café e\u{301} 日本語のテキスト 한국어 \
    Привет мир\n\n\tif (x_1 != y2) {\r\n    return \"🙂🚀\";\n}   \n  trailing /path/to//file... HTMLParser 3.14159 ½ ²\n";

/// Words of the vocabulary that are encoded too, and bytes of them encoded at once.
const WORDS: usize = 20_000;
const SAMPLE_BYTES: usize = 1 << 14;

/// Kinds of token, as GGUF numbers them.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// The keys of a model's tokenizer, its template and its end tokens; `vocab` is the model's, which a tokenizer may not
/// fill.
pub(super) fn pairs(opened: &Opened, arch: &str, vocab: u32) -> Result<Vec<(String, Value)>, Error> {
    let mut pairs = Pairs(vec![]);
    let tokens = opened.tokens()?;
    let first = tokens.tokenizer.as_deref().and_then(Tokenizer::eos).or(tokens.end.first().copied());
    let others = tokens.end.iter().copied().filter(|&id| Some(id) != first);
    for (name, id) in ["eos", "eot", "eom"].into_iter().zip(first.into_iter().chain(others)) {
        pairs.set(&format!("{name}_token_id"), id);
    }
    let (Some(tokenizer), Origin::Folder(folder)) = (&tokens.tokenizer, &opened.origin) else {
        pairs.set("model", "no_vocab");
        return Ok(pairs.0);
    };
    let refuse = |reason| Error::NotGguf { model: opened.name.clone(), reason };
    let vocabulary = Draft::read(folder, tokenizer, vocab)?.named(tokenizer, arch).map_err(refuse)?;
    pairs.add(&vocabulary, tokenizer)?;
    if let Some(template) = &tokens.template_source {
        pairs.0.push(("tokenizer.chat_template".to_owned(), template.as_str().into()));
    }
    Ok(pairs.0)
}

struct Pairs(Vec<(String, Value)>);

impl Pairs {
    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.push((format!("tokenizer.ggml.{key}"), value.into()));
    }

    fn add(&mut self, vocabulary: &Vocabulary, tokenizer: &Tokenizer) -> Result<(), Error> {
        self.set("model", vocabulary.model.as_str());
        if let Some(pre) = &vocabulary.pre {
            self.set("pre", pre.as_str());
        }
        self.set("tokens", vocabulary.tokens.iter().map(String::as_str).collect::<Array>());
        if let Some(types) = &vocabulary.types {
            self.set("token_type", Array::from(types.as_slice()));
        }
        if let Some(scores) = &vocabulary.scores {
            self.set("scores", Array::from(scores.as_slice()));
        }
        if let Some(merges) = vocabulary.merges.as_ref().filter(|_| vocabulary.scores.is_none()) {
            self.set("merges", merges.iter().map(String::as_str).collect::<Array>());
        }
        // What the tokenizer does, whatever its files say.
        let (inner, whole) = (tokenizer.encode("a", false)?, tokenizer.encode("a", true)?);
        let at = whole.windows(inner.len().max(1)).position(|part| part == inner).unwrap_or(0);
        let (first, last) = (whole[..at].first().copied(), whole[at..].get(inner.len()).copied());
        let named =
            [("bos", first.or(tokenizer.bos())), ("unknown", vocabulary.unk), ("padding", vocabulary.pad)];
        for (key, id) in named {
            if let Some(id) = id {
                self.set(&format!("{key}_token_id"), id);
            }
        }
        self.set("add_bos_token", first.is_some());
        self.set("add_eos_token", last.is_some());
        if let Some(prefix) = vocabulary.add_space_prefix {
            self.set("add_space_prefix", prefix);
        }
        Ok(())
    }
}

/// A vocabulary that lacks the name of its way to cut text.
struct Draft(Vocabulary);

impl Draft {
    fn read(folder: &Path, tokenizer: &Tokenizer, vocab: u32) -> Result<Draft, Error> {
        let path = folder.join("tokenizer.json");
        let json = read_optional(&path, TOKENIZER_BYTES_MAX)?.unwrap_or_default();
        let json: Json = serde_json::from_slice(&json)
            .map_err(|error| Error::File { path, error: std::io::Error::other(error) })?;
        let merges = merges(&json["model"]["merges"]);
        let sentencepiece = json["model"]["byte_fallback"] == true;
        let tokens: Vec<String> =
            (0..vocab).map(|id| tokenizer.token(id).map_or(format!("[PAD{id}]"), str::to_owned)).collect();
        // SentencePiece has a token for the unknown, though byte fallback leaves nothing unknown.
        let unk = tokenizer.unk().or_else(|| tokenizer.id("<unk>").filter(|_| sentencepiece));
        let user_defined = user_defined(&json["added_tokens"]);
        let kind = |id: u32| match tokenizer.token(id) {
            None => UNUSED,
            Some(_) if Some(id) == unk => UNKNOWN,
            Some(_) if tokenizer.is_control(id) => CONTROL,
            Some(_) if user_defined.contains(&id) => USER_DEFINED,
            Some(text) if sentencepiece && is_byte(text) => BYTE,
            Some(_) => NORMAL,
        };
        let within = |id: Option<u32>| id.filter(|&id| id < vocab);
        Ok(Draft(Vocabulary {
            model: if sentencepiece { "llama" } else { "gpt2" }.to_owned(),
            types: Some((0..vocab).map(kind).collect()),
            scores: sentencepiece.then(|| scores(&tokens, &merges)),
            merges: Some(merges.into_iter().map(|(left, right)| format!("{left} {right}")).collect()),
            tokens,
            bos: within(tokenizer.bos()),
            eos: within(tokenizer.eos()),
            unk: within(unk),
            pad: within(tokenizer.pad()),
            add_bos: Some(false),
            ..Vocabulary::default()
        }))
    }

    /// The vocabulary under the first name that makes it encode as the original does.
    fn named(self, original: &Tokenizer, arch: &str) -> Result<Vocabulary, String> {
        let samples = self.samples(original);
        let encode = |tokenizer: &Tokenizer, text: &str| tokenizer.encode(text, false).ok();
        for vocabulary in self.candidates(arch) {
            let Ok(candidate) = Tokenizer::from_vocabulary(vocabulary.clone()) else { continue };
            if samples.iter().all(|text| encode(&candidate, text) == encode(original, text)) {
                return Ok(vocabulary);
            }
        }
        Err("its tokenizer encodes text in a way that GGUF has no name for".to_owned())
    }

    fn candidates(self, arch: &str) -> impl Iterator<Item = Vocabulary> {
        let Draft(draft) = self;
        let usual = match arch {
            "qwen2" | "qwen3" => "qwen2",
            "gpt-oss" => "gpt-4o",
            _ => "llama-bpe",
        };
        let cuts = std::iter::once(usual).chain(CUTS.into_iter().filter(move |&cut| cut != usual));
        let byte_level = draft.scores.is_none();
        let prefixes = [true, false].into_iter().filter(move |_| !byte_level);
        let with_cut = cuts.filter(move |_| byte_level).map(|cut| (Some(cut.to_owned()), None));
        let with_prefix = prefixes.map(|prefix| (Some("default".to_owned()), Some(prefix)));
        with_cut.chain(with_prefix).map(move |(pre, add_space_prefix)| Vocabulary {
            pre,
            add_space_prefix,
            ..draft.clone()
        })
    }

    /// The sample, and words of the vocabulary spread evenly over it.
    fn samples(&self, original: &Tokenizer) -> Vec<String> {
        let Draft(Vocabulary { types, tokens, .. }) = self;
        let normal = |&id: &u32| types.as_ref().is_some_and(|types| types[id as usize] == NORMAL);
        let mut samples = vec![SAMPLE.to_owned()];
        for id in (0..tokens.len() as u32).step_by(tokens.len() / WORDS + 1).filter(normal) {
            let Some(word) = original.bytes(id).and_then(|word| std::str::from_utf8(word).ok()) else {
                continue;
            };
            match samples.last_mut().filter(|sample| sample.len() < SAMPLE_BYTES) {
                Some(sample) => *sample += word,
                None => samples.push(word.to_owned()),
            }
            samples.iter_mut().last().into_iter().for_each(|sample| sample.push('\n'));
        }
        samples
    }
}

/// Merges, which files write as pairs or as words with a space between.
fn merges(json: &Json) -> Vec<(String, String)> {
    let pair = |merge: &Json| match merge {
        Json::String(words) => words.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned())),
        Json::Array(pair) => Some((pair.first()?.as_str()?.to_owned(), pair.get(1)?.as_str()?.to_owned())),
        _ => None,
    };
    json.as_array().into_iter().flatten().filter_map(pair).collect()
}

/// Scores that join pieces in the order of the merges: the earlier a piece can be made, the higher its score.
fn scores(tokens: &[String], merges: &[(String, String)]) -> Vec<f32> {
    let mut places = HashMap::new();
    for (place, (left, right)) in merges.iter().enumerate() {
        places.entry([left.as_str(), right].concat()).or_insert(place);
    }
    tokens.iter().map(|token| -(*places.get(token).unwrap_or(&merges.len()) as f32)).collect()
}

/// Added tokens that are text.
fn user_defined(json: &Json) -> Vec<u32> {
    let id = |token: &Json| token["id"].as_u64().filter(|_| token["special"] != true);
    json.as_array().into_iter().flatten().filter_map(id).map(|id| id as u32).collect()
}

/// Whether a piece is spelled `<0xNN>`.
fn is_byte(piece: &str) -> bool {
    let digits = piece.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && digits.chars().all(|c| c.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTE_LEVEL: [&str; 6] = ["gpt-2", "llama-bpe", "qwen2", "gpt-4o", "tekken", "smollm"];

    /// What `transformers` makes of some texts, and the tokenizer it does it with.
    fn vectors(name: &str) -> Json {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../text/tests/vectors/tokenizers");
        let bytes = std::fs::read(format!("{folder}/{name}.json")).expect("a file of this repository");
        serde_json::from_slice(&bytes).expect("the file is JSON")
    }

    fn assert_encodes(tokenizer: &Tokenizer, vectors: &Json) {
        for case in vectors["texts"].as_array().expect("a list") {
            let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).expect("a list of ids");
            let text = case["text"].as_str().expect("a text");
            assert_eq!(tokenizer.encode(text, true).expect("it encodes"), ids, "{text:?}");
        }
    }

    #[test]
    fn a_tokenizer_of_a_folder_becomes_the_vocabulary_of_a_file() {
        for (name, arch) in [("sentencepiece", "llama"), ("llama-bpe", "llama"), ("llama-bpe", "qwen3")] {
            let vectors = vectors(name);
            let json = vectors["tokenizer_json"].to_string();
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join("tokenizer.json"), &json).expect("the folder is ours");
            let original = Tokenizer::from_json(json.as_bytes()).expect("a tokenizer");
            let size = original.vocab_size() as u32;
            let draft = Draft::read(folder.path(), &original, size + 3).expect("a tokenizer");
            let found = draft.named(&original, arch).expect("a way that is known");

            let stored = &vectors["vocabulary"];
            assert_eq!(found.model, stored["model"].as_str().expect("a word"));
            let types: Vec<i32> = serde_json::from_value(stored["types"].clone()).expect("a list");
            assert_eq!(found.types.as_ref().expect("types")[..types.len()], types);
            assert_eq!(found.tokens.last().expect("tokens"), &format!("[PAD{}]", size + 2));
            let id = |key: &str| stored.get(key).and_then(Json::as_u64).map(|id| id as u32);
            let add_bos = original.encode("a", true).expect("it encodes").first().copied() == id("bos");
            let whole = Vocabulary { bos: id("bos"), eos: id("eos"), add_bos: Some(add_bos), ..found };
            assert_encodes(&Tokenizer::from_vocabulary(whole).expect("a vocabulary"), &vectors);
        }
    }

    #[test]
    fn the_name_of_a_cut_is_found_by_trying() {
        for name in BYTE_LEVEL {
            let vectors = vectors(name);
            let list = |key: &str| vectors["vocabulary"].get(key).cloned().unwrap_or_default();
            let id = |key: &str| list(key).as_u64().map(|id| id as u32);
            let vocabulary = Vocabulary {
                model: "gpt2".to_owned(),
                pre: Some(name.to_owned()),
                tokens: serde_json::from_value(list("tokens")).expect("a list"),
                types: serde_json::from_value(list("types")).expect("a list"),
                merges: serde_json::from_value(list("merges")).expect("a list"),
                bos: id("bos"),
                eos: id("eos"),
                add_bos: list("add_bos").as_bool(),
                ..Vocabulary::default()
            };
            let original = Tokenizer::from_vocabulary(vocabulary.clone()).expect("a vocabulary");
            for arch in ["llama", "qwen3", "gpt-oss"] {
                let draft = Draft(Vocabulary { pre: None, ..vocabulary.clone() });
                let found = draft.named(&original, arch).expect("a way that is known");
                assert_encodes(&Tokenizer::from_vocabulary(found).expect("a vocabulary"), &vectors);
            }
        }
    }

    #[test]
    fn a_cut_without_a_name_is_refused() {
        let mut json = vectors("llama-bpe")["tokenizer_json"].clone();
        json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "[aeiou]".into();
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("tokenizer.json"), json.to_string()).expect("the folder is ours");
        let original = Tokenizer::from_json(json.to_string().as_bytes()).expect("a tokenizer");
        let draft = Draft::read(folder.path(), &original, 300).expect("a tokenizer");
        assert!(draft.named(&original, "llama").is_err_and(|reason| reason.contains("no name for")));
    }
}
