//! Token ids against Hugging Face's, for tokenizers out of GGUF vocabularies and out of `tokenizer.json`; and what
//! hostile files lead to.

#![allow(clippy::unwrap_used)] // A failed look-up in a vector is a failed test.

mod common;

use common::{tokenizer, vectors, vocabulary};
use serde_json::{Value, json};
use text::{TextError, Tokenizer, TokenizerConfig, Vocabulary};

const NAMES: [&str; 7] = ["sentencepiece", "gpt-2", "llama-bpe", "qwen2", "gpt-4o", "tekken", "smollm"];

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn agrees(name: &str, tokenizer: &Tokenizer) {
    let vectors = vectors(name);
    for case in vectors["texts"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let encoded = tokenizer.encode(text, true).unwrap();
        assert_eq!(encoded, ids(&case["ids"]), "{name}: {text:?}");
        assert_eq!(tokenizer.decode(&encoded, true), case["decoded"].as_str().unwrap(), "{name}: {text:?}");
    }
    for case in vectors["templates"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        assert_eq!(tokenizer.encode_template(text).unwrap(), ids(&case["ids"]), "{name}: {text:?}");
    }
}

#[test]
fn gguf_vocabularies_give_hugging_faces_ids() {
    for name in NAMES {
        agrees(name, &tokenizer(name));
    }
}

#[test]
fn tokenizer_json_gives_hugging_faces_ids() {
    for name in ["sentencepiece", "llama-bpe"] {
        let json = vectors(name)["tokenizer_json"].to_string();
        agrees(name, &Tokenizer::from_json(json.as_bytes()).unwrap());
    }
}

#[test]
fn tokens_are_known_by_id_and_text() {
    let tokenizer = tokenizer("llama-bpe");
    let start = tokenizer.id("<|im_start|>").unwrap();
    assert_eq!(tokenizer.token(start), Some("<|im_start|>"));
    assert!(tokenizer.is_control(start));
    let space = tokenizer.id("Ġ").unwrap();
    assert_eq!(tokenizer.bytes(space), Some(&b" "[..]));
    assert!(!tokenizer.is_control(space));
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.pad()), (Some(1), Some(2), None));
    let size = tokenizer.vocab_size() as u32;
    assert_eq!(
        (tokenizer.token(size), tokenizer.bytes(u32::MAX), tokenizer.is_control(size)),
        (None, None, false)
    );
}

#[test]
fn the_configuration_names_and_places_special_tokens() {
    let json = vectors("llama-bpe")["tokenizer_json"].to_string();
    let config = br#"{"bos_token": "<s>", "eos_token": {"content": "</s>"}, "add_bos_token": false, "add_eos_token": true}"#;
    let config = TokenizerConfig::from_json(config).unwrap();
    let tokenizer = Tokenizer::from_json_with(json.as_bytes(), &config).unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(1), Some(2)));
    let ids = tokenizer.encode("a", true).unwrap();
    assert_eq!((ids.len(), ids[1]), (2, 2));
}

#[test]
fn broken_tokenizer_files_are_errors() {
    let sound = vectors("llama-bpe")["tokenizer_json"].clone();
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut json = sound.clone();
        change(&mut json);
        Tokenizer::from_json(json.to_string().as_bytes()).map(|_| ())
    };
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Value));
    let changes: [Change; 8] = [
        ("no model", &|json| json["model"] = Value::Null),
        ("merge of unknown tokens", &|json| json["model"]["merges"] = json!([["qqq", "zzz"]])),
        ("merge longer than any token", &|json| {
            json["model"]["vocab"] = json!({"a": 0, "b": 1});
            json["model"]["merges"] = json!([["a", "b"]]);
        }),
        ("post-processor names a missing token", &|json| {
            json["post_processor"]["special_tokens"] = json!({})
        }),
        ("post-processor gives a missing id", &|json| {
            json["post_processor"]["special_tokens"]["<s>"]["ids"] = json!([4_000_000_000u32]);
        }),
        ("prefix inside a character", &|json| json["model"]["continuing_subword_prefix"] = json!("x")),
        ("unknown decoder", &|json| {
            json["decoder"] =
                json!({"type": "CTC", "pad_token": "", "word_delimiter_token": "", "cleanup": true})
        }),
        ("an id far beyond the others", &|json| json["model"]["vocab"]["far"] = json!(4_000_000_000u32)),
    ];
    for (what, change) in changes {
        assert!(broken(change).is_err(), "{what}");
    }
    for bytes in [&b""[..], b"{}", b"[1]", b"\xff\xfe", &[b'['; 100_000]] {
        assert!(matches!(Tokenizer::from_json(bytes), Err(TextError::Tokenizer { .. })));
    }
}

#[test]
fn contradicting_vocabularies_are_errors() {
    let sound = vocabulary("sentencepiece");
    let refused = |vocabulary: Vocabulary| Tokenizer::from_vocabulary(vocabulary).unwrap_err().to_string();
    let message = refused(Vocabulary { tokens: vec![], ..sound.clone() });
    assert!(message.contains("tokenizer.ggml.tokens has 0 entries"), "{message}");
    let message = refused(Vocabulary { scores: Some(vec![0.0]), ..sound.clone() });
    assert!(message.contains("tokenizer.ggml.scores has another length than the 600 tokens"), "{message}");
    let message = refused(Vocabulary { types: Some(vec![]), ..sound.clone() });
    assert!(message.contains("tokenizer.ggml.token_type"), "{message}");
    let message = refused(Vocabulary { eos: Some(600), ..sound.clone() });
    assert!(message.contains("tokenizer.ggml.eos_token_id is 600"), "{message}");
    let message = refused(Vocabulary { model: "wordpiece".into(), ..sound });
    assert!(message.contains("\"wordpiece\" is not supported"), "{message}");
    let message = refused(Vocabulary { pre: Some("klingon".into()), ..vocabulary("gpt-2") });
    assert!(message.contains("\"klingon\" is not supported"), "{message}");
}

#[test]
fn odd_tokens_are_tolerated() {
    let mut odd = vocabulary("sentencepiece");
    let extra = ["", "", "a", "<0x-1>", "<0x100>", "<0x41", "\u{FDD0}", "<"];
    odd.tokens.extend(extra.map(str::to_owned));
    odd.scores.as_mut().unwrap().extend([f32::NAN, f32::INFINITY, -0.0, 0.0, 1.0, 2.0, 3.0, 4.0]);
    odd.types.as_mut().unwrap().extend([1, 3, 1, 6, 6, 6, -7, 3]);
    let tokenizer = Tokenizer::from_vocabulary(odd).unwrap();
    let text = "a<0x-1> <0x100> <0x41 \u{FDD0} <";
    assert_eq!(tokenizer.decode(&tokenizer.encode(text, true).unwrap(), true), text);

    let mut odd = vocabulary("gpt-2");
    odd.merges.as_mut().unwrap().extend(["", " ", "x", "qqq zzz", "<s> >", "a b c"].map(str::to_owned));
    agrees("gpt-2", &Tokenizer::from_vocabulary(odd).unwrap());
}

#[test]
fn a_control_token_that_is_a_word_is_still_not_text() {
    // `<|>` is cut as one word, and whole words are taken as they are: the model itself would give the control token.
    let mut vocabulary = vocabulary("llama-bpe");
    vocabulary.tokens.push("<|>".into());
    vocabulary.types.as_mut().unwrap().push(3);
    let control = vocabulary.tokens.len() as u32 - 1;
    let tokenizer = Tokenizer::from_vocabulary(vocabulary).unwrap();
    let ids = tokenizer.encode("a <|> b<|>", false).unwrap();
    assert!(!ids.contains(&control));
    assert_eq!(tokenizer.decode(&ids, true), "a <|> b<|>");
    assert_eq!(tokenizer.encode_template("<|>").unwrap(), [control]);
}

#[test]
fn files_that_multiply_text_are_refused_on_loading() {
    let replace =
        |from: &str, to: String| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
    let tenfold = vec![replace("a", "a".repeat(10)); 7];
    let attacks = [
        ("normalizer", json!({"type": "Sequence", "normalizers": tenfold})),
        ("normalizer", json!({"type": "Prepend", "prepend": "a".repeat(50_000_000)})),
        ("decoder", replace("e", "e".repeat(100_000))),
    ];
    for (part, step) in attacks {
        let mut file = vectors("sentencepiece")["tokenizer_json"].clone();
        file[part] = step;
        let error = Tokenizer::from_json(file.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains(&format!("tokenizer.json's {part} makes text")), "{error}");
    }
}
