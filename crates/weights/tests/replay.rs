//! The fuzzers' seeds and whatever they found, run again through the functions that the fuzzers call.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::PathBuf;

use common::{array, claim, claims, gguf_head, pair, string, tensor};

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(name)
}

/// Runs every file of `fuzz/seeds/NAME` through `open`, and returns how many there were.
fn replay(name: &str, open: fn(&'static [u8])) -> usize {
    let files = std::fs::read_dir(folder(name)).unwrap().map(|item| item.unwrap().path());
    files.map(|path| open(Box::leak(std::fs::read(path).unwrap().into_boxed_slice()))).count()
}

#[test]
fn safetensors() {
    assert!(replay("safetensors", weights::entry::safetensors) >= 8);
}

#[test]
fn gguf() {
    assert!(replay("gguf", weights::entry::gguf) >= 8);
}

#[test]
fn the_seeds_made_here_are_the_ones_committed() {
    for (name, seeds) in [("safetensors", safetensors_seeds()), ("gguf", gguf_seeds())] {
        for (file, bytes) in seeds {
            let committed = std::fs::read(folder(name).join(file)).unwrap();
            assert_eq!(committed, bytes, "{name}/{file}: write the seeds again as `write_the_seeds` says");
        }
    }
}

/// `cargo test --release -p polysilicon-weights --test replay -- --ignored` writes the seeds.
#[test]
#[ignore = "writes the files that the other tests read"]
fn write_the_seeds() {
    for (name, seeds) in [("safetensors", safetensors_seeds()), ("gguf", gguf_seeds())] {
        seeds.into_iter().for_each(|(file, bytes)| common::write(&folder(name), file, &bytes));
    }
}

fn safetensors_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let two = |a: [u64; 2], b: [u64; 2]| {
        claims(&[claim("a", "U8", "[4]", a[0], a[1]), claim("b", "BF16", "[1,2]", b[0], b[1])], &[0; 8])
    };
    let scaled = |shape: &str, dtype: &str, scales: &str, bytes: u64| {
        let entries =
            [claim("w", "F8_E4M3", shape, 0, 256), claim("w_scale", dtype, scales, 256, 256 + bytes)];
        claims(&entries, &vec![0x3f; 256 + bytes as usize])
    };
    vec![
        ("small", common::small_safetensors()),
        ("empty", common::safetensors("{}", &[])),
        ("two", two([0, 4], [4, 8])),
        ("swapped", two([4, 8], [0, 4])),
        ("overlap", two([0, 4], [2, 6])),
        ("gap", two([0, 4], [5, 9])),
        ("reversed", two([4, 0], [4, 8])),
        ("huge", claims(&[claim("a", "F32", "[4294967296,4294967296]", 0, u64::MAX)], &[])),
        ("zero_axis", claims(&[claim("a", "F32", "[4,4611686018427387904,0]", 0, 0)], &[])),
        ("odd_types", claims(&[claim("a", "F4", "[2]", 0, 1), claim("b", "NEW", "[9]", 1, 2)], &[0; 2])),
        ("scaled", scaled("[2,128]", "F32", "[1,1]", 4)),
        ("scaled_odd", scaled("[4,64]", "BF16", "[4,1]", 8)),
        ("scaled_wrong", scaled("[256]", "F32", "[3,1]", 12)),
        ("escapes", common::safetensors(r#"{"__metadata__":{"\u00e9\n":"\ud83d\ude00"} }   "#, &[])),
        ("zip", b"PK\x03\x04\x14\x00\x00\x00archive/data.pkl".to_vec()),
        ("pickle", b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x01u.".to_vec()),
    ]
}

fn gguf_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let gguf = common::gguf;
    let kinds = (0..13).filter(|kind| ![8, 9].contains(kind));
    let scalars: Vec<_> =
        kinds.clone().map(|kind| pair(&format!("k{kind}"), kind, &[1; 8][..width(kind)])).collect();
    let arrays: Vec<_> = kinds
        .map(|kind| pair(&format!("k{kind}"), 9, &array(kind, 2, &[1; 16][..2 * width(kind)])))
        .collect();
    let types = [0, 1, 2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 16, 20, 23, 26, 30, 34, 39];
    let tensors: Vec<_> =
        (0..).zip(types).map(|(i, kind)| tensor(&format!("t{kind}"), &[256], kind, 1024 * i)).collect();
    vec![
        ("small", common::small_gguf()),
        ("empty", gguf_head(2, 0, 0)),
        ("big_endian", gguf_head(3u32.swap_bytes(), 0, 0)),
        ("counts", gguf_head(3, 1 << 60, 1 << 60)),
        ("scalars", gguf(&scalars, &[], &[])),
        ("arrays", gguf(&arrays, &[], &[])),
        (
            "strings",
            gguf(
                &[pair("k", 9, &array(8, 3, &[string("a"), string(""), string("\u{e9}")].concat()))],
                &[],
                &[],
            ),
        ),
        ("nested", gguf(&[pair("k", 9, &array(9, 1, &array(4, 1, &[0; 4])))], &[], &[])),
        (
            "alignment",
            gguf(&[pair("general.alignment", 4, &64u32.to_le_bytes())], &[tensor("a", &[1], 0, 0)], &[0; 64]),
        ),
        ("alignment_zero", gguf(&[pair("general.alignment", 4, &[0; 4])], &[], &[])),
        ("types", gguf(&[], &tensors, &vec![0; 1024 * types.len()])),
        ("overlap", gguf(&[], &[tensor("a", &[16], 0, 0), tensor("b", &[8], 0, 32)], &[0; 64])),
        ("axes", gguf(&[], &[tensor("a", &[2, 2, 2, 2], 0, 0), tensor("b", &[], 24, 64)], &[0; 96])),
        ("product", gguf(&[], &[tensor("a", &[1 << 32, 1 << 32], 0, 0)], &[])),
        ("zero_axis", gguf(&[], &[tensor("a", &[0, 1 << 62, 4], 0, 0)], &[])),
        ("split", gguf(&[pair("split.no", 2, &[0; 2]), pair("split.count", 2, &[3, 0])], &[], &[])),
    ]
}

/// Bytes of a value of a fixed type.
fn width(kind: u32) -> usize {
    [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8][kind as usize]
}
