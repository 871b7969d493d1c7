//! What cannot be done, in a sentence and an exit status.

use std::fs;
use std::path::Path;

use crate::program::{ended, fixture, polysilicon, program};

#[test]
fn what_is_not_there_is_status_1() {
    for (args, words) in [
        (&["inspect", "no-such-model"][..], "no file or folder no-such-model"),
        (&["inspect", "some-one/tiny"], "--download fetches it"),
        (&["inspect", "shape:no-such-shape"], "qwen3-0.6b"),
        (&["inspect", "shape:qwen3-0.6b@q9_9"], "mxfp4"),
        (&["run", "--device", "cuda"], "Devices present: cpu, reference"),
        (&["run", "--device", "neuron:1"], "Devices present: cpu, reference"),
        (&["run", "--kv", "q4_0"], "keeps keys and values in"),
        (&["run", "--memory", "1MiB"], "needs"),
        (&["run", "--ids", "1,99999999"], "99999999"),
        (&["run", "--temperature", "-1"], "temperature is -1"),
        (&["run", "--stop", ""], "stop"),
        (&["run", "--context", "1000000000"], "1000000000"),
        (
            &["logits", "--ids", "1", "--out", "/no/such/folder/file"],
            "/no/such/folder/file could not be written",
        ),
    ] {
        let sentence = polysilicon(args).sentence(1);
        assert!(sentence.contains(words), "{args:?}: {sentence}");
    }
}

#[test]
fn a_prompt_that_is_too_long_is_refused_with_both_numbers() {
    let ids = vec!["1"; 20].join(",");
    for args in [
        &["run", "--ids", &ids, "--context", "16"][..],
        &["logits", "--ids", &ids, "--context", "16", "--out", "/no/such/folder/file"],
    ] {
        let sentence = polysilicon(args).sentence(1);
        assert!(sentence.contains("20") && sentence.contains("16"), "{sentence}");
    }
}

#[test]
fn bad_usage_is_status_2() {
    let golden = fixture("goldens/qwen3-gqa-tied");
    let sentence = polysilicon(&["run", &golden]).sentence(2);
    assert!(sentence.contains("give one with -p TEXT"), "{sentence}");
    for (args, words) in [
        (&["frobnicate"][..], "frobnicate"),
        (&["run", "--device", "toaster"], "cuda[:N]"),
        (&["run", "--quantize", "q9_9"], "q4_k_m"),
        (&["run", "--memory", "much"], "8GiB"),
        (&["run", "--ids", "1,b"], "--ids"),
        (&["run", "-p", "a", "--ids", "1"], "cannot be used with"),
        (&["run", "-n", "0"], "--max-tokens"),
        (&["run", "--context", "0"], "--context"),
        (&["run", "--threads", "0"], "--threads"),
        (&["logits", "--ids", "1"], "--out"),
        (&["show", "--stage", "melt"], "possible values: build, fuse, expand, plan"),
        (&["diff", "--a", "reference", "--ids", "1"], "--b"),
    ] {
        let ended = polysilicon(args);
        assert_eq!(ended.status, 2, "{args:?}: {ended:?}");
        assert!(ended.err.contains(words) && ended.out.is_empty(), "{args:?}: {ended:?}");
    }
}

#[test]
fn input_that_is_no_text_is_refused() {
    let mut command = program(&["run", "-p", "-"]);
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("input");
    fs::write(&path, [0xff, 0xfe, 0x41]).unwrap();
    command.stdin(fs::File::open(&path).unwrap());
    assert!(ended(command).sentence(1).contains("standard input could not be read"));
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let mut command = program(&["inspect"]);
    command.stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    assert!(ended(command).sentence(1).contains("standard output could not be written"));
}

/// A copy of a file without its last bytes.
fn truncated(from: &str, to: &Path, missing: usize) {
    let bytes = fs::read(from).expect("a file of this repository");
    fs::write(to, &bytes[..bytes.len() - missing]).expect("the folder is ours");
}

#[test]
fn damaged_files_are_refused_with_the_tensor_and_the_offset() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    fs::copy(fixture("goldens/qwen3-gqa-tied/config.json"), folder.join("config.json")).unwrap();
    truncated(&fixture("goldens/qwen3-gqa-tied/model.safetensors"), &folder.join("model.safetensors"), 100);
    let gguf = folder.join("cut.gguf");
    truncated(&fixture("goldens-gguf/qwen3-gqa-tied.gguf"), &gguf, 100);
    for (model, file) in [(folder, "model.safetensors"), (&gguf, "cut.gguf")] {
        let sentence = polysilicon(&["run", model.to_str().unwrap(), "--ids", "1,2,3"]).sentence(1);
        for word in [file, "offset", "tensor"] {
            assert!(sentence.contains(word), "{word}: {sentence}");
        }
    }
}

#[test]
fn a_hub_that_cannot_be_reached_is_a_sentence() {
    let cache = tempfile::tempdir().unwrap();
    let mut command = program(&["run", "some-one/tiny", "--ids", "1", "--download"]);
    command.env("HF_HUB_CACHE", cache.path()).env("HF_ENDPOINT", "http://127.0.0.1:1");
    let sentence = ended(command).sentence(1);
    assert!(sentence.contains("http://127.0.0.1:1 could not be reached"), "{sentence}");
}
