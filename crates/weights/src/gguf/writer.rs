//! Writes GGUF version 3 as a stream: pairs and directory first, then the data of each tensor in the order declared.

use std::collections::HashSet;
use std::io::{self, Write};

use tensor::{DType, SourceError, WeightInfo, WeightSource};

use super::head::DEFAULT_ALIGNMENT;
use super::types;
use super::value::{Value, write_str};
use crate::limits;

/// Bytes copied from a source at a time, unless a single row is longer.
const COPY_BYTES: usize = 4 << 20;

/// What a file will hold, declared before any of it is written.
#[derive(Default)]
pub struct Writer {
    pairs: Vec<(String, Value)>,
    tensors: Vec<(String, WeightInfo)>,
}

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The system failed.
    #[error("the GGUF file could not be written: {0}")]
    Io(#[from] io::Error),
    /// A tensor's data could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// GGUF has no number for the type.
    #[error("GGUF cannot hold tensor `{name}`: it has no type {dtype}; choose another, such as q8_0")]
    Type {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: DType,
    },
    /// The tensor's name or shape is more than the format allows.
    #[error("GGUF cannot hold tensor `{name}`: {reason}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A key was set twice.
    #[error("the key `{0}` was set twice")]
    Key(String),
    /// More or fewer bytes were written than the tensors declared have.
    #[error("the tensors declared have {wanted} bytes, but {given} were given")]
    Length {
        /// Bytes of the tensors declared.
        wanted: u64,
        /// Bytes given so far.
        given: u64,
    },
}

impl Writer {
    /// A file that holds nothing yet.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Sets a key.
    #[must_use]
    pub fn pair(mut self, key: &str, value: impl Into<Value>) -> Writer {
        self.pairs.push((key.to_owned(), value.into()));
        self
    }

    /// Declares a tensor.
    #[must_use]
    pub fn tensor(mut self, name: &str, info: WeightInfo) -> Writer {
        self.tensors.push((name.to_owned(), info));
        self
    }

    /// Writes everything but the data, which is then written through what is returned.
    pub fn begin<W: Write>(self, mut out: W) -> Result<Body<W>, WriteError> {
        let mut head = Vec::new();
        head.extend(b"GGUF");
        head.extend(3u32.to_le_bytes());
        head.extend((self.tensors.len() as u64).to_le_bytes());
        head.extend((self.pairs.len() as u64).to_le_bytes());
        let mut keys = HashSet::new();
        for (key, value) in &self.pairs {
            if !keys.insert(key) {
                return Err(WriteError::Key(key.clone()));
            }
            write_str(key, &mut head);
            value.write(&mut head);
        }
        let (mut offset, mut sizes, mut names) = (0, Vec::new(), HashSet::new());
        for (name, info) in &self.tensors {
            let fault = |reason: &str| WriteError::Tensor { name: name.clone(), reason: reason.to_owned() };
            if !names.insert(name) {
                return Err(fault("it was declared twice"));
            }
            let bytes = declare(name, info, offset, &mut head)?;
            sizes.push(bytes);
            offset = bytes
                .checked_next_multiple_of(ALIGNMENT)
                .and_then(|padded| offset.checked_add(padded))
                .ok_or_else(|| fault("the file would be too large"))?;
        }
        head.resize(head.len().next_multiple_of(ALIGNMENT as usize), 0);
        out.write_all(&head)?;
        Ok(Body { out, sizes, at: 0, filled: 0, given: 0 })
    }
}

const ALIGNMENT: u64 = DEFAULT_ALIGNMENT as u64;

/// Appends a tensor's entry and returns the bytes it has.
fn declare(name: &str, info: &WeightInfo, offset: u64, head: &mut Vec<u8>) -> Result<u64, WriteError> {
    let fault = |reason: &str| WriteError::Tensor { name: name.to_owned(), reason: reason.to_owned() };
    let Some(number) = types::number(info.dtype) else {
        return Err(WriteError::Type { name: name.to_owned(), dtype: info.dtype });
    };
    if info.shape.len() > limits::GGUF_AXES as usize {
        return Err(fault("it has more than four axes"));
    }
    if name.len() as u64 > limits::NAME_BYTES {
        return Err(fault("its name is too long"));
    }
    let bytes = info.bytes().ok_or_else(|| fault("its rows are no whole blocks, or its size overflows"))?;
    write_str(name, head);
    head.extend((info.shape.len() as u32).to_le_bytes());
    for &axis in info.shape.iter().rev() {
        head.extend((axis as u64).to_le_bytes());
    }
    head.extend(number.to_le_bytes());
    head.extend(offset.to_le_bytes());
    Ok(bytes as u64)
}

/// The data of the tensors declared, in their order.
pub struct Body<W> {
    out: W,
    /// Bytes of each tensor.
    sizes: Vec<u64>,
    /// The tensor being written, and how many of its bytes have been.
    at: usize,
    filled: u64,
    /// Bytes given in all.
    given: u64,
}

impl<W: Write> Body<W> {
    /// Writes the next bytes; padding between tensors is added where it belongs.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        self.given += bytes.len() as u64;
        self.pad()?;
        while !bytes.is_empty() {
            let Some(&size) = self.sizes.get(self.at) else {
                return Err(self.wrong_length());
            };
            let take = usize::try_from(size - self.filled).unwrap_or(usize::MAX).min(bytes.len());
            let (now, later) = bytes.split_at(take);
            self.out.write_all(now)?;
            self.filled += take as u64;
            bytes = later;
            self.pad()?;
        }
        Ok(())
    }

    /// Writes a whole weight from a source, a few megabytes at a time.
    pub fn copy(&mut self, source: &dyn WeightSource, name: &str) -> Result<(), WriteError> {
        let info = source.find(name).ok_or_else(|| SourceError::Missing { name: name.to_owned() })?;
        let too_large = || SourceError::TooLarge { name: name.to_owned() };
        let row_bytes = info.row_bytes().ok_or_else(too_large)?;
        let rows = info.shape.rows().ok_or_else(too_large)?;
        if row_bytes == 0 {
            return Ok(());
        }
        let step = (COPY_BYTES / row_bytes).max(1);
        let mut buffer = vec![0; step.min(rows) * row_bytes];
        for first in (0..rows).step_by(step) {
            let part = &mut buffer[..step.min(rows - first) * row_bytes];
            source.read_rows(name, first, part)?;
            self.write(part)?;
        }
        Ok(())
    }

    /// Ends the file, if every tensor has been written whole.
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.pad()?;
        if self.at < self.sizes.len() {
            return Err(self.wrong_length());
        }
        self.out.flush()?;
        Ok(self.out)
    }

    /// Pads behind every tensor that is complete.
    fn pad(&mut self) -> Result<(), WriteError> {
        while self.sizes.get(self.at) == Some(&self.filled) {
            let padding = self.filled.next_multiple_of(ALIGNMENT) - self.filled;
            self.out.write_all(&[0; ALIGNMENT as usize][..padding as usize])?;
            (self.at, self.filled) = (self.at + 1, 0);
        }
        Ok(())
    }

    fn wrong_length(&self) -> WriteError {
        WriteError::Length { wanted: self.sizes.iter().sum(), given: self.given }
    }
}
