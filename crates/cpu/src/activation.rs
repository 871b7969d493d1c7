//! Activations as products read them.
//!
//! Products of block formats take int8 codes under one scale for each token and group of 256 values, products of
//! bf16 weights take bf16, and everything takes f32.

use half::bf16;
use simd::{LANES, Simd};

use crate::packed::{BLOCK, GROUP};

/// A group of one row, rounded to int8. Rows shorter than the group are filled up with zeros.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct Int8Group {
    /// Codes from -127 to 127.
    pub codes: [i8; GROUP],
    /// The sum of each 32 codes.
    pub sums: [i16; GROUP / BLOCK],
    /// The sum of each 16 codes.
    pub half_sums: [i16; 2 * GROUP / BLOCK],
    /// What the codes are multiplied by: `max |x| / 127`; 0 where all values are.
    pub scale: f32,
    padding: [u32; 3],
}

impl Int8Group {
    #[cfg(test)]
    /// All zero.
    pub const ZERO: Int8Group =
        Int8Group { codes: [0; GROUP], sums: [0; 8], half_sums: [0; 16], scale: 0.0, padding: [0; 3] };
}

/// Rows of activations.
#[derive(Clone, Copy)]
pub enum Activation<'a> {
    /// As they are: row `m` at `m * cols`.
    F32(Rows<'a, f32>),
    /// Rounded to bf16: row `m` at `m * cols`, `cols` filled up with zeros to a multiple of [`BLOCK`].
    Bf16(Rows<'a, bf16>),
    /// Rounded to int8.
    Int8(Int8<'a>),
}

impl<'a> Activation<'a> {
    /// How many rows.
    pub fn rows(&self) -> usize {
        match self {
            Activation::F32(x) => x.rows,
            Activation::Bf16(x) => x.rows,
            Activation::Int8(x) => x.rows,
        }
    }

    /// Some of the rows.
    pub fn rows_in(&self, rows: std::ops::Range<usize>) -> Activation<'a> {
        match self {
            Activation::F32(x) => Activation::F32(x.rows(rows)),
            Activation::Bf16(x) => Activation::Bf16(x.rows(rows)),
            Activation::Int8(x) => Activation::Int8(x.rows(rows)),
        }
    }
}

/// Dense rows.
#[derive(Clone, Copy)]
pub struct Rows<'a, T> {
    /// How many.
    pub rows: usize,
    /// Values from one row to the next.
    pub stride: usize,
    /// The values; the last row may end before its stride does.
    pub values: &'a [T],
}

impl<'a, T> Rows<'a, T> {
    /// Some of the rows.
    pub fn rows(self, rows: std::ops::Range<usize>) -> Rows<'a, T> {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows that there are");
        let values = &self.values[(rows.start * self.stride).min(self.values.len())..];
        Rows { rows: rows.len(), values, ..self }
    }
}

/// Rows of int8: group `g` of row `m` is `groups[g * stride + first + m]`, so that what a product reads at once lies
/// together.
#[derive(Clone, Copy)]
pub struct Int8<'a> {
    /// How many.
    pub rows: usize,
    /// The row that is the first here.
    pub first: usize,
    /// Rows there are in all.
    pub stride: usize,
    /// Groups of all rows.
    pub groups: &'a [Int8Group],
}

impl<'a> Int8<'a> {
    /// All rows of these groups.
    pub fn new(rows: usize, groups: &'a [Int8Group]) -> Int8<'a> {
        Int8 { rows, first: 0, stride: rows, groups }
    }

    /// Some of the rows.
    pub fn rows(self, rows: std::ops::Range<usize>) -> Int8<'a> {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows that there are");
        Int8 { rows: rows.len(), first: self.first + rows.start, ..self }
    }
}

/// Groups of so many rows of `cols` values: what [`quantize_row`] fills, 320 bytes each.
pub const fn int8_groups(rows: usize, cols: usize) -> usize {
    rows * cols.div_ceil(GROUP)
}

/// Values of so many bf16 rows of `cols` values: what [`round_row`] fills.
pub const fn bf16_values(rows: usize, cols: usize) -> usize {
    rows * cols.next_multiple_of(BLOCK)
}

/// Rounds a row to int8: group `g` goes to `out + g * stride`.
///
/// A group is zero where its largest magnitude is too small to be inverted, and its scale is not finite where a value
/// is not.
///
/// # Safety
/// `cols` values may be read, and the row's groups written.
#[inline(always)]
pub unsafe fn quantize_row<S: Simd>(s: S, x: *const f32, cols: usize, out: *mut Int8Group, stride: usize) {
    let mut group = 0;
    while group * GROUP < cols {
        let from = group * GROUP;
        // SAFETY: the group begins before `cols`; the caller says that values and groups may be used.
        unsafe { quantize_group(s, x.add(from), GROUP.min(cols - from), out.add(group * stride)) }
        group += 1;
    }
}

/// # Safety
/// As [`quantize_row`], for the `len` values of one group, 1 to 256.
#[inline(always)]
unsafe fn quantize_group<S: Simd>(s: S, x: *const f32, len: usize, out: *mut Int8Group) {
    // Magnitudes compare as their bits do, with what is no number above all.
    let mut largest = s.splat_i(0);
    let mut i = 0;
    while i < len {
        // SAFETY: `i` is below `len`, and no more than what is left is read.
        let x = unsafe { s.load_first(x.add(i), LANES.min(len - i)) };
        largest = s.max_i(largest, s.bits(s.abs(x)));
        i += LANES;
    }
    let mut lanes = [0u32; LANES];
    // SAFETY: the array has 64 bytes.
    unsafe { s.store_i(lanes.as_mut_ptr().cast(), largest) };
    let largest = f32::from_bits(lanes.into_iter().fold(0, u32::max));
    // Anything this small would overflow when inverted.
    let inverse = if largest < 1e-30 { 0.0 } else { 127.0 / largest };
    let scale = if largest < 1e-30 { 0.0 } else { largest / 127.0 };
    let mut half = 0;
    while half < GROUP / LANES {
        let left = len.saturating_sub(half * LANES).min(LANES);
        // SAFETY: no more than what is left is read; `out` has sixteen halves of sixteen codes.
        unsafe {
            let x = s.load_first(x.wrapping_add(half * LANES), left);
            let codes = s.round(s.mul(x, s.splat(inverse)));
            s.store_low_bytes((&raw mut (*out).codes).cast::<u8>().add(half * LANES), codes);
            let sum = s.sum(s.to_f(codes)) as i16;
            (&raw mut (*out).half_sums).cast::<i16>().add(half).write(sum);
        }
        half += 1;
    }
    // SAFETY: the half sums were just written.
    unsafe {
        let halves = (*out).half_sums;
        (&raw mut (*out).sums).write(std::array::from_fn(|i| halves[2 * i].wrapping_add(halves[2 * i + 1])));
        (&raw mut (*out).scale).write(scale);
        (&raw mut (*out).padding).write([0; 3]);
    }
}

/// Rounds a row to bf16, to nearest, and fills it up with zeros to a multiple of [`BLOCK`].
///
/// # Safety
/// `cols` values may be read, and as many written as `cols` is when filled up.
#[inline(always)]
pub unsafe fn round_row<S: Simd>(s: S, x: *const f32, cols: usize, out: *mut bf16) {
    let mut i = 0;
    while i < cols.next_multiple_of(BLOCK) {
        let left = cols.saturating_sub(i).min(LANES);
        // SAFETY: no more than what is left is read; sixteen values at a time are written up to a multiple of 32.
        unsafe { s.store_bf16(out.add(i).cast(), s.load_first(x.wrapping_add(i), left)) };
        i += LANES;
    }
}
