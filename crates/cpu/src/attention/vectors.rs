//! Scores and weighted sums on vectors: a few rows by sixteen positions, or by the elements of a head, at a time. Each
//! load of keys or values serves all rows, and memory is read from front to back.

use std::marker::PhantomData;
use std::ops::Range;

use simd::{Isa, LANES, Simd};

use super::CHUNK;
use super::chunk::Blocks;
use super::element::Element;
use super::softmax::STEP;

/// Pairs of a step of a product.
const PAIRS: usize = STEP / 2;

/// Pairs of positions of a block.
const HALVES: usize = LANES / 2;

/// Bytes from one row of weights to the next, which lie where scores did.
const WEIGHTS: usize = CHUNK * size_of::<f32>();

/// The products of a chunk.
pub struct Products<'a, S, E> {
    pub s: S,
    pub element: PhantomData<E>,
    /// Elements of a row of keys, values and sums.
    pub lanes: usize,
    /// Bytes from one row of queries to the next.
    pub query_bytes: usize,
    pub blocks: &'a Blocks,
}

impl<S: Simd, E: Element> Products<'_, S, E> {
    /// Scores of `R` rows of queries at the positions of these blocks, into rows of a chunk.
    ///
    /// # Safety
    /// `R` rows of queries may be read, the blocks' keys too; `R` rows of a chunk may be written.
    #[inline(always)]
    pub unsafe fn scores<const R: usize>(&self, queries: *const u8, blocks: Range<usize>, scores: *mut f32) {
        let s = self.s;
        for block in blocks {
            let mut sums = [s.splat(0.0); R];
            let (start, mut queries) = (self.blocks.keys[block], queries);
            let mut keys = start.wrapping_add(E::scales(self.lanes));
            let (mut left, mut step) = (self.lanes / 2, 0);
            // SAFETY: as the caller says; pairs beyond the last do not count.
            unsafe {
                while left > 0 {
                    let pairs = if left < PAIRS { left } else { PAIRS };
                    let mut dots = [E::zero(s); R];
                    let scales = E::of_keys(s, start, step);
                    let end = queries.add(2 * E::OF_ROW * pairs);
                    while queries < end {
                        let k = E::keys(s, keys, scales);
                        for r in 0..R {
                            let q = E::row(s, queries.add(r * self.query_bytes));
                            dots[r] = E::add(s, dots[r], k, q);
                        }
                        keys = keys.add(E::PAIR);
                        queries = queries.add(2 * E::OF_ROW);
                    }
                    for r in 0..R {
                        sums[r] = s.add(sums[r], E::total(s, dots[r]));
                    }
                    (left, step) = (left - pairs, step + 1);
                }
                for r in 0..R {
                    s.store(scores.add(r * CHUNK + block * LANES), sums[r]);
                }
            }
        }
    }

    /// Weighted sums of `R` rows over `steps` of positions, into rows of `lanes`.
    ///
    /// # Safety
    /// `R` rows of weights of a chunk may be read, the steps' values too; `R` rows of sums may be written.
    #[inline(always)]
    pub unsafe fn sums<const R: usize>(&self, weights: *const u8, steps: Range<usize>, sums: *mut f32) {
        let (s, lanes) = (self.s, self.lanes);
        // SAFETY: as the caller says.
        unsafe {
            for at in (0..R * lanes).step_by(LANES) {
                s.store(sums.add(at), s.splat(0.0));
            }
            for step in steps {
                let mut at = 0;
                // Rows in turns rather than elements, where registers do not hold all: values are near the second time.
                while at + 4 * LANES <= lanes && const { is_wide::<S>() } {
                    match E::SUMS {
                        1 => self.rows::<R, 4, 4>(weights, step, at, sums),
                        _ => self.rows::<R, 2, 4>(weights, step, at, sums),
                    }
                    at += 4 * LANES;
                }
                while at < lanes {
                    match const { is_wide::<S>() } {
                        true => self.rows::<R, 4, 1>(weights, step, at, sums),
                        false => self.rows::<R, 2, 1>(weights, step, at, sums),
                    }
                    at += LANES;
                }
            }
        }
    }

    /// One step of `R` rows, up to `G` of them at a time.
    ///
    /// # Safety
    /// As for `sums`.
    #[inline(always)]
    unsafe fn rows<const R: usize, const G: usize, const V: usize>(
        &self,
        weights: *const u8,
        step: usize,
        at: usize,
        sums: *mut f32,
    ) {
        // SAFETY: as the caller says.
        unsafe {
            if R < G {
                return self.sums_of::<R, V>(weights, step, at, sums);
            }
            for row in (0..R).step_by(G) {
                self.sums_of::<G, V>(weights.add(row * WEIGHTS), step, at, sums.add(row * self.lanes));
            }
        }
    }

    /// Adds one step's products to the sums of `R` rows, `V` vectors of elements from `at` on.
    ///
    /// # Safety
    /// As for `sums`.
    #[inline(always)]
    unsafe fn sums_of<const R: usize, const V: usize>(
        &self,
        weights: *const u8,
        step: usize,
        at: usize,
        sums: *mut f32,
    ) {
        let (s, lanes) = (self.s, self.lanes);
        let row = lanes * E::BYTES;
        let mut dots = [[E::zero(s); V]; R];
        // SAFETY: as the caller says.
        unsafe {
            let mut weights = weights.add(step * STEP * E::OF_ROW);
            for half in 0..2 {
                let block = self.blocks.values[2 * step + half];
                let scales = E::of_values(s, block, at, lanes);
                let mut values = block.add(E::scales(lanes) + at / LANES * E::NEXT);
                // Sixteen elements are the second half of what shares a scale, or the first.
                let first = at / LANES % 2;
                for i in 0..HALVES {
                    let mut x = [E::values(s, values, row, &scales, first, i); V];
                    for v in 1..V {
                        x[v] = E::values(s, values.add(v * E::NEXT), row, &scales, first + v, i);
                    }
                    for r in 0..R {
                        let p = E::row(s, weights.add(r * WEIGHTS));
                        for v in 0..V {
                            dots[r][v] = E::add(s, dots[r][v], x[v], p);
                        }
                    }
                    values = values.add(2 * row);
                    weights = weights.add(2 * E::OF_ROW);
                }
            }
            for r in 0..R {
                for v in 0..V {
                    let to = sums.add(r * lanes + at + v * LANES);
                    s.store(to, s.add(s.load(to), E::total(s, dots[r][v])));
                }
            }
        }
    }
}

/// Whether a level has registers for sixteen sums.
const fn is_wide<S: Simd>() -> bool {
    matches!(S::ISA, Isa::Avx512 | Isa::Amx)
}
