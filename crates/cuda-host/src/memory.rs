//! Memory that ends at a page which nobody may touch: a kernel that leaves an allocation by more than its rounding dies.

use std::ptr::NonNull;

/// Bytes of a page, or more.
const PAGE: usize = 16 << 10;
/// Allocations begin on such a byte: the widest load.
const ALIGN: usize = 16;

/// Zeroed bytes that end before a closed page.
pub struct Pages {
    base: NonNull<u8>,
    whole: usize,
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it owns its memory as a vector does.
unsafe impl Send for Pages {}
// SAFETY: sharing it shares an address.
unsafe impl Sync for Pages {}

impl Pages {
    /// So many; `None` where the system has no memory.
    pub fn new(bytes: usize) -> Option<Pages> {
        let used = bytes.checked_next_multiple_of(ALIGN)?;
        let open = used.checked_next_multiple_of(PAGE)?;
        let whole = open.checked_add(PAGE)?;
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, which no other memory is part of.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), whole, access, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return None;
        }
        let base = NonNull::new(base.cast::<u8>())?;
        // SAFETY: the last page of the mapping, which nothing is kept in.
        unsafe { libc::mprotect(base.add(open).as_ptr().cast(), PAGE, libc::PROT_NONE) };
        // SAFETY: it lies within the mapping.
        let start = unsafe { base.add(open - used) };
        Some(Pages { base, whole, start, bytes })
    }

    /// Where they begin.
    pub fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// How many there are.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and whole.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.whole) };
    }
}
