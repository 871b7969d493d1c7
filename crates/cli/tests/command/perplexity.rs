//! `perplexity`: held against a computation by hand, and against itself.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

use std::fs;
use std::path::Path;

use polysilicon::Model;
use serde_json::Value;

use crate::program::{fixture, polysilicon};

const STORY: &str = "Once upon a time there was a little cat. The cat liked to play in the garden. One day it met a \
    dog, and the dog said hello. They went to the park and played all day, and then they went home.";

fn measure(file: &Path, args: &[&str]) -> Value {
    polysilicon(&[&["perplexity", "--json", "--file", file.to_str().unwrap()], args].concat()).json()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn story(folder: &Path) -> std::path::PathBuf {
    let file = folder.join("story.txt");
    fs::write(&file, STORY).unwrap();
    file
}

#[test]
fn it_is_what_the_definition_says() {
    let scratch = tempfile::tempdir().unwrap();
    let report = measure(&story(scratch.path()), &["--chunk", "10", "--device", "reference"]);

    let model = Model::open("embedded").unwrap().device("reference".parse().unwrap()).load().unwrap();
    let ids = model.encode(STORY).unwrap();
    let mut losses = vec![];
    for chunk in ids.chunks(10).filter(|chunk| chunk.len() == 10) {
        let logits = model.logits(chunk).unwrap();
        for place in 5..9 {
            let row = &logits.values[place * logits.vocab..][..logits.vocab];
            let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
            losses.push(-(f64::from(row[chunk[place + 1] as usize]).exp() / sum).ln());
        }
    }
    let loss = losses.iter().sum::<f64>() / losses.len() as f64;
    assert_eq!(report["scored"].as_u64(), Some(losses.len() as u64));
    assert_eq!(report["chunks"].as_u64(), Some(losses.len() as u64 / 4));
    assert_eq!(report["tokens"].as_u64(), Some(ids.len() as u64));
    assert!((number(&report["loss"]) - loss).abs() < 1e-9, "{report} is not {loss}");
    assert!((number(&report["perplexity"]) - loss.exp()).abs() < 1e-6);
    assert!(report["against"].is_null() && report["kl"].is_null());
}

#[test]
fn a_model_is_no_way_from_itself_and_further_with_fewer_bits() {
    let scratch = tempfile::tempdir().unwrap();
    let file = story(scratch.path());
    let same = measure(&file, &["--against", "embedded"]);
    assert_eq!((number(&same["kl"]["max"]), number(&same["same_top"])), (0.0, 1.0));
    assert_eq!(same["against"]["perplexity"], same["perplexity"]);
    // Shorter than a chunk of 512, the text is one.
    assert_eq!((same["chunks"].as_u64(), &same["chunk"]), (Some(1), &same["tokens"]));

    let mut last = 0.0;
    for quantize in ["q6_k", "q4_0", "q2_k"] {
        let report = measure(&file, &["--quantize", quantize, "--against", "embedded"]);
        let kl = |key: &str| number(&report["kl"][key]);
        assert!(kl("mean") > last, "{quantize}: {report}");
        assert!(kl("p50") <= kl("p99") && kl("p99") <= kl("max"), "{report}");
        last = kl("mean");
    }
    let turned = measure(&file, &["--against-quantize", "q4_0"]);
    let straight = measure(&file, &["--quantize", "q4_0", "--against", "embedded"]);
    assert_eq!(turned["against"]["perplexity"], straight["perplexity"]);
    assert_eq!(turned["same_top"], straight["same_top"]);
}

#[test]
fn the_table_has_a_line_for_each_figure() {
    let scratch = tempfile::tempdir().unwrap();
    let file = story(scratch.path());
    let args = ["perplexity", "--file", file.to_str().unwrap(), "--chunk", "16"];
    let text = polysilicon(&[&args[..], &["--against-quantize", "q8_0"]].concat()).text();
    let labels = text.lines().map(|line| line.split("  ").next().unwrap_or("")).collect::<Vec<_>>();
    assert_eq!(labels, ["text", "perplexity", "against", "kl", "same top"], "{text}");
    assert!(text.contains("chunks of 16"), "{text}");
}

#[test]
fn what_cannot_be_measured_is_a_sentence() {
    let scratch = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = scratch.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (story, empty) = (write("story", STORY.as_bytes()), write("empty", b""));
    let (binary, large) = (write("binary", &[0xff, 0xfe]), write("large", &vec![b'a'; (8 << 20) + 1]));
    let golden = fixture("goldens/qwen3-gqa-tied");
    for (args, words) in [
        (&["--file", "no-such-file"][..], "no-such-file could not be read"),
        (&["--file", &empty], "the text has 0 tokens, and at least 4 are needed"),
        (&["--file", &binary], "binary could not be read"),
        (&["--file", &large], "it has more than 8388608 bytes"),
        (&[&golden, "--file", &story], "no tokenizer"),
        (&["--file", &story, "--against", &golden], "their vocabularies differ: one has 2048 tokens"),
        (&["--file", &story, "--against", "no-such-model"], "no file or folder no-such-model"),
        (&["--file", &story, "--context", "16", "--chunk", "32"], "32"),
    ] {
        let sentence = polysilicon(&[&["perplexity"], args].concat()).sentence(1);
        assert!(sentence.contains(words), "{args:?}: {sentence}");
    }
    for args in [&["perplexity"][..], &["perplexity", "--file", &story, "--chunk", "3"]] {
        assert_eq!(polysilicon(args).status, 2);
    }
}
