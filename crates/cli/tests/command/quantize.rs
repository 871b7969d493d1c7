//! `quantize`: what is written opens again and is the model it was made of.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

use std::fs;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};
use serde_json::{Value, json};

use crate::program::{Ended, fixture, polysilicon};

const TYPES: [&str; 18] = [
    "f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k", "q3_k_m", "q4_k_m", "q4_k",
    "q5_k_s", "q6_k", "iq4_nl", "iq4_xs", "mxfp4",
];

/// Goldens that a GGUF file has no way to say: an activation with other limits, frequencies with unrounded ends.
const UNSAYABLE: [&str; 2] = ["gpt-oss-mxfp4-full-first", "llama-yarn-rope-attention-factor"];

fn quantize(model: &str, to: &str, out: &Path) -> Ended {
    polysilicon(&["quantize", model, "--to", to, "--out", out.to_str().expect("a plain path")])
}

fn greedy(args: &[&str]) -> Value {
    let answer = polysilicon(&[&["run", "--json", "--ignore-eos"], args].concat()).json();
    answer["ids"].clone()
}

/// One tensor of a safetensors file.
fn tensor<T>(bytes: &[u8], name: &str, of: fn([u8; 4]) -> T) -> Vec<T> {
    let file = SafeTensors::deserialize(bytes).expect("a safetensors file");
    let data = file.tensor(name).expect("the tensor is there").data().to_vec();
    data.as_chunks::<4>().0.iter().map(|word| of(*word)).collect()
}

#[test]
fn a_file_is_the_model_as_it_would_be_loaded() {
    let scratch = tempfile::tempdir().unwrap();
    for to in TYPES {
        let out = scratch.path().join(format!("{to}.gguf"));
        quantize("embedded", to, &out).text();
        let from_file = greedy(&[out.to_str().unwrap(), "-p", "The cat", "-n", "6"]);
        assert_eq!(from_file, greedy(&["embedded", "--quantize", to, "-p", "The cat", "-n", "6"]), "{to}");
        let (ours, theirs) = (inspect(out.to_str().unwrap()), inspect("embedded"));
        for key in ["architecture", "parameters", "layers", "vocab", "context", "end_ids", "template"] {
            assert_eq!(ours[key], theirs[key], "{to}: {key}");
        }
    }
}

fn inspect(model: &str) -> Value {
    polysilicon(&["inspect", model, "--json"]).json()
}

#[test]
fn goldens_survive_in_f32() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut seen, mut refused) = (0, vec![]);
    for entry in fs::read_dir(fixture("goldens")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let out = scratch.path().join(format!("{name}.gguf"));
        let ended = quantize(folder.to_str().unwrap(), "f32", &out);
        if ended.status != 0 {
            assert!(ended.sentence(1).contains("cannot be written as a GGUF file: GGUF has no way to say"));
            assert!(!out.exists());
            refused.push(name);
            continue;
        }
        let golden = fs::read(folder.join("golden.safetensors")).unwrap();
        let ids = tensor(&golden, "ids", u32::from_le_bytes);
        // Where a window could not be said, the file declares no more context than it.
        let context = inspect(out.to_str().unwrap())["context"].as_u64().unwrap() as usize;
        let ids = &ids[..ids.len().min(context)];
        let prompt = ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let logits = scratch.path().join("logits.safetensors");
        let (model, to) = (out.to_str().unwrap(), logits.to_str().unwrap());
        polysilicon(&["logits", model, "--ids", &prompt, "--out", to, "--device", "reference"]).text();
        let got = tensor(&fs::read(&logits).unwrap(), "logits", f32::from_le_bytes);
        let want = &tensor(&golden, "logits", f32::from_le_bytes)[..got.len()];
        let square = |x: f32| f64::from(x) * f64::from(x);
        let error = got.iter().zip(want).map(|(got, want)| square(got - want)).sum::<f64>();
        let error = error / want.iter().map(|&want| square(want)).sum::<f64>();
        assert!(error < 1e-8, "{name}: {error:e}");
        seen += 1;
    }
    refused.sort();
    assert_eq!(refused, UNSAYABLE);
    assert!(seen >= 20, "only {seen} goldens were written");
}

#[test]
fn a_file_that_is_there_stays_unless_forced() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("tiny.gguf");
    fs::write(&out, "precious").unwrap();
    let sentence = quantize("embedded", "q4_0", &out).sentence(1);
    assert!(sentence.contains("tiny.gguf is there already") && sentence.contains("--force"), "{sentence}");
    assert_eq!(fs::read(&out).unwrap(), b"precious");
    polysilicon(&["quantize", "--to", "q4_0", "--out", out.to_str().unwrap(), "--force"]).text();
    assert!(fs::read(&out).unwrap().starts_with(b"GGUF"));

    let nowhere = scratch.path().join("no/such/folder/tiny.gguf");
    assert!(quantize("embedded", "q4_0", &nowhere).sentence(1).contains("could not be written"));
    let left = fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["tiny.gguf"], "nothing else is left behind");
}

#[test]
fn a_model_may_be_written_over_itself() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("tiny.gguf");
    let path = out.to_str().unwrap();
    quantize("embedded", "q8_0", &out).text();
    let want = greedy(&[path, "--quantize", "q5_1", "-p", "The", "-n", "4"]);
    polysilicon(&["quantize", path, "--to", "q5_1", "--out", path, "--force"]).text();
    assert_eq!(greedy(&[path, "-p", "The", "-n", "4"]), want);
}

#[test]
fn what_one_might_not_expect_is_noted() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("a.gguf");
    let again = quantize("embedded", "q4_k", &out);
    assert!(again.err.contains("note: the model was quantized before (q8_0)"), "{}", again.err);
    assert_eq!(again.err.lines().count(), 2, "{}", again.err);
    assert!(
        again.err.contains("a.gguf has") && again.err.contains("bits per weight: 28 in q4_k"),
        "{}",
        again.err
    );

    let narrow = quantize(&fixture("goldens/llama-linear-rope"), "q6_k", &scratch.path().join("b.gguf"));
    assert!(narrow.err.contains("16 of q6_k became q8_0"), "{}", narrow.err);
    let windows = quantize(&fixture("goldens/mistral-window"), "f16", &scratch.path().join("c.gguf"));
    assert!(windows.err.contains("declares a context of 8 tokens, not 256"), "{}", windows.err);
    let experts = quantize(&fixture("goldens/gpt-oss-mxfp4"), "q8_0", &scratch.path().join("d.gguf"));
    assert!(experts.err.contains("experts stay in mxfp4"), "{}", experts.err);
}

#[test]
fn the_json_object_says_what_was_written() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("a.gguf");
    let report = polysilicon(&["quantize", "--to", "q8_0", "--out", out.to_str().unwrap(), "--json"]).json();
    assert_eq!(report["bytes"].as_u64(), Some(fs::metadata(&out).unwrap().len()));
    assert_eq!(report["notes"], json!([]));
    assert_eq!(report["formats"][0]["type"], "q8_0");
    assert!(report["bits_per_weight"].as_f64().is_some_and(|bits| (8.5..8.6).contains(&bits)), "{report}");
    assert_eq!(report["random_weights"], false);
}

#[test]
fn words_that_are_no_types_are_bad_usage() {
    for (args, words) in [
        (&["quantize", "--to", "q9_9", "--out", "x"][..], "q3_k_l"),
        (&["quantize", "--to", "q4_0"], "--out"),
        (&["quantize", "--out", "x"], "--to"),
    ] {
        let ended = polysilicon(args);
        assert!(ended.status == 2 && ended.err.contains(words), "{ended:?}");
    }
}

/// A small Llama of one layer with a tokenizer, as a Hugging Face folder.
fn folder_with_tokenizer(folder: &Path) {
    let vectors = fs::read(fixture("../crates/text/tests/vectors/tokenizers/llama-bpe.json")).unwrap();
    let tokenizer: Value = serde_json::from_slice::<Value>(&vectors).unwrap()["tokenizer_json"].clone();
    let added = tokenizer["added_tokens"].as_array().unwrap();
    let vocab = tokenizer["model"]["vocab"].as_object().unwrap().len() + added.len() + 5;
    let (width, inner, heads) = (64, 96, 4);
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": width,
        "intermediate_size": inner, "num_hidden_layers": 1, "num_attention_heads": heads,
        "num_key_value_heads": 2, "vocab_size": vocab, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
        "rope_theta": 5e5, "tie_word_embeddings": false, "eos_token_id": 2,
    });
    let layer = |module: &str| format!("model.layers.0.{module}.weight");
    let shapes = [
        ("model.embed_tokens.weight".to_owned(), vec![vocab, width]),
        ("lm_head.weight".to_owned(), vec![vocab, width]),
        ("model.norm.weight".to_owned(), vec![width]),
        (layer("input_layernorm"), vec![width]),
        (layer("post_attention_layernorm"), vec![width]),
        (layer("self_attn.q_proj"), vec![width, width]),
        (layer("self_attn.k_proj"), vec![width / 2, width]),
        (layer("self_attn.v_proj"), vec![width / 2, width]),
        (layer("self_attn.o_proj"), vec![width, width]),
        (layer("mlp.gate_proj"), vec![inner, width]),
        (layer("mlp.up_proj"), vec![inner, width]),
        (layer("mlp.down_proj"), vec![width, inner]),
    ];
    let mut state = 1u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let tensors = shapes.map(|(name, shape)| {
        let values = (0..shape.iter().product()).map(|_| if shape.len() == 1 { 1.0 } else { 0.3 * random() });
        (name, shape.clone(), values.flat_map(f32::to_le_bytes).collect::<Vec<u8>>())
    });
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("the bytes fit the shape"))
    });
    fs::write(folder.join("model.safetensors"), serialize(views, None).unwrap()).unwrap();
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}";
    fs::write(folder.join("chat_template.jinja"), template).unwrap();
    fs::write(folder.join("generation_config.json"), r#"{"eos_token_id": [2, 5]}"#).unwrap();
}

#[test]
fn a_folders_tokenizer_template_and_end_tokens_come_along() {
    let scratch = tempfile::tempdir().unwrap();
    folder_with_tokenizer(scratch.path());
    let out = scratch.path().join("model.gguf");
    let (folder, file) = (scratch.path().to_str().unwrap(), out.to_str().unwrap());
    quantize(folder, "q8_0", &out).text();
    for text in ["The cat", "I'LL say\n\n 12345 naïve  words 日本", " a"] {
        let of = |model: &str, quantize: &[&str]| {
            let args = ["run", model, "-p", text, "-n", "5", "--ignore-eos", "--json"];
            let answer = polysilicon(&[&args, quantize].concat()).json();
            ["prompt_ids", "ids"].map(|key| answer[key].clone())
        };
        assert_eq!(of(file, &[]), of(folder, &["--quantize", "q8_0"]), "{text:?}");
    }
    let (ours, theirs) = (inspect(file), inspect(folder));
    for key in ["template", "vocab", "context", "parameters"] {
        assert_eq!(ours[key], theirs[key], "{key}");
    }
    // Readers of GGUF files add the end tokens they know by name.
    let ends = |facts: &Value| facts["end_ids"].as_array().cloned().unwrap();
    assert!(!ends(&theirs).is_empty() && ends(&theirs).iter().all(|id| ends(&ours).contains(id)), "{ours}");
}
