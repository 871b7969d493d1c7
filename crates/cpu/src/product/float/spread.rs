//! Activations as f32 in whole blocks, as the innermost loops broadcast them.

use std::ops::Range;

use half::bf16;
use simd::{LANES, Simd};

use crate::activation::Rows;
use crate::packed::BLOCK;

/// Rows of activations that floats are multiplied by.
#[derive(Clone, Copy)]
pub enum Values<'a> {
    /// Of so many columns.
    F32(Rows<'a, f32>, usize),
    /// Filled up with zeros to whole blocks.
    Bf16(Rows<'a, bf16>),
}

impl Values<'_> {
    /// How many rows.
    pub fn rows(&self) -> usize {
        match self {
            Values::F32(x, _) => x.rows,
            Values::Bf16(x) => x.rows,
        }
    }
}

/// Writes a stretch of the depth of every row to `out`, one row after the other, with zeros behind the last column.
///
/// # Panics
/// Where `out` is too short, or the stretch is not whole blocks of what the rows have.
#[inline(always)]
pub fn spread<S: Simd>(s: S, x: Values<'_>, depth: Range<usize>, out: &mut [f32]) {
    assert!(depth.len().is_multiple_of(BLOCK), "depths are whole blocks");
    assert!(x.rows() * depth.len() <= out.len(), "scratch is as long as it was asked to be");
    let rows = out.chunks_exact_mut(depth.len()).take(x.rows()).enumerate();
    match x {
        Values::F32(x, cols) => {
            for (m, out) in rows {
                let x = &x.values[m * x.stride..][depth.start.min(cols)..depth.end.min(cols)];
                let whole = x.len() / LANES * LANES;
                // SAFETY: whole vectors of a row as long as `x` at least, then the rest of `x` and zeros behind it up
                // to the next block.
                unsafe {
                    for i in (0..whole).step_by(LANES) {
                        s.store(out.as_mut_ptr().add(i), s.load(x.as_ptr().add(i)));
                    }
                    for i in (whole..out.len()).step_by(LANES) {
                        let left = x.len().saturating_sub(i).min(LANES);
                        s.store(out.as_mut_ptr().add(i), s.load_first(x.as_ptr().wrapping_add(i), left));
                    }
                }
            }
        }
        Values::Bf16(x) => {
            for (m, out) in rows {
                let x = &x.values[m * x.stride..][depth.clone()];
                for i in (0..depth.len()).step_by(LANES) {
                    // SAFETY: a row of either has the depth's length, which is whole vectors.
                    unsafe { s.store(out.as_mut_ptr().add(i), s.load_bf16(x.as_ptr().add(i).cast())) };
                }
            }
        }
    }
}
