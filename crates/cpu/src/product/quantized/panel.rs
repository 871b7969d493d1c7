//! Many rows by vectors: a group of a few strips is unpacked to bytes once, into the first cache, for all rows.

use std::marker::PhantomData;

use simd::{Kernel, LANES, Simd};

use super::format::{BLOCKS, Format, Scales, WORDS, block_bytes, codes, dot, offset};
use super::task::Task;
use crate::activation::Int8Group;
use crate::packed::{BLOCK, GROUP};

/// Bytes of the codes of a group of sixteen rows, a byte each.
const PANEL: usize = LANES * GROUP;

/// Most strips at once.
const STRIPS: usize = 2;

/// Rows whose sums are kept at once.
const ROWS: usize = 1024;

/// Bytes that [`Panel`] needs for so many rows.
pub fn scratch_bytes(rows: usize) -> usize {
    STRIPS * (PANEL + rows.min(ROWS) * LANES * 4)
}

/// At least `M` rows, `M` rows by `N` strips at a time.
pub struct Panel<'a, F, const M: usize, const N: usize> {
    pub task: Task<'a>,
    pub scratch: &'a mut [u8],
    pub format: PhantomData<F>,
}

/// `N` strips, of which there may be fewer: then the last one is taken again.
struct Piece<'a, S: Simd, F, const M: usize, const N: usize> {
    s: S,
    task: &'a Task<'a>,
    strips: [usize; N],
    /// How many there are.
    count: usize,
    panels: *mut u8,
    kept: *mut f32,
    scales: [Scales<S>; N],
    format: PhantomData<F>,
}

impl<F: Format, const M: usize, const N: usize> Kernel for Panel<'_, F, M, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Panel { task, scratch, .. } = self;
        const { assert!(N <= STRIPS) };
        assert!(task.x.rows >= M, "panels are for rows enough");
        assert!(scratch.len() >= scratch_bytes(task.x.rows), "a product has the scratch it asks for");
        assert!((scratch.as_ptr() as usize).is_multiple_of(64), "scratch begins on a line");
        let panels = scratch.as_mut_ptr();
        let kept = panels.wrapping_add(STRIPS * PANEL).cast::<f32>();
        let mut row = 0;
        while row < task.x.rows {
            // What is left is never fewer than a tile.
            let left = task.x.rows - row;
            let rows = if left <= ROWS { left } else { ROWS.min(left - M) };
            let task = task.rows(row..row + rows);
            let mut strip = task.strips.start;
            while strip < task.strips.end {
                let count = N.min(task.strips.end - strip);
                let mut strips = [strip; N];
                let mut n = 1;
                while n < N {
                    strips[n] = strip + n.min(count - 1);
                    n += 1;
                }
                let scales = [Scales::zero(s); N];
                let mut piece = Piece::<S, F, M, N> {
                    s,
                    task: &task,
                    strips,
                    count,
                    panels,
                    kept,
                    scales,
                    format: PhantomData,
                };
                // SAFETY: the task's checks, and the scratch's.
                unsafe { piece.run() }
                strip += N;
            }
            row += rows;
        }
    }
}

impl<S: Simd, F: Format, const M: usize, const N: usize> Piece<'_, S, F, M, N> {
    /// # Safety
    /// The task is checked, the strips are its, and the pointers are to scratch of [`scratch_bytes`].
    #[inline(always)]
    unsafe fn run(&mut self) {
        let (layout, x) = (&self.task.weight.layout, &self.task.x);
        let mut group = 0;
        while group < layout.groups() {
            let blocks = GROUP.min(layout.cols - group * GROUP) / BLOCK;
            let groups = x.groups.as_ptr().wrapping_add(group * x.stride + x.first);
            // SAFETY: a group of the weight, and of all rows; every tile is of rows that there are.
            unsafe {
                self.unpack(group, blocks);
                let mut tile = 0;
                while tile < x.rows {
                    let row = tile.min(x.rows - M);
                    let sums = self.multiply(groups.wrapping_add(row), blocks);
                    self.settle(group, blocks, groups, sums, row, tile - row);
                    tile += M;
                }
            }
            group += 1;
        }
    }

    /// Unpacks a group of each strip.
    ///
    /// # Safety
    /// As [`Piece::run`].
    #[inline(always)]
    unsafe fn unpack(&mut self, group: usize, blocks: usize) {
        let s = self.s;
        let record_bytes = const { F::FIELDS.record_bytes(F::SOURCES, BLOCKS) };
        let mut n = 0;
        while n < self.count {
            let record = self.task.weight.strip(self.strips[n]).as_ptr().wrapping_add(group * record_bytes);
            let mut line = 0;
            while line < record_bytes {
                s.prefetch(record.wrapping_add(record_bytes + line));
                line += 64;
            }
            // SAFETY: the fields lie behind the codes of so many blocks; a panel has room for all words of a group.
            unsafe {
                self.scales[n] = F::scales(s, record.wrapping_add(blocks * block_bytes::<F>()), blocks);
                let mut block = 0;
                while block < blocks {
                    let codes = codes::<S, F>(s, record.wrapping_add(block * block_bytes::<F>()));
                    let mut i = 0;
                    while i < WORDS {
                        s.store_i(self.panels.wrapping_add(n * PANEL + 64 * (block * WORDS + i)), codes[i]);
                        i += 1;
                    }
                    block += 1;
                }
            }
            n += 1;
        }
        while n < N {
            self.scales[n] = self.scales[self.count - 1];
            n += 1;
        }
    }

    /// The integer sums of `M` rows from `x` on by the strips.
    ///
    /// # Safety
    /// As [`Piece::run`]; the group is unpacked.
    #[inline(always)]
    unsafe fn multiply(&self, x: *const Int8Group, blocks: usize) -> [[S::I; M]; N] {
        let s = self.s;
        let mut sums = [[s.splat_i(0); M]; N];
        let mut part = 0;
        while part < blocks * F::SCALES {
            let mut dots = [[s.splat_i(0); M]; N];
            let mut i = 0;
            while i < WORDS / F::SCALES {
                let word = part.wrapping_mul(WORDS / F::SCALES).wrapping_add(i);
                let mut w = [s.splat_i(0); N];
                let mut n = 0;
                while n < N {
                    // SAFETY: a word of the panel; where the last strip is taken again, of its panel.
                    w[n] = unsafe { s.load_i(self.panel(n).wrapping_add(word.wrapping_mul(64))) };
                    n += 1;
                }
                let mut m = 0;
                while m < M {
                    // SAFETY: a word of the row's codes.
                    let x = s.splat_i(unsafe { x.wrapping_add(m).cast::<i32>().wrapping_add(word).read() });
                    n = 0;
                    while n < N {
                        dots[n][m] = dot::<S, F>(s, dots[n][m], w[n], x);
                        n += 1;
                    }
                    m += 1;
                }
                i += 1;
            }
            let mut n = 0;
            while n < N {
                let r = self.scales[n].r[part];
                let mut m = 0;
                while m < M {
                    sums[n][m] = s.add_i(sums[n][m], s.mul_i(dots[n][m], r));
                    m += 1;
                }
                n += 1;
            }
            part = part.wrapping_add(1);
        }
        sums
    }

    #[inline(always)]
    fn panel(&self, n: usize) -> *const u8 {
        self.panels.wrapping_add(n.min(self.count - 1) * PANEL)
    }

    /// Turns the sums of `M` rows into floats, but for the first `skip`, which are another tile's.
    ///
    /// # Safety
    /// As [`Piece::run`]; the sums are those of the rows from `row` on by a group.
    #[inline(always)]
    unsafe fn settle(
        &self,
        group: usize,
        blocks: usize,
        groups: *const Int8Group,
        mut sums: [[S::I; M]; N],
        row: usize,
        skip: usize,
    ) {
        let s = self.s;
        let layout = &self.task.weight.layout;
        let out = &self.task.out;
        let begun = if group == 0 { 0 } else { LANES };
        let is_last = group + 1 == layout.groups();
        let mut n = 0;
        while n < N {
            let scales = &self.scales[n];
            let feature = self.strips[n] * LANES;
            let mut m = 0;
            while m < M {
                if m >= skip && n < self.count {
                    let x = groups.wrapping_add(row + m);
                    let kept = self.kept.wrapping_add((n * self.task.x.rows + row + m) * LANES);
                    // SAFETY: the row's activations and its sums; its outputs are the caller's.
                    unsafe {
                        if const { offset::<S, F>() != 0 } {
                            let others = scales.others::<F>(s, x, blocks);
                            sums[n][m] = s.sub_i(sums[n][m], s.mul_i(others, s.splat_i(offset::<S, F>())));
                        }
                        let acc = scales.add::<F>(s, s.load_first(kept, begun), sums[n][m], x, blocks);
                        if is_last {
                            let to = out.start.wrapping_add((row + m) * out.stride + feature);
                            s.store_first(to, acc, LANES.min(layout.rows - feature));
                        } else {
                            s.store(kept, acc);
                        }
                    }
                }
                m += 1;
            }
            n += 1;
        }
    }
}
