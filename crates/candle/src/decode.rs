//! Blocks and small floats as f32, by candle wherever it knows the format: the oracle must not share our decoding.

use std::borrow::Cow;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Result, Tensor, bail};
use tensor::{Buffer, DType, blocks};

use crate::array::Array;

/// The same values as f32.
pub(crate) fn dequantize(x: &Array) -> Result<Array> {
    if !x.dtype.is_block() {
        return Array::new(DType::F32, x.tensor.to_dtype(candle_core::DType::F32)?);
    }
    let shape = x.shape();
    // Candle asks for aligned blocks and panics where they are not; our buffers are.
    let bytes = Buffer::from_slice(&x.tensor.flatten_all()?.to_vec1::<u8>()?);
    let tensor = match known(x.dtype) {
        Some(format) => {
            let storage = QStorage::from_data(Cow::Borrowed(bytes.as_slice()), &Device::Cpu, format)?;
            QTensor::new(storage, shape.to_vec())?.dequantize(&Device::Cpu)?
        }
        None => {
            let Some(elements) = shape.elements() else { bail!("{shape} has too many elements") };
            let mut values = vec![0.0; elements];
            blocks::decode(x.dtype, bytes.as_slice(), &mut values);
            Tensor::from_vec(values, &shape[..], &Device::Cpu)?
        }
    };
    Array::new(DType::F32, tensor)
}

/// Candle's name of a block format, where it has one.
fn known(dtype: DType) -> Option<GgmlDType> {
    Some(match dtype {
        DType::Q4_0 => GgmlDType::Q4_0,
        DType::Q4_1 => GgmlDType::Q4_1,
        DType::Q5_0 => GgmlDType::Q5_0,
        DType::Q5_1 => GgmlDType::Q5_1,
        DType::Q8_0 => GgmlDType::Q8_0,
        DType::Q2_K => GgmlDType::Q2K,
        DType::Q3_K => GgmlDType::Q3K,
        DType::Q4_K => GgmlDType::Q4K,
        DType::Q5_K => GgmlDType::Q5K,
        DType::Q6_K => GgmlDType::Q6K,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both decoders read the same blocks; scales are small finite numbers and codes are everything.
    #[test]
    fn candle_and_we_decode_alike() {
        for dtype in DType::weights().filter(|t| t.is_block()) {
            let (rows, width) = (3, 2 * dtype.block_len());
            let mut seed = 7u32;
            let mut byte = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // The second byte of an f16 scale decides its size: below 0x40 it is less than 2.
                (seed >> 24) as u8 & 0x3f
            };
            let bytes = (0..dtype.bytes_of(rows * width).unwrap()).map(|_| byte()).collect::<Vec<_>>();
            let array = Array::from_bytes(dtype, &[rows, width], &bytes).unwrap();
            assert_eq!(array.shape()[..], [rows, width]);
            let mut ours = vec![0.0; rows * width];
            blocks::decode(dtype, &bytes, &mut ours);
            let theirs = array.to_f32s().unwrap();
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert!((ours - theirs).abs() <= 1e-6 * ours.abs(), "{dtype}: {ours} and {theirs}");
            }
        }
    }
}
