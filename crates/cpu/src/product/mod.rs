//! Products of activations and packed weights: `out[m][n] = sum over k of x[m][k] w[n][k]`.
//!
//! One output has the same bits whatever the level, the rows beside it and the strips it is made with: sums of
//! integers are exact, and sums of floats are made in one order.

mod float;
mod quantized;
mod turns;

use std::ops::Range;

use simd::Isa;
use tensor::DType;

use crate::activation::Activation;
use crate::packed::View;

/// Where outputs go: that of row `m` and feature `n` to `start + m * stride + n`.
#[derive(Clone, Copy)]
pub struct Output {
    /// The first output of the first row.
    pub start: *mut f32,
    /// From one row to the next.
    pub stride: usize,
}

/// What a product rounds its activations to, unless it is asked for f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Not at all: f32 and f16 weights, and 8-bit floats, which nothing here multiplies as they are.
    None,
    /// bf16 weights.
    Bf16,
    /// Blocks of integers.
    Int8,
}

impl Rounding {
    /// The rounding for weights of a type.
    pub fn of(dtype: DType) -> Rounding {
        match dtype {
            DType::BF16 => Rounding::Bf16,
            DType::F8_E4M3 => Rounding::None,
            _ if dtype.is_block() => Rounding::Int8,
            _ => Rounding::None,
        }
    }
}

/// Bytes of scratch that [`product`] wants for `rows` rows, at most; they begin on a line.
pub fn scratch_bytes(isa: Isa, weight: &View<'_>, x: &Activation<'_>) -> usize {
    match x {
        Activation::Int8(x) => quantized::scratch_bytes(isa, x.rows, weight.layout.cols),
        _ => float::scratch_bytes(isa, weight.layout.dtype, x),
    }
}

/// The outputs of some strips of a weight, sixteen features each, for all rows of `x`.
///
/// Features beyond the weight's rows are not written.
///
/// # Safety
/// The outputs of those features and rows may be written, and nobody else uses them meanwhile.
///
/// # Panics
/// Where `x` has other columns than the weight or is not what its type takes, or the scratch is too small.
pub unsafe fn product(
    isa: Isa,
    weight: &View<'_>,
    x: &Activation<'_>,
    strips: Range<usize>,
    out: Output,
    scratch: &mut [u8],
) {
    assert!(strips.end <= weight.layout.strips(), "strips that there are");
    // SAFETY: as the caller says.
    unsafe {
        match x {
            Activation::Int8(x) => quantized::product(isa, weight, x, strips, out, scratch),
            _ => float::product(isa, weight, x, strips, out, scratch),
        }
    }
}
