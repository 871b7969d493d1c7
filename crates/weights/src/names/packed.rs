//! MXFP4 as gpt-oss packs it, made into MXFP4 as it is computed with: the same numbers, bit for bit.

use tensor::{DType, SourceError, WeightSource};

use super::{Every, buffer};
use crate::stored::RowRange;

/// Bytes of blocks read at a time, unless a single row is longer.
const STEP_BYTES: usize = 1 << 20;

/// Bytes of a block's 32 values, and with its scale in front.
const PACKED: usize = 16;
const BLOCK: usize = DType::MXFP4.block_bytes();

/// Reads rows of blocks. Stored row `r step + start` is row `r`, across experts too.
pub(super) fn read(
    source: &dyn WeightSource,
    blocks: &str,
    scales: &str,
    every: Every,
    rows: RowRange,
    out: &mut [u8],
) -> Result<(), SourceError> {
    let per_row = rows.row_bytes / BLOCK;
    let step_rows = (STEP_BYTES / (per_row * PACKED * every.step)).max(1).min(rows.count);
    let mut packed = buffer(blocks, step_rows * every.step * per_row * PACKED)?;
    let mut scale = buffer(scales, step_rows * every.step * per_row)?;
    for (out, first) in out.chunks_mut(step_rows * rows.row_bytes).zip((rows.first..).step_by(step_rows)) {
        let stored = out.len() / rows.row_bytes * every.step;
        let packed = &mut packed[..stored * per_row * PACKED];
        let scale = &mut scale[..stored * per_row];
        source.read_rows(blocks, first * every.step * per_row, packed)?;
        source.read_rows(scales, first * every.step, scale)?;
        let packed = packed.chunks_exact(per_row * PACKED).skip(every.start).step_by(every.step);
        let scale = scale.chunks_exact(per_row).skip(every.start).step_by(every.step);
        for ((out, packed), scale) in out.chunks_exact_mut(rows.row_bytes).zip(packed).zip(scale) {
            for ((out, packed), scale) in
                out.as_chunks_mut::<BLOCK>().0.iter_mut().zip(packed.as_chunks().0).zip(scale)
            {
                *out = block(packed, *scale);
            }
        }
    }
    Ok(())
}

/// A block whose byte `i` holds values `2i` and `2i + 1` as one whose byte `i` holds values `i` and `i + 16`.
fn block(packed: &[u8; PACKED], scale: u8) -> [u8; BLOCK] {
    let value = |i: usize| (packed[i / 2] >> (4 * (i % 2))) & 0x0f;
    let mut out = [scale; BLOCK];
    for (i, byte) in out[1..].iter_mut().enumerate() {
        *byte = value(i) | value(i + 16) << 4;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_places() {
        let packed: [u8; 16] = std::array::from_fn(|i| (i as u8).wrapping_mul(37).wrapping_add(11));
        let out = block(&packed, 99);
        assert_eq!(out[0], 99);
        for i in 0..32 {
            let stored = packed[i / 2] >> (4 * (i % 2)) & 15;
            let made = out[1 + i % 16] >> (4 * (i / 16)) & 15;
            assert_eq!(made, stored, "value {i}");
        }
    }
}
