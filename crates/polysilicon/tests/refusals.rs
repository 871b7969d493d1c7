//! What a caller may ask for wrongly, and what a folder may hold wrongly: each an answer, none a panic.

use std::path::{Path, PathBuf};

use polysilicon::{DType, Error, Model, Sampling};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens").join(name)
}

fn open(path: &Path) -> Result<polysilicon::Builder, Error> {
    Model::open(&path.to_string_lossy())
}

/// A copy of a golden with its config.json changed.
fn changed(
    name: &str,
    change: impl Fn(&mut serde_json::Map<String, serde_json::Value>),
) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::copy(golden(name).join("model.safetensors"), folder.path().join("model.safetensors"))
        .expect("copied");
    let config = std::fs::read(golden(name).join("config.json")).expect("readable");
    let mut config = serde_json::from_slice(&config).expect("an object");
    change(&mut config);
    let config = serde_json::to_vec(&config).expect("written");
    std::fs::write(folder.path().join("config.json"), config).expect("written");
    folder
}

#[test]
fn a_value_may_be_probed_twice_and_a_patch_must_fit() -> Result<(), Error> {
    let model = Model::open("embedded")?.load()?;
    let twice = model.probe(&[1, 2], &["layers.0.attn", "layers.0.attn"])?;
    assert_eq!(twice[0], twice[1]);
    let error = model.patch(&[1, 2], &[("layers.0.attn", &[1.0])]).expect_err("one element is not enough");
    assert!(error.to_string().contains("layers.0.attn"), "{error}");
    let same = model.patch(&[1, 2], &[("layers.0.attn", &twice[0].values)])?;
    assert_eq!(same.values, model.logits(&[1, 2])?.values, "a value patched by itself changes nothing");
    assert!(model.probe(&[1, 2], &["layers.0.nothing"]).is_err());
    Ok(())
}

#[test]
fn keys_and_values_that_are_no_whole_blocks_are_refused() -> Result<(), Error> {
    let mut refused = 0;
    for name in ["llama-mqa-head-dim", "qwen3-mqa-untied", "mistral-window", "mistral-no-window-head-dim"] {
        let graph = open(&golden(name))?.load()?.graph().clone();
        let elements = graph.states[0].slot.shape().and_then(|slot| slot.last().copied()).unwrap_or(0);
        let loaded = open(&golden(name))?.kv(DType::Q8_0).load();
        assert_eq!(loaded.is_ok(), elements % 32 == 0, "{name}: {elements} elements");
        refused += usize::from(loaded.is_err());
        assert!(open(&golden(name))?.kv(DType::I32).load().is_err());
    }
    assert!(refused > 0, "none of these has narrow heads: the test tests nothing");
    Ok(())
}

#[test]
fn end_tokens_beyond_the_vocabulary_never_come() -> Result<(), Error> {
    let ids = (90_000..90_100).collect::<Vec<u32>>();
    let folder =
        changed("qwen3-gqa-tied", |config| drop(config.insert("eos_token_id".into(), ids.clone().into())));
    let model = open(folder.path())?.load()?;
    let answer = model.generate(vec![1, 2, 3], &Sampling::default().max_tokens(5))?.finish()?;
    assert_eq!(answer.completion_tokens, 5);
    Ok(())
}

#[test]
fn absurd_sizes_are_named() {
    for (key, value) in [
        ("num_attention_heads", 16_777_216u64),
        ("head_dim", 1 << 20),
        ("num_hidden_layers", 1 << 30),
        ("vocab_size", 1 << 40),
        ("hidden_size", 0),
    ] {
        let folder = changed("llama-gqa-llama3-rope", |config| drop(config.insert(key.into(), value.into())));
        let error = open(folder.path()).and_then(|builder| builder.load().map(|_| ())).expect_err(key);
        assert!(error.to_string().contains(key) || error.to_string().contains("weight"), "{key}: {error}");
    }
}

#[test]
fn weights_that_are_no_numbers_are_told() -> Result<(), Error> {
    let folder = changed("llama-mha-untied", |_| {});
    let path = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).expect("readable");
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("eight")) as usize;
    bytes[header..].fill(0xff);
    std::fs::write(&path, bytes).expect("written");
    let model = open(folder.path())?.load()?;
    let error =
        model.generate(vec![1, 2], &Sampling::default().max_tokens(2))?.finish().expect_err("not numbers");
    assert!(error.to_string().contains("not numbers"), "{error}");
    assert!(model.logits(&[1, 2]).is_err());
    Ok(())
}

#[test]
fn one_file_of_a_folder_is_that_file() -> Result<(), Error> {
    let folder = changed("llama-mha-untied", |_| {});
    assert!(open(&folder.path().join("model.safetensors")).is_ok());
    std::fs::write(folder.path().join("other.safetensors"), b"junk").expect("written");
    assert!(open(&folder.path().join("other.safetensors")).is_err());
    Ok(())
}

#[test]
fn text_that_cannot_fit_is_refused_before_it_is_encoded() -> Result<(), Error> {
    let model = Model::open("embedded")?.load()?;
    let error = model.generate("a".repeat(4 << 20), &Sampling::default()).err().expect("too long");
    assert!(error.to_string().contains("1024"), "{error}");
    Ok(())
}

#[test]
fn logits_go_through_what_stands_at_their_path() -> Result<(), Error> {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    std::fs::write(&file, b"old").expect("written");
    std::os::unix::fs::symlink(&file, &link).expect("linked");
    Model::open("embedded")?.load()?.logits(&[1])?.save(&link)?;
    assert!(link.is_symlink() && std::fs::metadata(&file).expect("there").len() > 1000);
    Ok(())
}
