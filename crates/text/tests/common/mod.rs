//! The vectors that `scripts/tokenizer_vectors.py` makes.

use serde_json::Value;
use text::{Tokenizer, Vocabulary};

pub fn vectors(name: &str) -> Value {
    let path = format!("{}/tests/vectors/tokenizers/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub fn vocabulary(name: &str) -> Vocabulary {
    let json = &vectors(name)["vocabulary"];
    let field = |key: &str| json.get(key).cloned();
    let id = |key: &str| field(key).map(|id| serde_json::from_value(id).unwrap());
    Vocabulary {
        model: json["model"].as_str().unwrap().to_owned(),
        pre: field("pre").map(|pre| pre.as_str().unwrap().to_owned()),
        tokens: serde_json::from_value(json["tokens"].clone()).unwrap(),
        scores: field("scores").map(|scores| serde_json::from_value(scores).unwrap()),
        types: field("types").map(|types| serde_json::from_value(types).unwrap()),
        merges: field("merges").map(|merges| serde_json::from_value(merges).unwrap()),
        bos: id("bos"),
        eos: id("eos"),
        unk: id("unk"),
        add_bos: field("add_bos").and_then(|flag| flag.as_bool()),
        ..Vocabulary::default()
    }
}

pub fn tokenizer(name: &str) -> Tokenizer {
    Tokenizer::from_vocabulary(vocabulary(name)).unwrap()
}
