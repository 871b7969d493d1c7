//! Rows stored as interleaved pairs: within a head of width D, row `2j + s` is the canonical row `s D/2 + j`.

use tensor::{SourceError, WeightInfo, WeightSource};

use super::buffer;
use crate::stored::RowRange;

/// The order in which a head's rows are wanted; the source has them in the other one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Order {
    /// Halves, as models use them.
    Canonical,
    /// Interleaved pairs, as llama.cpp rotates them.
    Paired,
}

impl Order {
    /// Where the source has a row of a head.
    fn source_row(self, row: usize, width: usize) -> usize {
        match self {
            Order::Canonical => 2 * (row % (width / 2)) + row / (width / 2),
            Order::Paired => row % 2 * (width / 2) + row / 2,
        }
    }
}

/// Reads rows in an order, one head at a time. A bias is a single row whose elements are in that order.
pub(super) fn read(
    source: &dyn WeightSource,
    stored: &str,
    info: &WeightInfo,
    (heads, order): (usize, Order),
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
            order_rows(head, unit, (width, order), 0, out);
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
        order_rows(&head, rows.row_bytes, (width, order), at - start, now);
        (at, out) = (at + count, later);
    }
    Ok(())
}

/// Copies a head's rows from `first` on in an order; a row has `unit` bytes.
fn order_rows(head: &[u8], unit: usize, (width, order): (usize, Order), first: usize, out: &mut [u8]) {
    for (row, out) in (first..).zip(out.chunks_exact_mut(unit)) {
        out.copy_from_slice(&head[order.source_row(row, width) * unit..][..unit]);
    }
}
