//! How many bytes a packed weight takes, and where a strip begins.

use simd::LANES;
use tensor::DType;

use super::fields::{BLOCK, Fields, GROUP};

/// The shape of a packed weight.
///
/// Sixteen rows make a strip, the last one filled up with zeros; strips follow one another. A strip of a block format
/// is a record for each group of [`GROUP`] values; one of a float format is its values, column by column (f32) or in
/// pairs of columns (f16 and bf16), with columns of zeros up to a multiple of [`BLOCK`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The type of the source.
    pub dtype: DType,
    /// Output features.
    pub rows: usize,
    /// Input features.
    pub cols: usize,
    pub(super) strip_bytes: usize,
}

impl Layout {
    /// The layout of a weight, or `None` where the type has none, `cols` are not whole blocks of it, or the bytes of a
    /// strip cannot be counted.
    pub fn of(dtype: DType, rows: usize, cols: usize) -> Option<Layout> {
        dtype.bytes_of(cols)?;
        let strip_bytes = match dtype {
            DType::F32 | DType::F16 | DType::BF16 => {
                cols.checked_next_multiple_of(BLOCK)?.checked_mul(LANES * dtype.block_bytes())?
            }
            _ => {
                let fields = Fields::of(dtype)?;
                let record = |cols: usize| fields.record_bytes(cols / dtype.block_len(), cols / BLOCK);
                (cols / GROUP).checked_mul(record(GROUP))?.checked_add(record(cols % GROUP))?
            }
        };
        rows.div_ceil(LANES).checked_mul(strip_bytes)?;
        Some(Layout { dtype, rows, cols, strip_bytes })
    }

    /// Strips of sixteen rows.
    pub fn strips(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// Bytes of a strip: whole lines of 64.
    pub fn strip_bytes(&self) -> usize {
        self.strip_bytes
    }

    /// Bytes of all strips.
    pub fn bytes(&self) -> usize {
        self.strips() * self.strip_bytes
    }

    /// Bytes of a row of the source.
    pub fn row_bytes(&self) -> usize {
        self.cols / self.dtype.block_len() * self.dtype.block_bytes()
    }

    /// Groups of a block format, the last one maybe shorter.
    pub fn groups(&self) -> usize {
        self.cols.div_ceil(GROUP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_adds_two_percent_at_most() {
        for dtype in DType::weights() {
            let layout = Layout::of(dtype, 4096, 2048).unwrap();
            let source = layout.rows * layout.row_bytes();
            assert!(layout.bytes() >= source && layout.bytes() * 50 <= source * 51, "{dtype}");
        }
        for dtype in [DType::Q4_0, DType::Q8_0, DType::Q4_K, DType::Q5_K, DType::Q2_K, DType::MXFP4] {
            let layout = Layout::of(dtype, 64, 2048).unwrap();
            assert_eq!(layout.bytes(), layout.rows * layout.row_bytes(), "{dtype}");
        }
    }

    #[test]
    fn what_cannot_be_packed_has_no_layout() {
        assert_eq!(Layout::of(DType::Q4_K, 16, 128), None);
        assert_eq!(Layout::of(DType::Q4_0, 16, 33), None);
        assert_eq!(Layout::of(DType::I32, 16, 32), None);
        assert_eq!(Layout::of(DType::F32, 16, usize::MAX), None);
        assert_eq!(Layout::of(DType::BF16, usize::MAX, 1 << 40), None);
    }
}
