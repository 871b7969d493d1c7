//! Products of bf16 by tiles: two strips by thirty-two rows at a time, in four tiles of sums.
//!
//! Sixteen pairs of a strip are a tile as they lie in memory. Activations are copied into tiles once for each span of
//! the depth, which is short enough for two strips of it to stay in the first-level cache while all rows pass.

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
/// Rows of a product made at a time.
pub const ROWS: usize = 256;

/// How much of the depth is gone through at a time, by all strips.
fn span(rows: usize, depth: usize) -> usize {
    const LEAST: usize = 2048;
    let fits = ROWS * LEAST / rows.next_multiple_of(TALL).max(1);
    depth.min((fits / LEAST * LEAST).max(LEAST))
}

/// bf16 of scratch that [`multiply`] wants.
pub fn scratch(rows: usize, depth: usize) -> usize {
    rows.next_multiple_of(TALL) * span(rows, depth)
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
    assert!(strips.end <= weight.layout.strips(), "strips that there are");
    let strip = |strip: usize, from: usize| {
        weight.bytes.as_ptr().wrapping_add(strip * weight.layout.strip_bytes() + from * 2 * LANES)
    };
    let (start, half) = (strips.start, strips.len() / 2);
    let span = span(x.rows, depth);
    for from in (0..depth).step_by(span.max(1)) {
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
            let next = if low + 1 < start + half { (low + 1, from) } else { (start, to) };
            let weights = [low, low + half].map(|s| strip(s, from));
            let ahead = [next.0, next.0 + half].map(|s| strip(s, next.1));
            // SAFETY: the strips are there over the span, the rows are copied, and the outputs as the caller says.
            unsafe { call.strips(tiles, [low, low + half], weights, ahead) };
        }
        if strips.len() % 2 == 1 {
            let last = strips.end - 1;
            // SAFETY: as above.
            unsafe { call.strips(tiles, [last], [strip(last, from)], [strip(last, to)]) };
        }
    }
}

/// Copies a stretch of the depth of every row into tiles: those of sixteen rows one after the other. Rows up to a
/// whole tile become zeros.
fn copy(x: Rows<'_, bf16>, depth: Range<usize>, out: &mut [bf16]) {
    let tall = TALL * depth.len();
    for (tile, out) in out.chunks_exact_mut(tall).take(x.rows.div_ceil(TALL)).enumerate() {
        if x.rows < (tile + 1) * TALL {
            out.fill(bf16::ZERO);
        }
        for row in tile * TALL..x.rows.min((tile + 1) * TALL) {
            let blocks = x.values[row * x.stride..][depth.clone()].as_chunks::<BLOCK>().0;
            let places = out.as_chunks_mut::<BLOCK>().0.iter_mut().skip(row % TALL).step_by(TALL);
            for (place, block) in places.zip(blocks) {
                *place = *block;
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
    /// All rows by one or two strips. While they pass, the lines of the strips `ahead` are asked for.
    ///
    /// # Safety
    /// `blocks` tiles may be read of each strip, and the outputs be read and written.
    #[inline(always)]
    unsafe fn strips<T: Tiles, const C: usize>(
        &self,
        tiles: &mut T,
        strips: [usize; C],
        weights: [*const u8; C],
        ahead: [*const u8; C],
    ) {
        let passes = self.rows.div_ceil(2 * TALL);
        let lines = (TILE / 64).div_ceil(passes);
        for pass in 0..passes {
            let row = pass * 2 * TALL;
            let part = Part {
                call: self,
                row,
                strips,
                weights,
                ahead: ahead.map(|ahead| ahead.wrapping_add(64 * lines * pass)),
                lines,
            };
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
    /// Of each tile that is multiplied, so many lines here are asked for.
    ahead: [*const u8; C],
    lines: usize,
}

impl<const C: usize> Part<'_, C> {
    /// Tiles 0 to 3 are sums (`A` is 1 or 2 rows of `C` of them), 4 and 5 activations, 6 and 7 weights.
    ///
    /// # Safety
    /// As for [`Call::strips`].
    #[inline(always)]
    unsafe fn multiply<T: Tiles, const A: usize>(&self, tiles: &mut T) {
        let tall = TILE * self.call.blocks;
        let mut a = self.call.a.wrapping_add(self.row / TALL * tall);
        let (mut weights, mut ahead) = (self.weights, self.ahead);
        // SAFETY: the tiles of `A` times sixteen rows and of `C` strips over the blocks, as the caller says.
        unsafe {
            self.begin::<T, A>(tiles);
            for _ in 0..self.call.blocks {
                tiles.load::<6>(weights[0], 64);
                tiles.load::<4>(a, 64);
                tiles.dot::<0, 4, 6>();
                if A == 2 {
                    tiles.load::<5>(a.wrapping_add(tall), 64);
                    tiles.dot::<1, 5, 6>();
                }
                if C == 2 {
                    tiles.load::<7>(weights[C - 1], 64);
                    tiles.dot::<2, 4, 7>();
                    if A == 2 {
                        tiles.dot::<3, 5, 7>();
                    }
                }
                a = a.wrapping_add(TILE);
                for c in 0..C {
                    for line in 0..self.lines {
                        tiles.prefetch(ahead[c].wrapping_add(64 * line));
                    }
                    weights[c] = weights[c].wrapping_add(TILE);
                    ahead[c] = ahead[c].wrapping_add(TILE);
                }
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
            self.begin_one::<T, 0>(tiles, 0, 0);
            if A == 2 {
                self.begin_one::<T, 1>(tiles, 1, 0);
            }
            if C == 2 {
                self.begin_one::<T, 2>(tiles, 0, 1);
                if A == 2 {
                    self.begin_one::<T, 3>(tiles, 1, 1);
                }
            }
        }
    }

    /// # Safety
    /// The outputs may be written.
    #[inline(always)]
    unsafe fn end<T: Tiles, const A: usize>(&self, tiles: &mut T) {
        // SAFETY: as the caller says.
        unsafe {
            self.end_one::<T, 0>(tiles, 0, 0);
            if A == 2 {
                self.end_one::<T, 1>(tiles, 1, 0);
            }
            if C == 2 {
                self.end_one::<T, 2>(tiles, 0, 1);
                if A == 2 {
                    self.end_one::<T, 3>(tiles, 1, 1);
                }
            }
        }
    }

    /// # Safety
    /// The outputs of the tile that there are may be read.
    #[inline(always)]
    unsafe fn begin_one<T: Tiles, const N: u8>(&self, tiles: &mut T, a: usize, c: usize) {
        if self.call.first {
            return tiles.zero::<N>();
        }
        let (start, rows, lanes) = self.outputs(a, c);
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
    /// The outputs of the tile that there are may be written.
    #[inline(always)]
    unsafe fn end_one<T: Tiles, const N: u8>(&self, tiles: &mut T, a: usize, c: usize) {
        let (start, rows, lanes) = self.outputs(a, c);
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

    /// Where the outputs of a tile are, how many rows and how many features of them.
    #[inline(always)]
    fn outputs(&self, a: usize, c: usize) -> (*mut f32, usize, usize) {
        let (row, feature) = (self.row + a * TALL, self.strips[c] * LANES);
        let start = self.call.out.start.wrapping_add(row * self.call.out.stride + feature);
        (start, TALL.min(self.call.rows - row), LANES.min(self.call.features - feature))
    }
}

/// A tile of outputs of which not all are there.
#[repr(C, align(64))]
struct Edge([[f32; LANES]; TALL]);
