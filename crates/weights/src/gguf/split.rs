//! Models split over several files: `NAME-00001-of-00003.gguf` and so on, each of which says its number and theirs.

use super::metadata::{Metadata, MetadataError, Optional};
use crate::error::FileError;
use crate::limits;

/// Where the pairs start, which is the place of whatever is wrong with them.
const PAIRS_AT: u64 = 24;

/// The numbers and names of the parts that belong to the first part `name`; none where the model is one file.
pub(super) fn siblings(name: &str, metadata: &Metadata) -> Result<Vec<(u32, String)>, FileError> {
    let damaged = |reason| FileError::Damaged { file: name.to_owned(), offset: PAIRS_AT, reason };
    let unsupported = |reason| FileError::Unsupported { file: name.to_owned(), reason };
    let number =
        |key| metadata.u32(key).optional().map_err(|error: MetadataError| damaged(error.to_string()));
    let count = number("split.count")?.unwrap_or(1);
    if count <= 1 {
        return Ok(Vec::new());
    }
    if count as usize > limits::SHARDS {
        return Err(damaged(format!(
            "it claims to be split into {count} parts, where at most {} are allowed",
            limits::SHARDS
        )));
    }
    let suffix = |number: u32| format!("-{number:05}-of-{count:05}.gguf");
    let at = number("split.no")?.unwrap_or(0);
    if at != 0 {
        let part = u64::from(at) + 1;
        return Err(unsupported(format!(
            "it is part {part} of {count}; open the first, whose name ends in `{}`",
            suffix(1)
        )));
    }
    let Some(stem) = name.strip_suffix(&suffix(1)) else {
        return Err(unsupported(format!(
            "it is the first of {count} parts, but its name does not end in `{}`, so the others cannot be found",
            suffix(1)
        )));
    };
    Ok((1..count).map(|number| (number, format!("{stem}{}", suffix(number + 1)))).collect())
}

/// Whether a file is the part that its name says.
pub(super) fn check_sibling(first: &Metadata, sibling: &Metadata, number: u32) -> Result<(), String> {
    let read = |metadata: &Metadata, key| metadata.u32(key).map_err(|error| error.to_string());
    let (count, no) = (read(sibling, "split.count")?, read(sibling, "split.no")?);
    if count != read(first, "split.count")? || no != number {
        return Err(format!("it says that it is part {} of {count}", u64::from(no) + 1));
    }
    Ok(())
}

/// Whether the parts together hold as many tensors as the first one says.
pub(super) fn check_total(name: &str, first: &Metadata, found: usize) -> Result<(), FileError> {
    let damaged = |reason| FileError::Damaged { file: name.to_owned(), offset: PAIRS_AT, reason };
    if first.u32("split.count").optional().ok().flatten().unwrap_or(1) <= 1 {
        return Ok(());
    }
    let count = first.u64("split.tensors.count").optional().map_err(|error| damaged(error.to_string()))?;
    match count {
        Some(count) if count != found as u64 => {
            Err(damaged(format!("it claims {count} tensors in all its parts, but they hold {found}")))
        }
        _ => Ok(()),
    }
}
