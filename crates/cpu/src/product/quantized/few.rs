//! Few rows: the weights stream by once, each block unpacked in registers for all rows.

use std::marker::PhantomData;

use simd::{Kernel, LANES, Simd};

use super::format::{BLOCKS, Format, WORDS, block_bytes, codes, dot, offset};
use super::task::Task;
use crate::activation::Int8Group;
use crate::packed::{BLOCK, GROUP};

/// How far ahead of the block at hand memory is asked for.
const AHEAD: usize = 4096;

/// Up to `M` rows; where there are fewer, the last one is taken again and not written.
pub struct Few<'a, F, const M: usize> {
    pub task: Task<'a>,
    pub format: PhantomData<F>,
}

impl<F: Format, const M: usize> Kernel for Few<'_, F, M> {
    type Output = ();

    /// The strips are halved, and one of each half multiplied at a time: two streams of memory are faster than one.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (start, end) = (self.task.strips.start, self.task.strips.end);
        let half = (end - start) / 2;
        let mut strip = start;
        while strip < start + half {
            // SAFETY: the task's checks.
            unsafe { self.strips(s, [strip, strip + half]) }
            strip += 1;
        }
        if (end - start) % 2 == 1 {
            // Twice the same: a kernel for one strip would be as long again to compile.
            // SAFETY: the task's checks.
            unsafe { self.strips(s, [end - 1; 2]) }
        }
    }
}

impl<F: Format, const M: usize> Few<'_, F, M> {
    /// # Safety
    /// The strips are some of the task's.
    #[inline(always)]
    unsafe fn strips<S: Simd, const C: usize>(&self, s: S, strips: [usize; C]) {
        let Task { weight, x, out, .. } = &self.task;
        let mut records = strips.map(|strip| weight.strip(strip).as_ptr());
        let mut rows = [x.groups.as_ptr(); M];
        let mut m = 0;
        while m < M {
            rows[m] = rows[m].wrapping_add(x.first + m.min(x.rows - 1));
            m += 1;
        }
        let mut acc = [[s.splat(0.0); M]; C];
        let mut left = weight.layout.cols;
        while left > 0 {
            let blocks = left.min(GROUP) / BLOCK;
            let mut c = 0;
            while c < C {
                // SAFETY: the record is that of a group of so many blocks, and the rows those of its activations.
                unsafe { group::<S, F, M>(s, records[c], blocks, &rows, &mut acc[c]) };
                records[c] = records[c].wrapping_add(const { F::FIELDS.record_bytes(F::SOURCES, BLOCKS) });
                c += 1;
            }
            m = 0;
            while m < M {
                rows[m] = rows[m].wrapping_add(x.stride);
                m += 1;
            }
            left = left.saturating_sub(GROUP);
        }
        let mut c = 0;
        while c < C {
            let lanes = LANES.min(weight.layout.rows - strips[c] * LANES);
            m = 0;
            while m < x.rows.min(M) {
                let at = m * out.stride + strips[c] * LANES;
                // SAFETY: the outputs of this strip and row are the caller's.
                unsafe { s.store_first(out.start.add(at), acc[c][m], lanes) };
                m += 1;
            }
            c += 1;
        }
    }
}

/// Adds a group's products.
///
/// # Safety
/// `record` is that of a group of so many blocks, and each of `rows` a group of activations.
#[inline(always)]
unsafe fn group<S: Simd, F: Format, const M: usize>(
    s: S,
    record: *const u8,
    blocks: usize,
    rows: &[*const Int8Group; M],
    acc: &mut [S::F; M],
) {
    let behind = record.wrapping_add(blocks * block_bytes::<F>());
    let mut line = 0;
    while line < const { F::FIELDS.record_bytes(F::SOURCES, BLOCKS) - BLOCKS * block_bytes::<F>() } {
        s.prefetch(behind.wrapping_add(AHEAD + line));
        line += 64;
    }
    // SAFETY: the fields lie behind the codes.
    let scales = unsafe { F::scales(s, behind, blocks) };
    let mut sums = [s.splat_i(0); M];
    let mut b = 0;
    while b < blocks {
        let at = record.wrapping_add(b * block_bytes::<F>());
        let mut line = 0;
        while line < block_bytes::<F>() {
            s.prefetch(at.wrapping_add(AHEAD + line));
            line += 64;
        }
        // SAFETY: the block is one of the record's, and the words those of the rows' codes.
        unsafe {
            let codes = codes::<S, F>(s, at);
            let mut half = 0;
            while half < F::SCALES {
                let mut dots = [s.splat_i(0); M];
                let mut i = half * WORDS / F::SCALES;
                while i < (half + 1) * WORDS / F::SCALES {
                    let mut m = 0;
                    while m < M {
                        let word = rows[m].cast::<i32>().wrapping_add(b * WORDS + i).read();
                        dots[m] = dot::<S, F>(s, dots[m], codes[i], s.splat_i(word));
                        m += 1;
                    }
                    i += 1;
                }
                let r = scales.r[b * F::SCALES + half];
                let mut m = 0;
                while m < M {
                    sums[m] = s.add_i(sums[m], s.mul_i(dots[m], r));
                    m += 1;
                }
                half += 1;
            }
        }
        b += 1;
    }
    let mut m = 0;
    while m < M {
        // SAFETY: the row's group, as the caller says.
        unsafe {
            if const { offset::<S, F>() != 0 } {
                let others = scales.others::<F>(s, rows[m], blocks);
                sums[m] = s.sub_i(sums[m], s.mul_i(others, s.splat_i(offset::<S, F>())));
            }
            acc[m] = scales.add::<F>(s, acc[m], sums[m], rows[m], blocks);
        }
        m += 1;
    }
}
