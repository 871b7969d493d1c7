//! Scores and weighted sums on vectors: a few rows by sixteen positions, or by sixteen elements, at a time, so that
//! each load of keys or values serves all rows.

use std::ops::Range;

use simd::{LANES, Simd};

use super::CHUNK;
use super::chunk::Blocks;
use super::element::Element;
use super::softmax::STEP;

/// Pairs of a step of a product.
const PAIRS: usize = STEP / 2;

/// The products of a chunk for `R` rows.
#[derive(Clone, Copy)]
pub struct Products<'a, S, E> {
    pub s: S,
    pub element: std::marker::PhantomData<E>,
    /// Pairs of a block.
    pub pairs: usize,
    pub blocks: &'a Blocks,
}

impl<S: Simd, E: Element> Products<'_, S, E> {
    /// Scores of `R` rows, `depth` elements apart, at sixteen positions of each of `blocks`, into rows of a chunk.
    ///
    /// # Safety
    /// `R` rows of queries may be read, the blocks' keys too; `R` rows of a chunk may be written.
    #[inline(always)]
    pub unsafe fn scores<const R: usize>(self, queries: *const f32, depth: usize, blocks: Range<usize>, scores: *mut f32) {
        let mut block = blocks.start;
        // SAFETY: as the caller says.
        unsafe {
            if R == 1 {
                while block + 4 <= blocks.end {
                    self.scores_of::<R, 4>(queries, depth, block, scores);
                    block += 4;
                }
            }
            if R == 2 {
                while block + 2 <= blocks.end {
                    self.scores_of::<R, 2>(queries, depth, block, scores);
                    block += 2;
                }
            }
            while block < blocks.end {
                self.scores_of::<R, 1>(queries, depth, block, scores);
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
        self,
        queries: *const f32,
        depth: usize,
        block: usize,
        scores: *mut f32,
    ) {
        let s = self.s;
        let zero = s.splat(0.0);
        let mut sums = [[zero; B]; R];
        let mut first = 0;
        // SAFETY: as the caller says; pairs beyond the last do not count.
        unsafe {
            while first < self.pairs {
                let end = if self.pairs - first < PAIRS { self.pairs } else { first + PAIRS };
                let (mut even, mut odd) = ([[zero; B]; R], [[zero; B]; R]);
                let mut pair = first;
                while pair < end {
                    for b in 0..B {
                        let (k_even, k_odd) = E::pair(s, self.blocks.keys[block + b].add(pair * E::PAIR));
                        for r in 0..R {
                            let q = queries.add(r * depth + 2 * pair);
                            even[r][b] = s.fma(k_even, s.splat(*q), even[r][b]);
                            odd[r][b] = s.fma(k_odd, s.splat(*q.add(1)), odd[r][b]);
                        }
                    }
                    pair += 1;
                }
                for r in 0..R {
                    for b in 0..B {
                        sums[r][b] = s.add(sums[r][b], s.add(even[r][b], odd[r][b]));
                    }
                }
                first = end;
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
    pub unsafe fn sums<const R: usize>(self, weights: *const f32, steps: Range<usize>, lanes: usize, sums: *mut f32) {
        let s = self.s;
        // SAFETY: as the caller says.
        unsafe {
            for r in 0..R {
                let mut at = 0;
                while at < lanes {
                    s.store(sums.add(r * lanes + at), s.splat(0.0));
                    at += LANES;
                }
            }
            let mut step = steps.start;
            while step < steps.end {
                let mut at = 0;
                if R == 1 {
                    while at + 4 * LANES <= lanes {
                        self.sums_of::<R, 4>(weights, step, lanes, at, sums);
                        at += 4 * LANES;
                    }
                }
                if R == 2 {
                    while at + 2 * LANES <= lanes {
                        self.sums_of::<R, 2>(weights, step, lanes, at, sums);
                        at += 2 * LANES;
                    }
                }
                while at < lanes {
                    self.sums_of::<R, 1>(weights, step, lanes, at, sums);
                    at += LANES;
                }
                step += 1;
            }
        }
    }

    /// Adds one step's products to the sums of `R` rows, `V` vectors of elements from `at` on.
    ///
    /// # Safety
    /// As for `sums`.
    #[inline(always)]
    unsafe fn sums_of<const R: usize, const V: usize>(
        self,
        weights: *const f32,
        step: usize,
        lanes: usize,
        at: usize,
        sums: *mut f32,
    ) {
        let s = self.s;
        let zero = s.splat(0.0);
        let (mut even, mut odd) = ([[zero; V]; R], [[zero; V]; R]);
        // SAFETY: as the caller says.
        unsafe {
            for half in 0..2 {
                let values = self.blocks.values[2 * step + half].add(at / 2 * E::PAIR);
                let weights = weights.add(step * STEP + half * LANES);
                for pair in 0..PAIRS / 2 {
                    for v in 0..V {
                        let (v_even, v_odd) = E::pair(s, values.add((v * 8 + pair) * E::PAIR));
                        for r in 0..R {
                            let p = weights.add(r * CHUNK + 2 * pair);
                            even[r][v] = s.fma(v_even, s.splat(*p), even[r][v]);
                            odd[r][v] = s.fma(v_odd, s.splat(*p.add(1)), odd[r][v]);
                        }
                    }
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
