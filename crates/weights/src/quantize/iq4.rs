//! IQ4_NL and IQ4_XS: sixteen points that lie denser near zero, as weights do, under signed scales.
//!
//! The points reach further down than up, so a value of largest magnitude is tried on either end.

use tensor::blocks::IQ4_CODES;

use super::groups::Scales;
use super::join;
use super::legacy::nibbles;
use super::search::{Points, f16_unit, symmetric, weights};

/// How far from an end of the grid to look for a place for the largest value, and in what steps: eleven at each end.
const REACH: i32 = 5;
const STEP: f32 = 7.0;

/// The lowest scale of an IQ4_XS group, in steps.
const LOWEST: i8 = -32;

pub(super) fn iq4_nl(values: &[f32; 32]) -> [u8; 18] {
    let scale = f16_unit(symmetric(values, &weights(values), &Uneven), 1.0);
    join(&[&scale.to_le_bytes(), &nibbles(&codes(scale.to_f32(), values))])
}

pub(super) fn iq4_xs(values: &[f32; 256]) -> [u8; 136] {
    let (groups, _) = values.as_chunks::<32>();
    let scales = Scales::<8>::of(groups, &Uneven, LOWEST);
    let steps = scales.steps.map(|steps| (steps - LOWEST).cast_unsigned());
    let high = (0..8).fold(0, |high, g| high | u16::from(steps[g] >> 4) << (2 * g));
    let low: [_; 4] = std::array::from_fn(|i| (steps[2 * i] & 0x0F) | steps[2 * i + 1] << 4);
    let codes: [_; 8] = std::array::from_fn(|g| nibbles(&codes(scales.scale(g), &groups[g])));
    join(&[&scales.unit.to_le_bytes(), &high.to_le_bytes(), &low, codes.as_flattened()])
}

/// The grid of the format.
struct Uneven;

impl Points for Uneven {
    fn places(&self) -> impl Iterator<Item = f32> {
        let ends = [IQ4_CODES[0], IQ4_CODES[15]].map(f32::from);
        ends.into_iter().flat_map(|end| (-REACH..=REACH).map(move |step| end + STEP * step as f32))
    }

    /// Climbs from the lowest point past every border below the value: no branches, so that it vectorises.
    fn nearest<const N: usize>(&self, values: &[f32; N]) -> [f32; N] {
        values.map(|v| {
            let mut point = f32::from(IQ4_CODES[0]);
            for pair in IQ4_CODES.windows(2) {
                let (low, high) = (f32::from(pair[0]), f32::from(pair[1]));
                point += if v > 0.5 * (low + high) { high - low } else { 0.0 };
            }
            point
        })
    }
}

/// The codes of the points nearest to the values; under a scale of nothing they mean nothing.
fn codes(scale: f32, values: &[f32; 32]) -> [u8; 32] {
    Uneven
        .under(scale, values)
        .map(|point| IQ4_CODES.iter().map(|&code| u8::from(point > f32::from(code))).sum())
}
