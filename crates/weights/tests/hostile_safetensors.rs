//! What a safetensors file may do to a reader, one test for each way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{claim, claims, file, mutate, open_safetensors, refused, safetensors, small_safetensors};
use tensor::{Access, DType, SourceError, WeightSource};
use weights::SafeTensors;

#[test]
fn a_small_file_opens() {
    let model = open_safetensors(&small_safetensors()).unwrap();
    let names: Vec<_> =
        model.tensors().map(|t| (t.name.to_owned(), t.stored_as.to_owned(), t.bytes)).collect();
    let expected = [("a", "f32", 8), ("b", "bf16", 12), ("none", "I64", 0), ("odd", "F64", 8)];
    assert_eq!(names, expected.map(|(name, kind, bytes)| (name.to_owned(), kind.to_owned(), bytes)));
    assert_eq!(model.find("b").unwrap().dtype, DType::BF16);
    assert_eq!(model.read("b").unwrap(), (8..20).collect::<Vec<u8>>());
}

#[test]
fn every_changed_byte_and_every_truncation_is_survived() {
    mutate(&small_safetensors(), weights::entry::safetensors);
}

#[test]
fn every_truncation_is_refused() {
    let bytes = small_safetensors();
    for len in 0..bytes.len() {
        assert!(open_safetensors(&bytes[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn header_longer_than_the_format_allows() {
    let mut bytes = small_safetensors();
    bytes[..8].copy_from_slice(&100_000_001u64.to_le_bytes());
    refused(open_safetensors(&bytes), &["offset 0", "100000001 bytes"]);
    bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    refused(open_safetensors(&bytes), &["header of 18446744073709551615 bytes"]);
}

#[test]
fn header_longer_than_the_file() {
    let mut bytes = small_safetensors();
    bytes[..8].copy_from_slice(&10_000u64.to_le_bytes());
    refused(open_safetensors(&bytes), &["only", "follow"]);
}

#[test]
fn header_that_is_no_object() {
    refused(open_safetensors(&safetensors("[1, 2]     ", &[])), &["offset 8", "`{`"]);
    refused(open_safetensors(&safetensors(" {}", &[])), &["`{`"]);
    refused(open_safetensors(&safetensors("{} {}", &[])), &["JSON", "trailing"]);
    refused(open_safetensors(&safetensors("{\"a", &[])), &["JSON"]);
    refused(open_safetensors(&safetensors(&format!("{{\"a\":{}", "[".repeat(100_000)), &[])), &["JSON"]);
}

#[test]
fn header_of_deep_nesting() {
    for open in ["[", "{\"a\":"] {
        let deep = format!("{{\"__metadata__\":{{\"x\":{}", open.repeat(200_000));
        refused(open_safetensors(&safetensors(&deep, &[])), &["JSON"]);
        let deep = format!("{{\"t\":{{\"dtype\":\"F32\",\"unknown\":{}", open.repeat(200_000));
        refused(open_safetensors(&safetensors(&deep, &[])), &["JSON"]);
    }
}

#[test]
fn duplicate_names_and_fields() {
    let twice = [claim("a", "U8", "[1]", 0, 1), claim("a", "U8", "[1]", 1, 2)];
    refused(open_safetensors(&claims(&twice, &[0; 2])), &["`a` appears twice"]);
    let fields = r#"{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    refused(open_safetensors(&safetensors(fields, &[0])), &["`a`", "dtype twice"]);
    let notes = r#"{"__metadata__":{"a":"b","a":"c"}}"#;
    refused(open_safetensors(&safetensors(notes, &[])), &["key twice"]);
    refused(open_safetensors(&safetensors(r#"{"__metadata__":{},"__metadata__":{}}"#, &[])), &["twice"]);
}

#[test]
fn offsets_reversed() {
    refused(open_safetensors(&claims(&[claim("a", "U8", "[1]", 2, 1)], &[0; 2])), &["`a`", "ends before"]);
}

#[test]
fn offsets_overlapping() {
    let entries = [claim("a", "U8", "[4]", 0, 4), claim("b", "U8", "[4]", 2, 6)];
    refused(open_safetensors(&claims(&entries, &[0; 6])), &["`b`", "overlaps"]);
    let same = [claim("a", "U8", "[4]", 0, 4), claim("b", "U8", "[4]", 0, 4)];
    refused(open_safetensors(&claims(&same, &[0; 4])), &["`b`", "overlaps"]);
}

#[test]
fn offsets_past_the_end() {
    let entry = [claim("a", "U8", "[8]", 0, 8)];
    refused(open_safetensors(&claims(&entry, &[0; 7])), &["`a`", "past the end", "offset"]);
}

#[test]
fn offsets_that_overflow() {
    let most = u64::MAX;
    let entries = [claim("a", "U8", &format!("[{most}]"), 0, most)];
    refused(open_safetensors(&claims(&entries, &[0; 4])), &["`a`", "past the end"]);
    let entries = [claim("a", "U8", "[1]", most - 1, most)];
    refused(open_safetensors(&claims(&entries, &[0; 4])), &["`a`", "past the end"]);
    let beyond = claim("a", "U8", "[1]", 0, 1).replace("0,1]", "0,18446744073709551616]");
    refused(open_safetensors(&claims(&[beyond], &[0; 4])), &["JSON"]);
    let negative = claim("a", "U8", "[1]", 0, 1).replace("0,1]", "-1,0]");
    refused(open_safetensors(&claims(&[negative], &[0; 4])), &["JSON"]);
}

#[test]
fn offsets_with_a_gap() {
    let entries = [claim("a", "U8", "[2]", 0, 2), claim("b", "U8", "[2]", 3, 5)];
    refused(open_safetensors(&claims(&entries, &[0; 5])), &["`b`", "gap"]);
    refused(open_safetensors(&claims(&[claim("a", "U8", "[1]", 1, 2)], &[0; 2])), &["`a`", "gap"]);
}

#[test]
fn trailing_bytes_of_a_polyglot() {
    let mut bytes = small_safetensors();
    bytes.extend(b"PK\x05\x06");
    refused(open_safetensors(&bytes), &["4 bytes belong to no tensor"]);
}

#[test]
fn type_and_shape_that_do_not_match() {
    refused(open_safetensors(&claims(&[claim("a", "F32", "[2]", 0, 4)], &[0; 4])), &["`a`", "F32", "[2]"]);
    refused(open_safetensors(&claims(&[claim("a", "F4", "[3]", 0, 2)], &[0; 2])), &["`a`", "F4"]);
    refused(open_safetensors(&claims(&[claim("a", "F64", "[1]", 0, 4)], &[0; 4])), &["`a`", "F64"]);
}

#[test]
fn product_of_axes_that_overflows() {
    let half = 1u64 << 32;
    let shape = format!("[{half},{half}]");
    refused(open_safetensors(&claims(&[claim("a", "U8", &shape, 0, 0)], &[])), &["`a`", "overflows"]);
    let wraps = format!("[{},4]", 1u64 << 62);
    refused(open_safetensors(&claims(&[claim("a", "U8", &wraps, 0, 0)], &[])), &["`a`", "overflows"]);
    let bits = format!("[{}]", 1u64 << 60);
    refused(open_safetensors(&claims(&[claim("a", "F32", &bits, 0, 0)], &[])), &["`a`", "overflows"]);
}

#[test]
fn an_axis_of_zero_does_not_excuse_the_others() {
    for shape in ["[0,4294967296,4294967296]", "[4294967296,4294967296,0]", "[0,9223372036854775808]"] {
        refused(open_safetensors(&claims(&[claim("a", "F32", shape, 0, 0)], &[])), &["`a`", "overflows"]);
    }
}

#[test]
fn too_many_axes() {
    let entries = [claim("a", "U8", "[1,1,1,1,1,1,1]", 0, 1)];
    refused(open_safetensors(&claims(&entries, &[0])), &["at most 6"]);
}

#[test]
fn names_too_long() {
    let entries = [claim(&"x".repeat(1025), "U8", "[1]", 0, 1)];
    refused(open_safetensors(&claims(&entries, &[0])), &["1025 bytes"]);
}

#[test]
fn names_with_control_characters_are_shown_escaped() {
    let entries = [claim("\\u001b[31m", "U8", "[1]", 0, 2)];
    refused(open_safetensors(&claims(&entries, &[0; 2])), &["\\u{1b}"]);
}

#[test]
fn fields_missing_or_unknown() {
    refused(open_safetensors(&safetensors(r#"{"a":{"dtype":"U8"}}"#, &[])), &["`a` lacks"]);
    let more = claim("a", "U8", "[1]", 0, 1).replace("{\"dtype", "{\"run\":\"me\",\"dtype");
    refused(open_safetensors(&claims(&[more], &[0])), &["`a`", "unknown field"]);
}

#[test]
fn types_unknown_are_an_error_only_for_who_asks() {
    let entries = [claim("new", "F2_E1M0", "[7]", 0, 2), claim("a", "U8", "[1]", 2, 3)];
    let model = open_safetensors(&claims(&entries, &[0; 3])).unwrap();
    assert!(model.find("new").is_none());
    let error = model.read_rows("new", 0, &mut [0; 2]).unwrap_err().to_string();
    assert!(error.contains("`new`") && error.contains("F2_E1M0"), "{error}");
    assert_eq!(model.read("a").unwrap(), [0]);
}

#[test]
fn pickle_zip_and_others_by_their_magic() {
    let pt = file(b"PK\x03\x04\x14\x00\x00\x00archive/data.pkl");
    refused(SafeTensors::open(pt.path(), Access::Read), &["zip archive", "convert it to safetensors"]);
    refused(
        open_safetensors(b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x01u."),
        &["pickle", "convert it to safetensors"],
    );
    refused(open_safetensors(b"GGUF\x03\x00\x00\x00\x00\x00\x00\x00"), &["GGUF"]);
    refused(open_safetensors(b"version https://git-lfs.github.com/spec/v1\n"), &["git lfs pull"]);
    refused(open_safetensors(b"<!DOCTYPE html><html>"), &["web page"]);
    refused(open_safetensors(b"\x89HDF\r\n\x1a\n........"), &["HDF5"]);
    refused(open_safetensors(b""), &["0 bytes"]);
}

#[test]
fn a_header_whose_length_looks_like_a_pickle_opens() {
    let entry = claim("a", "U8", "[1]", 0, 1);
    let padding = " ".repeat(0x280 - entry.len() - 2);
    let bytes = safetensors(&format!("{{{entry}}}{padding}"), &[0]);
    assert_eq!(bytes[..2], [0x80, 0x02]);
    assert!(open_safetensors(&bytes).is_ok());
}

#[test]
fn sparse_file_claiming_terabytes() {
    let (rows, bytes) = (1u64 << 30, 1u64 << 42);
    let head = claims(&[claim("a", "F32", &format!("[{rows},1024]"), 0, bytes)], &[]);
    let disk = file(&head);
    refused(SafeTensors::open(disk.path(), Access::Read), &["`a`", "past the end"]);
    disk.as_file().set_len(head.len() as u64 + bytes).unwrap();
    // What is claimed is now there, as holes. Any row of it can be read; nothing else is.
    let model = SafeTensors::open(disk.path(), Access::Read).unwrap();
    let mut row = [1; 4096];
    model.read_rows("a", rows as usize - 1, &mut row).unwrap();
    assert_eq!(row, [0; 4096]);

    let hole = file(&90_000_000u64.to_le_bytes());
    hole.as_file().set_len(1 << 40).unwrap();
    refused(SafeTensors::open(hole.path(), Access::Read), &["`{`"]);
}

#[test]
fn truncated_after_it_was_opened() {
    let disk = file(&claims(&[claim("a", "U8", "[2,4096]", 0, 8192)], &[7; 8192]));
    let model = SafeTensors::open(disk.path(), Access::Read).unwrap();
    disk.as_file().set_len(4096).unwrap();
    let error = model.read_rows("a", 1, &mut [0; 4096]).unwrap_err();
    assert!(matches!(error, SourceError::Read { .. }));
    assert!(error.to_string().contains("`a`") && error.to_string().contains("truncated"), "{error}");
}

#[test]
fn devices_pipes_and_missing_files() {
    refused(SafeTensors::open("/dev/zero".as_ref(), Access::Read), &["not a regular file"]);
    refused(
        SafeTensors::open("/nonexistent/model.safetensors".as_ref(), Access::Read),
        &["could not be opened"],
    );
}
