//! Q4_0, Q4_1, Q5_0 and Q5_1: 32 values under one f16 scale, with an f16 min or without.
//!
//! The scale is rounded to f16 before the codes are rounded under it, so the codes make up for what the scale lost.

use super::search::{Even, Grid, affine, f16_unit, symmetric, weights};
use super::{finite_f16, join};

pub(super) fn q4_0(values: &[f32; 32]) -> [u8; 18] {
    let (scale, codes) = without_min(values, 8.0);
    join(&[&scale, &nibbles(&codes)])
}

pub(super) fn q4_1(values: &[f32; 32]) -> [u8; 20] {
    let ([scale, min], codes) = with_min(values, 15.0);
    join(&[&scale, &min, &nibbles(&codes)])
}

pub(super) fn q5_0(values: &[f32; 32]) -> [u8; 22] {
    let (scale, codes) = without_min(values, 16.0);
    join(&[&scale, &fifth_bits(&codes), &nibbles(&codes)])
}

pub(super) fn q5_1(values: &[f32; 32]) -> [u8; 24] {
    let ([scale, min], codes) = with_min(values, 31.0);
    join(&[&scale, &min, &fifth_bits(&codes), &nibbles(&codes)])
}

/// An f16 as it is stored.
type Stored = [u8; 2];

/// The scale, and codes of `0..2 * zero` where `zero` stands for nothing.
fn without_min(values: &[f32; 32], zero: f32) -> (Stored, [u8; 32]) {
    let scale = f16_unit(symmetric(values, &weights(values), &Even(zero)), 1.0);
    let grid = Grid { scale: scale.to_f32(), min: -zero * scale.to_f32() };
    let codes = if grid.scale == 0.0 { [zero; 32] } else { grid.codes(values, 2.0 * zero - 1.0) };
    (scale.to_le_bytes(), codes.map(|c| c as u8))
}

/// The scale, the min, and codes of `0..=top`.
fn with_min(values: &[f32; 32], top: f32) -> ([Stored; 2], [u8; 32]) {
    let grid = affine(values, &weights(values), top, f32::INFINITY);
    let (scale, min) = (f16_unit(grid.scale, 1.0), finite_f16(grid.min));
    let codes = Grid { scale: scale.to_f32(), min: min.to_f32() }.codes(values, top);
    ([scale, min].map(|f| f.to_le_bytes()), codes.map(|c| c as u8))
}

/// The lower four bits of codes `i` and `i + 16` in byte `i`.
pub(super) fn nibbles(codes: &[u8; 32]) -> [u8; 16] {
    std::array::from_fn(|i| (codes[i] & 0x0F) | codes[i + 16] << 4)
}

/// The fifth bit of code `i` as bit `i` of a little-endian word.
fn fifth_bits(codes: &[u8; 32]) -> [u8; 4] {
    let word = codes.iter().enumerate().fold(0, |word, (i, code)| word | u32::from(code >> 4 & 1) << i);
    word.to_le_bytes()
}
