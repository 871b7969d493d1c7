//! GGUF models split over several files.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{gguf, pair, refused, tensor, write};
use tempfile::TempDir;
use tensor::{Access, WeightSource};
use weights::{FileError, Gguf};

/// Part `no` of `count` with one tensor; the first part says how many tensors there are.
fn part(no: u16, count: u16, total: u32, name: &str, byte: u8) -> Vec<u8> {
    let pairs = [
        pair("split.no", 2, &no.to_le_bytes()),
        pair("split.count", 2, &count.to_le_bytes()),
        pair("split.tensors.count", 5, &total.to_le_bytes()),
    ];
    gguf(&pairs, &[tensor(name, &[4], 24, 0)], &[byte; 4])
}

fn file(no: u16, count: u16) -> String {
    format!("m-{:05}-of-{count:05}.gguf", no + 1)
}

fn folder(parts: &[Vec<u8>]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (no, bytes) in (0..).zip(parts) {
        write(folder.path(), &file(no, parts.len() as u16), bytes);
    }
    folder
}

fn open(folder: &TempDir, name: &str) -> Result<Gguf, FileError> {
    Gguf::open(&folder.path().join(name), Access::Read)
}

fn three(total: u32) -> [Vec<u8>; 3] {
    [part(0, 3, total, "a", 1), part(1, 3, total, "b", 2), part(2, 3, total, "c", 3)]
}

#[test]
fn parts_open_as_one_by_the_first() {
    let folder = folder(&three(3));
    let model = open(&folder, &file(0, 3)).unwrap();
    assert_eq!(model.tensors().map(|t| t.name.to_owned()).collect::<Vec<_>>(), ["a", "b", "c"]);
    refused(open(&folder, &file(1, 3)), &["part 2 of 3", "-00001-of-00003.gguf"]);
}

#[test]
fn each_tensor_is_read_from_its_own_part() {
    let data = |name: &str, value: f32| {
        let pairs = [
            pair("split.no", 2, &u16::from(name == "b").to_le_bytes()),
            pair("split.count", 2, &2u16.to_le_bytes()),
        ];
        gguf(&pairs, &[tensor(name, &[2], 0, 0)], &[value.to_le_bytes(), value.to_le_bytes()].concat())
    };
    let folder = folder(&[data("a", 1.0), data("b", 2.0)]);
    let model = open(&folder, &file(0, 2)).unwrap();
    assert_eq!(model.read("a").unwrap(), [1f32.to_le_bytes(); 2].concat());
    assert_eq!(model.read("b").unwrap(), [2f32.to_le_bytes(); 2].concat());
}

#[test]
fn a_missing_part_is_named() {
    let folder = folder(&three(3));
    std::fs::remove_file(folder.path().join(file(2, 3))).unwrap();
    refused(open(&folder, &file(0, 3)), &["m-00003-of-00003.gguf", "could not be opened"]);
}

#[test]
fn parts_that_do_not_belong_together() {
    let [a, b, c] = three(3);
    refused(open(&folder(&[a.clone(), c, b]), &file(0, 3)), &["m-00002-of-00003.gguf", "part 3 of 3"]);
    let other = part(1, 2, 3, "b", 2);
    refused(open(&folder(&[a.clone(), other, part(2, 3, 3, "c", 3)]), &file(0, 3)), &["part 2 of 2"]);
    let plain = gguf(&[], &[], &[]);
    refused(
        open(&folder(&[a, plain.clone(), plain]), &file(0, 3)),
        &["m-00002-of-00003.gguf", "split.count"],
    );
}

#[test]
fn tensors_twice_or_not_as_many_as_promised() {
    refused(open(&folder(&three(4)), &file(0, 3)), &["4 tensors", "hold 3"]);
    let [a, b, _] = three(3);
    refused(open(&folder(&[a, b, part(2, 3, 3, "a", 3)]), &file(0, 3)), &["`a` appears twice"]);
}

#[test]
fn a_first_part_under_another_name() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "renamed.gguf", &part(0, 3, 3, "a", 1));
    refused(open(&folder, "renamed.gguf"), &["-00001-of-00003.gguf"]);
    write(folder.path(), "m-00001-of-65535.gguf", &part(0, 65535, 3, "a", 1));
    refused(open(&folder, "m-00001-of-65535.gguf"), &["65535 parts"]);
}
