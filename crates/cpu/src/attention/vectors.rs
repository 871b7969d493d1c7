//! Scores and weighted sums on vectors: a few rows by sixteen positions, or by sixteen elements, at a time, so that
//! each load of keys or values serves all rows.

use std::marker::PhantomData;
use std::ops::Range;

use simd::{LANES, Simd};

use super::CHUNK;
use super::ahead::{Ahead, LINE};
use super::chunk::Blocks;
use super::element::Element;
use super::softmax::STEP;

/// Pairs of a step of a product.
const PAIRS: usize = STEP / 2;

/// The products of a chunk. Counts that are always the same are kept as values: loops over them that the compiler
/// unrolled would have more in flight than there are registers.
pub struct Products<'a, S, E> {
    pub s: S,
    pub element: PhantomData<E>,
    /// Pairs of a block: half of a row's elements.
    pub pairs: usize,
    /// Pairs of sixteen positions.
    pub halves: usize,
    /// f32 from one row of queries to the next.
    pub depth: usize,
    pub blocks: &'a Blocks,
    pub ahead: Ahead,
}

impl<S: Simd, E: Element> Products<'_, S, E> {
    /// Scores of `R` rows of queries at sixteen positions of each of `blocks`, into rows of a chunk.
    ///
    /// # Safety
    /// `R` rows of queries may be read, the blocks' keys too; `R` rows of a chunk may be written.
    #[inline(always)]
    pub unsafe fn scores<const R: usize>(
        &mut self,
        queries: *const f32,
        blocks: Range<usize>,
        scores: *mut f32,
    ) {
        let mut block = blocks.start;
        // SAFETY: as the caller says.
        unsafe {
            // Eight sums at once hide an addition's latency; sixteen use each query twice.
            while R == 1 && block + 4 <= blocks.end {
                self.scores_of::<R, 4>(queries, block, scores);
                block += 4;
            }
            while (R == 2 || R == 4) && block + 2 <= blocks.end {
                self.scores_of::<R, 2>(queries, block, scores);
                block += 2;
            }
            while block < blocks.end {
                self.scores_of::<R, 1>(queries, block, scores);
                block += 1;
            }
        }
    }

    /// Scores of `R` rows at `B` blocks of positions.
    ///
    /// # Safety
    /// As for `scores`.
    #[inline(always)]
    unsafe fn scores_of<const R: usize, const B: usize>(
        &mut self,
        queries: *const f32,
        block: usize,
        scores: *mut f32,
    ) {
        let (s, depth) = (self.s, self.depth);
        let zero = s.splat(0.0);
        let mut sums = [[zero; B]; R];
        let mut keys: [*const u8; B] = std::array::from_fn(|b| self.blocks.keys[block + b]);
        let mut queries = queries;
        let mut left = self.pairs;
        // SAFETY: as the caller says; pairs beyond the last do not count.
        unsafe {
            while left > 0 {
                let (mut even, mut odd) = ([[zero; B]; R], [[zero; B]; R]);
                let step = if left < PAIRS { left } else { PAIRS };
                let mut near: [*const u8; B] = std::array::from_fn(|b| self.ahead.run(keys[b]));
                let end = queries.add(2 * step);
                while queries < end {
                    let mut k = [(zero, zero); B];
                    for b in 0..B {
                        k[b] = E::pair(s, keys[b]);
                        keys[b] = keys[b].add(E::PAIR);
                        s.prefetch(near[b]);
                        near[b] = near[b].wrapping_add(LINE);
                    }
                    for r in 0..R {
                        let q = queries.add(r * depth);
                        let (q_even, q_odd) = (s.splat(*q), s.splat(*q.add(1)));
                        for b in 0..B {
                            even[r][b] = s.fma(k[b].0, q_even, even[r][b]);
                            odd[r][b] = s.fma(k[b].1, q_odd, odd[r][b]);
                        }
                    }
                    queries = queries.add(2);
                }
                for r in 0..R {
                    for b in 0..B {
                        sums[r][b] = s.add(sums[r][b], s.add(even[r][b], odd[r][b]));
                    }
                }
                left -= step;
            }
            for r in 0..R {
                for b in 0..B {
                    s.store(scores.add(r * CHUNK + (block + b) * LANES), sums[r][b]);
                }
            }
        }
    }

    /// Weighted sums of `R` rows over `steps` of positions, into rows of `lanes`.
    ///
    /// # Safety
    /// `R` rows of weights of a chunk may be read, the steps' values too; `R` rows of sums may be written.
    #[inline(always)]
    pub unsafe fn sums<const R: usize>(&mut self, weights: *const f32, steps: Range<usize>, sums: *mut f32) {
        let (s, lanes) = (self.s, 2 * self.pairs);
        // SAFETY: as the caller says.
        unsafe {
            for at in (0..R * lanes).step_by(LANES) {
                s.store(sums.add(at), s.splat(0.0));
            }
            for step in steps {
                let mut at = 0;
                while R == 1 && at + 4 * LANES <= lanes {
                    self.sums_of::<R, 4>(weights, step, at, sums);
                    at += 4 * LANES;
                }
                while (R == 2 || R == 4) && at + 2 * LANES <= lanes {
                    self.sums_of::<R, 2>(weights, step, at, sums);
                    at += 2 * LANES;
                }
                while at < lanes {
                    self.sums_of::<R, 1>(weights, step, at, sums);
                    at += LANES;
                }
            }
        }
    }

    /// Adds one step's products to the sums of `R` rows, `V` vectors of elements from `at` on.
    ///
    /// # Safety
    /// As for `sums`.
    #[inline(always)]
    unsafe fn sums_of<const R: usize, const V: usize>(
        &mut self,
        weights: *const f32,
        step: usize,
        at: usize,
        sums: *mut f32,
    ) {
        let (s, lanes) = (self.s, 2 * self.pairs);
        let zero = s.splat(0.0);
        let (mut even, mut odd) = ([[zero; V]; R], [[zero; V]; R]);
        // SAFETY: as the caller says.
        unsafe {
            let mut weights = weights.add(step * STEP);
            let mut near: [*const u8; V] = std::array::from_fn(|_| self.ahead.run(weights.cast()));
            for half in 0..2 {
                let mut values = self.blocks.values[2 * step + half].add(at / 2 * E::PAIR);
                let end = weights.add(2 * self.halves);
                while weights < end {
                    let mut x = [(zero, zero); V];
                    for v in 0..V {
                        x[v] = E::pair(s, values.add(v * (LANES / 2) * E::PAIR));
                        s.prefetch(near[v]);
                        near[v] = near[v].wrapping_add(LINE);
                    }
                    for r in 0..R {
                        let p = weights.add(r * CHUNK);
                        let (p_even, p_odd) = (s.splat(*p), s.splat(*p.add(1)));
                        for v in 0..V {
                            even[r][v] = s.fma(x[v].0, p_even, even[r][v]);
                            odd[r][v] = s.fma(x[v].1, p_odd, odd[r][v]);
                        }
                    }
                    values = values.add(E::PAIR);
                    weights = weights.add(2);
                }
            }
            for r in 0..R {
                for v in 0..V {
                    let to = sums.add(r * lanes + at + v * LANES);
                    s.store(to, s.add(s.load(to), s.add(even[r][v], odd[r][v])));
                }
            }
        }
    }
}
