//! Weights as kernels stream them: sixteen rows interleaved, their scales before their codes, nothing dropped and
//! nothing added but padding, so that every source row can be had back.

mod blocks;
mod fields;
mod floats;
mod layout;
mod words;

#[cfg(test)]
use std::ops::Range;
use std::sync::Arc;

use simd::LANES;
use tensor::Buffer;

pub use fields::{BLOCK, Fields, GROUP, plane};
pub use layout::Layout;

/// A packed weight, in memory that it may share with others.
pub struct Packed {
    layout: Layout,
    data: Arc<Buffer>,
    /// Where it begins.
    at: usize,
}

impl Packed {
    /// A weight whose strips are in a buffer already, from byte `at` on.
    ///
    /// # Panics
    /// Where the buffer does not hold them there, or they would not begin on a line.
    pub fn within(layout: Layout, data: &Arc<Buffer>, at: usize) -> Packed {
        assert!(
            data.len().checked_sub(at).is_some_and(|left| left >= layout.bytes()),
            "the buffer holds the strips"
        );
        assert!(at.is_multiple_of(64), "strips begin on a line");
        Packed { layout, data: Arc::clone(data), at }
    }

    /// Packs a whole weight on this thread: `source` is its rows one after the other, as `tensor::blocks` has them.
    pub fn of(layout: Layout, source: &[u8]) -> Packed {
        let mut data = Buffer::zeroed(layout.bytes());
        let strips = data.as_mut_slice::<u8>().chunks_exact_mut(layout.strip_bytes().max(1));
        for (strip, rows) in strips.zip(source.chunks((LANES * layout.row_bytes()).max(1))) {
            pack_strip(&layout, rows, strip);
        }
        Packed::within(layout, &Arc::new(data), 0)
    }

    /// All of it.
    pub fn view(&self) -> View<'_> {
        View { layout: self.layout, bytes: &self.data.as_slice()[self.at..][..self.layout.bytes()] }
    }
}

/// A packed weight, or a run of its strips.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Its shape.
    pub layout: Layout,
    /// Its strips; they begin on a line.
    pub bytes: &'a [u8],
}

impl<'a> View<'a> {
    #[cfg(test)]
    /// The view over these bytes.
    ///
    /// # Panics
    /// Where they are not the layout's, or do not begin on a line of 64 bytes.
    pub fn new(layout: Layout, bytes: &'a [u8]) -> View<'a> {
        assert_eq!(bytes.len(), layout.bytes(), "a view has the bytes of its layout");
        assert_eq!(bytes.as_ptr() as usize % 64, 0, "strips begin on a line");
        View { layout, bytes }
    }

    #[cfg(test)]
    /// Some of the rows as a weight of their own: an expert's, a query's.
    ///
    /// # Panics
    /// Where they are not rows of this weight, or do not begin a strip.
    pub fn rows(&self, rows: Range<usize>) -> View<'a> {
        assert!(rows.start.is_multiple_of(LANES), "a view begins with a strip");
        assert!(rows.start <= rows.end && rows.end <= self.layout.rows, "a view is of rows that there are");
        let bytes = self.layout.strip_bytes();
        let layout = Layout { rows: rows.len(), ..self.layout };
        View { layout, bytes: &self.bytes[rows.start / LANES * bytes..rows.end.div_ceil(LANES) * bytes] }
    }

    /// The bytes of a strip.
    pub fn strip(&self, index: usize) -> &'a [u8] {
        let bytes = self.layout.strip_bytes();
        &self.bytes[index * bytes..][..bytes]
    }

    /// The bytes of a row as they were before packing, bit for bit.
    pub fn unpack_row(&self, row: usize, out: &mut [u8]) {
        assert!(row < self.layout.rows, "row {row} of {}", self.layout.rows);
        assert_eq!(out.len(), self.layout.row_bytes(), "a row has this many bytes");
        let (strip, lane) = (self.strip(row / LANES), row % LANES);
        match Fields::of(self.layout.dtype) {
            Some(fields) => blocks::unpack_row(&self.layout, &fields, strip, lane, out),
            None => floats::unpack_row(strip, lane, out),
        }
    }
}

/// Packs up to sixteen source rows, one after the other as `tensor::blocks` has them, into a strip. Rows that are not
/// there become zeros.
pub fn pack_strip(layout: &Layout, rows: &[u8], strip: &mut [u8]) {
    let row_bytes = layout.row_bytes();
    assert_eq!(strip.len(), layout.strip_bytes(), "a strip has this many bytes");
    assert!(rows.len() <= LANES * row_bytes, "a strip has sixteen rows at most");
    assert!(row_bytes == 0 || rows.len().is_multiple_of(row_bytes), "rows are whole");
    if rows.len() < LANES * row_bytes {
        let mut full = rows.to_vec();
        full.resize(LANES * row_bytes, 0);
        return pack_strip(layout, &full, strip);
    }
    let rows = std::array::from_fn(|lane| &rows[lane * row_bytes..][..row_bytes]);
    match Fields::of(layout.dtype) {
        Some(fields) => blocks::pack_strip(layout, &fields, &rows, strip),
        None => floats::pack_strip(&rows, strip),
    }
}

#[cfg(test)]
mod tests;
