//! The head of a GGUF file: magic, version, counts, key-value pairs, directory.

use tensor::File;

use super::cursor::Cursor;
use super::directory;
use super::metadata::{Metadata, Optional};
use super::value::Value;
use crate::error::{FileError, show};
use crate::limits;
use crate::magic::Foreign;
use crate::stored::Entry;

/// Where data starts on multiples of this many bytes, unless `general.alignment` says otherwise.
pub(super) const DEFAULT_ALIGNMENT: u32 = 32;

/// The fewest bytes that a key-value pair can take: an empty key, a type, one byte.
const LEAST_PAIR: u64 = 8 + 4 + 1;

/// What a file says, checked.
pub(super) struct Head {
    pub metadata: Metadata,
    pub tensors: Vec<(String, Entry)>,
}

impl Head {
    pub fn read(name: &str, file: &File) -> Result<Head, FileError> {
        let mut cursor = Cursor::new(name, file);
        check_version(name, file, &mut cursor)?;
        let tensors = count(&mut cursor, "tensors", directory::LEAST_TENSOR, limits::TENSORS)?;
        let pairs = count(&mut cursor, "key-value pairs", LEAST_PAIR, limits::GGUF_PAIRS)?;
        let metadata = pairs_of(&mut cursor, pairs)?;
        let alignment = alignment(name, &metadata)?;
        let tensors = directory::read(&mut cursor, tensors, alignment, file.len())?;
        Ok(Head { metadata, tensors })
    }
}

fn check_version(name: &str, file: &File, cursor: &mut Cursor<'_>) -> Result<(), FileError> {
    if file.len() < 4 || cursor.array()? != *b"GGUF" {
        return Err(match Foreign::of(file) {
            Some(foreign) => FileError::Foreign { file: name.to_owned(), wanted: "GGUF", foreign },
            None => {
                let reason = "it does not start with the letters GGUF".to_owned();
                FileError::Damaged { file: name.to_owned(), offset: 0, reason }
            }
        });
    }
    let unsupported = |reason| Err(FileError::Unsupported { file: name.to_owned(), reason });
    match cursor.u32()? {
        2 | 3 => Ok(()),
        version @ (0x0200_0000 | 0x0300_0000) => {
            let version = version.swap_bytes();
            unsupported(format!(
                "it is a big-endian GGUF file (version {version}); use the little-endian one"
            ))
        }
        version => unsupported(format!(
            "it is GGUF version {version}, where versions 2 and 3 are read; convert the model again with a current tool"
        )),
    }
}

/// Reads a count of things that take at least `least` bytes each.
fn count(cursor: &mut Cursor<'_>, what: &str, least: u64, most: u64) -> Result<u64, FileError> {
    let at = cursor.at();
    let count = cursor.u64()?;
    let left = cursor.remaining();
    if count > most {
        return Err(
            cursor.damaged_at(at, &format!("claims {count} {what}, where at most {most} are allowed"))
        );
    }
    if count * least > left {
        return Err(cursor.damaged_at(
            at,
            &format!("claims {count} {what}, which do not fit the {left} bytes that follow"),
        ));
    }
    Ok(count)
}

fn pairs_of(cursor: &mut Cursor<'_>, count: u64) -> Result<Metadata, FileError> {
    let start = cursor.at();
    let mut metadata = Metadata::default();
    for number in 0..count {
        let at = cursor.at();
        cursor.reading(format!("the key of pair {number}"));
        let key = cursor.string(limits::GGUF_KEY_BYTES)?;
        cursor.reading(format!("key `{}`", show(&key)));
        let used = cursor.at() - start;
        let left = limits::GGUF_METADATA_BYTES.checked_sub(used);
        let left = left.ok_or_else(|| cursor.damaged_at(at, "comes after more metadata than is allowed"))?;
        let value = Value::read(cursor, left)?;
        if !metadata.insert(key, value) {
            return Err(cursor.damaged_at(at, "appears twice"));
        }
    }
    Ok(metadata)
}

fn alignment(name: &str, metadata: &Metadata) -> Result<u64, FileError> {
    let damaged = |reason| FileError::Damaged { file: name.to_owned(), offset: 24, reason };
    let alignment =
        metadata.u32("general.alignment").optional().map_err(|error| damaged(error.to_string()))?;
    let alignment = alignment.unwrap_or(DEFAULT_ALIGNMENT);
    if !alignment.is_power_of_two() || alignment > limits::GGUF_ALIGNMENT {
        let most = limits::GGUF_ALIGNMENT;
        return Err(damaged(format!(
            "key `general.alignment` is {alignment}, which is not a power of two up to {most}"
        )));
    }
    Ok(u64::from(alignment))
}
