//! Rows stored as interleaved pairs: within a head of width D, row `2j + s` is the canonical row `s D/2 + j`.

use tensor::{SourceError, WeightInfo, WeightSource};

use super::buffer;
use crate::stored::RowRange;

/// Reads rows in canonical order, one head at a time. A bias is a single row whose elements are in that order.
pub(super) fn read(
    source: &dyn WeightSource,
    stored: &str,
    info: &WeightInfo,
    heads: usize,
    rows: RowRange,
    out: &mut [u8],
) -> Result<(), SourceError> {
    let bias = info.shape.len() == 1;
    let length = info.shape.first().copied().unwrap_or(0);
    let width = length.checked_div(heads).filter(|width| width * heads == length && width.is_multiple_of(2));
    let in_order = (info.shape.len() == 2 || bias) && !(bias && info.dtype.is_block());
    let Some(width) = width.filter(|_| in_order) else {
        let reason =
            format!("{heads} heads do not share its {} of shape {} in pairs", info.dtype, info.shape);
        return Err(SourceError::Convert { name: stored.to_owned(), reason });
    };
    if bias {
        let unit = rows.row_bytes / length;
        let mut all = buffer(stored, rows.row_bytes)?;
        source.read_rows(stored, 0, &mut all)?;
        for (head, out) in all.chunks_exact(width * unit).zip(out.chunks_exact_mut(width * unit)) {
            unpair(head, unit, width, 0, out);
        }
        return Ok(());
    }
    let mut head = buffer(stored, width * rows.row_bytes)?;
    let (mut at, end, mut out) = (rows.first, rows.first + rows.count, out);
    while at < end {
        let start = at - at % width;
        let count = end.min(start + width) - at;
        source.read_rows(stored, start, &mut head)?;
        let (now, later) = out.split_at_mut(count * rows.row_bytes);
        unpair(&head, rows.row_bytes, width, at - start, now);
        (at, out) = (at + count, later);
    }
    Ok(())
}

/// Copies a head's canonical rows from `first` on out of its stored rows; a row has `unit` bytes.
fn unpair(head: &[u8], unit: usize, width: usize, first: usize, out: &mut [u8]) {
    for (row, out) in (first..).zip(out.chunks_exact_mut(unit)) {
        let (half, pair) = (row / (width / 2), row % (width / 2));
        let stored = 2 * pair + half;
        out.copy_from_slice(&head[stored * unit..][..unit]);
    }
}
