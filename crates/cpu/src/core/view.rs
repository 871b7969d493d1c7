//! Tensors that lie in somebody else's memory.

use tensor::{DType, Element, Shape};

/// A tensor to read, innermost axis contiguous.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Type of the elements.
    pub dtype: DType,
    /// Shape, outermost axis first.
    pub shape: Shape,
    /// The bytes, exactly as many as type and shape ask for, aligned for the type.
    pub data: &'a [u8],
}

/// A tensor to write.
pub struct ViewMut<'a> {
    /// Type of the elements.
    pub dtype: DType,
    /// Shape, outermost axis first.
    pub shape: Shape,
    /// The bytes, exactly as many as type and shape ask for, aligned for the type.
    pub data: &'a mut [u8],
}

impl<'a> View<'a> {
    /// The bytes as values of `T`.
    ///
    /// # Panics
    /// Where they are not aligned for it.
    pub fn slice<T: Element>(&self) -> &'a [T] {
        let start = self.data.as_ptr().cast::<T>();
        assert!(start.is_aligned(), "{}{} is not aligned", self.dtype, self.shape);
        // SAFETY: aligned, within the bytes, borrowed as long as they are, and any bytes are values of an `Element`.
        unsafe { std::slice::from_raw_parts(start, self.data.len() / size_of::<T>()) }
    }
}

impl ViewMut<'_> {
    /// The bytes as values of `T`, to be written.
    ///
    /// # Panics
    /// Where they are not aligned for it.
    pub fn slice<T: Element>(&mut self) -> &mut [T] {
        let start = self.data.as_mut_ptr().cast::<T>();
        assert!(start.is_aligned(), "{}{} is not aligned", self.dtype, self.shape);
        // SAFETY: aligned, within the bytes, borrowed as they are, and any bytes are values of an `Element`.
        unsafe { std::slice::from_raw_parts_mut(start, self.data.len() / size_of::<T>()) }
    }
}
