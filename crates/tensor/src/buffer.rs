//! Host memory aligned to a cache line, viewed as whatever type the reader needs.

use half::{bf16, f16};

/// A plain value that any bytes may be read as.
///
/// # Safety
/// Every bit pattern must be a value of the type, and the type must have no padding and an alignment of at most 64.
pub unsafe trait Element: Copy + Send + Sync + 'static {}

// SAFETY: integers and floats accept every bit pattern and have no padding.
unsafe impl Element for u8 {}
// SAFETY: as above.
unsafe impl Element for u16 {}
// SAFETY: as above.
unsafe impl Element for i32 {}
// SAFETY: as above.
unsafe impl Element for u32 {}
// SAFETY: as above.
unsafe impl Element for f32 {}
// SAFETY: a transparent wrapper of u16.
unsafe impl Element for f16 {}
// SAFETY: a transparent wrapper of u16.
unsafe impl Element for bf16 {}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Zeroed bytes that start on a 64-byte boundary.
#[derive(Clone)]
pub struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    /// `len` zero bytes.
    pub fn zeroed(len: usize) -> Buffer {
        Buffer { lines: vec![Line([0; 64]); len.div_ceil(64)], len }
    }

    /// A copy of these values.
    pub fn from_slice<T: Element>(values: &[T]) -> Buffer {
        let mut buffer = Buffer::zeroed(size_of_val(values));
        buffer.as_mut_slice().copy_from_slice(values);
        buffer
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes as values of `T`; bytes that do not fill a last value are left out.
    pub fn as_slice<T: Element>(&self) -> &[T] {
        // SAFETY: the memory is initialised, aligned to 64, at least `len` bytes long, and `Element` promises that
        // any bytes are values of T.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len / size_of::<T>()) }
    }

    /// The bytes as values of `T`, to be written.
    pub fn as_mut_slice<T: Element>(&mut self) -> &mut [T] {
        // SAFETY: as in `as_slice`; the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len / size_of::<T>()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_aligned_and_agree() {
        let mut buffer = Buffer::from_slice(&[1.0f32, 2.0, 3.0]);
        assert_eq!(buffer.as_slice::<u8>().as_ptr() as usize % 64, 0);
        assert_eq!(buffer.as_slice::<u8>().len(), 12);
        buffer.as_mut_slice::<u32>()[1] = 0x4080_0000;
        assert_eq!(buffer.as_slice::<f32>(), [1.0, 4.0, 3.0]);
        assert!(Buffer::zeroed(0).as_slice::<f32>().is_empty());
    }
}
