//! Reads safetensors: a file, the index of a sharded model, or a folder that holds either.
//!
//! A file is a length, a header of JSON, and data. Everything that the header claims is checked when the file is
//! opened: the tensors must tile the data exactly, with no gap, overlap or byte left over, as the format demands.

mod dtype;
mod header;
mod index;
mod layout;
mod scaled;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use tensor::{Access, File, SourceError, WeightInfo, WeightSource};

use crate::error::FileError;
use crate::limits;
use crate::stored::{StoredTensor, Table};

/// A safetensors model, checked and open.
pub struct SafeTensors {
    table: Table,
}

impl SafeTensors {
    /// Opens a `.safetensors` file, the index of a sharded model (`*.json`), or a folder that holds either.
    pub fn open(path: &Path, access: Access) -> Result<SafeTensors, FileError> {
        let meta =
            std::fs::metadata(path).map_err(|error| FileError::Open { path: path.to_owned(), error })?;
        let path = if meta.is_dir() { find_in(path)? } else { path.to_owned() };
        let table = match path.extension() {
            Some(ending) if ending == "json" => index::open(&path, access)?,
            _ => open_file(&path, access)?,
        };
        Ok(SafeTensors { table })
    }

    /// Reads a file that is part of the program.
    pub fn from_static(bytes: &'static [u8]) -> Result<SafeTensors, FileError> {
        table_of("the built-in file".to_owned(), File::from_static(bytes)).map(|table| SafeTensors { table })
    }

    /// Every tensor, by name.
    pub fn tensors(&self) -> impl Iterator<Item = StoredTensor<'_>> {
        self.table.tensors()
    }
}

impl WeightSource for SafeTensors {
    fn find(&self, name: &str) -> Option<WeightInfo> {
        self.table.find(name).or_else(|| scaled::find(&self.table, name))
    }

    fn read_rows(&self, name: &str, first: usize, out: &mut [u8]) -> Result<(), SourceError> {
        match self.table.entry(name).and_then(scaled::shape) {
            Some(shape) => scaled::read_rows(&self.table, name, shape, first, out),
            None => self.table.read_rows(name, first, out),
        }
    }
}

/// The file to open in a folder: the index, `model.safetensors`, or the only file of the kind.
fn find_in(folder: &Path) -> Result<PathBuf, FileError> {
    for name in ["model.safetensors.index.json", "model.safetensors"] {
        let path = folder.join(name);
        if path.exists() {
            return Ok(path);
        }
    }
    let open = |error| FileError::Open { path: folder.to_owned(), error };
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for item in std::fs::read_dir(folder).map_err(open)?.take(limits::SHARDS) {
        let path = item.map_err(open)?.path();
        match path.extension().and_then(OsStr::to_str) {
            Some("safetensors") => found.push(path),
            Some("bin" | "pt" | "pth" | "ckpt" | "gguf") => others.push(name_of(&path)),
            _ => {}
        }
    }
    let no_weights = |reason| FileError::NoWeights { folder: folder.to_owned(), reason };
    match (found.len(), others.first()) {
        (1, _) => Ok(found.remove(0)),
        (0, None) => {
            Err(no_weights("there is no .safetensors file and no model.safetensors.index.json".to_owned()))
        }
        (0, Some(other)) if other.ends_with(".gguf") => Err(no_weights(format!(
            "there is no .safetensors file; to use `{other}`, open it by its own path"
        ))),
        (0, Some(other)) => Err(no_weights(format!(
            "there is no .safetensors file, and `{other}` may be a PyTorch checkpoint, which can run code when it \
             is loaded; convert it to safetensors on a machine where you trust it"
        ))),
        (count, _) => Err(no_weights(format!(
            "there are {count} .safetensors files and no model.safetensors.index.json to join them"
        ))),
    }
}

fn open_file(path: &Path, access: Access) -> Result<Table, FileError> {
    let file = File::open(path, access).map_err(|error| FileError::Open { path: path.to_owned(), error })?;
    table_of(name_of(path), file)
}

fn table_of(name: String, file: File) -> Result<Table, FileError> {
    let tensors = layout::check(&name, &file)?;
    let mut table = Table::new();
    let number = table.add_file(name, file);
    for (tensor, mut entry) in tensors {
        entry.file = number;
        assert!(table.add(tensor, entry), "the header was refused if it had a name twice");
    }
    Ok(table)
}

/// A file's own name, which is what errors call it: they may travel further than paths should.
pub(crate) fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
