//! Small builders of files, valid and not, byte by byte.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use tempfile::NamedTempFile;
use tensor::{Access, DType, Shape, SourceError, WeightInfo, WeightSource};
use weights::{FileError, Gguf, SafeTensors};

/// A file with these bytes.
pub fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

pub fn open_safetensors(bytes: &[u8]) -> Result<SafeTensors, FileError> {
    SafeTensors::open(file(bytes).path(), Access::Read)
}

pub fn open_gguf(bytes: &[u8]) -> Result<Gguf, FileError> {
    Gguf::open(file(bytes).path(), Access::Read)
}

/// Asserts that opening failed with a sentence that has all these parts.
#[track_caller]
pub fn refused<T>(result: Result<T, FileError>, parts: &[&str]) {
    let Err(error) = result else { panic!("a hostile file was opened") };
    let sentence = error.to_string();
    for part in parts {
        assert!(sentence.contains(part), "`{sentence}` does not say `{part}`");
    }
}

/// A safetensors file of this header and data.
pub fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// One entry of a safetensors header.
pub fn claim(name: &str, dtype: &str, shape: &str, begin: u64, end: u64) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
}

/// A safetensors file with these entries.
pub fn claims(entries: &[String], data: &[u8]) -> Vec<u8> {
    safetensors(&format!("{{{}}}", entries.join(",")), data)
}

pub fn write(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(name), bytes).unwrap();
}

/// A GGUF string.
pub fn string(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// A GGUF key-value pair of a type number and the value's bytes.
pub fn pair(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = string(key);
    bytes.extend(kind.to_le_bytes());
    bytes.extend(value);
    bytes
}

/// The value of a GGUF array: its type number, the count it claims, and bytes.
pub fn array(kind: u32, count: u64, items: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend(count.to_le_bytes());
    bytes.extend(items);
    bytes
}

/// A GGUF directory entry; innermost axis first.
pub fn tensor(name: &str, dims: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut bytes = string(name);
    bytes.extend((dims.len() as u32).to_le_bytes());
    dims.iter().for_each(|dim| bytes.extend(dim.to_le_bytes()));
    bytes.extend(kind.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}

/// A GGUF file, its data on multiples of 32.
pub fn gguf(pairs: &[Vec<u8>], tensors: &[Vec<u8>], data: &[u8]) -> Vec<u8> {
    let mut bytes = gguf_head(3, tensors.len() as u64, pairs.len() as u64);
    pairs.iter().chain(tensors).for_each(|part| bytes.extend(part));
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    bytes.extend(data);
    bytes
}

/// Magic, version and counts.
pub fn gguf_head(version: u32, tensors: u64, pairs: u64) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend(tensors.to_le_bytes());
    bytes.extend(pairs.to_le_bytes());
    bytes
}

/// A small GGUF file with something of everything.
pub fn small_gguf() -> Vec<u8> {
    let tokens: Vec<u8> = ["<s>", "", "é"].into_iter().flat_map(string).collect();
    let pairs = [
        pair("general.architecture", 8, &string("llama")),
        pair("general.alignment", 4, &32u32.to_le_bytes()),
        pair("on", 7, &[1]),
        pair("tokens", 9, &array(8, 3, &tokens)),
        pair("scores", 9, &array(6, 2, &[0; 8])),
    ];
    let tensors = [tensor("a", &[4, 2], 0, 0), tensor("b", &[32], 8, 32), tensor("empty", &[0], 0, 96)];
    let data: Vec<u8> = (0..96).collect();
    gguf(&pairs, &tensors, &data)
}

/// A small safetensors file with something of everything.
pub fn small_safetensors() -> Vec<u8> {
    let entries = [
        r#""__metadata__":{"format":"pt"}"#.to_owned(),
        claim("b", "BF16", "[2,3]", 8, 20),
        claim("a", "F32", "[2]", 0, 8),
        claim("none", "I64", "[0]", 20, 20),
        claim("odd", "F64", "[]", 20, 28),
    ];
    let data: Vec<u8> = (0..28).collect();
    claims(&entries, &data)
}

/// Calls `open` on every truncation of `bytes`, and on every byte of it changed in ten ways.
pub fn mutate(bytes: &[u8], open: fn(&'static [u8])) {
    let leak = |bytes: Vec<u8>| open(Box::leak(bytes.into_boxed_slice()));
    for len in 0..bytes.len() {
        leak(bytes[..len].to_vec());
    }
    for at in 0..bytes.len() {
        let flips = (0..8).map(|bit| bytes[at] ^ (1 << bit));
        for byte in flips.chain([0, 0xff]) {
            let mut bytes = bytes.to_vec();
            bytes[at] = byte;
            leak(bytes);
        }
    }
}

/// Weights in memory.
#[derive(Default)]
pub struct Memory {
    weights: HashMap<String, (WeightInfo, Vec<u8>)>,
}

impl Memory {
    pub fn with(mut self, name: &str, dtype: DType, shape: &[usize], bytes: Vec<u8>) -> Memory {
        let info = WeightInfo { dtype, shape: Shape::new(shape) };
        assert_eq!(info.bytes(), Some(bytes.len()));
        self.weights.insert(name.to_owned(), (info, bytes));
        self
    }

    /// A weight of f32.
    pub fn floats(self, name: &str, shape: &[usize], values: &[f32]) -> Memory {
        self.with(name, DType::F32, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }
}

impl WeightSource for Memory {
    fn find(&self, name: &str) -> Option<WeightInfo> {
        self.weights.get(name).map(|(info, _)| *info)
    }

    fn read_rows(&self, name: &str, first: usize, out: &mut [u8]) -> Result<(), SourceError> {
        let (info, bytes) = &self.weights[name];
        let row = info.row_bytes().unwrap();
        assert!(out.len().is_multiple_of(row), "whole rows are read");
        out.copy_from_slice(&bytes[first * row..][..out.len()]);
        Ok(())
    }
}

/// The values of a weight.
pub fn values(source: &dyn WeightSource, name: &str) -> Vec<f32> {
    let (info, bytes) = (source.find(name).unwrap(), source.read(name).unwrap());
    let mut values = vec![0.0; info.shape.elements().unwrap()];
    tensor::blocks::decode(info.dtype, &bytes, &mut values);
    values
}

/// Asserts that rows read in every way are the rows of the whole.
pub fn assert_rows_agree(source: &dyn WeightSource, name: &str) {
    let (info, whole) = (source.find(name).unwrap(), source.read(name).unwrap());
    let (row, rows) = (info.row_bytes().unwrap(), info.shape.rows().unwrap());
    for first in 0..=rows {
        for count in 0..=rows - first {
            let mut part = vec![0xee; count * row];
            source.read_rows(name, first, &mut part).unwrap();
            assert!(part == whole[first * row..][..part.len()], "{name}: rows {first}..+{count}");
        }
    }
    assert!(matches!(source.read_rows(name, rows, &mut vec![0; row]), Err(SourceError::Range { .. })));
}

/// Bytes that look random and are the same every time.
pub fn noise(len: usize) -> Vec<u8> {
    let next = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*state >> 24) as u8)
    };
    let mut state = 7;
    std::iter::from_fn(|| next(&mut state)).take(len).collect()
}
