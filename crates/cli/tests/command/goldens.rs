//! Checkpoints with the logits and greedy tokens that `transformers` gave, through the command line.

use std::fs;

use polysilicon::Model;
use safetensors::SafeTensors;

use crate::program::{fixture, polysilicon};

/// Nothing is rounded that the checkpoint does not round: what `transformers` computed.
const EXACT: &[&str] = &["--precision", "f32", "--kv", "f32"];

/// One tensor of a safetensors file in words of four bytes.
fn words(bytes: &[u8], name: &str) -> Vec<[u8; 4]> {
    let file = SafeTensors::deserialize(bytes).expect("a safetensors file");
    let tensor = file.tensor(name).expect("the tensor is there");
    tensor.data().chunks_exact(4).map(|word| word.try_into().expect("four bytes")).collect()
}

fn floats(bytes: &[u8], name: &str) -> Vec<f32> {
    words(bytes, name).into_iter().map(f32::from_le_bytes).collect()
}

fn ids(bytes: &[u8], name: &str) -> Vec<u32> {
    words(bytes, name).into_iter().map(u32::from_le_bytes).collect()
}

fn list(ids: &[u32]) -> String {
    ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

#[test]
fn each_golden_gives_its_logits_and_its_greedy_tokens() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("logits.safetensors");
    let out_arg = out.to_str().unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(fixture("goldens")).unwrap() {
        let folder = entry.unwrap().path();
        let model = folder.to_str().unwrap();
        let golden = fs::read(folder.join("golden.safetensors")).unwrap();
        let (prompt, greedy) = (list(&ids(&golden, "ids")), ids(&golden, "greedy"));

        assert_eq!(
            polysilicon(&[&["logits", model, "--ids", &prompt, "--out", out_arg], EXACT].concat()).text(),
            ""
        );
        let (got, want) = (floats(&fs::read(&out).unwrap(), "logits"), floats(&golden, "logits"));
        assert_eq!(got.len(), want.len(), "{model}");
        let spread =
            want.iter().fold(f32::MIN, |a, &b| a.max(b)) - want.iter().fold(f32::MAX, |a, &b| a.min(b));
        let error = got.iter().zip(&want).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
        assert!(error <= 2e-3 * spread, "{model}: {error} of {spread}");

        let tokens = greedy.len().to_string();
        let run = ["run", model, "--ids", &prompt, "-n", &tokens, "--ignore-eos", "--json"];
        let answer = polysilicon(&[&run, EXACT].concat()).json();
        assert_eq!(answer["ids"], serde_json::json!(greedy), "{model}");
        seen += 1;
    }
    assert!(seen >= 20, "only {seen} goldens were found");
}

#[test]
fn the_file_holds_what_the_library_computes() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("logits.safetensors");
    let ended =
        polysilicon(&["logits", "--ids", "5,6,7", "--out", out.to_str().unwrap(), "--quantize", "q8_0"]);
    assert!(ended.err.contains("logits of 3 positions"), "{}", ended.err);
    ended.text();
    let model = Model::open_quantized("embedded", "q8_0".parse().unwrap()).unwrap().load().unwrap();
    let want = model.logits(&[5, 6, 7]).unwrap();
    let bytes = fs::read(&out).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("logits").unwrap().shape(), [3, want.vocab]);
    assert_eq!(floats(&bytes, "logits"), want.values);
}
