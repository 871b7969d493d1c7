//! Experts and biases whose rows are stored columns.

use std::sync::{Arc, Mutex, PoisonError};

use tensor::{SourceError, WeightInfo, WeightSource};

use super::{Every, buffer};
use crate::stored::RowRange;

/// Stored rows turned over at a time: their elements make a cache line or more of each row.
const STRIP: usize = 32;

/// An expert that has been turned over.
pub(super) struct Expert {
    stored: String,
    number: usize,
    bytes: Arc<Vec<u8>>,
}

/// Reads rows of a weight `[X, F, E]` out of `[X, E, F step]`.
pub(super) fn read(
    source: &dyn WeightSource,
    last: &Mutex<Option<Expert>>,
    stored: &str,
    info: &WeightInfo,
    every: Every,
    rows: RowRange,
    out: &mut [u8],
) -> Result<(), SourceError> {
    let (per_expert, inner) = (info.shape[1], info.shape[2]);
    let mut expert = None;
    for (row, out) in (rows.first..).zip(out.chunks_exact_mut(rows.row_bytes)) {
        let number = row / per_expert;
        let bytes = match &expert {
            Some((held, bytes)) if *held == number => bytes,
            _ => {
                let bytes = turned(
                    source,
                    last,
                    stored,
                    number,
                    inner,
                    per_expert * every.step,
                    rows.row_bytes / inner,
                )?;
                &expert.insert((number, bytes)).1
            }
        };
        let column = row % per_expert * every.step + every.start;
        out.copy_from_slice(&bytes[column * rows.row_bytes..][..rows.row_bytes]);
    }
    Ok(())
}

/// Expert `number` with its `inner` rows of `columns` made into `columns` rows of `inner`, from memory where it was
/// the last one asked for.
fn turned(
    source: &dyn WeightSource,
    last: &Mutex<Option<Expert>>,
    stored: &str,
    number: usize,
    inner: usize,
    columns: usize,
    element: usize,
) -> Result<Arc<Vec<u8>>, SourceError> {
    // Held while the expert is read: whoever else wants it waits for it instead of reading it too.
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    match &*last {
        Some(held) if held.number == number && held.stored == stored => return Ok(Arc::clone(&held.bytes)),
        _ => *last = None,
    }
    let mut turned = buffer(stored, inner * columns * element)?;
    let mut strip = buffer(stored, STRIP.min(inner) * columns * element)?;
    for first in (0..inner).step_by(STRIP) {
        let count = STRIP.min(inner - first);
        let strip = &mut strip[..count * columns * element];
        source.read_rows(stored, number * inner + first, strip)?;
        for column in 0..columns {
            let out = &mut turned[(column * inner + first) * element..][..count * element];
            let elements = strip.chunks_exact(element).skip(column).step_by(columns);
            for (out, value) in out.chunks_exact_mut(element).zip(elements) {
                out.copy_from_slice(value);
            }
        }
    }
    let bytes = Arc::new(turned);
    *last = Some(Expert { stored: stored.to_owned(), number, bytes: Arc::clone(&bytes) });
    Ok(bytes)
}

/// Reads rows of a bias `[X, F]` out of `[X, F step]`.
pub(super) fn columns(
    source: &dyn WeightSource,
    stored: &str,
    info: &WeightInfo,
    every: Every,
    rows: RowRange,
    out: &mut [u8],
) -> Result<(), SourceError> {
    let element = rows.row_bytes / info.shape.row_len();
    let mut row = buffer(stored, rows.row_bytes * every.step)?;
    for (number, out) in (rows.first..).zip(out.chunks_exact_mut(rows.row_bytes)) {
        source.read_rows(stored, number, &mut row)?;
        let elements = row.chunks_exact(element).skip(every.start).step_by(every.step);
        for (out, value) in out.chunks_exact_mut(element).zip(elements) {
            out.copy_from_slice(value);
        }
    }
    Ok(())
}
