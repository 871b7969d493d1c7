//! The first formats: 32 values under one f16 scale, of 4, 5 or 8 bits.
//!
//! | type | bytes                                     | value                       |
//! |------|-------------------------------------------|-----------------------------|
//! | Q4_0 | scale f16, 16 codes                       | `scale * (code - 8)`        |
//! | Q4_1 | scale f16, min f16, 16 codes              | `scale * code + min`        |
//! | Q5_0 | scale f16, 4 high bits, 16 codes          | `scale * (code - 16)`       |
//! | Q5_1 | scale f16, min f16, 4 high bits, 16 codes | `scale * code + min`        |
//! | Q8_0 | scale f16, 32 codes i8                    | `scale * code`              |
//!
//! Codes of 4 bits share a byte 16 values apart: byte `i` holds value `i` in its low and value `i + 16` in its high
//! nibble. The fifth bit of value `i` is bit `i` of the little-endian word of high bits.
#![allow(non_camel_case_types, reason = "the names are the formats' own")]

use half::f16;

use super::{f16_field, field};

/// A block of Q4_0, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Q4_0<'a> {
    /// The step between neighbouring values.
    pub scale: f32,
    /// 4-bit codes, those of values `i` and `i + 16` in byte `i`.
    pub codes: &'a [u8; 16],
}

impl<'a> Q4_0<'a> {
    /// Takes a block apart.
    #[inline]
    pub fn of(block: &'a [u8; 18]) -> Self {
        Q4_0 { scale: f16_field::<0, _>(block), codes: field::<2, _, _>(block) }
    }

    /// The values of the block.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 32]) {
        nibbles(self.codes, out, |code| self.scale * (code - 8) as f32);
    }
}

/// A block of Q4_1, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Q4_1<'a> {
    /// The step between neighbouring values.
    pub scale: f32,
    /// The value of code 0.
    pub min: f32,
    /// 4-bit codes, those of values `i` and `i + 16` in byte `i`.
    pub codes: &'a [u8; 16],
}

impl<'a> Q4_1<'a> {
    /// Takes a block apart.
    #[inline]
    pub fn of(block: &'a [u8; 20]) -> Self {
        Q4_1 {
            scale: f16_field::<0, _>(block),
            min: f16_field::<2, _>(block),
            codes: field::<4, _, _>(block),
        }
    }

    /// The values of the block.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 32]) {
        nibbles(self.codes, out, |code| self.scale * code as f32 + self.min);
    }
}

/// A block of Q5_0, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Q5_0<'a> {
    /// The step between neighbouring values.
    pub scale: f32,
    /// Bit `i` is the fifth bit of code `i`.
    pub high_bits: u32,
    /// The lower four bits of the codes, those of values `i` and `i + 16` in byte `i`.
    pub codes: &'a [u8; 16],
}

impl<'a> Q5_0<'a> {
    /// Takes a block apart.
    #[inline]
    pub fn of(block: &'a [u8; 22]) -> Self {
        Q5_0 {
            scale: f16_field::<0, _>(block),
            high_bits: u32::from_le_bytes(*field::<2, _, _>(block)),
            codes: field::<6, _, _>(block),
        }
    }

    /// The values of the block.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 32]) {
        five_bits(self.codes, self.high_bits, out, |code| self.scale * (code - 16) as f32);
    }
}

/// A block of Q5_1, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Q5_1<'a> {
    /// The step between neighbouring values.
    pub scale: f32,
    /// The value of code 0.
    pub min: f32,
    /// Bit `i` is the fifth bit of code `i`.
    pub high_bits: u32,
    /// The lower four bits of the codes, those of values `i` and `i + 16` in byte `i`.
    pub codes: &'a [u8; 16],
}

impl<'a> Q5_1<'a> {
    /// Takes a block apart.
    #[inline]
    pub fn of(block: &'a [u8; 24]) -> Self {
        Q5_1 {
            scale: f16_field::<0, _>(block),
            min: f16_field::<2, _>(block),
            high_bits: u32::from_le_bytes(*field::<4, _, _>(block)),
            codes: field::<8, _, _>(block),
        }
    }

    /// The values of the block.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 32]) {
        five_bits(self.codes, self.high_bits, out, |code| self.scale * code as f32 + self.min);
    }
}

/// A block of Q8_0, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Q8_0<'a> {
    /// The step between neighbouring values.
    pub scale: f32,
    /// One signed byte for each value, in two's complement.
    pub codes: &'a [u8; 32],
}

impl<'a> Q8_0<'a> {
    /// Takes a block apart.
    #[inline]
    pub fn of(block: &'a [u8; 34]) -> Self {
        Q8_0 { scale: f16_field::<0, _>(block), codes: field::<2, _, _>(block) }
    }

    /// The values of the block.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 32]) {
        for (value, code) in out.iter_mut().zip(self.codes) {
            *value = self.scale * f32::from(code.cast_signed());
        }
    }
}

/// Rounds 32 values into a block of Q8_0: the largest magnitude becomes code 127, ties go away from zero, and the
/// codes are rounded under the exact scale, before it is rounded to f16.
///
/// Magnitudes over `127 * 65504` overflow the scale to infinity, as they would overflow an f16.
pub(super) fn encode_q8_0(values: &[f32; 32], block: &mut [u8; 34]) {
    // The bits of magnitudes order like the magnitudes, with NaN on top: integers vectorise and let no NaN go by.
    let largest = values.iter().fold(0, |max: u32, v| max.max(v.abs().to_bits()));
    let scale = f32::from_bits(largest) / 127.0;
    // A scale too small to be inverted is zero as an f16: the codes do not matter, but must not come from a NaN.
    let inverse = if scale.recip().is_finite() { scale.recip() } else { 0.0 };
    let [scale_low, scale_high, codes @ ..] = block;
    [*scale_low, *scale_high] = f16::from_f32(scale).to_le_bytes();
    for (code, value) in codes.iter_mut().zip(values) {
        *code = round_away(value * inverse).cast_unsigned();
    }
}

/// Rounds to the nearest code, ties away from zero; `value` is within -128..=127.
///
/// `f32::round` would be a call for each value on processors without an instruction for it. In a float near 1.5 * 2^23
/// the lowest bit counts ones, so adding that number leaves the nearest integer in the lowest byte, ties to even; a
/// remainder of one half on the side away from zero tells that a tie went the wrong way.
fn round_away(value: f32) -> i8 {
    const ONES: f32 = 12_582_912.0;
    let sum = value + ONES;
    let rest = value - (sum - ONES);
    let up = i8::from(rest == 0.5 && value > 0.0);
    let down = i8::from(rest == -0.5 && value < 0.0);
    (sum.to_bits() as i8).wrapping_add(up).wrapping_sub(down)
}

#[inline]
fn nibbles(codes: &[u8; 16], out: &mut [f32; 32], value: impl Fn(i32) -> f32) {
    let (low, high) = out.split_at_mut(16);
    for ((low, high), &byte) in low.iter_mut().zip(high).zip(codes) {
        *low = value(i32::from(byte & 0x0F));
        *high = value(i32::from(byte >> 4));
    }
}

#[inline]
fn five_bits(codes: &[u8; 16], high_bits: u32, out: &mut [f32; 32], value: impl Fn(i32) -> f32) {
    let fifth = |i: usize| i32::from(high_bits & (1 << i) != 0) << 4;
    let (low, high) = out.split_at_mut(16);
    for (i, ((low, high), &byte)) in low.iter_mut().zip(high).zip(codes).enumerate() {
        *low = value(i32::from(byte & 0x0F) | fifth(i));
        *high = value(i32::from(byte >> 4) | fifth(i + 16));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(values: [f32; 32]) -> [f32; 32] {
        let (mut block, mut back) = ([0xAA; 34], [f32::NAN; 32]);
        encode_q8_0(&values, &mut block);
        Q8_0::of(&block).decode(&mut back);
        back
    }

    #[test]
    fn q8_0_rounds_ties_away_from_zero() {
        let mut values = [0.0; 32];
        values[..6].copy_from_slice(&[127.0, 0.5, -0.5, 1.5, 0.499_999_97, -126.5]);
        assert_eq!(round_trip(values)[..6], [127.0, 1.0, -1.0, 2.0, 0.0, -127.0]);
    }

    #[test]
    fn rounding_agrees_with_round() {
        for i in -127 * 8..=127 * 8 {
            let eighths = i as f32 / 8.0;
            for value in [eighths.next_down(), eighths, eighths.next_up()] {
                assert_eq!(i32::from(round_away(value)), value.round() as i32, "{value}");
            }
        }
    }

    #[test]
    fn q8_0_of_nothing_and_of_almost_nothing_is_zero() {
        assert_eq!(round_trip([0.0; 32]), [0.0; 32]);
        assert_eq!(round_trip([f32::from_bits(1); 32]), [0.0; 32]);
        assert_eq!(round_trip([-1e-37; 32]), [0.0; 32]);
    }

    #[test]
    fn q8_0_survives_values_that_are_not_finite() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = [1.0; 32];
            values[3] = bad;
            encode_q8_0(&values, &mut [0; 34]);
        }
    }

    #[test]
    fn q8_0_grids_are_reproduced() {
        for scale in
            [f16::MIN_POSITIVE_SUBNORMAL, f16::MIN_POSITIVE, f16::ONE, f16::from_f32(0.0123), f16::MAX]
        {
            let scale = scale.to_f32();
            let grid: [f32; 32] = std::array::from_fn(|i| scale * (127 - 8 * i as i32) as f32);
            assert_eq!(round_trip(grid), grid, "{scale}");
        }
    }
}
