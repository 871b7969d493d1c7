//! Any number of rows by vectors. A turn is a group of a strip: its scales are made once, then chunks of up to eight
//! rows are multiplied by it, each block unpacked in registers for a chunk. Beside a chunk of eight the unpacking is
//! hidden: it takes other units than products do.
//!
//! Few rows wait for memory: strips are read from front to back, which the machine's own prefetcher follows better than
//! any that is asked for. Many rows do not, and ask for the next turn while they work on this one.

use std::marker::PhantomData;

use simd::{Isa, Kernel, LANES, Simd};

use super::format::{BLOCKS, Format, Scales, WORDS, block_bytes, codes, dot, field_bytes, record_bytes};
use super::task::Task;
use crate::activation::Int8Group;
use crate::packed::{BLOCK, GROUP};
use crate::product::turns::{ROWS, Turn, Turns, kept_bytes};

/// Rows from which on a turn takes longer than its weights take to arrive.
const BUSY: usize = 8;

/// Bytes of scratch for so many rows of so many groups, or fewer.
pub fn scratch_bytes(rows: usize, groups: usize) -> usize {
    kept_bytes(rows, groups * size_of::<Int8Group>())
}

/// Any number of rows.
pub struct OnVectors<'a, F> {
    pub task: Task<'a>,
    pub scratch: &'a mut [u8],
    pub format: PhantomData<F>,
}

impl<F: Format> Kernel for OnVectors<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let OnVectors { task, scratch, .. } = self;
        assert!(
            scratch.len() >= scratch_bytes(task.x.rows, task.weight.layout.groups()),
            "a product has the scratch it asks for"
        );
        assert!((scratch.as_ptr() as usize).is_multiple_of(64), "scratch begins on a line");
        let kept = scratch.as_mut_ptr().cast::<f32>();
        let mut row = 0;
        while row < task.x.rows {
            let task = task.rows(row..task.x.rows.min(row + ROWS));
            let walk = Walk::<F> { task: &task, kept, format: PhantomData };
            // SAFETY: the task's checks, and the scratch's.
            unsafe { walk.run(s) }
            row += ROWS;
        }
    }
}

/// Some rows by all strips.
struct Walk<'a, F> {
    task: &'a Task<'a>,
    /// Sums of rows, while there are groups to come, of each strip of those that go together.
    kept: *mut f32,
    format: PhantomData<F>,
}

impl<F: Format> Walk<'_, F> {
    /// # Safety
    /// The task is checked, and there is room for the sums that are kept.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, s: S) {
        let Task { weight, x, strips, .. } = self.task;
        let groups = weight.layout.groups();
        for [turn, next] in Turns::new(strips.clone(), groups, x.rows, groups * size_of::<Int8Group>()) {
            // SAFETY: as the caller says.
            unsafe { self.turn(s, turn, next) };
        }
    }

    /// Where a group lies, or would.
    #[inline(always)]
    fn record(&self, at: Turn) -> *const u8 {
        let weight = &self.task.weight;
        let strip = weight.bytes.as_ptr().wrapping_add(at.strip.wrapping_mul(weight.layout.strip_bytes()));
        strip.wrapping_add(at.group.wrapping_mul(const { record_bytes::<F>() }))
    }

    /// All rows by a group.
    ///
    /// # Safety
    /// As [`Walk::run`]; the turn is one of the task's.
    #[inline(always)]
    unsafe fn turn<S: Simd>(&self, s: S, at: Turn, next: Turn) {
        let Task { weight, x, out, .. } = self.task;
        let layout = &weight.layout;
        let blocks = GROUP.min(layout.cols - at.group * GROUP) / BLOCK;
        let record = self.record(at);
        // Whole groups apart: a count that the compiler knows keeps scales in registers.
        // SAFETY: a group begins with its fields.
        let scales = unsafe {
            if blocks == BLOCKS { F::scales(s, record, BLOCKS) } else { F::scales(s, record, blocks) }
        };
        let ahead = self.record(next).wrapping_sub(record as usize) as usize;
        if x.rows >= BUSY {
            let mut line = 0;
            while line < const { field_bytes::<F>(BLOCKS) } {
                s.prefetch_near(record.wrapping_add(ahead).wrapping_add(line));
                line += 64;
            }
        }
        let group = Group::<S> {
            codes: record.wrapping_add(field_bytes::<F>(blocks)),
            blocks,
            scales: &scales,
            begun: if at.group == 0 { 0 } else { LANES },
            is_last: at.group + 1 == layout.groups(),
            lanes: LANES.min(layout.rows - at.strip * LANES),
            stride: out.stride,
        };
        let mut rows = Rows {
            x: x.groups.as_ptr().wrapping_add(x.first + at.group * x.stride),
            kept: self.kept.wrapping_add(at.place * x.rows * LANES),
            out: out.start.wrapping_add(at.strip * LANES),
            ahead,
        };
        let mut left = x.rows;
        while left > 0 {
            // SAFETY: no more rows than are left, by a group that there is.
            let done = unsafe {
                match left {
                    1 => group.chunk::<F, 1>(s, rows),
                    2 => group.chunk::<F, 2>(s, rows),
                    3 | 5 if const { is_wide::<S>() } => group.chunk::<F, 3>(s, rows),
                    4 | 7 if const { is_wide::<S>() } => group.chunk::<F, 4>(s, rows),
                    6 if const { is_wide::<S>() } => group.chunk::<F, 6>(s, rows),
                    _ if const { is_wide::<S>() } => group.chunk::<F, 8>(s, rows),
                    3 => group.chunk::<F, 2>(s, rows),
                    _ => group.chunk::<F, 4>(s, rows),
                }
            };
            left -= done;
            rows = rows.after(done, out.stride);
        }
    }
}

/// Whether a level has registers for the sums of eight rows.
const fn is_wide<S: Simd>() -> bool {
    matches!(S::ISA, Isa::Avx512 | Isa::Amx)
}

/// A group of a strip, ready to be multiplied.
struct Group<'a, S: Simd> {
    codes: *const u8,
    blocks: usize,
    scales: &'a Scales<S>,
    /// Lanes of sums that there are before this turn: none or all.
    begun: usize,
    /// Whether sums are outputs after it.
    is_last: bool,
    /// Features of the strip.
    lanes: usize,
    stride: usize,
}

/// Where the rows of a chunk lie, which stand one behind the other.
#[derive(Clone, Copy)]
struct Rows {
    x: *const Int8Group,
    kept: *mut f32,
    out: *mut f32,
    /// From this turn's weights to those to ask for; 0 once they were.
    ahead: usize,
}

impl Rows {
    #[inline(always)]
    fn after(self, rows: usize, stride: usize) -> Rows {
        Rows {
            x: self.x.wrapping_add(rows),
            kept: self.kept.wrapping_add(rows * LANES),
            out: self.out.wrapping_add(rows.wrapping_mul(stride)),
            ahead: 0,
        }
    }
}

impl<S: Simd> Group<'_, S> {
    /// `M` rows; says how many.
    ///
    /// # Safety
    /// There are as many, and the group's codes.
    #[inline(always)]
    unsafe fn chunk<F: Format, const M: usize>(&self, s: S, rows: Rows) -> usize {
        // SAFETY: as the caller says.
        let sums = unsafe { self.sums::<F, M>(s, rows.x, rows.ahead) };
        let mut m = 0;
        while m < M {
            let (x, kept) = (rows.x.wrapping_add(m), rows.kept.wrapping_add(m * LANES));
            // SAFETY: the row's activations and its sums; its outputs are the caller's.
            unsafe {
                let acc = s.load_first(kept, self.begun);
                let acc = self.scales.settle::<F>(s, acc, sums[m], x, self.blocks);
                if self.is_last {
                    s.store_first(rows.out.wrapping_add(m.wrapping_mul(self.stride)), acc, self.lanes);
                } else {
                    s.store(kept, acc);
                }
            }
            m += 1;
        }
        M
    }

    /// The integer sums of `M` rows, as [`dot`] leaves them.
    ///
    /// # Safety
    /// As [`Group::chunk`].
    #[inline(always)]
    unsafe fn sums<F: Format, const M: usize>(&self, s: S, x: *const Int8Group, ahead: usize) -> [S::I; M] {
        let mut sums = [s.splat_i(0); M];
        let mut x = x.cast::<i32>();
        let mut at = self.codes;
        let mut scale = self.scales.r.as_ptr();
        let end = at.wrapping_add(self.blocks * block_bytes::<F>());
        while at < end {
            let mut line = 0;
            while M >= BUSY && line < block_bytes::<F>() {
                s.prefetch_near(at.wrapping_add(ahead).wrapping_add(line));
                line += 64;
            }
            // SAFETY: a block of the group, the words of the rows' codes for it, and its scales.
            unsafe {
                let codes = codes::<S, F>(s, at);
                let mut half = 0;
                while half < F::SCALES {
                    let mut dots = [s.splat_i(0); M];
                    let mut i = half * WORDS / F::SCALES;
                    while i < (half + 1) * WORDS / F::SCALES {
                        let mut m = 0;
                        while m < M {
                            let word = x.wrapping_add(m * const { size_of::<Int8Group>() / 4 } + i).read();
                            dots[m] = dot::<S, F>(s, dots[m], codes[i], s.splat_i(word));
                            m += 1;
                        }
                        i += 1;
                    }
                    let r = scale.wrapping_add(half).read();
                    let mut m = 0;
                    while m < M {
                        sums[m] = s.add_i(sums[m], s.mul_i(dots[m], r));
                        m += 1;
                    }
                    half += 1;
                }
            }
            at = at.wrapping_add(block_bytes::<F>());
            x = x.wrapping_add(WORDS);
            scale = scale.wrapping_add(F::SCALES);
        }
        sums
    }
}
