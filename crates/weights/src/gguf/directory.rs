//! The directory: name, shape, type and place of each tensor.

use tensor::Shape;

use super::cursor::Cursor;
use super::types;
use crate::error::{FileError, show};
use crate::limits;
use crate::stored::{Entry, elements};

/// The fewest bytes that a tensor's entry can take: an empty name, no axes, a type, an offset.
pub(super) const LEAST_TENSOR: u64 = 8 + 4 + 4 + 8;

/// Reads the entries of `count` tensors and holds them against each other and against the file's length.
pub(super) fn read(
    cursor: &mut Cursor<'_>,
    count: u64,
    alignment: u64,
    file_len: u64,
) -> Result<Vec<(String, Entry)>, FileError> {
    let mut tensors = Vec::new();
    for number in 0..count {
        cursor.reading(format!("the name of tensor {number}"));
        let name = cursor.string(limits::NAME_BYTES)?;
        cursor.reading(format!("tensor `{}`", show(&name)));
        let entry = entry(cursor, alignment)?;
        tensors.push((name, entry));
    }
    tensors.sort_unstable_by(|(a_name, a), (b_name, b)| {
        (a.offset, a.bytes, a_name).cmp(&(b.offset, b.bytes, b_name))
    });

    let data = cursor.at().checked_next_multiple_of(alignment).unwrap_or(u64::MAX);
    let mut covered = 0;
    for (name, entry) in &mut tensors {
        cursor.reading(format!("tensor `{}`", show(name)));
        let end = entry.offset + entry.bytes;
        if entry.offset < covered {
            return Err(cursor.damaged_at(data.saturating_add(entry.offset), "overlaps the tensor before it"));
        }
        covered = end;
        if data.checked_add(end).is_none_or(|end| end > file_len) {
            return Err(cursor.damaged_at(
                data.saturating_add(entry.offset),
                &format!(
                    "has {} bytes, which run past the end of the file at {file_len}: it was cut short",
                    entry.bytes
                ),
            ));
        }
        entry.offset += data;
    }
    Ok(tensors)
}

/// Reads one entry; its offset counts from the start of the data.
fn entry(cursor: &mut Cursor<'_>, alignment: u64) -> Result<Entry, FileError> {
    let at = cursor.at();
    let axes = cursor.u32()?;
    if axes > limits::GGUF_AXES {
        return Err(
            cursor.damaged_at(at, &format!("has {axes} axes, where the format allows {}", limits::GGUF_AXES))
        );
    }
    let mut lengths = Vec::with_capacity(axes as usize);
    for _ in 0..axes {
        let length = cursor.u64()?;
        let length = usize::try_from(length)
            .map_err(|_| cursor.damaged_at(at, &format!("has an axis of {length}")))?;
        lengths.push(length);
    }
    // The format names the innermost axis first.
    lengths.reverse();
    let shape = Shape::new(&lengths);

    let number = cursor.u32()?;
    let Some(format) = types::format(number) else {
        return Err(
            cursor.damaged_at(at, &format!("has the type number {number}, which this program does not know"))
        );
    };
    if !shape.row_len().is_multiple_of(format.block_len) {
        let (row, block) = (shape.row_len(), format.block_len);
        return Err(cursor.damaged_at(at, &format!("has rows of {row} values in blocks of {block}")));
    }
    let bytes =
        elements(&shape).and_then(|elements| (elements / format.block_len).checked_mul(format.block_bytes));
    let Some(bytes) = bytes else {
        return Err(cursor.damaged_at(at, &format!("has the shape {shape}, whose size overflows")));
    };

    let (bytes, offset) = (bytes as u64, cursor.u64()?);
    if !offset.is_multiple_of(alignment) {
        return Err(cursor.damaged_at(at, &format!("lies at {offset}, which is no multiple of {alignment}")));
    }
    if offset.checked_add(bytes).is_none() {
        return Err(
            cursor.damaged_at(at, &format!("lies at {offset}, which overflows with its {bytes} bytes"))
        );
    }
    Ok(Entry { kind: format.kind, shape, file: 0, offset, bytes })
}
