//! Bundles: what is written is opened again, for the model and the modules that it was made of, and nothing in a
//! manifest is taken on trust.
#![allow(clippy::unwrap_used, reason = "a test that cannot prepare fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use graph::{Bucket, Catalogue, Graph, GraphBuilder, Input, Op, ProgramSpec, Shard, shard};
use neuron::{Bundle, BundleError, Compiler, Options, Packed, Step, Target, bucket_named, emit};
use serde_json::{Value, json};
use tempfile::TempDir;
use tensor::{DType, Shape, WeightInfo};

const PAGE_LEN: u32 = 4;

/// Has every weight in q4_0.
struct Any;

impl Catalogue for Any {
    fn find(&self, _: &str, dims: &[u32]) -> Option<WeightInfo> {
        let shape = Shape::new(&dims.iter().map(|&n| n as usize).collect::<Vec<_>>());
        Some(WeightInfo { dtype: DType::Q4_0, shape })
    }
}

/// Rows of a table as logits.
fn graph(vocab: u32) -> Graph {
    let mut g = GraphBuilder::new("rows", vocab, PAGE_LEN, &Any);
    let tokens = g.input(Input::Tokens);
    let table = g.weight_by("table", &[vocab, 64], Shard::Vocabulary);
    let x = g.op(Op::Embed, &[tokens, table]);
    let rows = g.input(Input::Rows);
    let x = g.gather(x, rows);
    let logits = g.op(Op::Linear, &[x, table]);
    g.finish(logits).unwrap()
}

fn buckets() -> Vec<Bucket> {
    ["decode-1x16", "decode-4x16", "prefill-32x16"].map(|name| bucket_named(name, PAGE_LEN).unwrap()).to_vec()
}

/// A bundle for two ranks, compiled by something that writes a header and four bytes.
fn bundle(compiled: bool) -> (TempDir, Value) {
    let folder = TempDir::new().unwrap();
    let mut neff = vec![0; 1028];
    neff[8..16].copy_from_slice(&1024u64.to_le_bytes());
    neff[16..24].copy_from_slice(&4u64.to_le_bytes());
    neff[552..556].copy_from_slice(&2u32.to_le_bytes());
    fs::write(folder.path().join("any.neff"), neff).unwrap();
    let (new, command) = (folder.path().join("new"), folder.path().join("cc"));
    let any = folder.path().join("any.neff");
    let script =
        format!("#!/bin/sh\n[ \"$1\" = --version ] && {{ echo one; exit 0; }}\ncp {} $8\n", any.display());
    fs::write(&new, script).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, &command).unwrap();
    let limit = Duration::from_secs(60);
    let compiler = compiled.then(|| Compiler::open(&command, &folder.path().join("cache"), limit).unwrap());
    let target = Target::named("trn2").unwrap();
    let bundle = Bundle { target, options: Options::default(), ranks: 2, buckets: buckets() };
    let steps = std::sync::Mutex::new(vec![]);
    let out = folder.path().join("out");
    let manifest = bundle
        .write(&graph(100), &out, compiler.as_ref(), 2, &|step| steps.lock().unwrap().push(step))
        .unwrap();
    let steps = steps.into_inner().unwrap();
    assert_eq!(steps.contains(&Step::Compiled { done: 3, of: 3 }), compiled);
    assert!(steps.contains(&Step::Written { done: 3, of: 3 }), "{steps:?}");
    (folder, manifest)
}

/// The module of a bucket, as whoever serves writes it.
fn module(bucket: &Bucket) -> Vec<u8> {
    let spec = ProgramSpec { bucket: *bucket, ..ProgramSpec::default() };
    let graph = shard(&graph(100), 2).unwrap();
    emit(&graph, &spec, &[], &Options::default()).unwrap().module.encode()
}

#[test]
fn what_was_packed_is_found_by_its_module() {
    let (folder, manifest) = bundle(true);
    let out = folder.path().join("out");
    let packed = Packed::open(&out).unwrap();
    assert_eq!((packed.target().name, packed.ranks(), packed.options()), ("trn2", 2, Options::default()));
    for (bucket, name) in buckets().iter().zip(["decode-1x16", "decode-4x16", "prefill-32x16"]) {
        assert_eq!(packed.program(&module(bucket)).unwrap(), out.join(format!("{name}.neff")));
    }
    assert!(matches!(packed.program(b"another"), Err(BundleError::NoProgram { .. })));
    // The table is there twice: 50 of 100 rows of 64, and 100 rows of 32 columns, in bf16.
    assert_eq!(manifest["bytes_per_core"]["weights"], 2 * (50 * 64 * 2));
    assert_eq!(manifest["compiler"], "one");
    let inputs =
        manifest["weights"].as_array().unwrap().iter().map(|weight| weight["input"].as_str().unwrap());
    assert_eq!(inputs.collect::<Vec<_>>(), ["table.axis1", "table.axis0"]);
    // What is left in the folder of scripts is no part of it.
    assert!(!out.join("compile.sh").exists());
}

#[test]
fn a_step_runs_in_the_smallest_bucket_that_holds_it() {
    let (folder, _) = bundle(true);
    let packed = Packed::open(&folder.path().join("out")).unwrap();
    let named = |name: &str| bucket_named(name, PAGE_LEN).unwrap();
    for (step, wanted) in [
        (Bucket { tokens: 1, seqs: 1, queries: 1, pages: 2, rows: 1 }, Some(named("decode-1x16"))),
        (Bucket { tokens: 2, seqs: 2, queries: 1, pages: 4, rows: 2 }, Some(named("decode-4x16"))),
        (Bucket { tokens: 7, seqs: 1, queries: 7, pages: 4, rows: 1 }, Some(named("prefill-32x16"))),
        (Bucket { tokens: 1, seqs: 1, queries: 1, pages: 5, rows: 1 }, None),
        (Bucket { tokens: 7, seqs: 2, queries: 0, pages: 4, rows: 2 }, None),
    ] {
        assert_eq!(packed.bucket(&step), wanted, "{step:?}");
    }
}

#[test]
fn another_model_is_refused() {
    let (folder, _) = bundle(true);
    let packed = Packed::open(&folder.path().join("out")).unwrap();
    packed.check(&Graph { name: "renamed".to_owned(), ..shard(&graph(100), 2).unwrap() }).unwrap();
    for other in [shard(&graph(102), 2).unwrap(), shard(&graph(100), 4).unwrap(), graph(100)] {
        let error = packed.check(&other).unwrap_err();
        assert!(matches!(error, BundleError::Model { .. }), "{error}");
    }
}

#[test]
fn programs_that_are_damaged_or_missing_are_refused() {
    let (folder, _) = bundle(true);
    let out = folder.path().join("out");
    let packed = Packed::open(&out).unwrap();
    let path = packed.program(&module(&buckets()[0])).unwrap();
    let good = fs::read(&path).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        let error = packed.program(&module(&buckets()[0])).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    };
    let with = |at: usize, byte: u8| [&good[..at], &[byte], &good[at + 1..]].concat();
    refused(&with(1027, 1), "damaged or replaced");
    refused(&with(552, 1), "logical cores of 1, not 2");
    refused(&good[..1027], "was cut");
    refused(b"", "header");
    fs::remove_file(&path).unwrap();
    assert!(matches!(packed.program(&module(&buckets()[0])), Err(BundleError::Program { .. })));
}

#[test]
fn without_a_compiler_there_is_a_script_that_makes_the_programs() {
    let (folder, manifest) = bundle(false);
    let out = folder.path().join("out");
    let script = fs::read_to_string(out.join("compile.sh")).unwrap();
    assert!(
        script.contains("neuronx-cc compile decode-4x16.hlo.pb --framework XLA --target trn2"),
        "{script}"
    );
    assert_eq!(manifest["programs"][0]["program_sum"], Value::Null);
    let packed = Packed::open(&out).unwrap();
    let error = packed.program(&module(&buckets()[0])).unwrap_err().to_string();
    assert!(error.contains("run compile.sh"), "{error}");
    // As the script would have it.
    fs::copy(folder.path().join("any.neff"), out.join("decode-1x16.neff")).unwrap();
    packed.program(&module(&buckets()[0])).unwrap();
}

#[test]
fn a_manifest_is_not_taken_on_trust() {
    let (folder, manifest) = bundle(true);
    let out = folder.path().join("out");
    let refused = |text: &[u8]| {
        fs::write(out.join("manifest.json"), text).unwrap();
        Packed::open(&out).map(drop)
    };
    let text = manifest.to_string();
    for len in 0..text.len() {
        assert!(refused(&text.as_bytes()[..len]).is_err(), "{len} bytes");
    }
    for (path, value, what) in [
        ("/format", json!(2), "another format"),
        ("/target", json!("h100"), "h100"),
        ("/ranks", json!(0), "`ranks`"),
        ("/ranks", json!(1u64 << 40), "`ranks`"),
        ("/precision", json!("int1"), "int1"),
        ("/pages", json!([1]), "`pages`"),
        ("/pages", json!(vec![2; 65]), "`pages`"),
        ("/programs/0/bucket/tokens", json!(0), "`tokens`"),
        ("/programs/0/bucket/pages", json!(u64::MAX), "`pages`"),
        ("/programs/0/module", json!("../other.pb"), "`module`"),
        ("/programs/0/program", json!("/etc/passwd"), "`program`"),
        ("/programs/0/program", json!(""), "`program`"),
        ("/programs/0/program", json!(".."), "`program`"),
        ("/programs/0/program_sum", json!(7), "`program_sum`"),
        ("/programs", json!({}), "`programs`"),
    ] {
        let mut other = manifest.clone();
        *other.pointer_mut(path).unwrap() = value;
        let error = refused(other.to_string().as_bytes()).unwrap_err();
        let form = matches!(&error, BundleError::Form { reason, .. } if reason.contains(what));
        assert!(form, "{path}: {error}");
    }
    every_value_may_be_anything(&manifest, &manifest, "", &|other| {
        drop(refused(other.to_string().as_bytes()))
    });
    assert!(matches!(Packed::open(Path::new("/nowhere")), Err(BundleError::Manifest { .. })));
}

/// Puts something else in the place of each value in turn.
fn every_value_may_be_anything(whole: &Value, value: &Value, path: &str, try_it: &dyn Fn(&Value)) {
    for other in [json!(null), json!(-1), json!(1e300), json!("x"), json!([]), json!({}), json!([[[]]])] {
        let mut changed = whole.clone();
        *changed.pointer_mut(path).unwrap() = other;
        try_it(&changed);
    }
    let parts: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => list.iter().take(2).enumerate().map(|(n, v)| (n.to_string(), v)).collect(),
        _ => vec![],
    };
    for (key, value) in parts {
        every_value_may_be_anything(whole, value, &format!("{path}/{key}"), try_it);
    }
}
