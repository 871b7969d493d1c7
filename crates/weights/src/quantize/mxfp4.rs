//! MXFP4: 32 values as e2m1 floats (0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives) under one power of two.
//!
//! The OCP specification takes the power that puts the largest magnitude between 4 and 8. Above 6 that magnitude is
//! clipped, so the next power is tried too: it has room for it, at the price of a coarser grid for the others.

use super::join;
use super::legacy::nibbles;

/// Twice the value of each code, without its sign.
const DOUBLES: [f32; 8] = [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0];

/// Half way between neighbouring codes.
const BORDERS: [f32; 7] = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0];

/// The largest exponent whose values are all finite: 6 * 2^125.
const LARGEST_EXPONENT: u32 = 252;

pub(super) fn mxfp4(values: &[f32; 32]) -> [u8; 17] {
    let largest = values.iter().fold(0.0, |max: f32, v| max.max(v.abs()));
    // Both exponents are biased by 127, and 4 is two powers up from 1. What is too small for the least exponent, an
    // f32 subnormal or nearly so, is quantized under it all the same.
    let exponent = (largest.to_bits() >> 23).saturating_sub(2).min(LARGEST_EXPONENT);
    let (mut exponent, mut codes) = (exponent, codes(values, exponent));
    if exponent < LARGEST_EXPONENT {
        let next = self::codes(values, exponent + 1);
        // In squared units of its own power, which is twice as large.
        if 4.0 * next.1 < codes.1 {
            (exponent, codes) = (exponent + 1, next);
        }
    }
    join(&[&[exponent as u8], &nibbles(&codes.0)])
}

/// The nearest codes under an exponent, ties towards zero, and their squared error in units of its power.
fn codes(values: &[f32; 32], exponent: u32) -> ([u8; 32], f32) {
    let inverse = f32::from_bits((254 - exponent) << 23);
    let mut error = 0.0;
    let codes = values.map(|value| {
        let magnitude = value.abs() * inverse;
        let code: usize = BORDERS.iter().map(|border| usize::from(magnitude > *border)).sum();
        let difference = magnitude - 0.5 * DOUBLES[code];
        error += difference * difference;
        let sign = if value < 0.0 && code > 0 { 8 } else { 0 };
        code as u8 | sign
    });
    (codes, error)
}
