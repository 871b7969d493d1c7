//! Host memory aligned to a cache line, viewed as whatever type the reader needs.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

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

/// Bytes that start on a 64-byte boundary.
pub struct Buffer {
    /// What was allocated; `start` lies up to a line behind it.
    base: NonNull<u8>,
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a buffer owns its memory as a vector does; nothing in it is tied to a thread.
unsafe impl Send for Buffer {}
// SAFETY: a shared buffer is only read.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `len` zero bytes. The system gives zeroed pages when they are first touched, so a large buffer costs what is
    /// used of it.
    pub fn zeroed(len: usize) -> Buffer {
        Buffer::try_zeroed(len).unwrap_or_else(|| handle_alloc_error(layout(len)))
    }

    /// As [`Buffer::zeroed`], or `None` where the system has no memory for it.
    pub fn try_zeroed(len: usize) -> Option<Buffer> {
        if len == 0 {
            let start = NonNull::<Line>::dangling().cast();
            return Some(Buffer { base: start, start, len });
        }
        let layout = layout(len);
        // SAFETY: the layout's size is not zero.
        let base = unsafe { alloc_zeroed(layout) };
        let base = NonNull::new(base)?;
        // SAFETY: the allocation is a whole line longer than `len`, so the first boundary lies within it.
        let start = unsafe { base.add(base.align_offset(align_of::<Line>())) };
        ask_for_huge_pages(start, len);
        Some(Buffer { base, start, len })
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
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.len / size_of::<T>()) }
    }

    /// The bytes as values of `T`, to be written.
    pub fn as_mut_slice<T: Element>(&mut self) -> &mut [T] {
        // SAFETY: as in `as_slice`; the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.len / size_of::<T>()) }
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Buffer {
        Buffer::from_slice(self.as_slice::<u8>())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: allocated in `zeroed` with this very layout, and freed once.
            unsafe { dealloc(self.base.as_ptr(), layout(self.len)) }
        }
    }
}

/// What a buffer is aligned to.
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Room for `len` bytes from a line's boundary on. Asking the allocator for the boundary itself would make it write
/// all the zeros, where it otherwise takes pages that are zero already.
fn layout(len: usize) -> Layout {
    let bytes = len.checked_add(size_of::<Line>()).expect("a buffer is smaller than the address space");
    Layout::from_size_align(bytes, 16).expect("a buffer is smaller than the address space")
}

/// Asks the system to back a large buffer by huge pages: what is streamed through then misses its translations a few
/// hundred times less often. The system may decline, and nothing depends on its answer.
fn ask_for_huge_pages(start: NonNull<u8>, len: usize) {
    const HUGE: usize = 2 << 20;
    #[cfg(target_os = "linux")]
    {
        let skipped = start.as_ptr().align_offset(HUGE);
        let whole = len.saturating_sub(skipped) / HUGE * HUGE;
        if whole > 0 {
            // SAFETY: the range is part of one allocation that nobody reads yet; the advice changes no byte of it.
            unsafe { libc::madvise(start.as_ptr().add(skipped).cast(), whole, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, len, HUGE);
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
