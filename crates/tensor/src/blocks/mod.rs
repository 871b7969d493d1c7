//! Quantized blocks: their layouts, what they mean, and the roundings into the few types a step writes.
//!
//! One file per family. Every block type has a view (`Q4_0`, `Q4_K`, ...) that takes a block apart into scales and
//! codes, which is what a kernel reads. [`decode`] gives their meaning to the bit as the `gguf` Python package
//! computes it, so the order of operations belongs to the format: `scale * code - min` rounds twice and is never
//! fused. All multi-byte fields are little-endian. What `gguf` does not know is defined in its own file.

mod dense;
mod f8;
mod iq4;
mod k_affine;
mod k_symmetric;
mod legacy;
mod mxfp4;

pub use f8::{E4M3_LARGEST, F8_E4M3, e4m3, is_nan as e4m3_is_nan, to_e4m3};
pub use iq4::{IQ4_CODES, IQ4_NL, IQ4_XS};
pub use k_affine::{Q2_K, Q4_K, Q5_K, pack_scales, unpack_scales};
pub use k_symmetric::{Q3_K, Q6_K};
pub use legacy::{Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
pub use mxfp4::{MXFP4, MXFP4_CODES};

use half::f16;

use crate::DType;

/// Decodes whole blocks (or dense floats) of `dtype` into f32.
///
/// Every bit pattern decodes to something: scales that are not finite, or overflow, give infinities and NaN.
///
/// # Panics
/// Where `dtype` is not a weight type, or the lengths do not belong together.
pub fn decode(dtype: DType, bytes: &[u8], out: &mut [f32]) {
    assert_lengths(dtype, bytes.len(), out.len());
    match dtype {
        DType::F32 => dense::decode_f32(bytes, out),
        DType::F16 => dense::decode_f16(bytes, out),
        DType::BF16 => dense::decode_bf16(bytes, out),
        DType::Q4_0 => each_block(bytes, out, |block, values| Q4_0::of(block).decode(values)),
        DType::Q4_1 => each_block(bytes, out, |block, values| Q4_1::of(block).decode(values)),
        DType::Q5_0 => each_block(bytes, out, |block, values| Q5_0::of(block).decode(values)),
        DType::Q5_1 => each_block(bytes, out, |block, values| Q5_1::of(block).decode(values)),
        DType::Q8_0 => each_block(bytes, out, |block, values| Q8_0::of(block).decode(values)),
        DType::Q2_K => each_block(bytes, out, |block, values| Q2_K::of(block).decode(values)),
        DType::Q3_K => each_block(bytes, out, |block, values| Q3_K::of(block).decode(values)),
        DType::Q4_K => each_block(bytes, out, |block, values| Q4_K::of(block).decode(values)),
        DType::Q5_K => each_block(bytes, out, |block, values| Q5_K::of(block).decode(values)),
        DType::Q6_K => each_block(bytes, out, |block, values| Q6_K::of(block).decode(values)),
        DType::IQ4_NL => each_block(bytes, out, |block, values| IQ4_NL::of(block).decode(values)),
        DType::IQ4_XS => each_block(bytes, out, |block, values| IQ4_XS::of(block).decode(values)),
        DType::MXFP4 => each_block(bytes, out, |block, values| MXFP4::of(block).decode(values)),
        DType::F8_E4M3 => each_block(bytes, out, |block, values| F8_E4M3::of(block).decode(values)),
        DType::I32 | DType::U32 | DType::U8 | DType::Bool => panic!("{dtype} is not a type of weights"),
    }
}

/// Rounds f32 values into whole blocks (or dense floats) of `dtype`: what a key-value cache does every step.
///
/// Only types whose rounding leaves nothing to choose are here: F32, F16 and BF16 (to nearest, ties to even; too large
/// becomes infinite) and Q8_0 (scale `max / 127`, codes to nearest, ties away from zero). Types whose scales have to
/// be searched for are quantized by the `weights` crate.
///
/// # Panics
/// Where `dtype` is none of these, or the lengths do not belong together.
pub fn encode(dtype: DType, values: &[f32], out: &mut [u8]) {
    assert_lengths(dtype, out.len(), values.len());
    match dtype {
        DType::F32 => dense::encode_f32(values, out),
        DType::F16 => dense::encode_f16(values, out),
        DType::BF16 => dense::encode_bf16(values, out),
        DType::Q8_0 => {
            for (values, block) in values.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
                legacy::encode_q8_0(values, block);
            }
        }
        _ => panic!("{dtype} has no exact rounding; quantize it instead"),
    }
}

fn assert_lengths(dtype: DType, bytes: usize, values: usize) {
    assert_eq!(dtype.bytes_of(values), Some(bytes), "{bytes} bytes of {dtype} are not {values} values");
}

fn each_block<const BYTES: usize, const LEN: usize>(
    bytes: &[u8],
    out: &mut [f32],
    decode: impl Fn(&[u8; BYTES], &mut [f32; LEN]),
) {
    for (block, values) in bytes.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
        decode(block, values);
    }
}

/// The field of `N` bytes at byte `AT`; a field that leaves its block does not compile.
fn field<const AT: usize, const N: usize, const BYTES: usize>(block: &[u8; BYTES]) -> &[u8; N] {
    const { assert!(AT + N <= BYTES) };
    block[AT..].first_chunk().expect("the field lies within the block, as asserted at compile time")
}

/// The f16 at byte `AT`.
fn f16_field<const AT: usize, const BYTES: usize>(block: &[u8; BYTES]) -> f32 {
    f16::from_le_bytes(*field::<AT, 2, BYTES>(block)).to_f32()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_one_another() {
        for dtype in DType::weights() {
            let (bytes, len) = (dtype.block_bytes(), dtype.block_len());
            let three: Vec<u8> = (0..3 * bytes).map(|i| (i * 37 % 101) as u8).collect();
            let mut together = vec![f32::NAN; 3 * len];
            decode(dtype, &three, &mut together);
            for (block, values) in three.chunks(bytes).zip(together.chunks(len)) {
                let mut alone = vec![f32::NAN; len];
                decode(dtype, block, &mut alone);
                assert_eq!(alone, values, "{dtype}");
            }
            decode(dtype, &[], &mut []);
        }
    }

    #[test]
    #[should_panic(expected = "17 bytes of q4_0 are not 32 values")]
    fn half_a_block_is_refused() {
        decode(DType::Q4_0, &[0; 17], &mut [0.0; 32]);
    }

    #[test]
    #[should_panic(expected = "u8 is not a type of weights")]
    fn integers_are_not_weights() {
        decode(DType::U8, &[0], &mut [0.0]);
    }

    #[test]
    #[should_panic(expected = "q4_k has no exact rounding")]
    fn searched_types_are_not_encoded() {
        encode(DType::Q4_K, &[0.0; 256], &mut [0; 144]);
    }
}
