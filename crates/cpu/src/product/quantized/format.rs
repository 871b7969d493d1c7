//! Block formats as kernels read them: a group's codes and its integer scales, in vectors over sixteen rows.

use simd::Simd;

use crate::activation::Int8Group;
use crate::packed::{BLOCK, Fields, GROUP, plane};

/// Blocks of a whole group.
pub const BLOCKS: usize = GROUP / BLOCK;

/// Vectors of codes of a block: four values of each row in each.
pub const WORDS: usize = BLOCK / 4;

/// A block format.
///
/// Over a group, a row's product with int8 activations `q` is `d * I`, with `I` the exact integer sum over blocks (or
/// half blocks) `b` of `r[b] * sum of c q`, and for formats with mins `m * J` more, `J` the sum of `mu[b] * sum of q`.
pub trait Format: 'static {
    /// What is where.
    const FIELDS: Fields;
    /// Blocks of the source in a group: 1, or as many as it has blocks.
    const SOURCES: usize;
    /// Scales of a block: 1, or one for each half.
    const SCALES: usize = 1;
    /// What is taken off unsigned codes of 7 bits; `None` where codes are signed.
    const OFFSET: Option<i32>;
    /// Whether there are mins.
    const MINS: bool = false;
    /// What codes stand for, where they do not stand for themselves.
    const GRID: Option<&'static Grid> = None;

    /// The scales of a group that holds so many blocks.
    ///
    /// # Safety
    /// `at` is where a group's fields are.
    unsafe fn scales<S: Simd>(s: S, at: *const u8, blocks: usize) -> Scales<S>;
}

/// Sixteen bytes, four times over.
#[repr(C, align(64))]
pub struct Grid([[i8; 16]; 4]);

impl Grid {
    /// The grid of these values, each raised by `offset`.
    pub const fn of(values: [i8; 16], offset: i8) -> Grid {
        let mut raised = values;
        let mut i = 0;
        while i < 16 {
            raised[i] += offset;
            i += 1;
        }
        Grid([raised; 4])
    }
}

/// The scales of a group, for sixteen rows.
#[derive(Clone, Copy)]
pub struct Scales<S: Simd> {
    /// Multiplies the sum of products.
    pub d: S::F,
    /// Multiplies the sum of mins.
    pub m: S::F,
    /// The integer scale of each block or half block.
    pub r: [S::I; 2 * BLOCKS],
    /// What multiplies the sums of activations, in pairs of 16 bits: mins, or scales where codes have an offset.
    pub pairs: [S::I; BLOCKS],
}

impl<S: Simd> Scales<S> {
    #[inline(always)]
    pub fn zero(s: S) -> Scales<S> {
        let (f, i) = (s.splat(0.0), s.splat_i(0));
        Scales { d: f, m: f, r: [i; 2 * BLOCKS], pairs: [i; BLOCKS] }
    }

    /// Puts these beside each other into `pairs`.
    #[inline(always)]
    pub fn pair(&mut self, s: S, values: &[S::I; 2 * BLOCKS], count: usize) {
        let mut i = 0;
        while 2 * i < count {
            let low = s.and(values[2 * i], s.splat_i(0xffff));
            self.pairs[i] = s.or(low, s.shl(values[2 * i + 1], 16));
            i += 1;
        }
    }

    /// The sum of [`Scales::pairs`] by the sums of a row's activations.
    ///
    /// # Safety
    /// `x` may be read.
    #[inline(always)]
    pub unsafe fn others<F: Format>(&self, s: S, x: *const Int8Group, blocks: usize) -> S::I {
        // SAFETY: as the caller says.
        let pairs = unsafe {
            if F::SCALES == 2 {
                (&raw const (*x).half_sums).cast::<i32>()
            } else {
                (&raw const (*x).sums).cast()
            }
        };
        let mut others = s.splat_i(0);
        let mut i = 0;
        while 2 * i < blocks * F::SCALES {
            // SAFETY: there are as many pairs of sums as of scales.
            others = s.dot_i16(others, self.pairs[i], s.splat_i(unsafe { pairs.wrapping_add(i).read() }));
            i += 1;
        }
        others
    }

    /// `acc`, and a row's product by a group, of which `sum` is the integer part as [`dot`] leaves it.
    ///
    /// # Safety
    /// `x`, the row's activations, may be read.
    #[inline(always)]
    pub unsafe fn settle<F: Format>(
        &self,
        s: S,
        acc: S::F,
        mut sum: S::I,
        x: *const Int8Group,
        blocks: usize,
    ) -> S::F {
        // SAFETY: as the caller says.
        unsafe {
            if const { offset::<S, F>() != 0 } {
                let others = self.others::<F>(s, x, blocks);
                sum = s.sub_i(sum, s.mul_i(others, s.splat_i(offset::<S, F>())));
            }
            self.add::<F>(s, acc, sum, x, blocks)
        }
    }

    /// `acc`, and a row's product by a group, of which `sum` is the integer part.
    ///
    /// # Safety
    /// `x`, the row's activations, may be read.
    #[inline(always)]
    pub unsafe fn add<F: Format>(
        &self,
        s: S,
        acc: S::F,
        sum: S::I,
        x: *const Int8Group,
        blocks: usize,
    ) -> S::F {
        // SAFETY: as the caller says.
        let dx = s.splat(unsafe { (*x).scale });
        let acc = s.fma(s.mul(s.to_f(sum), self.d), dx, acc);
        if !F::MINS {
            return acc;
        }
        // SAFETY: as the caller says.
        let mins = unsafe { self.others::<F>(s, x, blocks) };
        s.fma(s.mul(s.to_f(mins), self.m), dx, acc)
    }
}

/// Bytes of the codes of a block.
pub const fn block_bytes<F: Format>() -> usize {
    64 * F::FIELDS.vectors()
}

/// Bytes of a whole group.
pub const fn record_bytes<F: Format>() -> usize {
    F::FIELDS.record_bytes(F::SOURCES, BLOCKS)
}

/// Bytes of the fields of a group of so many blocks, which lie before its codes.
#[inline(always)]
pub const fn field_bytes<F: Format>(blocks: usize) -> usize {
    F::FIELDS.field_bytes(F::SOURCES * blocks / BLOCKS)
}

/// The codes of a block, or what they stand for: word `i` of each row holds values `4 i .. 4 i + 4`.
///
/// # Safety
/// `at` is where a block's planes are.
#[inline(always)]
pub unsafe fn codes<S: Simd, F: Format>(s: S, at: *const u8) -> [S::I; WORDS] {
    let mut codes = [s.splat_i(0); WORDS];
    let mut i = 0;
    while i < WORDS {
        // SAFETY: as the caller says.
        codes[i] = unsafe { word::<S, F>(s, at, i) };
        i += 1;
    }
    codes
}

/// Word `i` of the codes of a block.
///
/// # Safety
/// `at` is where a block's planes are; `i` is below [`WORDS`].
#[inline(always)]
pub unsafe fn word<S: Simd, F: Format>(s: S, at: *const u8, i: usize) -> S::I {
    let mut code = s.splat_i(0);
    let mut low = 0;
    let mut p = 0;
    while p < F::FIELDS.codes.len() {
        let width = F::FIELDS.codes[p].width;
        // Values 4 i are in this byte of the plane, from this bit on.
        let (run, per) = (plane(width).run, 8 / width);
        let byte = 4 * i / (run * per) * run + 4 * i % run;
        let bit = 4 * i / run % per * width;
        // SAFETY: the plane begins behind the ones before it, and has `width` vectors, word `byte / 4` in each.
        let vector = unsafe { s.load_i(at.wrapping_add(64 * (low + byte / 4))) };
        let part = s.shr(vector, bit as u32);
        let mask = (0xff_u32 >> (8 - width)) * 0x0101_0101;
        let part = if width == 8 { part } else { s.shl(s.and(part, s.splat_i(mask as i32)), low as u32) };
        code = if p == 0 { part } else { s.or(code, part) };
        low += width;
        p += 1;
    }
    match F::GRID {
        // SAFETY: a grid has 64 bytes.
        Some(grid) => s.lookup(unsafe { s.load_i(grid.0.as_ptr().cast()) }, code),
        None => code,
    }
}

/// What is to be taken off an unsigned sum, times the sum of scaled activations.
#[inline(always)]
pub const fn offset<S: Simd, F: Format>() -> i32 {
    match F::OFFSET {
        Some(offset) => offset,
        None => S::I8_BIAS,
    }
}

/// `acc + the products of a word of codes and four activations`, less what [`offset`] says.
#[inline(always)]
pub fn dot<S: Simd, F: Format>(s: S, acc: S::I, codes: S::I, x: S::I) -> S::I {
    match F::OFFSET {
        Some(_) => s.dot_u7(acc, codes, x),
        None => s.dot_i8(acc, codes, x),
    }
}
