//! Reads and writes GGUF: versions 2 and 3, little endian, in one file or split over several.
//!
//! The head of a file (its key-value pairs and the directory of its tensors) is read through bounded reads; every
//! count and length is held against the bytes that remain before anything is allocated for it.

mod cursor;
mod directory;
mod head;
mod metadata;
mod split;
mod types;
mod value;
mod writer;

use std::path::Path;

use tensor::{Access, File, SourceError, WeightInfo, WeightSource};

use crate::error::{FileError, show};
use crate::safetensors::name_of;
use crate::stored::{Entry, StoredTensor, Table};
use head::Head;

pub use metadata::{Metadata, MetadataError, Optional};
pub use value::{Array, Strs, Value};
pub use writer::{Body, WriteError, Writer};

/// A GGUF model, checked and open.
pub struct Gguf {
    metadata: Metadata,
    table: Table,
}

impl Gguf {
    /// Opens a `.gguf` file; one that is split over several opens by its first part, whose siblings lie beside it.
    pub fn open(path: &Path, access: Access) -> Result<Gguf, FileError> {
        let name = name_of(path);
        let file =
            File::open(path, access).map_err(|error| FileError::Open { path: path.to_owned(), error })?;
        let head = Head::read(&name, &file)?;
        let siblings = split::siblings(&name, &head.metadata)?;
        let mut gguf = Gguf { metadata: head.metadata, table: Table::new() };
        gguf.add(name.clone(), file, head.tensors)?;
        for (number, sibling) in siblings {
            let part = |reason| FileError::Part { file: name.clone(), part: show(&sibling), reason };
            let file = File::open(&path.with_file_name(&sibling), access)
                .map_err(|error| part(format!("it could not be opened: {error}")))?;
            let head = Head::read(&sibling, &file)?;
            split::check_sibling(&gguf.metadata, &head.metadata, number).map_err(part)?;
            gguf.add(sibling, file, head.tensors)?;
        }
        split::check_total(&name, &gguf.metadata, gguf.table.len())?;
        Ok(gguf)
    }

    /// Reads a file that is part of the program.
    pub fn from_static(bytes: &'static [u8]) -> Result<Gguf, FileError> {
        let (name, file) = ("the built-in file".to_owned(), File::from_static(bytes));
        let head = Head::read(&name, &file)?;
        if !split::siblings(&name, &head.metadata)?.is_empty() {
            let reason = "it is one part of several, and a built-in file has none beside it".to_owned();
            return Err(FileError::Unsupported { file: name, reason });
        }
        let mut gguf = Gguf { metadata: head.metadata, table: Table::new() };
        gguf.add(name, file, head.tensors)?;
        Ok(gguf)
    }

    /// The key-value pairs: of the first part, where the model is split.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Every tensor, by name.
    pub fn tensors(&self) -> impl Iterator<Item = StoredTensor<'_>> {
        self.table.tensors()
    }

    fn add(&mut self, name: String, file: File, tensors: Vec<(String, Entry)>) -> Result<(), FileError> {
        let number = self.table.add_file(name.clone(), file);
        for (tensor, mut entry) in tensors {
            entry.file = number;
            let (shown, offset) = (show(&tensor), entry.offset);
            if !self.table.add(tensor, entry) {
                return Err(FileError::Damaged {
                    file: name,
                    offset,
                    reason: format!("tensor `{shown}` appears twice"),
                });
            }
        }
        Ok(())
    }
}

impl WeightSource for Gguf {
    fn find(&self, name: &str) -> Option<WeightInfo> {
        self.table.find(name)
    }

    fn read_rows(&self, name: &str, first: usize, out: &mut [u8]) -> Result<(), SourceError> {
        self.table.read_rows(name, first, out)
    }
}
