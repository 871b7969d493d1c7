//! A value while the graph runs: a candle tensor that knows what its elements mean.

use candle_core::{Device, Result, Tensor, bail};
use tensor::{DType, Shape};

use crate::decode::dequantize;

/// A tensor of the graph. Dense types are candle tensors of the same type, bool as u8. Blocks are u8 with the
/// innermost axis counted in bytes, so that rows of blocks are gathered, cut and joined by the calls that do so with
/// any rows. The tensor is always contiguous.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    pub(crate) dtype: DType,
    pub(crate) tensor: Tensor,
}

impl Array {
    /// A tensor whose elements are of this type, made contiguous.
    pub(crate) fn new(dtype: DType, tensor: Tensor) -> Result<Array> {
        Ok(Array { dtype, tensor: tensor.contiguous()? })
    }

    /// Little-endian bytes of a tensor of this shape.
    pub(crate) fn from_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Array> {
        let tensor =
            Tensor::from_raw_buffer(bytes, stored(dtype), &stored_axes(dtype, shape)?, &Device::Cpu)?;
        Ok(Array { dtype, tensor })
    }

    /// Whole numbers.
    pub(crate) fn from_i32s(shape: &[usize], values: Vec<i32>) -> Result<Array> {
        Array::new(DType::I32, Tensor::from_vec(values, shape, &Device::Cpu)?)
    }

    /// Zeros.
    pub(crate) fn zeros(dtype: DType, shape: &[usize]) -> Result<Array> {
        Array::new(dtype, Tensor::zeros(stored_axes(dtype, shape)?, stored(dtype), &Device::Cpu)?)
    }

    /// The shape in elements.
    pub(crate) fn shape(&self) -> Shape {
        let mut axes = self.tensor.dims().to_vec();
        if let (true, Some(last)) = (self.dtype.is_block(), axes.last_mut()) {
            *last = *last / self.dtype.block_bytes() * self.dtype.block_len();
        }
        Shape::new(&axes)
    }

    /// The elements as f32, in order.
    pub(crate) fn to_f32s(&self) -> Result<Vec<f32>> {
        dequantize(self)?.tensor.to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1()
    }

    /// The stored bytes, little-endian.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.tensor.elem_count() * self.tensor.dtype().size_in_bytes());
        match self.tensor.dtype() {
            candle_core::DType::U8 => bytes = self.tensor.flatten_all()?.to_vec1()?,
            _ => self.tensor.write_bytes(&mut bytes)?,
        }
        Ok(bytes)
    }

    /// Positions for candle's calls that take some. As i64 a negative one is out of range and no number is the one
    /// candle takes for "skip this".
    pub(crate) fn to_ids(&self) -> Result<Tensor> {
        if self.dtype != DType::I32 {
            bail!("ids are i32, not {}", self.dtype)
        }
        self.tensor.flatten_all()?.to_dtype(candle_core::DType::I64)
    }
}

/// The candle type that holds elements of this one.
pub(crate) fn stored(dtype: DType) -> candle_core::DType {
    match dtype {
        DType::F32 => candle_core::DType::F32,
        DType::F16 => candle_core::DType::F16,
        DType::BF16 => candle_core::DType::BF16,
        DType::I32 => candle_core::DType::I32,
        DType::U32 => candle_core::DType::U32,
        _ => candle_core::DType::U8,
    }
}

/// The axes of the candle tensor that holds a tensor of these.
pub(crate) fn stored_axes(dtype: DType, shape: &[usize]) -> Result<Vec<usize>> {
    let mut axes = shape.to_vec();
    if dtype.is_block() {
        let bytes = axes.last().and_then(|&last| dtype.bytes_of(last));
        match (bytes, axes.last_mut()) {
            (Some(bytes), Some(last)) => *last = bytes,
            _ => bail!("{shape:?} does not end in whole blocks of {dtype}"),
        }
    }
    Ok(axes)
}
