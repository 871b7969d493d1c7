//! An array known when the module is built.

use crate::{Element, Shape};

/// A constant: its elements in order, little-endian.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Literal {
    /// What it is an array of.
    pub shape: Shape,
    /// As many bytes as the shape asks for.
    pub bytes: Vec<u8>,
}

impl Literal {
    /// A constant of these bytes.
    ///
    /// # Panics
    /// Where the shape asks for more or fewer.
    pub fn new(shape: Shape, bytes: Vec<u8>) -> Literal {
        assert_eq!(shape.bytes(), Some(bytes.len()), "{} bytes are no {shape}", bytes.len());
        Literal { shape, bytes }
    }

    /// One f32.
    pub fn f32(value: f32) -> Literal {
        Literal::new(Shape::scalar(Element::F32), value.to_le_bytes().to_vec())
    }

    /// One s32.
    pub fn s32(value: i32) -> Literal {
        Literal::new(Shape::scalar(Element::S32), value.to_le_bytes().to_vec())
    }

    /// One u32.
    pub fn u32(value: u32) -> Literal {
        Literal::new(Shape::scalar(Element::U32), value.to_le_bytes().to_vec())
    }

    /// One axis of f32.
    pub fn f32s(values: &[f32]) -> Literal {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Literal::new(Shape::new(Element::F32, [values.len()]), bytes)
    }

    /// The elements of an array of f32.
    pub fn as_f32s(&self) -> Option<Vec<f32>> {
        (self.shape.element == Element::F32).then(|| self.words(f32::from_le_bytes))
    }

    /// The elements of an array of s32.
    pub fn as_s32s(&self) -> Option<Vec<i32>> {
        (self.shape.element == Element::S32).then(|| self.words(i32::from_le_bytes))
    }

    pub(crate) fn words<T>(&self, of: impl Fn([u8; 4]) -> T) -> Vec<T> {
        let words = self.bytes.chunks_exact(4);
        words.map(|word| of([word[0], word[1], word[2], word[3]])).collect()
    }
}
