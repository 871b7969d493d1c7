//! Random floats, about normal, drawn from a table: a table look-up costs less than a normal value.

use std::sync::LazyLock;

use half::f16;
use half::slice::HalfFloatSliceExt;
use tensor::DType;

use super::Spread;
use super::bits::Bits;

/// Values in the table: 12 random bits choose one, so that a random word chooses five.
const TABLE: usize = 1 << 12;
const DRAWS: usize = 5;

/// Values made at a time.
const STEP: usize = 1 << 10;

/// Fills a row with values of a dense type.
pub(super) fn fill(dtype: DType, spread: Spread, bits: &mut Bits, out: &mut [u8]) {
    let table: &[f32; TABLE] = &NORMAL;
    let mut values = [0f32; STEP];
    for out in out.chunks_mut(STEP * dtype.block_bytes()) {
        let values = &mut values[..out.len() / dtype.block_bytes()];
        for draws in values.chunks_mut(DRAWS) {
            let mut word = bits.next();
            for value in draws {
                *value = spread.mean + spread.std * table[word as usize % TABLE];
                word >>= TABLE.ilog2();
            }
        }
        write(dtype, values, out);
    }
}

fn write(dtype: DType, values: &[f32], out: &mut [u8]) {
    match dtype {
        DType::F32 => {
            for (out, value) in out.as_chunks_mut().0.iter_mut().zip(values) {
                *out = value.to_le_bytes();
            }
        }
        DType::F16 => {
            let mut narrow = [f16::ZERO; STEP];
            narrow[..values.len()].convert_from_f32_slice(values);
            for (out, value) in out.as_chunks_mut().0.iter_mut().zip(&narrow) {
                *out = value.to_le_bytes();
            }
        }
        _ => {
            for (out, value) in out.as_chunks_mut().0.iter_mut().zip(values) {
                *out = bf16_bits(*value).to_le_bytes();
            }
        }
    }
}

/// The bf16 nearest to a finite value, ties to even. A conversion that must mind NaN takes several times as
/// long.
fn bf16_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// Values of mean 0 and variance 1: each is a sum of twelve uniform ones, and each comes with its negative.
///
/// Sums, products and one square root only, which every machine rounds alike.
static NORMAL: LazyLock<[f32; TABLE]> = LazyLock::new(|| {
    let mut bits = Bits::of_row(0, 0);
    let mut sums = [0f64; TABLE];
    for pair in sums.as_chunks_mut::<2>().0 {
        let uniform = |word: u64| (word >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
        let sum: f64 = (0..12).map(|_| uniform(bits.next())).sum();
        *pair = [sum, -sum];
    }
    let variance = sums.iter().map(|sum| sum * sum).sum::<f64>() / TABLE as f64;
    sums.map(|sum| (sum / variance.sqrt()) as f32)
});
