//! From f32 to quantized blocks.
//!
//! A block type stores codes under scales. Rounding to codes is easy; choosing the scales is what quality hangs on,
//! and `search` does it once for all types. What is left to a type's own file is its layout.

mod f8;
mod groups;
mod iq4;
mod k_affine;
mod k_symmetric;
mod legacy;
mod mxfp4;
mod search;
#[cfg(test)]
mod tests;

use half::{bf16, f16};
use tensor::{DType, blocks};

/// Why values could not be quantized.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// There is no quantizer for this type.
    #[error(
        "there is no quantizer for {dtype}; the types that can be made are {list}",
        list = quantizable().map(DType::name).collect::<Vec<_>>().join(", ")
    )]
    Unsupported {
        /// The type asked for.
        dtype: DType,
    },
    /// The values do not fill whole blocks, or the room for the blocks is not what they need.
    #[error(
        "{values} values do not fill {bytes} bytes of {dtype}, whose blocks hold {len} values in {block} bytes",
        len = dtype.block_len(), block = dtype.block_bytes()
    )]
    Length {
        /// The type asked for.
        dtype: DType,
        /// How many values there are.
        values: usize,
        /// How many bytes they are to be written to.
        bytes: usize,
    },
    /// A value is infinite or not a number.
    #[error("value {index} is {value}, and {dtype} is made of finite values only; the weights are damaged")]
    NotFinite {
        /// The type asked for.
        dtype: DType,
        /// The first such value's position.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A value is larger than the type's largest scale can reach.
    #[error("value {index} is {value}, but {dtype} reaches {limit:e} at most; use bf16 or f32 instead")]
    TooLarge {
        /// The type asked for.
        dtype: DType,
        /// The first such value's position.
        index: usize,
        /// The value.
        value: f32,
        /// The largest magnitude the type takes.
        limit: f32,
    },
}

/// Quantizes whole blocks of `values` into `out`, one after the other on the calling thread.
///
/// A block depends on its own values only, so rows may be quantized in any order and split anywhere between blocks.
/// Values far smaller than the smallest scale become zero.
pub fn quantize(dtype: DType, values: &[f32], out: &mut [u8]) -> Result<(), QuantizeError> {
    let limit = largest(dtype).ok_or(QuantizeError::Unsupported { dtype })?;
    if dtype.bytes_of(values.len()) != Some(out.len()) {
        return Err(QuantizeError::Length { dtype, values: values.len(), bytes: out.len() });
    }
    if let Some((index, &value)) = values.iter().enumerate().find(|(_, v)| !v.is_finite()) {
        return Err(QuantizeError::NotFinite { dtype, index, value });
    }
    if let Some((index, &value)) = values.iter().enumerate().find(|(_, v)| v.abs() > limit) {
        return Err(QuantizeError::TooLarge { dtype, index, value, limit });
    }
    match dtype {
        DType::Q4_0 => each_block(values, out, legacy::q4_0),
        DType::Q4_1 => each_block(values, out, legacy::q4_1),
        DType::Q5_0 => each_block(values, out, legacy::q5_0),
        DType::Q5_1 => each_block(values, out, legacy::q5_1),
        DType::Q2_K => each_block(values, out, k_affine::q2_k),
        DType::Q3_K => each_block(values, out, k_symmetric::q3_k),
        DType::Q4_K => each_block(values, out, k_affine::q4_k),
        DType::Q5_K => each_block(values, out, k_affine::q5_k),
        DType::Q6_K => each_block(values, out, k_symmetric::q6_k),
        DType::IQ4_NL => each_block(values, out, iq4::iq4_nl),
        DType::IQ4_XS => each_block(values, out, iq4::iq4_xs),
        DType::MXFP4 => each_block(values, out, mxfp4::mxfp4),
        DType::F8_E4M3 => each_block(values, out, f8::f8_e4m3),
        _ => blocks::encode(dtype, values, out),
    }
    Ok(())
}

/// The types [`quantize`] makes.
pub fn quantizable() -> impl Iterator<Item = DType> {
    DType::ALL.into_iter().filter(|t| largest(*t).is_some())
}

/// The largest magnitude a type takes, in either sign: its largest scale (of most an f16) at the largest code. `None` where
/// there is no quantizer.
fn largest(dtype: DType) -> Option<f32> {
    let scale = f16::MAX.to_f32();
    Some(match dtype {
        DType::F32 | DType::MXFP4 => f32::MAX,
        DType::F16 => scale,
        DType::BF16 => bf16::MAX.to_f32(),
        DType::Q8_0 => 127.0 * scale,
        DType::Q4_0 => 8.0 * scale,
        DType::Q5_0 => 16.0 * scale,
        // The min is an f16 of its own, and a negative value may have nothing else to reach it.
        DType::Q4_1 | DType::Q5_1 => scale,
        DType::Q2_K => 15.0 * scale,
        DType::Q3_K => 4.0 * 32.0 * scale,
        DType::Q4_K | DType::Q5_K => 63.0 * scale,
        DType::Q6_K => 128.0 * 32.0 * scale,
        DType::IQ4_NL => 127.0 * scale,
        DType::IQ4_XS => 32.0 * 127.0 * scale,
        DType::F8_E4M3 => f8::LARGEST,
        _ => return None,
    })
}

fn each_block<const BYTES: usize, const LEN: usize>(
    values: &[f32],
    out: &mut [u8],
    quantize: impl Fn(&[f32; LEN]) -> [u8; BYTES],
) {
    for (block, values) in out.as_chunks_mut().0.iter_mut().zip(values.as_chunks().0) {
        *block = quantize(values);
    }
}

/// Joins the fields of a block, whose lengths add up to `BYTES`.
fn join<const BYTES: usize>(fields: &[&[u8]]) -> [u8; BYTES] {
    let mut block = [0; BYTES];
    let mut rest = &mut block[..];
    for field in fields {
        let (head, tail) = rest.split_at_mut(field.len());
        head.copy_from_slice(field);
        rest = tail;
    }
    assert!(rest.is_empty(), "the fields fill the block");
    block
}

/// The nearest f16 that is finite.
fn finite_f16(value: f32) -> f16 {
    f16::from_f32(value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()))
}
