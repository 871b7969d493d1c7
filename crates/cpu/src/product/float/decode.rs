//! Block formats decoded on the way: a group of a strip at a time becomes a panel of f32, to the bit what
//! `tensor::blocks` decodes.

use std::ops::Range;

use simd::{LANES, Simd};
use tensor::DType;

use super::form::F32;
use super::walk::{Panel, Source};
use crate::packed::{BLOCK, Fields, GROUP, View};
use crate::product::quantized::format::{
    Format, Scales, WORDS, block_bytes, codes, field_bytes, record_bytes,
};
use crate::product::quantized::formats::{
    IQ4_NL, IQ4_XS, MXFP4, Q2_K, Q3_K, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0,
};

/// Strips of a block format.
#[derive(Clone, Copy)]
pub struct Decoded {
    dtype: DType,
    start: *const u8,
    strip_bytes: usize,
}

impl Decoded {
    /// The strips of a weight.
    ///
    /// # Panics
    /// Where its type has no blocks.
    pub fn of(weight: &View<'_>) -> Decoded {
        let layout = weight.layout;
        assert!(layout.dtype.is_block(), "{} has no blocks", layout.dtype);
        assert_eq!(weight.bytes.len(), layout.bytes(), "a weight has the bytes of its layout");
        Decoded { dtype: layout.dtype, start: weight.bytes.as_ptr(), strip_bytes: layout.strip_bytes() }
    }
}

impl Source for Decoded {
    type Form = F32;
    const STRETCH: usize = GROUP;

    #[inline(always)]
    unsafe fn values<S: Simd>(self, s: S, strip: usize, depth: Range<usize>, panel: &mut Panel) -> *const u8 {
        let (group, blocks) = (depth.start / GROUP, depth.len() / BLOCK);
        // SAFETY: the strip has the group, as the caller says, and a panel has room for it.
        unsafe {
            let strip = self.start.add(strip * self.strip_bytes);
            match self.dtype {
                DType::Q4_0 => decode::<S, Q4_0>(s, strip, group, blocks, panel),
                DType::Q4_1 => decode::<S, Q4_1>(s, strip, group, blocks, panel),
                DType::Q5_0 => decode::<S, Q5_0>(s, strip, group, blocks, panel),
                DType::Q5_1 => decode::<S, Q5_1>(s, strip, group, blocks, panel),
                DType::Q8_0 => decode::<S, Q8_0>(s, strip, group, blocks, panel),
                DType::Q2_K => decode::<S, Q2_K>(s, strip, group, blocks, panel),
                DType::Q3_K => decode::<S, Q3_K>(s, strip, group, blocks, panel),
                DType::Q4_K => decode::<S, Q4_K>(s, strip, group, blocks, panel),
                DType::Q5_K => decode::<S, Q5_K>(s, strip, group, blocks, panel),
                DType::Q6_K => decode::<S, Q6_K>(s, strip, group, blocks, panel),
                DType::IQ4_NL => decode::<S, IQ4_NL>(s, strip, group, blocks, panel),
                DType::IQ4_XS => decode::<S, IQ4_XS>(s, strip, group, blocks, panel),
                DType::MXFP4 => decode::<S, MXFP4>(s, strip, group, blocks, panel),
                DType::F8_E4M3 => f8_e4m3(s, strip, group, blocks, panel),
                other => unreachable!("{other} has no blocks, which was asserted"),
            }
        }
        panel.start().cast()
    }
}

/// Decodes a group of so many blocks.
///
/// # Safety
/// The strip has the group, and it that many blocks.
#[inline(always)]
unsafe fn decode<S: Simd, F: Format>(s: S, strip: *const u8, group: usize, blocks: usize, panel: &mut Panel) {
    let fields = strip.wrapping_add(group * record_bytes::<F>());
    let group = fields.wrapping_add(field_bytes::<F>(blocks));
    // SAFETY: a group begins with its fields.
    let scales = unsafe { if F::SOURCES == 1 { F::scales(s, fields, blocks) } else { Scales::zero(s) } };
    let mut to = panel.start();
    for b in 0..blocks {
        // SAFETY: a block of the group, and a block of the panel.
        unsafe {
            let words = codes::<S, F>(s, group.wrapping_add(b * block_bytes::<F>()));
            for half in 0..2 {
                let scale = if F::SOURCES == 1 {
                    of_group::<S, F>(s, &scales, b, half)
                } else {
                    of_block::<S, F>(s, fields, b, blocks)
                };
                for word in 0..WORDS / 2 {
                    write::<S, F>(s, words[half * WORDS / 2 + word], scale, to);
                    to = to.wrapping_add(4 * LANES);
                }
            }
        }
    }
}

/// Decodes a group of so many blocks of 8-bit floats, which nothing else here multiplies. Codes that are no numbers do not
/// come this far: no file with one is read.
///
/// # Safety
/// The strip has the group, and it that many blocks.
#[inline(always)]
unsafe fn f8_e4m3<S: Simd>(s: S, strip: *const u8, group: usize, blocks: usize, panel: &mut Panel) {
    const LEN: usize = DType::F8_E4M3.block_len();
    const FIELDS: Fields = Fields::of(DType::F8_E4M3).expect("it has blocks");
    const RECORD: usize = FIELDS.record_bytes(GROUP / LEN, GROUP / BLOCK);
    let (fields, sources) = (strip.wrapping_add(group * RECORD), blocks * BLOCK / LEN);
    let mut codes = fields.wrapping_add(FIELDS.field_bytes(sources));
    let mut to = panel.start();
    // In the places of an f16's sign, exponent and mantissa a code is 2^-8 of what it stands for.
    let up = s.splat(256.0);
    for source in 0..sources {
        let mut bits = s.splat_i(0);
        for byte in 0..4 {
            let at = fields.wrapping_add((byte * sources + source) * LANES);
            // SAFETY: the bytes of a source's scale, plane by plane.
            bits = s.or(bits, s.shl(unsafe { s.load_u8(at) }, 8 * byte as u32));
        }
        let scale = s.from_bits(bits);
        for _ in 0..LEN / 4 {
            // SAFETY: a word of the source's codes.
            let word = unsafe { s.load_i(codes) };
            codes = codes.wrapping_add(4 * LANES);
            let pair = |word: S::I| {
                let sign = s.and(word, s.splat_i(0x8000_8000_u32.cast_signed()));
                s.or(sign, s.shr(s.and(word, s.splat_i(0x7f00_7f00)), 1))
            };
            let (even, odd) = (pair(s.shl(word, 8)), pair(word));
            for value in [s.even_f16(even), s.even_f16(odd), s.odd_f16(even), s.odd_f16(odd)] {
                // SAFETY: the panel has room for sixteen values of each column.
                unsafe { s.store(to, s.mul(scale, s.mul(value, up))) };
                to = to.wrapping_add(LANES);
            }
        }
    }
}

/// What codes are multiplied by, and what is added.
type Affine<F> = (F, F);

/// The scale of half a block under integer scales: products with the group's scale and min, each rounded.
#[inline(always)]
fn of_group<S: Simd, F: Format>(s: S, scales: &Scales<S>, block: usize, half: usize) -> Affine<S::F> {
    let index = if F::SCALES == 2 { 2 * block + half } else { block };
    let scale = s.mul(scales.d, s.to_f(scales.r[index]));
    if !F::MINS {
        return (scale, s.splat(0.0));
    }
    let pair = scales.pairs[index / 2];
    let min = if index % 2 == 0 { s.and(pair, s.splat_i(0xffff)) } else { s.shr(pair, 16) };
    (scale, s.mul(scales.m, s.to_f(min)))
}

/// The scale of a block that has its own.
///
/// # Safety
/// `fields` are those of a group of so many blocks.
#[inline(always)]
unsafe fn of_block<S: Simd, F: Format>(s: S, fields: *const u8, block: usize, blocks: usize) -> Affine<S::F> {
    // SAFETY: the scale of a block, as the caller says, and its min behind all scales.
    unsafe {
        if F::FIELDS.floats.is_empty() {
            return (power(s, s.load_u8(fields.add(block * LANES))), s.splat(0.0));
        }
        let floats = fields.cast::<u16>().add(block * LANES);
        let min = if F::MINS { s.load_f16(floats.add(blocks * LANES)) } else { s.splat(0.0) };
        (s.load_f16(floats), min)
    }
}

/// `2^(exponent - 128)`, the two smallest of which are subnormal.
#[inline(always)]
fn power<S: Simd>(s: S, exponent: S::I) -> S::F {
    let normal = s.shl(s.sub_i(exponent, s.splat_i(1)), 23);
    let subnormal = s.add_i(s.shl(exponent, 21), s.splat_i(1 << 21));
    s.from_bits(s.max_i(normal, subnormal))
}

/// Writes the four values of each row that a word holds.
///
/// # Safety
/// 64 values may be written.
#[inline(always)]
unsafe fn write<S: Simd, F: Format>(s: S, word: S::I, (scale, min): Affine<S::F>, to: *mut f32) {
    for i in 0..4 {
        let code = match F::OFFSET {
            Some(0) => s.and(s.shr(word, 8 * i), s.splat_i(255)),
            Some(offset) => s.sub_i(s.and(s.shr(word, 8 * i), s.splat_i(255)), s.splat_i(offset)),
            None => s.sar(s.shl(word, 24 - 8 * i), 24),
        };
        let product = s.mul(scale, s.to_f(code));
        let value = if F::MINS { s.add(product, min) } else { product };
        // SAFETY: sixteen of the values.
        unsafe { s.store(to.wrapping_add(i as usize * LANES), value) };
    }
}
