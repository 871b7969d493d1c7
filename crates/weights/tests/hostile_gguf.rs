//! What a GGUF file may do to a reader, one test for each way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::os::unix::fs::FileExt;

use common::{array, file, gguf, gguf_head, mutate, open_gguf, pair, refused, small_gguf, string, tensor};
use tensor::{Access, DType, SourceError, WeightSource};
use weights::Gguf;

/// A file with one tensor and 256 bytes of data.
fn one(tensor: Vec<u8>) -> Vec<u8> {
    gguf(&[], &[tensor], &[0; 256])
}

/// A file with one pair.
fn with(pair: Vec<u8>) -> Vec<u8> {
    gguf(&[pair], &[], &[])
}

#[test]
fn a_small_file_opens() {
    let model = open_gguf(&small_gguf()).unwrap();
    assert_eq!(model.metadata().str("general.architecture"), Ok("llama"));
    assert_eq!(model.metadata().strs("tokens").unwrap().collect::<Vec<_>>(), ["<s>", "", "é"]);
    assert_eq!(*model.find("a").unwrap().shape, [2, 4]);
    assert_eq!(model.find("b").unwrap().dtype, DType::Q8_0);
    assert_eq!(model.read("b").unwrap(), (32..66).collect::<Vec<u8>>());
}

#[test]
fn every_changed_byte_and_every_truncation_is_survived() {
    mutate(&small_gguf(), weights::entry::gguf);
}

#[test]
fn every_truncation_is_refused() {
    let bytes = small_gguf();
    for len in 0..bytes.len() {
        assert!(open_gguf(&bytes[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn magic_of_something_else() {
    refused(open_gguf(b"PK\x03\x04\x14\x00\x00\x00archive/data.pkl"), &["zip archive", "convert it"]);
    refused(open_gguf(b"\x80\x02}q\x00."), &["pickle"]);
    refused(open_gguf(&common::small_safetensors()), &["safetensors"]);
    refused(open_gguf(b"ggml...."), &["offset 0", "GGUF"]);
    refused(open_gguf(b"GG"), &["offset 0"]);
    refused(open_gguf(b""), &["offset 0"]);
}

#[test]
fn versions_and_byte_order() {
    refused(open_gguf(&gguf_head(1, 0, 0)), &["version 1"]);
    refused(open_gguf(&gguf_head(4, 0, 0)), &["version 4"]);
    refused(open_gguf(&gguf_head(3u32.swap_bytes(), 0, 0)), &["big-endian"]);
    let mut second = small_gguf();
    second[4] = 2;
    assert!(open_gguf(&second).is_ok());
}

#[test]
fn counts_beyond_the_file() {
    refused(open_gguf(&gguf_head(3, 1 << 60, 0)), &["1152921504606846976 tensors", "offset 8"]);
    refused(open_gguf(&gguf_head(3, 0, 1 << 60)), &["1152921504606846976 key-value pairs", "offset 16"]);
    refused(open_gguf(&gguf_head(3, u64::MAX, u64::MAX)), &["tensors"]);
    refused(open_gguf(&gguf_head(3, 1000, 0)), &["1000 tensors", "do not fit"]);
    refused(open_gguf(&gguf_head(3, 0, 1000)), &["1000 key-value pairs", "do not fit"]);
}

#[test]
fn string_lengths_beyond_the_file() {
    for len in [1000, u64::from(u32::MAX), i64::MAX as u64, u64::MAX] {
        let mut bytes = string("k");
        bytes[..8].copy_from_slice(&len.to_le_bytes());
        bytes.resize(40, 0);
        refused(open_gguf(&gguf(&[bytes.clone()], &[], &[])), &["the key of pair 0", &len.to_string()]);
        refused(open_gguf(&gguf(&[], &[bytes], &[])), &["the name of tensor 0", &len.to_string()]);
        refused(open_gguf(&with(pair("k", 8, &len.to_le_bytes()))), &["key `k`", &len.to_string()]);
        let item = array(8, 1, &len.to_le_bytes());
        refused(open_gguf(&with(pair("k", 9, &item))), &["key `k`", &len.to_string()]);
    }
}

#[test]
fn array_counts_beyond_the_file() {
    for kind in [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12] {
        for count in [100, 1 << 32, 1 << 60, u64::MAX / 8 + 2, u64::MAX] {
            let bytes = with(pair("k", 9, &array(kind, count, &[0; 8])));
            refused(open_gguf(&bytes), &["key `k`", &format!("array of {count}")]);
        }
    }
}

#[test]
fn arrays_within_arrays() {
    let mut nested = array(8, 0, &[]);
    for _ in 0..10_000 {
        nested = array(9, 1, &nested);
    }
    refused(open_gguf(&with(pair("k", 9, &nested))), &["key `k`", "array of arrays"]);
}

#[test]
fn value_types_unknown() {
    for kind in [13, 255, u32::MAX] {
        refused(open_gguf(&with(pair("k", kind, &[0; 16]))), &["key `k`", &kind.to_string()]);
        refused(open_gguf(&with(pair("k", 9, &array(kind, 1, &[0; 16])))), &["key `k`", &kind.to_string()]);
    }
}

#[test]
fn bools_neither_true_nor_false() {
    refused(open_gguf(&with(pair("k", 7, &[2]))), &["key `k`", "bool"]);
    refused(open_gguf(&with(pair("k", 9, &array(7, 3, &[0, 1, 7])))), &["key `k`", "bool"]);
}

#[test]
fn text_that_is_not_utf8() {
    let mut bad = string("ab");
    bad[8] = 0xff;
    refused(open_gguf(&with(pair("k", 8, &bad))), &["key `k`", "UTF-8"]);
    refused(open_gguf(&with(pair("k", 9, &array(8, 1, &bad)))), &["key `k`", "string 0", "UTF-8"]);
    // A character may not be put together from two strings.
    let halves = [[1, 0, 0, 0, 0, 0, 0, 0, 0xc3], [1, 0, 0, 0, 0, 0, 0, 0, 0xa9]].concat();
    refused(open_gguf(&with(pair("k", 9, &array(8, 2, &halves)))), &["string 0", "UTF-8"]);
}

#[test]
fn keys_and_tensors_twice() {
    let pairs = [pair("k", 4, &[0; 4]), pair("k", 4, &[0; 4])];
    refused(open_gguf(&gguf(&pairs, &[], &[])), &["key `k`", "twice"]);
    let tensors = [tensor("a", &[8], 0, 0), tensor("a", &[8], 0, 32)];
    refused(open_gguf(&gguf(&[], &tensors, &[0; 64])), &["tensor `a`", "twice"]);
}

#[test]
fn alignment_zero_odd_absurd_or_of_another_type() {
    for alignment in [0u32, 3, 33, 1 << 21, u32::MAX] {
        let bytes = with(pair("general.alignment", 4, &alignment.to_le_bytes()));
        refused(open_gguf(&bytes), &["general.alignment", &alignment.to_string()]);
    }
    refused(open_gguf(&with(pair("general.alignment", 8, &string("32")))), &["general.alignment", "string"]);
    refused(open_gguf(&with(pair("general.alignment", 11, &i64::MIN.to_le_bytes()))), &["general.alignment"]);
}

#[test]
fn axes_beyond_the_format() {
    for axes in [5u32, 100, u32::MAX] {
        let mut bytes = string("a");
        bytes.extend(axes.to_le_bytes());
        bytes.resize(200, 0);
        refused(open_gguf(&one(bytes)), &["tensor `a`", &format!("{axes} axes")]);
    }
}

#[test]
fn product_of_axes_that_overflows() {
    for dims in [
        &[1 << 32, 1 << 32][..],
        &[1 << 31, 1 << 31, 4],
        &[1 << 62, 2],
        &[u64::MAX, u64::MAX],
        &[32, u64::MAX, u64::MAX, 2],
    ] {
        refused(open_gguf(&one(tensor("a", dims, 0, 0))), &["tensor `a`", "overflows"]);
    }
    // The elements fit, their bytes do not.
    refused(open_gguf(&one(tensor("a", &[1 << 62], 0, 0))), &["tensor `a`", "overflows"]);
}

#[test]
fn an_axis_of_zero_does_not_excuse_the_others() {
    for dims in [&[0, 1 << 32, 1 << 32][..], &[1 << 32, 1 << 32, 0], &[1 << 63, 0]] {
        refused(open_gguf(&one(tensor("a", dims, 0, 0))), &["tensor `a`", "overflows"]);
    }
}

#[test]
fn tensor_types_unknown_or_removed() {
    for kind in [4, 5, 31, 33, 38, 1000, u32::MAX] {
        refused(open_gguf(&one(tensor("a", &[32], kind, 0))), &["tensor `a`", &format!("number {kind}")]);
    }
}

#[test]
fn tensor_types_known_but_not_computed_with_are_an_error_only_for_who_asks() {
    let model = open_gguf(&one(tensor("a", &[256], 16, 0))).unwrap();
    assert!(model.find("a").is_none());
    let error = model.read_rows("a", 0, &mut [0; 66]).unwrap_err().to_string();
    assert!(error.contains("`a`") && error.contains("iq2_xxs"), "{error}");
}

#[test]
fn rows_that_are_no_whole_blocks() {
    refused(open_gguf(&one(tensor("a", &[33], 2, 0))), &["tensor `a`", "33 values"]);
    refused(open_gguf(&one(tensor("a", &[16, 2], 8, 0))), &["tensor `a`", "16 values"]);
    refused(open_gguf(&one(tensor("a", &[128, 2], 12, 0))), &["tensor `a`", "256"]);
    refused(open_gguf(&one(tensor("a", &[], 12, 0))), &["tensor `a`"]);
}

#[test]
fn offsets_not_aligned() {
    refused(open_gguf(&one(tensor("a", &[4], 0, 8))), &["tensor `a`", "no multiple of 32"]);
}

#[test]
fn offsets_that_overflow() {
    for offset in [u64::MAX - 31, 1 << 63, (1 << 63) - 32] {
        refused(open_gguf(&one(tensor("a", &[16], 0, offset))), &["tensor `a`"]);
    }
}

#[test]
fn tensors_overlapping() {
    let tensors = [tensor("a", &[16], 0, 0), tensor("b", &[8], 0, 32)];
    refused(open_gguf(&gguf(&[], &tensors, &[0; 64])), &["tensor `b`", "overlaps"]);
    let same = [tensor("a", &[8], 0, 0), tensor("b", &[8], 0, 0)];
    refused(open_gguf(&gguf(&[], &same, &[0; 64])), &["tensor `b`", "overlaps"]);
}

#[test]
fn tensor_larger_than_the_file() {
    refused(open_gguf(&one(tensor("a", &[65], 0, 0))), &["tensor `a`", "past the end", "offset"]);
    refused(open_gguf(&one(tensor("a", &[1 << 40], 0, 0))), &["tensor `a`", "past the end"]);
    refused(open_gguf(&one(tensor("a", &[8], 0, 1 << 20))), &["tensor `a`", "past the end"]);
    // Each fits; together they do not.
    let tensors = [tensor("a", &[8], 0, 0), tensor("b", &[8], 0, 32), tensor("c", &[8], 0, 64)];
    refused(open_gguf(&gguf(&[], &tensors, &[0; 95])), &["tensor `c`", "past the end"]);
}

#[test]
fn names_too_long() {
    refused(open_gguf(&one(tensor(&"x".repeat(1025), &[4], 0, 0))), &["the name of tensor 0", "1025"]);
    refused(open_gguf(&with(pair(&"x".repeat(65_536), 4, &[0; 4]))), &["the key of pair 0", "65536"]);
}

#[test]
fn numbers_that_do_not_fit_are_no_panic() {
    // A count of layers, a token's number: what the file says is checked where it is narrowed.
    let bytes = gguf(
        &[
            pair("huge", 10, &u64::MAX.to_le_bytes()),
            pair("below", 11, &(-1i64).to_le_bytes()),
            pair("many", 9, &array(11, 2, &[0xff; 16])),
        ],
        &[],
        &[],
    );
    let model = open_gguf(&bytes).unwrap();
    assert!(model.metadata().u32("huge").unwrap_err().to_string().contains("18446744073709551615"));
    assert!(model.metadata().u32("below").unwrap_err().to_string().contains("`below`"));
    assert!(model.metadata().u32s("many").is_err());
    assert_eq!(model.metadata().i32s("many"), Ok(vec![-1, -1]));
}

#[test]
fn more_metadata_than_any_model_has() {
    let mut bytes = gguf_head(3, 0, 2);
    bytes.extend(pair("big", 9, &array(0, 120 << 20, &[])));
    let big = bytes.len() as u64 + (120 << 20);
    let disk = file(&bytes);
    disk.as_file().write_all_at(&pair("more", 9, &array(0, 20 << 20, &[])), big).unwrap();
    disk.as_file().set_len(big + (30 << 20)).unwrap();
    refused(Gguf::open(disk.path(), Access::Read), &["key `more`", "left for it"]);
}

#[test]
fn sparse_file_claiming_terabytes() {
    let head = gguf(&[], &[tensor("a", &[1024, 1 << 30], 0, 0)], &[]);
    let disk = file(&head);
    refused(Gguf::open(disk.path(), Access::Read), &["tensor `a`", "past the end"]);
    disk.as_file().set_len(head.len() as u64 + (1 << 42)).unwrap();
    let model = Gguf::open(disk.path(), Access::Read).unwrap();
    let mut row = [1; 4096];
    model.read_rows("a", (1 << 30) - 1, &mut row).unwrap();
    assert_eq!(row, [0; 4096]);
}

#[test]
fn truncated_after_it_was_opened() {
    let disk = file(&gguf(&[], &[tensor("a", &[1024, 2], 0, 0)], &[0; 8192]));
    let model = Gguf::open(disk.path(), Access::Read).unwrap();
    disk.as_file().set_len(1000).unwrap();
    let error = model.read_rows("a", 1, &mut [0; 4096]).unwrap_err();
    assert!(matches!(error, SourceError::Read { .. }));
    assert!(error.to_string().contains("truncated"), "{error}");
}

#[test]
fn devices_and_missing_files() {
    refused(Gguf::open("/dev/zero".as_ref(), Access::Read), &["not a regular file"]);
    refused(Gguf::open("/nonexistent/model.gguf".as_ref(), Access::Read), &["could not be opened"]);
}
