//! Products of bf16 by bf16 in pairs, as the instruction for them makes: over each 32 values of the depth sixteen pairs
//! are added one after the other from zero, the odd value of each before the even one; then their sum to the sum so far.
//!
//! A turn is a stretch of a strip; chunks of up to eight rows are multiplied by it, so that a load of weights serves
//! eight products. Few rows wait for memory, and read strips from front to back.

use half::bf16;
use simd::{Isa, Kernel, LANES, Simd};

use crate::activation::Rows;
use crate::packed::{BLOCK, GROUP, View};
use crate::product::Output;
use crate::product::turns::{ROWS, Turn, Turns, kept_bytes};

/// Bytes of a pair of values of sixteen rows.
const PAIR: usize = 64;

/// Bytes of a stretch of a strip: it stays in the first cache while rows pass.
const STRETCH: usize = GROUP / 2 * PAIR;

/// Bytes of scratch for so many rows of so many values, or fewer rows.
pub fn scratch_bytes(rows: usize, depth: usize) -> usize {
    kept_bytes(rows, depth * size_of::<bf16>())
}

/// Some strips of bf16 by any number of rows, each filled up to whole blocks. The features of the strips may be
/// written in all rows of `out`: who makes it says so.
pub struct Pairs<'a> {
    pub weight: View<'a>,
    pub x: Rows<'a, bf16>,
    pub strips: std::ops::Range<usize>,
    pub out: Output,
    pub scratch: &'a mut [u8],
}

impl Kernel for Pairs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Pairs { weight, x, strips, out, scratch } = self;
        let layout = weight.layout;
        let depth = layout.cols.next_multiple_of(BLOCK);
        assert_eq!(layout.strip_bytes(), depth / 2 * PAIR, "strips of bf16");
        assert_eq!(weight.bytes.len(), layout.bytes(), "a weight has the bytes of its layout");
        assert!(strips.end <= layout.strips(), "strips that there are");
        assert!(scratch.len() >= scratch_bytes(x.rows, depth), "a product has the scratch it asks for");
        assert!((scratch.as_ptr() as usize).is_multiple_of(64), "scratch begins on a line");
        let kept = scratch.as_mut_ptr().cast::<f32>();
        for first in (0..x.rows).step_by(ROWS) {
            let x = x.rows(first..x.rows.min(first + ROWS));
            let walk = Walk {
                weight,
                x,
                depth,
                kept,
                out: Output { start: out.start.wrapping_add(first * out.stride), ..out },
            };
            for [turn, next] in
                Turns::new(strips.clone(), depth.div_ceil(GROUP), x.rows, depth * size_of::<bf16>())
            {
                // SAFETY: the strips were checked, and the scratch; the outputs are as said above.
                unsafe { walk.turn(s, turn, next) };
            }
        }
    }
}

/// Some rows by all strips.
struct Walk<'a> {
    weight: View<'a>,
    x: Rows<'a, bf16>,
    depth: usize,
    /// Sums of rows, while there are stretches to come, of each strip of those that go together.
    kept: *mut f32,
    out: Output,
}

/// A stretch of a strip, and the rows that are next.
#[derive(Clone, Copy)]
struct Stretch {
    weights: *const u8,
    blocks: usize,
    x: *const bf16,
    x_stride: usize,
    kept: *mut f32,
    out: *mut f32,
    out_stride: usize,
    /// Lanes of sums that there are before it: none or all.
    begun: usize,
    /// Whether sums are outputs after it.
    is_last: bool,
    /// Features of the strip.
    lanes: usize,
    /// From its weights to those of the next turn; 0 once they were asked for.
    ahead: usize,
}

impl Walk<'_> {
    /// Where a stretch lies, or would.
    fn weights(&self, turn: Turn) -> *const u8 {
        let strip = turn.strip.wrapping_mul(self.weight.layout.strip_bytes());
        self.weight.bytes.as_ptr().wrapping_add(strip).wrapping_add(turn.group.wrapping_mul(STRETCH))
    }

    /// All rows by a stretch.
    ///
    /// # Safety
    /// The turn is one of the product's; there is room for the sums that are kept, and outputs may be written.
    #[inline(always)]
    unsafe fn turn<S: Simd>(&self, s: S, turn: Turn, next: Turn) {
        let features = self.weight.layout.rows;
        let weights = self.weights(turn);
        let from = turn.group * GROUP;
        let mut stretch = Stretch {
            weights,
            blocks: GROUP.min(self.depth - from) / BLOCK,
            x: self.x.values.as_ptr().wrapping_add(from),
            x_stride: self.x.stride,
            kept: self.kept.wrapping_add(turn.place * self.x.rows * LANES),
            out: self.out.start.wrapping_add(turn.strip * LANES),
            out_stride: self.out.stride,
            begun: if turn.group == 0 { 0 } else { LANES },
            is_last: from + GROUP >= self.depth,
            lanes: LANES.min(features - turn.strip * LANES),
            ahead: self.weights(next).wrapping_sub(weights as usize) as usize,
        };
        let mut left = self.x.rows;
        while left > 0 {
            // SAFETY: no more rows than are left, by a stretch that there is.
            let done = unsafe {
                match left {
                    1 => stretch.chunk::<S, 1>(s),
                    2 => stretch.chunk::<S, 2>(s),
                    3 => stretch.chunk::<S, 3>(s),
                    4..8 => stretch.chunk::<S, 4>(s),
                    // Levels of few registers have no more at once.
                    _ if const { matches!(S::ISA, Isa::Portable | Isa::Avx2) } => stretch.chunk::<S, 4>(s),
                    _ => stretch.chunk::<S, 8>(s),
                }
            };
            left -= done;
            stretch = stretch.after(done);
        }
    }
}

impl Stretch {
    #[inline(always)]
    fn after(self, rows: usize) -> Stretch {
        Stretch {
            x: self.x.wrapping_add(rows.wrapping_mul(self.x_stride)),
            kept: self.kept.wrapping_add(rows * LANES),
            out: self.out.wrapping_add(rows.wrapping_mul(self.out_stride)),
            ahead: 0,
            ..self
        }
    }

    /// `M` rows; says how many.
    ///
    /// # Safety
    /// As [`Walk::turn`], and there are as many rows.
    #[inline(always)]
    unsafe fn chunk<S: Simd, const M: usize>(&self, s: S) -> usize {
        let mut sums = [s.splat(0.0); M];
        let mut rows = [self.x.cast::<i32>(); M];
        let mut m = 0;
        while m < M {
            rows[m] = self.x.wrapping_add(m.wrapping_mul(self.x_stride)).cast();
            // SAFETY: the sums of a row.
            sums[m] = unsafe { s.load_first(self.kept.wrapping_add(m * LANES), self.begun) };
            m += 1;
        }
        let mut weights = self.weights;
        let mut pair = 0;
        while pair < self.blocks * (BLOCK / 2) {
            let mut dots = [s.splat(0.0); M];
            let mut i = 0;
            while i < BLOCK / 2 {
                if M == 8 {
                    s.prefetch_near(weights.wrapping_add(self.ahead));
                }
                // SAFETY: a pair of the strip and of each row.
                unsafe {
                    let w = s.load_i(weights);
                    m = 0;
                    while m < M {
                        let x = rows[m].wrapping_add(pair).wrapping_add(i).read_unaligned();
                        dots[m] = s.dot_bf16(dots[m], w, s.splat_i(x));
                        m += 1;
                    }
                }
                weights = weights.wrapping_add(PAIR);
                i += 1;
            }
            m = 0;
            while m < M {
                sums[m] = s.add(sums[m], dots[m]);
                m += 1;
            }
            pair = pair.wrapping_add(BLOCK / 2);
        }
        m = 0;
        while m < M {
            // SAFETY: the row's sums, or its outputs.
            unsafe {
                if self.is_last {
                    let out = self.out.wrapping_add(m.wrapping_mul(self.out_stride));
                    s.store_first(out, sums[m], self.lanes);
                } else {
                    s.store(self.kept.wrapping_add(m * LANES), sums[m]);
                }
            }
            m += 1;
        }
        M
    }
}
