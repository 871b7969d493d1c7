//! F8_E4M3: 128 values as 8-bit floats under one f32 scale.
//!
//! Bytes: scale f32, 128 codes. A value is `scale * e4m3`, rounded once. The codes are the OCP's E4M3: one sign, four bits
//! of exponent biased by 7 and three of mantissa, no infinities, and one magnitude that is no number (all ones), so that
//! the largest is 448 and the smallest `2^-9`.
//!
//! GGUF has no such type. Files of the safetensors kind keep codes and scales apart, with one scale for a matrix, for each of
//! its rows, or for each square of 128 by 128; all of these are blocks of 128 of a row, to the bit.
#![allow(non_camel_case_types, reason = "the name is the format's own")]

use super::field;

/// The largest magnitude of a code.
pub const E4M3_LARGEST: f32 = 448.0;

/// A block of F8_E4M3, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct F8_E4M3<'a> {
    /// What codes are multiplied by.
    pub scale: f32,
    /// A code for each value.
    pub codes: &'a [u8; 128],
}

impl<'a> F8_E4M3<'a> {
    /// Takes a block apart.
    #[inline]
    pub fn of(block: &'a [u8; 132]) -> Self {
        F8_E4M3 { scale: f32::from_le_bytes(*field::<0, 4, _>(block)), codes: field::<4, _, _>(block) }
    }

    /// The values of the block.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 128]) {
        for (value, &code) in out.iter_mut().zip(self.codes) {
            *value = self.scale * e4m3(code);
        }
    }
}

/// Whether a code is no number.
#[inline]
pub fn is_nan(code: u8) -> bool {
    code & 0x7f == 0x7f
}

/// What a code stands for, exactly.
#[inline]
pub fn e4m3(code: u8) -> f32 {
    VALUES[usize::from(code)]
}

/// The value of each code. No subnormal f32 has a part in it, which threads of a backend may flush to zero.
static VALUES: [f32; 256] = {
    let (mut values, mut code) = ([f32::NAN; 256], 0u8);
    while code < 0x7f {
        let (exponent, mantissa) = (code >> 3, code & 7);
        let magnitude = match exponent {
            0 => mantissa as f32 / 512.0,
            _ => f32::from_bits((exponent as u32 + 127 - 7) << 23 | (mantissa as u32) << 20),
        };
        (values[code as usize], values[code as usize | 0x80]) = (magnitude, -magnitude);
        code += 1;
    }
    values
};

/// The nearest code, ties to even. What is larger than 448 becomes 448 with its sign, and what is no number stays none.
#[inline]
pub fn to_e4m3(value: f32) -> u8 {
    // Below 2^-6 codes are steps of 2^-9, which the lowest bit of a float near this number counts: adding it rounds. Above,
    // 20 bits of the mantissa go, and a carry out of it is the next exponent.
    const STEPS: f32 = 12_582_912.0 / 512.0;
    let sign = (value.to_bits() >> 24) as u8 & 0x80;
    if value.is_nan() {
        return sign | 0x7f;
    }
    let magnitude = value.abs().min(E4M3_LARGEST);
    if magnitude < 1.0 / 64.0 {
        return sign | ((magnitude + STEPS).to_bits() & 0xf) as u8;
    }
    let bits = magnitude.to_bits();
    let rounded = (bits + 0x7_ffff + (bits >> 20 & 1)) >> 20;
    sign | (rounded - ((127 - 7) << 3)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the OCP's specification says of a code, by its formula.
    fn specified(code: u8) -> f64 {
        let sign = if code & 0x80 == 0 { 1.0 } else { -1.0 };
        let (exponent, mantissa) = (i32::from(code >> 3 & 15), f64::from(code & 7));
        match exponent {
            0 => sign * mantissa / 8.0 * 2f64.powi(-6),
            _ => sign * (1.0 + mantissa / 8.0) * 2f64.powi(exponent - 7),
        }
    }

    #[test]
    fn codes_mean_what_the_specification_says() {
        for code in 0..=255u8 {
            match code & 0x7f {
                0x7f => assert!(e4m3(code).is_nan() && is_nan(code)),
                _ => assert_eq!(f64::from(e4m3(code)), specified(code), "{code:#x}"),
            }
        }
        let known = [(0x00, 0.0), (0x01, 0.001_953_125), (0x08, 0.015_625), (0x38, 1.0), (0x7e, 448.0)];
        for (code, value) in known {
            assert_eq!((e4m3(code), e4m3(code | 0x80)), (value, -value));
        }
        assert!(e4m3(0x80).is_sign_negative());
    }

    #[test]
    fn every_code_comes_back() {
        for code in 0..=255u8 {
            assert_eq!(to_e4m3(e4m3(code)) & 0x7f, code & 0x7f);
            assert!(is_nan(code) || to_e4m3(e4m3(code)) == code);
        }
    }

    #[test]
    fn values_between_go_to_the_nearer_and_ties_to_even() {
        for code in 0..0x7eu8 {
            let (low, high) = (e4m3(code), e4m3(code + 1));
            let middle = (low + high) / 2.0;
            let even = if code % 2 == 0 { code } else { code + 1 };
            for (value, code) in [(middle.next_down(), code), (middle, even), (middle.next_up(), code + 1)] {
                assert_eq!(to_e4m3(value), code, "{value}");
                assert_eq!(to_e4m3(-value), code | 0x80, "-{value}");
            }
        }
    }

    #[test]
    fn what_is_too_large_is_the_largest() {
        for value in [449.0, 464.0, 480.0, 1e30, f32::INFINITY] {
            assert_eq!((to_e4m3(value), to_e4m3(-value)), (0x7e, 0xfe));
        }
        assert!(is_nan(to_e4m3(f32::NAN)));
        assert_eq!((to_e4m3(1e-30), to_e4m3(-f32::from_bits(1))), (0, 0x80));
    }

    #[test]
    fn a_value_is_its_code_times_the_scale_rounded_once() {
        let mut block = [0u8; 132];
        block[..4].copy_from_slice(&0.123_456_79f32.to_le_bytes());
        block[4..].copy_from_slice(&std::array::from_fn::<u8, 128, _>(|i| i as u8));
        let mut values = [0.0; 128];
        F8_E4M3::of(&block).decode(&mut values);
        for (code, value) in (0..0x7f).zip(values) {
            assert_eq!(value, (f64::from(0.123_456_79f32) * specified(code)) as f32);
        }
        assert!(values[0x7f].is_nan());
    }
}
