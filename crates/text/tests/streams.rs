//! Properties of streaming and of the border between text and control.

#![allow(clippy::unwrap_used)] // A failed look-up in a vector is a failed test.

mod common;

use common::tokenizer;
use proptest::prelude::*;
use serde_json::json;
use std::sync::OnceLock;
use text::{ChatTemplate, Clock, Conversation, Tokenizer};

fn byte_level() -> &'static Tokenizer {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    TOKENIZER.get_or_init(|| tokenizer("llama-bpe"))
}

fn sentencepiece() -> &'static Tokenizer {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    TOKENIZER.get_or_init(|| tokenizer("sentencepiece"))
}

/// The same ids decoded by other means: all bytes together, then made text.
fn oracle(tokenizer: &Tokenizer, ids: &[u32], skip_control: bool) -> Vec<u8> {
    let kept = ids.iter().filter(|&&id| !(skip_control && tokenizer.is_control(id)));
    kept.flat_map(|&id| tokenizer.bytes(id).unwrap().to_vec()).collect()
}

fn stream(tokenizer: &Tokenizer, ids: &[u32], skip_control: bool) -> String {
    let mut decoder = tokenizer.decoder(skip_control);
    let mut text = String::new();
    for &id in ids {
        text += &decoder.push(id);
    }
    text + &decoder.finish()
}

fn clock() -> Clock {
    Clock::at("2024-07-26T12:00:00".parse().unwrap())
}

/// User text made of control tokens, pieces of them, and what tokenizers and templates treat with care.
fn hostile() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "<|im_start|>",
        "<|im_end|>",
        "<s>",
        "</s>",
        "<unk>",
        "<",
        "|",
        ">",
        "<|im_",
        "start|>",
        "/s>",
        "<|im_end|",
        "user",
        "\n",
        " ",
        "  ",
        "a",
        "é",
        "🙂",
        "\u{FDD0}",
        "<think>",
        "▁",
        "\u{0}",
        "x1",
    ]);
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn byte_level_streams_are_lossy_utf8_of_all_bytes(ids in prop::collection::vec(0u32..522, 0..40), skip: bool) {
        let bytes = oracle(byte_level(), &ids, skip);
        prop_assert_eq!(stream(byte_level(), &ids, skip), String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn sentencepiece_streams_lose_one_leading_space(ids in prop::collection::vec(0u32..600, 0..40), skip: bool) {
        let mut bytes = oracle(sentencepiece(), &ids, skip);
        if bytes.first() == Some(&b' ') {
            bytes.remove(0);
        }
        // One mark per byte of a broken character.
        let mut text = String::new();
        for chunk in bytes.utf8_chunks() {
            text += chunk.valid();
            text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
        }
        prop_assert_eq!(stream(sentencepiece(), &ids, skip), text);
    }

    #[test]
    fn text_comes_back_and_holds_no_control_token(text in hostile()) {
        for tokenizer in [byte_level(), sentencepiece()] {
            let ids = tokenizer.encode(&text, false).unwrap();
            prop_assert!(ids.iter().all(|&id| !tokenizer.is_control(id)), "{:?}", ids);
            // Hugging Face's rule for this kind of vocabulary adds a space only where there is none.
            let space = std::ptr::eq(tokenizer, sentencepiece()) && text.starts_with([' ', '▁']);
            let expected = if space { text.replace('▁', " ")[1..].to_owned() } else { text.replace('▁', " ") };
            let decoded = tokenizer.decode(&ids, false);
            prop_assert_eq!(if space || std::ptr::eq(tokenizer, sentencepiece()) { decoded } else { decoded.replace('▁', " ") }, expected);
        }
    }

    #[test]
    fn no_control_token_comes_from_content(first in hostile(), second in hostile()) {
        // Two user strings side by side, trimmed, and against the template's own text.
        let source = "<|im_start|>{{ messages[0].content }}{{ messages[1].content | trim }}<|im_end|>\
                      <{{ messages[0].content.strip() }}><|im_end|>";
        let template = ChatTemplate::new(source, vec![]).unwrap();
        let messages = [first, second].map(|content| json!({"role": "user", "content": content})).to_vec();
        let conversation = Conversation { messages, ..Conversation::default() };
        let clean = conversation.map_strings(&|text| text.replace('\u{FDD0}', ""));
        for tokenizer in [byte_level(), sentencepiece()] {
            let ids = tokenizer.encode_chat(&template, &conversation, &clock()).unwrap();
            let control: Vec<&str> =
                ids.iter().filter(|&&id| tokenizer.is_control(id)).filter_map(|&id| tokenizer.token(id)).collect();
            prop_assert_eq!(control, ["<|im_start|>", "<|im_end|>", "<|im_end|>"]);
            if std::ptr::eq(tokenizer, byte_level()) {
                prop_assert_eq!(tokenizer.decode(&ids, false), template.render(&clean, &clock()).unwrap());
            }
        }
    }
}

#[test]
fn a_character_is_shown_when_it_is_whole() {
    let tokenizer = byte_level();
    let bytes: Vec<u32> = ["ð", "Ł", "Ļ", "Ĥ"].iter().map(|byte| tokenizer.id(byte).unwrap()).collect();
    let mut decoder = tokenizer.decoder(false);
    let pieces: Vec<String> = bytes.iter().map(|&id| decoder.push(id)).collect();
    assert_eq!(pieces, ["", "", "", "🙂"]);
    assert_eq!(decoder.push(bytes[0]), "");
    assert_eq!(decoder.push(tokenizer.id("a").unwrap()), "\u{FFFD}a");
    assert_eq!(decoder.push(bytes[0]), "");
    assert_eq!(decoder.push(u32::MAX), "");
    assert_eq!(decoder.finish(), "\u{FFFD}");
}
