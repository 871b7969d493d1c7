//! Products of float activations: by f32, f16 and bf16 weights as they are, and by block formats decoded on the way.
//!
//! Sums go as the bf16 tile instruction makes them: over each 32 values of the depth the even and the odd products are
//! summed apart, fused and from zero, then the two sums are added to each other and to the sum so far. Only bf16 by bf16
//! at levels without tiles goes as the instruction for [`pairs`] does, which is twice as fast where there is one.

mod decode;
mod form;
mod matrix;
mod pairs;
mod registers;
mod spread;
mod tile;
mod walk;

use std::ops::Range;

use half::bf16;
use simd::Isa;
use tensor::DType;

use self::decode::Decoded;
use self::form::{BF16, F16, F32};
use self::pairs::Pairs;
use self::spread::Values;
use self::walk::{InPlace, Job, ROWS, Walk};
use super::Output;
use crate::activation::{Activation, Rows};
use crate::packed::{BLOCK, View};

/// From this many rows on, tiles are faster than vectors.
const TILES_FROM: usize = 5;

/// Bytes of scratch that [`product`] wants for these rows, or fewer of them.
pub fn scratch_bytes(isa: Isa, dtype: DType, x: &Activation<'_>) -> usize {
    let stride = match x {
        Activation::F32(x) => x.stride.next_multiple_of(BLOCK),
        Activation::Bf16(x) if by_tiles(isa, dtype, x.rows) => {
            return matrix::scratch(x.rows, x.stride) * size_of::<bf16>();
        }
        Activation::Bf16(x) if by_pairs(isa, dtype) => return pairs::scratch_bytes(x.rows, x.stride),
        Activation::Bf16(x) => x.stride,
        Activation::Int8(_) => return 0,
    };
    walk::scratch(x.rows(), stride) * size_of::<f32>()
}

/// Whether so many rows of bf16 are multiplied by tiles.
fn by_tiles(isa: Isa, dtype: DType, rows: usize) -> bool {
    isa == Isa::Amx && dtype == DType::BF16 && rows >= TILES_FROM
}

/// Whether bf16 is multiplied in pairs: where tiles are, all kernels go as they do.
fn by_pairs(isa: Isa, dtype: DType) -> bool {
    isa != Isa::Amx && dtype == DType::BF16
}

/// # Safety
/// As [`super::product`].
///
/// # Panics
/// As [`super::product`].
pub unsafe fn product(
    isa: Isa,
    weight: &View<'_>,
    x: &Activation<'_>,
    strips: Range<usize>,
    out: Output,
    scratch: &mut [u8],
) {
    let cols = weight.layout.cols;
    assert!(cols > 0, "weights have columns");
    assert!(strips.end <= weight.layout.strips(), "strips that there are");
    let depth = cols.next_multiple_of(BLOCK);
    let rows = match x {
        Activation::F32(x) => checked(x, cols),
        Activation::Bf16(x) => checked(x, depth),
        Activation::Int8(_) => panic!("int8 activations are not multiplied as floats"),
    };
    if let Activation::Bf16(x) = x
        && by_pairs(isa, weight.layout.dtype)
    {
        return isa.run_bf16(Pairs { weight: *weight, x: *x, strips, out, scratch });
    }
    let step = if by_tiles(isa, weight.layout.dtype, rows) { matrix::ROWS } else { ROWS };
    for from in (0..rows).step_by(step) {
        let some = from..rows.min(from + step);
        let out = Output { start: out.start.wrapping_add(from * out.stride), ..out };
        let x = match x {
            Activation::F32(x) => Values::F32(x.rows(some), cols),
            #[cfg(target_arch = "x86_64")]
            Activation::Bf16(x) if by_tiles(isa, weight.layout.dtype, rows) => {
                let x = x.rows(some);
                // SAFETY: the caller says so of all rows.
                unsafe { by_hardware(weight, x, strips.clone(), out, scratch) };
                continue;
            }
            Activation::Bf16(x) => Values::Bf16(x.rows(some)),
            Activation::Int8(_) => unreachable!("refused above"),
        };
        // SAFETY: the caller says so of all rows.
        unsafe { some_rows(isa, weight, x, strips.clone(), out, scratch) }
    }
}

/// # Safety
/// As [`product`], for these rows.
#[cfg(target_arch = "x86_64")]
unsafe fn by_hardware(
    weight: &View<'_>,
    x: Rows<'_, bf16>,
    strips: Range<usize>,
    out: Output,
    scratch: &mut [u8],
) {
    // SAFETY: any two bytes are a bf16.
    let (before, scratch, _) = unsafe { scratch.align_to_mut::<bf16>() };
    assert!(before.is_empty(), "scratch begins on a line");
    let mut tiles = registers::Hardware::new();
    // SAFETY: as the caller says.
    unsafe { matrix::multiply(&mut tiles, weight, x, strips, out, scratch) }
}

/// # Safety
/// As [`product`], for these rows.
unsafe fn some_rows(
    isa: Isa,
    weight: &View<'_>,
    x: Values<'_>,
    strips: Range<usize>,
    out: Output,
    scratch: &mut [u8],
) {
    // SAFETY: any four bytes are an f32.
    let (before, scratch, _) = unsafe { scratch.align_to_mut::<f32>() };
    assert!(before.is_empty(), "scratch begins on a line");
    let layout = weight.layout;
    let depth = layout.cols.next_multiple_of(BLOCK);
    let job = Job { features: layout.rows, depth, x, strips, out, scratch };
    match layout.dtype {
        DType::F32 => isa.run(Walk { job, source: InPlace::<F32>::of(weight) }),
        DType::F16 => isa.run(Walk { job, source: InPlace::<F16>::of(weight) }),
        DType::BF16 => isa.run(Walk { job, source: InPlace::<BF16>::of(weight) }),
        _ => isa.run(Walk { job, source: Decoded::of(weight) }),
    }
}

/// How many rows there are, each of `cols` values.
fn checked<T>(x: &Rows<'_, T>, cols: usize) -> usize {
    let needed = x.rows.saturating_sub(1) * x.stride + if x.rows > 0 { cols } else { 0 };
    assert!(cols <= x.stride && needed <= x.values.len(), "rows of {cols} values are there");
    x.rows
}

#[cfg(test)]
mod tests;
