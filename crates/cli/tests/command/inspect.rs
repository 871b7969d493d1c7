//! `inspect` on every kind of model.

use std::fs;

use serde_json::Value;

use crate::program::{ended, fixture, polysilicon, program};

fn inspect(model: &str) -> Value {
    polysilicon(&["inspect", model, "--json"]).json()
}

/// What must hold of any model.
fn check(facts: &Value) {
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{value} in {facts}"));
    for key in ["parameters", "weight_bytes", "layers", "vocab", "context"] {
        assert!(number(&facts[key]) > 0, "{key}: {facts}");
    }
    let formats = facts["formats"].as_array().expect("a list");
    assert_eq!(
        formats.iter().map(|format| number(&format["bytes"])).sum::<u64>(),
        number(&facts["weight_bytes"])
    );
    assert!(facts["architecture"].as_str().is_some_and(|name| !name.is_empty()), "{facts}");
}

#[test]
fn the_embedded_model_has_a_tokenizer_and_a_template() {
    let facts = inspect("embedded");
    check(&facts);
    assert!(facts["tokenizer"] == true && facts["random_weights"] == false, "{facts}");
    assert!(!facts["end_ids"].as_array().expect("a list").is_empty());
    let template = polysilicon(&["inspect", "--template"]).text();
    assert_eq!(facts["template"].as_str(), Some(template.as_str()));
}

#[test]
fn folders_and_gguf_files_are_read_alike() {
    let mut both = 0;
    for entry in fs::read_dir(fixture("goldens")).unwrap() {
        let folder = entry.unwrap().path();
        let facts = inspect(folder.to_str().unwrap());
        check(&facts);
        let name = folder.file_name().unwrap().to_str().unwrap();
        let twin = fixture(&format!("goldens-gguf/{name}.gguf"));
        if fs::exists(&twin).unwrap() {
            let twin = inspect(&twin);
            check(&twin);
            for key in ["layers", "vocab", "context", "windows", "kv"] {
                assert_eq!(facts[key], twin[key], "{name}: {key}");
            }
            both += 1;
        }
    }
    assert!(both >= 5, "only {both} folders have a GGUF twin");
}

#[test]
fn a_shape_is_told_apart_from_a_model() {
    let facts = inspect("shape:qwen3-0.6b@q4_0");
    check(&facts);
    assert!(facts["random_weights"] == true && facts["tokenizer"] == false, "{facts}");
    assert_eq!(facts["formats"][0]["type"], "q4_0");
    let text = polysilicon(&["inspect", "shape:qwen3-0.6b@q4_0", "--memory", "1MiB"]).text();
    assert!(text.contains("random weights") && text.contains("the weights do not fit"), "{text}");
}

#[test]
fn the_table_has_a_line_for_each_fact() {
    let text = polysilicon(&["inspect"]).text();
    let labels =
        ["model", "architecture", "parameters", "weights", "context", "kv", "end tokens", "template"];
    for label in labels {
        assert!(text.lines().any(|line| line.starts_with(label)), "{label}: {text}");
    }
}

#[test]
fn a_hub_id_is_found_in_the_cache() {
    let cache = tempfile::tempdir().unwrap();
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let model = cache.path().join("models--some-one--tiny");
    let snapshot = model.join("snapshots").join(commit);
    fs::create_dir_all(model.join("refs")).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(model.join("refs/main"), commit).unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(fixture(&format!("goldens/qwen3-gqa-tied/{file}")), snapshot.join(file)).unwrap();
    }
    for args in
        [&["inspect", "some-one/tiny", "--json"][..], &["inspect", "some-one/tiny", "--json", "--download"]]
    {
        let mut command = program(args);
        command.env("HF_HUB_CACHE", cache.path()).env("HF_ENDPOINT", "http://127.0.0.1:1");
        let facts = ended(command).json();
        check(&facts);
    }
}
