//! Kernels against pages that may not be touched: every operand ends where such a page begins, and then begins where
//! one ends. A kernel that reads or writes a byte too far ends the test's process with a fault.

mod attention;
mod products;
mod rows;

use std::ops::{Deref, DerefMut};

use tensor::Element;

use crate::activation::Int8Group;

/// Where an operand lies within its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Right behind a page that may not be touched.
    Start,
    /// Up to a page that may not be touched.
    End,
}

/// Both.
pub const SIDES: [Side; 2] = [Side::Start, Side::End];

/// Rows of activations: one, few, more than a tile, many.
pub const COUNTS: [usize; 4] = [1, 3, 17, 64];

/// What nobody has written yet: as f32, bf16 and f16 no number.
const UNWRITTEN: u8 = 0xff;
/// What is written between the operand and the page, where an operand that begins on a line does not fill its last.
const BETWEEN: u8 = 0xa5;

// SAFETY: plain numbers, which fill the 320 bytes; 64 is its alignment.
unsafe impl Element for Int8Group {}

/// Values with a page on each side that may not be touched.
pub struct Guarded<T> {
    map: *mut u8,
    map_bytes: usize,
    start: *mut T,
    len: usize,
}

impl<T: Element> Guarded<T> {
    /// Room for so many values, as if nobody had written them.
    pub fn unwritten(side: Side, len: usize) -> Guarded<T> {
        Guarded::aligned(side, len, align_of::<T>())
    }

    /// As [`Guarded::unwritten`], beginning on a line of 64 bytes.
    pub fn line(side: Side, len: usize) -> Guarded<T> {
        Guarded::aligned(side, len, 64)
    }

    /// A copy of these values.
    pub fn of(side: Side, values: &[T]) -> Guarded<T> {
        let mut guarded = Guarded::unwritten(side, values.len());
        guarded.copy_from_slice(values);
        guarded
    }

    /// `align` is a power of two and a divisor of a page.
    fn aligned(side: Side, len: usize, align: usize) -> Guarded<T> {
        let (page, bytes) = (page_bytes(), len * size_of::<T>());
        let inner = bytes.next_multiple_of(page).max(page);
        let map_bytes = inner + 2 * page;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: new pages wherever the system wants them.
        let map = unsafe { libc::mmap(std::ptr::null_mut(), map_bytes, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(map, libc::MAP_FAILED, "the system gives pages");
        let map = map.cast::<u8>();
        let offset = if side == Side::Start { 0 } else { (inner - bytes) / align * align };
        // SAFETY: the pages but the first and the last of the map, which nobody knows yet; the operand lies in them.
        let start = unsafe {
            let pages = map.add(page);
            let opened = libc::mprotect(pages.cast(), inner, libc::PROT_READ | libc::PROT_WRITE);
            assert_eq!(opened, 0, "pages can be opened");
            pages.write_bytes(BETWEEN, inner);
            let start = pages.add(offset);
            start.write_bytes(UNWRITTEN, bytes);
            start.cast::<T>()
        };
        Guarded { map, map_bytes, start, len }
    }

    /// Whether what lies between the operand and the pages is as it was.
    fn is_intact(&self) -> bool {
        let page = page_bytes();
        let (inner, bytes) = (self.map_bytes - 2 * page, self.len * size_of::<T>());
        // SAFETY: the pages that were opened, while nobody writes to them.
        let pages = unsafe { std::slice::from_raw_parts(self.map.add(page), inner) };
        let before = self.start as usize - pages.as_ptr() as usize;
        pages[..before].iter().chain(&pages[before + bytes..]).all(|&byte| byte == BETWEEN)
    }
}

impl<T> Deref for Guarded<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: so many values lie in pages of its own, aligned; any bytes are values of an element.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl<T> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // SAFETY: mapped with this very length, and unmapped once.
        unsafe { libc::munmap(self.map.cast(), self.map_bytes) };
    }
}

fn page_bytes() -> usize {
    // SAFETY: asks for a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("pages have a size")
}

/// Values that a kernel has written: numbers all of them, and nothing beside them.
#[track_caller]
pub fn assert_written(out: &Guarded<f32>, what: &dyn std::fmt::Debug) {
    assert!(
        out.iter().all(|x| x.is_finite()),
        "{what:?}: all results are written, of what was written before"
    );
    assert!(out.is_intact(), "{what:?}: nothing is written beside them");
}

/// Numbers in [-1, 1), the same every time.
pub fn numbers(side: Side, len: usize) -> Guarded<f32> {
    let values = (0..len).map(|i| (i * 7919 % 2003) as f32 / 1001.5 - 1.0).collect::<Vec<_>>();
    Guarded::of(side, &values)
}

#[test]
fn operands_lie_against_the_pages() {
    for len in [1, 5, 1024, 1025] {
        let (first, last) =
            (Guarded::<f32>::unwritten(Side::Start, len), Guarded::<f32>::unwritten(Side::End, len));
        assert_eq!(first.as_ptr() as usize % page_bytes(), 0);
        assert_eq!(last.as_ptr_range().end as usize % page_bytes(), 0);
        assert!(first.iter().chain(last.iter()).all(|x| x.is_nan()));
        let line = Guarded::<u8>::line(Side::End, len);
        assert_eq!(line.as_ptr() as usize % 64, 0);
        assert_eq!((line.as_ptr_range().end as usize).next_multiple_of(64) % page_bytes(), 0);
        assert!(line.is_intact());
        // SAFETY: the operand does not fill its page, and begins behind the page's first byte.
        unsafe { line.start.sub(1).write(0) };
        assert!(!line.is_intact());
    }
}
