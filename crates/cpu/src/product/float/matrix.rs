//! Products of bf16 by tiles: two strips by thirty-two rows at a time, in four tiles of sums.
//!
//! Sixteen pairs of a strip are a tile as they lie in memory. Activations are copied into tiles once for each span of
//! the depth, which is short enough for them to stay in the second-level cache while all strips pass.

use std::ops::Range;

use half::bf16;
use simd::LANES;

use super::registers::Tiles;
use crate::activation::Rows;
use crate::packed::{BLOCK, View};
use crate::product::Output;

/// Bytes of a tile.
const TILE: usize = 1024;
/// Rows of a tile of activations.
const TALL: usize = 16;
/// Rows of a product made at a time: enough to stream weights far slower than memory could.
pub const ROWS: usize = 256;
/// bf16 of activations that are gone through by all strips: half of a second-level cache.
const VALUES: usize = 512 << 10;
/// How far ahead of the product weights are asked for, in bytes of each strip.
const AHEAD: usize = 2 * TILE;

/// bf16 of scratch that so many rows want, or fewer.
pub fn scratch(rows: usize, depth: usize) -> usize {
    VALUES.min(rows.min(ROWS).next_multiple_of(TALL) * depth)
}

/// How much of the depth is gone through at a time: for few rows all of it.
fn span(rows: usize, depth: usize) -> usize {
    const LEAST: usize = VALUES / ROWS;
    depth.min(VALUES / rows.next_multiple_of(TALL).max(TALL) / LEAST * LEAST)
}

/// Multiplies up to [`ROWS`] rows by strips.
///
/// # Safety
/// The features of the strips may be read and written in as many rows of `out` as there are rows of activations.
///
/// # Panics
/// Where the strips are not bf16, or the activations or the scratch too short.
#[inline(always)]
pub unsafe fn multiply<T: Tiles>(
    tiles: &mut T,
    weight: &View<'_>,
    x: Rows<'_, bf16>,
    strips: Range<usize>,
    out: Output,
    scratch: &mut [bf16],
) {
    let depth = weight.layout.cols.next_multiple_of(BLOCK);
    assert_eq!(weight.layout.strip_bytes(), depth * LANES * size_of::<bf16>(), "strips of bf16");
    assert_eq!(weight.bytes.len(), weight.layout.bytes(), "a weight has the bytes of its layout");
    assert!(x.rows <= ROWS, "rows made at a time");
    assert!(strips.end <= weight.layout.strips(), "strips that there are");
    let strip = |strip: usize, from: usize| {
        weight.bytes.as_ptr().wrapping_add(strip * weight.layout.strip_bytes() + from * 2 * LANES)
    };
    let (start, half) = (strips.start, strips.len() / 2);
    let span = span(x.rows, depth);
    for from in (0..depth).step_by(span) {
        let to = depth.min(from + span);
        copy(x, from..to, scratch);
        let call = Call {
            a: scratch.as_ptr().cast(),
            blocks: (to - from) / BLOCK,
            rows: x.rows,
            features: weight.layout.rows,
            out,
            first: from == 0,
        };
        for low in start..start + half {
            let pair = [low, low + half];
            // SAFETY: the strips are there over the span, the rows are copied, and the outputs as the caller says.
            unsafe { call.strips(tiles, pair, pair.map(|s| strip(s, from))) };
        }
        if strips.len() % 2 == 1 {
            let last = strips.end - 1;
            // SAFETY: as above.
            unsafe { call.strips(tiles, [last], [strip(last, from)]) };
        }
    }
}

/// Copies a stretch of the depth of every row into tiles: those of sixteen rows one after the other. Rows up to a
/// whole tile become zeros.
fn copy(x: Rows<'_, bf16>, depth: Range<usize>, out: &mut [bf16]) {
    let tiles = x.rows.div_ceil(TALL);
    assert!(tiles * TALL * depth.len() <= out.len(), "scratch is as long as it was asked to be");
    for (i, tall) in out.chunks_exact_mut(TALL * depth.len()).take(tiles).enumerate() {
        let rows = x.rows(i * TALL..x.rows.min((i + 1) * TALL));
        for (block, tile) in tall.as_chunks_mut::<{ TALL * BLOCK }>().0.iter_mut().enumerate() {
            for (row, place) in tile.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
                if row < rows.rows {
                    let from = row * rows.stride + depth.start + block * BLOCK;
                    place.copy_from_slice(&rows.values[from..][..BLOCK]);
                } else {
                    place.fill(bf16::ZERO);
                }
            }
        }
    }
}

/// What all strips share over a span of the depth.
#[derive(Clone, Copy)]
struct Call {
    /// Tiles of activations, `blocks` for each sixteen rows.
    a: *const u8,
    blocks: usize,
    rows: usize,
    features: usize,
    out: Output,
    first: bool,
}

impl Call {
    /// All rows by one or two strips.
    ///
    /// # Safety
    /// `blocks` tiles may be read of each strip, and the outputs be read and written.
    #[inline(always)]
    unsafe fn strips<T: Tiles, const C: usize>(
        &self,
        tiles: &mut T,
        strips: [usize; C],
        weights: [*const u8; C],
    ) {
        for row in (0..self.rows).step_by(2 * TALL) {
            let part = Part { call: self, row, strips, weights };
            // SAFETY: as the caller says.
            unsafe {
                if self.rows - row > TALL {
                    part.multiply::<T, 2>(tiles);
                } else {
                    part.multiply::<T, 1>(tiles);
                }
            }
        }
    }
}

/// One or two tiles of rows by one or two strips.
struct Part<'a, const C: usize> {
    call: &'a Call,
    /// The first row.
    row: usize,
    strips: [usize; C],
    weights: [*const u8; C],
}

impl<const C: usize> Part<'_, C> {
    /// Tiles 0 to 3 are sums, those of tile `a` of rows by strip `c` in `a + 2 c`; 4 and 5 are rows, 6 and 7 strips.
    ///
    /// # Safety
    /// As for [`Call::strips`].
    #[inline(always)]
    unsafe fn multiply<T: Tiles, const A: usize>(&self, tiles: &mut T) {
        let tall = TILE * self.call.blocks;
        let mut rows = self.call.a.wrapping_add(self.row / TALL * tall);
        let mut weights = self.weights;
        // The first rows find the strips in memory, the others in cache.
        let lines = if self.row == 0 { TILE / 64 } else { 0 };
        // SAFETY: the tiles of `A` times sixteen rows and of `C` strips over the blocks, as the caller says.
        unsafe {
            self.begin::<T, A>(tiles);
            for _ in 0..self.call.blocks {
                tiles.load::<6>(weights[0], 64);
                tiles.load::<4>(rows, 64);
                tiles.dot::<0, 4, 6>();
                if A == 2 {
                    tiles.load::<5>(rows.wrapping_add(tall), 64);
                    tiles.dot::<1, 5, 6>();
                }
                if C == 2 {
                    tiles.load::<7>(weights[C - 1], 64);
                    tiles.dot::<2, 4, 7>();
                    if A == 2 {
                        tiles.dot::<3, 5, 7>();
                    }
                }
                for strip in &mut weights {
                    for line in 0..lines {
                        tiles.prefetch(strip.wrapping_add(AHEAD + 64 * line));
                    }
                    *strip = strip.wrapping_add(TILE);
                }
                rows = rows.wrapping_add(TILE);
            }
            self.end::<T, A>(tiles);
        }
    }

    /// # Safety
    /// The outputs may be read.
    #[inline(always)]
    unsafe fn begin<T: Tiles, const A: usize>(&self, tiles: &mut T) {
        // SAFETY: as the caller says.
        unsafe {
            self.begin_one::<T, A, 0>(tiles);
            self.begin_one::<T, A, 1>(tiles);
            self.begin_one::<T, A, 2>(tiles);
            self.begin_one::<T, A, 3>(tiles);
        }
    }

    /// # Safety
    /// The outputs may be written.
    #[inline(always)]
    unsafe fn end<T: Tiles, const A: usize>(&self, tiles: &mut T) {
        // SAFETY: as the caller says.
        unsafe {
            self.end_one::<T, A, 0>(tiles);
            self.end_one::<T, A, 1>(tiles);
            self.end_one::<T, A, 2>(tiles);
            self.end_one::<T, A, 3>(tiles);
        }
    }

    /// # Safety
    /// The outputs of the tile, if there are, may be read.
    #[inline(always)]
    unsafe fn begin_one<T: Tiles, const A: usize, const N: u8>(&self, tiles: &mut T) {
        if self.call.first {
            return tiles.zero::<N>();
        }
        let Some((start, rows, lanes)) = self.outputs::<A>(N) else { return };
        let stride = self.call.out.stride;
        // SAFETY: a whole tile of outputs, or a copy of those that there are.
        unsafe {
            if (rows, lanes) == (TALL, LANES) {
                return tiles.load::<N>(start.cast(), stride * size_of::<f32>());
            }
            let mut edge = Edge([[0.0; LANES]; TALL]);
            for row in 0..rows {
                edge.0[row].as_mut_ptr().copy_from_nonoverlapping(start.add(row * stride), lanes);
            }
            tiles.load::<N>(edge.0.as_ptr().cast(), 64);
        }
    }

    /// # Safety
    /// The outputs of the tile, if there are, may be written.
    #[inline(always)]
    unsafe fn end_one<T: Tiles, const A: usize, const N: u8>(&self, tiles: &mut T) {
        let Some((start, rows, lanes)) = self.outputs::<A>(N) else { return };
        let stride = self.call.out.stride;
        // SAFETY: a whole tile of outputs, or a copy to those that there are.
        unsafe {
            if (rows, lanes) == (TALL, LANES) {
                return tiles.store::<N>(start.cast(), stride * size_of::<f32>());
            }
            let mut edge = Edge([[0.0; LANES]; TALL]);
            tiles.store::<N>(edge.0.as_mut_ptr().cast(), 64);
            for row in 0..rows {
                start.add(row * stride).copy_from_nonoverlapping(edge.0[row].as_ptr(), lanes);
            }
        }
    }

    /// Where the outputs of a tile are, how many rows and how many features of them; `None` where the tile is not used.
    #[inline(always)]
    fn outputs<const A: usize>(&self, tile: u8) -> Option<(*mut f32, usize, usize)> {
        let tile = usize::from(tile);
        let (a, c) = (tile % 2, tile / 2);
        if a >= A || c >= C {
            return None;
        }
        let (row, feature) = (self.row + a * TALL, self.strips[c] * LANES);
        let start = self.call.out.start.wrapping_add(row * self.call.out.stride + feature);
        Some((start, TALL.min(self.call.rows - row), LANES.min(self.call.features - feature)))
    }
}

/// A tile of outputs of which not all are there.
#[repr(C, align(64))]
struct Edge([[f32; LANES]; TALL]);
