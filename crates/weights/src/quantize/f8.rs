//! F8_E4M3: 128 values as 8-bit floats under one f32 scale, which puts the largest magnitude at the largest code. The grid of
//! floats is as fine, for its values, everywhere but at its lower end: there is no better scale to be searched for.

use tensor::blocks::{E4M3_LARGEST, to_e4m3};

use super::join;

/// The largest magnitude that is taken: times a scale of `2^119`, which is exact, the largest code.
pub(super) const LARGEST: f32 = E4M3_LARGEST * f32::from_bits((127 + 119) << 23);

pub(super) fn f8_e4m3(values: &[f32; 128]) -> [u8; 132] {
    let largest = values.iter().fold(0.0, |max: f32, v| max.max(v.abs()));
    // Below the smallest normal f32 a scale would lose bits of its own.
    let scale = (largest / E4M3_LARGEST).max(f32::MIN_POSITIVE);
    join(&[&scale.to_le_bytes(), &values.map(|value| to_e4m3(value / scale))])
}
