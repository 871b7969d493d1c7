//! A concrete tensor on the host: what single operations are fed and give back.

use std::fmt;

use crate::{Buffer, DType, Element, Shape, blocks};

/// A dense or block-quantized tensor, innermost axis contiguous, little-endian.
#[derive(Clone)]
pub struct Value {
    /// Type of the elements.
    pub dtype: DType,
    /// Shape, outermost axis first.
    pub shape: Shape,
    /// The bytes, exactly as many as type and shape ask for.
    pub data: Buffer,
}

impl Value {
    /// A value of these bytes.
    ///
    /// # Panics
    /// Where there are more or fewer bytes than type and shape ask for: values are made by code that knows both.
    pub fn new(dtype: DType, shape: impl Into<Shape>, bytes: &[u8]) -> Value {
        let shape = shape.into();
        let wanted = shape.elements().and_then(|elements| dtype.bytes_of(elements));
        assert_eq!(wanted, Some(bytes.len()), "{} bytes are not {dtype}{shape}", bytes.len());
        Value { dtype, shape, data: Buffer::from_slice(bytes) }
    }

    /// A value of f32.
    pub fn f32s(shape: impl Into<Shape>, values: &[f32]) -> Value {
        Value::dense(DType::F32, shape.into(), values)
    }

    /// A value of i32.
    pub fn i32s(shape: impl Into<Shape>, values: &[i32]) -> Value {
        Value::dense(DType::I32, shape.into(), values)
    }

    /// The elements of an f32 value.
    ///
    /// # Panics
    /// Where it holds another type.
    pub fn as_f32s(&self) -> &[f32] {
        assert_eq!(self.dtype, DType::F32, "not a value of f32");
        self.data.as_slice()
    }

    /// The elements of an i32 value.
    ///
    /// # Panics
    /// Where it holds another type.
    pub fn as_i32s(&self) -> &[i32] {
        assert_eq!(self.dtype, DType::I32, "not a value of i32");
        self.data.as_slice()
    }

    /// The elements as f32: blocks and floats decoded, whole numbers rounded to nearest, bools 0 and 1.
    pub fn to_f32(&self) -> Vec<f32> {
        match self.dtype {
            DType::I32 => self.data.as_slice::<i32>().iter().map(|&x| x as f32).collect(),
            DType::U32 => self.data.as_slice::<u32>().iter().map(|&x| x as f32).collect(),
            DType::U8 | DType::Bool => self.data.as_slice::<u8>().iter().map(|&x| f32::from(x)).collect(),
            _ => {
                let mut out = vec![0.0; self.shape.iter().product()];
                blocks::decode(self.dtype, self.data.as_slice(), &mut out);
                out
            }
        }
    }

    fn dense<T: Element>(dtype: DType, shape: Shape, values: &[T]) -> Value {
        assert_eq!(shape.elements(), Some(values.len()), "{} elements are not {dtype}{shape}", values.len());
        Value { dtype, shape, data: Buffer::from_slice(values) }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} {:?}", self.dtype, self.shape, self.to_f32())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read_as_numbers() {
        let halves = [0.5f32, -2.0].map(|x| half::f16::from_f32(x).to_le_bytes()).concat();
        let half = Value::new(DType::F16, [2, 1], &halves);
        assert_eq!(half.to_f32(), [0.5, -2.0]);
        assert_eq!(Value::i32s([3], &[1, -2, 3]).to_f32(), [1.0, -2.0, 3.0]);
        assert_eq!(Value::new(DType::Bool, [2], &[0, 1]).to_f32(), [0.0, 1.0]);
        assert_eq!(Value::f32s([], &[7.0]).as_f32s(), [7.0]);
    }

    #[test]
    #[should_panic(expected = "17 bytes are not q4_0[1, 32]")]
    fn bytes_must_fill_the_shape() {
        let _ = Value::new(DType::Q4_0, [1, 32], &[0; 17]);
    }
}
