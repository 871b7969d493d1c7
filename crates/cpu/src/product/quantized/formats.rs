//! The thirteen block formats.

use simd::{LANES, Simd};
use tensor::DType;
use tensor::blocks::{IQ4_CODES, MXFP4_CODES};

use super::format::{BLOCKS, Format, Grid, Scales};
use crate::packed::Fields;

/// Bytes of an f16 field, and of a byte field, over sixteen rows.
const FLOATS: usize = 2 * LANES;
const BYTES: usize = LANES;

/// Formats with an f16 scale for each block: `RANGE` times the largest code is at most 32767, so that codes times
/// integer scales fit 16 bits.
macro_rules! symmetric {
    ($($(#[$doc:meta])* $name:ident, $range:literal, $offset:expr, $grid:expr;)+) => {$(
        $(#[$doc])*
        pub struct $name;

        impl Format for $name {
            const FIELDS: Fields = fields(DType::$name);
            const SOURCES: usize = BLOCKS;
            const OFFSET: Option<i32> = $offset;
            const GRID: Option<&'static Grid> = $grid;

            #[inline(always)]
            unsafe fn scales<S: Simd>(s: S, at: *const u8, blocks: usize) -> Scales<S> {
                let mut scales = Scales::zero(s);
                // SAFETY: as the caller says; the scales are the first field.
                (scales.d, scales.r) = unsafe { regroup(s, at, blocks, $range) };
                let r = scales.r;
                scales.pair(s, &r, blocks);
                scales
            }
        }
    )+};
}

symmetric! {
    /// Four bits.
    Q4_0, 4095.0, Some(8), None;
    /// Five bits.
    Q5_0, 2047.0, Some(16), None;
    /// Eight bits.
    Q8_0, 255.0, None, None;
    /// Four bits on an uneven grid.
    IQ4_NL, 255.0, None, Some(&const { Grid::of(IQ4_CODES, 0) });
}

/// Formats with an f16 scale and an f16 min for each block.
macro_rules! affine {
    ($($(#[$doc:meta])* $name:ident, $range:literal;)+) => {$(
        $(#[$doc])*
        pub struct $name;

        impl Format for $name {
            const FIELDS: Fields = fields(DType::$name);
            const SOURCES: usize = BLOCKS;
            const OFFSET: Option<i32> = Some(0);
            const MINS: bool = true;

            #[inline(always)]
            unsafe fn scales<S: Simd>(s: S, at: *const u8, blocks: usize) -> Scales<S> {
                let mut scales = Scales::zero(s);
                let mins;
                // SAFETY: as the caller says; the mins lie behind the scales.
                unsafe {
                    (scales.d, scales.r) = regroup(s, at, blocks, $range);
                    (scales.m, mins) = regroup(s, at.add(blocks * FLOATS), blocks, 16383.0);
                }
                scales.pair(s, &mins, blocks);
                scales
            }
        }
    )+};
}

affine! {
    /// Four bits and a min.
    Q4_1, 2047.0;
    /// Five bits and a min.
    Q5_1, 1023.0;
}

/// Scales of blocks as integers of at most `range` under the largest of them.
///
/// # Safety
/// `at` is where an f16 field of each block is.
#[inline(always)]
unsafe fn regroup<S: Simd>(s: S, at: *const u8, blocks: usize, range: f32) -> (S::F, [S::I; 2 * BLOCKS]) {
    let mut largest = s.splat(0.0);
    let mut floats = [largest; BLOCKS];
    let mut b = 0;
    while b < blocks {
        // SAFETY: as the caller says.
        floats[b] = unsafe { s.load_f16(at.add(b * FLOATS).cast()) };
        largest = s.max(s.abs(floats[b]), largest);
        b += 1;
    }
    let range = s.splat(range);
    let factor = s.div(range, s.max(largest, s.splat(1e-9)));
    let mut integers = [s.splat_i(0); 2 * BLOCKS];
    b = 0;
    while b < blocks {
        integers[b] = s.round(s.mul(floats[b], factor));
        b += 1;
    }
    (s.div(largest, range), integers)
}

/// Formats with twelve bytes of 6-bit scales and mins.
macro_rules! k_affine {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        pub struct $name;

        impl Format for $name {
            const FIELDS: Fields = fields(DType::$name);
            const SOURCES: usize = 1;
            const OFFSET: Option<i32> = Some(0);
            const MINS: bool = true;

            #[inline(always)]
            unsafe fn scales<S: Simd>(s: S, at: *const u8, _: usize) -> Scales<S> {
                // SAFETY: as the caller says.
                unsafe { six_bits(s, at) }
            }
        }
    )+};
}

k_affine! {
    /// Four bits, 6-bit scales and mins.
    Q4_K;
    /// Five bits, 6-bit scales and mins.
    Q5_K;
}

/// Bytes 0..4 and 4..8 hold the first four scales and mins in their low bits, and two high bits of the last four;
/// bytes 8..12 the low nibbles of those, scale below min.
///
/// # Safety
/// `at` is where a scale, a min and twelve bytes are.
#[inline(always)]
unsafe fn six_bits<S: Simd>(s: S, at: *const u8) -> Scales<S> {
    let mut scales = Scales::zero(s);
    let mut mins = scales.r;
    let (low, six) = (s.splat_i(15), s.splat_i(63));
    // SAFETY: as the caller says.
    unsafe {
        scales.d = s.load_f16(at.cast());
        scales.m = s.sub(s.splat(0.0), s.load_f16(at.add(FLOATS).cast()));
        let bytes = at.add(2 * FLOATS);
        let mut b = 0;
        while b < 4 {
            let r = s.load_u8(bytes.add(b * BYTES));
            let mu = s.load_u8(bytes.add((b + 4) * BYTES));
            let both = s.load_u8(bytes.add((b + 8) * BYTES));
            scales.r[b] = s.and(r, six);
            mins[b] = s.and(mu, six);
            scales.r[b + 4] = s.or(s.and(both, low), s.shl(s.shr(r, 6), 4));
            mins[b + 4] = s.or(s.shr(both, 4), s.shl(s.shr(mu, 6), 4));
            b += 1;
        }
    }
    scales.pair(s, &mins, BLOCKS);
    scales
}

/// Two bits, 4-bit scales and mins of half blocks.
pub struct Q2_K;

impl Format for Q2_K {
    const FIELDS: Fields = fields(DType::Q2_K);
    const SOURCES: usize = 1;
    const SCALES: usize = 2;
    const OFFSET: Option<i32> = Some(0);
    const MINS: bool = true;

    #[inline(always)]
    unsafe fn scales<S: Simd>(s: S, at: *const u8, _: usize) -> Scales<S> {
        let mut scales = Scales::zero(s);
        let mut mins = scales.r;
        // SAFETY: as the caller says: a scale, a min and sixteen bytes.
        unsafe {
            scales.d = s.load_f16(at.cast());
            scales.m = s.sub(s.splat(0.0), s.load_f16(at.add(FLOATS).cast()));
            let mut h = 0;
            while h < 2 * BLOCKS {
                let both = s.load_u8(at.add(2 * FLOATS + h * BYTES));
                scales.r[h] = s.and(both, s.splat_i(15));
                mins[h] = s.shr(both, 4);
                h += 1;
            }
        }
        scales.pair(s, &mins, 2 * BLOCKS);
        scales
    }
}

/// Three bits, 6-bit scales of half blocks.
pub struct Q3_K;

impl Format for Q3_K {
    const FIELDS: Fields = fields(DType::Q3_K);
    const SOURCES: usize = 1;
    const SCALES: usize = 2;
    const OFFSET: Option<i32> = Some(4);

    #[inline(always)]
    unsafe fn scales<S: Simd>(s: S, at: *const u8, _: usize) -> Scales<S> {
        let mut scales = Scales::zero(s);
        // SAFETY: as the caller says: a scale and twelve bytes, of which byte `h % 8` has the low nibbles of scales
        // `h` and `h + 8`, and byte `8 + h % 4` the high bits of those four apart.
        unsafe {
            scales.d = s.load_f16(at.cast());
            let bytes = at.add(FLOATS);
            let mut h = 0;
            while h < 2 * BLOCKS {
                let low = s.shr(s.load_u8(bytes.add(h % 8 * BYTES)), 4 * (h as u32 / 8));
                let high = s.shr(s.load_u8(bytes.add((8 + h % 4) * BYTES)), 2 * (h as u32 / 4));
                let six = s.or(s.and(low, s.splat_i(15)), s.shl(s.and(high, s.splat_i(3)), 4));
                scales.r[h] = s.sub_i(six, s.splat_i(32));
                h += 1;
            }
        }
        let r = scales.r;
        scales.pair(s, &r, 2 * BLOCKS);
        scales
    }
}

/// Six bits, 8-bit scales of half blocks.
pub struct Q6_K;

impl Format for Q6_K {
    const FIELDS: Fields = fields(DType::Q6_K);
    const SOURCES: usize = 1;
    const SCALES: usize = 2;
    const OFFSET: Option<i32> = Some(32);

    #[inline(always)]
    unsafe fn scales<S: Simd>(s: S, at: *const u8, _: usize) -> Scales<S> {
        let mut scales = Scales::zero(s);
        // SAFETY: as the caller says: a scale and sixteen bytes.
        unsafe {
            scales.d = s.load_f16(at.cast());
            let mut h = 0;
            while h < 2 * BLOCKS {
                scales.r[h] = s.load_i8(at.add(FLOATS + h * BYTES).cast());
                h += 1;
            }
        }
        let r = scales.r;
        scales.pair(s, &r, 2 * BLOCKS);
        scales
    }
}

/// Four bits on an uneven grid, 6-bit scales.
pub struct IQ4_XS;

impl Format for IQ4_XS {
    const FIELDS: Fields = fields(DType::IQ4_XS);
    const SOURCES: usize = 1;
    const OFFSET: Option<i32> = None;
    const GRID: Option<&'static Grid> = Some(&const { Grid::of(IQ4_CODES, 0) });

    #[inline(always)]
    unsafe fn scales<S: Simd>(s: S, at: *const u8, _: usize) -> Scales<S> {
        let mut scales = Scales::zero(s);
        // SAFETY: as the caller says: a scale, two bytes with the high bits of four blocks each and four with the low
        // nibbles of two each.
        unsafe {
            scales.d = s.load_f16(at.cast());
            let bytes = at.add(FLOATS);
            let mut b = 0;
            while b < BLOCKS {
                let high = s.shr(s.load_u8(bytes.add(b / 4 * BYTES)), 2 * (b as u32 % 4));
                let low = s.shr(s.load_u8(bytes.add((2 + b / 2) * BYTES)), 4 * (b as u32 % 2));
                let six = s.or(s.and(low, s.splat_i(15)), s.shl(s.and(high, s.splat_i(3)), 4));
                scales.r[b] = s.sub_i(six, s.splat_i(32));
                b += 1;
            }
        }
        let r = scales.r;
        scales.pair(s, &r, BLOCKS);
        scales
    }
}

/// Four-bit floats under powers of two.
pub struct MXFP4;

impl Format for MXFP4 {
    const FIELDS: Fields = fields(DType::MXFP4);
    const SOURCES: usize = BLOCKS;
    /// Twice the values lie within -12 and 12.
    const OFFSET: Option<i32> = Some(12);
    const GRID: Option<&'static Grid> = Some(&const { Grid::of(MXFP4_CODES, 12) });

    /// The largest exponent stands for 2048, those further than 11 below it for nothing.
    #[inline(always)]
    unsafe fn scales<S: Simd>(s: S, at: *const u8, blocks: usize) -> Scales<S> {
        let mut scales = Scales::zero(s);
        let zero = s.splat_i(0);
        let mut largest = zero;
        let mut b = 0;
        while b < blocks {
            // SAFETY: as the caller says: a byte for each block.
            scales.r[b] = unsafe { s.load_u8(at.add(b * BYTES)) };
            largest = s.max_i(largest, scales.r[b]);
            b += 1;
        }
        let one = s.sub_i(s.splat_i(127 + 11), largest);
        b = 0;
        while b < blocks {
            // 2^(11 - distance); a half rounds to nothing, and so does all below.
            let exponent = s.max_i(s.add_i(one, scales.r[b]), zero);
            scales.r[b] = s.round(s.from_bits(s.shl(exponent, 23)));
            b += 1;
        }
        // 2^(largest - 127 - 1 - 11), the bias of 127 on top; too small for a float is zero.
        scales.d = s.from_bits(s.shl(s.max_i(s.sub_i(largest, s.splat_i(12)), zero), 23));
        let r = scales.r;
        scales.pair(s, &r, blocks);
        scales
    }
}

const fn fields(dtype: DType) -> Fields {
    match Fields::of(dtype) {
        Some(fields) => fields,
        None => panic!("the type has blocks"),
    }
}
