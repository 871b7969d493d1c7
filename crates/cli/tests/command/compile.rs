//! `compile`, and `show --stage hlo`.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::program::{ended, polysilicon, program};

const SHAPE: &[&str] = &["compile", "shape:llama-3.2-1b", "--target", "trn2", "--tp", "2"];

#[test]
fn without_a_compiler_modules_are_written_and_what_to_do_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("bundle");
    let buckets = ["--buckets", "decode-2x64,prefill-16x64", "--out"];
    let mut command = program(&[SHAPE, &buckets, &[out.to_str().unwrap()]].concat());
    // Where nothing is, there is no compiler either.
    command.env("PATH", "");
    let ended = ended(command);
    let script = out.join("compile.sh");
    assert!(
        ended.err.contains(&format!("run {} on an x86-64 Linux machine", script.display())),
        "{}",
        ended.err
    );
    let text = ended.text();
    // 1,235,814,400 parameters, of which norms are whole; and the tied table twice, cut along each axis.
    for line in [
        "chip        trn2, 2 logical cores",
        "module      decode-2x64: at best ",
        "bound by memory (predicted, not measured)",
    ] {
        assert!(text.contains(line), "{text}");
    }
    for file in ["decode-2x64.hlo.pb", "prefill-16x64.hlo.pb", "compile.sh", "manifest.json"] {
        assert!(out.join(file).is_file(), "{file}");
    }
}

#[test]
fn a_compiler_is_named_and_its_programs_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // A header that says two physical cores, and four bytes.
    let mut neff = vec![0; 1028];
    neff[8..16].copy_from_slice(&1024u64.to_le_bytes());
    neff[16..24].copy_from_slice(&4u64.to_le_bytes());
    neff[552..556].copy_from_slice(&2u32.to_le_bytes());
    std::fs::write(path("any.neff"), neff).unwrap();
    let script = format!("#!/bin/sh\necho two\n[ \"$1\" = --version ] || cp {} $8\n", path("any.neff"));
    std::fs::write(path("new"), script).unwrap();
    std::fs::set_permissions(path("new"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(path("new"), path("cc")).unwrap();
    let (out, cc, cache) = (path("bundle"), path("cc"), path("cache"));
    let args = ["--buckets", "decode-1x64", "--json", "--out", &out, "--compiler", &cc, "--cache", &cache];
    let manifest: Value = polysilicon(&[SHAPE, &args].concat()).json();
    assert_eq!(manifest["compiler"], "two");
    assert_eq!(manifest["programs"][0]["predicted"]["bound"], "memory");
    assert!(folder.path().join("bundle/decode-1x64.neff").is_file());
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 1, "one program is kept");
}

#[test]
fn what_cannot_be_is_said_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("bundle").to_str().unwrap().to_owned();
    let fails = |args: &[&str]| polysilicon(&[&["compile", "--out", &out], args].concat());
    let sentence = fails(&["shape:qwen2.5-0.5b", "--target", "trn2", "--tp", "4"]).sentence(1);
    assert!(sentence.contains("14 heads") && sentence.contains("--tp 2 would do"), "{sentence}");
    let sentence = fails(&["--target", "trn2", "--buckets", "decode-7"]).sentence(1);
    assert!(sentence.contains("`decode-7` names no bucket"), "{sentence}");
    let sentence = fails(&["shape:llama-3.1-70b", "--target", "trn1"]).sentence(1);
    assert!(sentence.contains("on one core"), "{sentence}");
    let sentence = fails(&["--target", "trn2", "--compiler", "/nowhere/cc"]).sentence(1);
    assert!(sentence.contains("`/nowhere/cc` does not run"), "{sentence}");
    assert!(!std::path::Path::new(&out).exists());
    assert_eq!(fails(&["--target", "h100"]).status, 2);
}

#[test]
fn modules_are_shown_without_a_chip() {
    let text = polysilicon(&["show", "--stage", "hlo", "--device", "neuron", "--context", "64"]).text();
    assert!(text.starts_with("HloModule embedded") && text.contains("must_alias_input"), "{text}");
    let sentence = polysilicon(&["show", "--stage", "hlo", "--device", "cpu"]).sentence(1);
    assert!(sentence.contains("--device neuron"), "{sentence}");
}
