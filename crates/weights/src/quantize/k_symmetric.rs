//! Q3_K and Q6_K: 256 values in sixteen groups that each have a signed scale and no min.

use super::groups::Scales;
use super::join;
use super::k_affine::pairs_of_bits;
use super::search::{Even, Points};

/// The lowest scale of a group, in steps.
const Q3_LOWEST: i8 = -32;
const Q6_LOWEST: i8 = -128;

pub(super) fn q3_k(values: &[f32; 256]) -> [u8; 110] {
    let (scales, codes) = quantized(values, 4.0, Q3_LOWEST);
    let packed = packed(&scales.steps.map(|steps| (steps - Q3_LOWEST).cast_unsigned()));
    join(&[&third_bits(&codes), &pairs_of_bits(&codes), &packed, &scales.unit.to_le_bytes()])
}

pub(super) fn q6_k(values: &[f32; 256]) -> [u8; 210] {
    let (scales, codes) = quantized(values, 32.0, Q6_LOWEST);
    let high = pairs_of_bits(&codes.map(|code| code >> 4));
    join(&[&nibbles(&codes), &high, &scales.steps.map(i8::cast_unsigned), &scales.unit.to_le_bytes()])
}

/// The scales, and codes of `0..2 * zero` where `zero` stands for nothing.
fn quantized(values: &[f32; 256], zero: f32, lowest: i8) -> (Scales<16>, [u8; 256]) {
    let (groups, _) = values.as_chunks::<16>();
    let points = Even(zero);
    let scales = Scales::of(groups, &points, lowest);
    let mut codes = [0; 256];
    for (g, codes) in codes.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        *codes = points.under(scales.scale(g), &groups[g]).map(|p| (p + zero) as u8);
    }
    (scales, codes)
}

/// The third bits: bit `b` of byte `i` belongs to value `32 b + i`.
fn third_bits(codes: &[u8; 256]) -> [u8; 32] {
    std::array::from_fn(|i| (0..8).fold(0, |byte, b| byte | (codes[32 * b + i] >> 2 & 1) << b))
}

/// Sixteen scales of six bits: the low nibbles of `g` and `g + 8` in byte `g`, the high bits of `i`, `i + 4`, `i + 8`
/// and `i + 12` in byte `8 + i`.
fn packed(scales: &[u8; 16]) -> [u8; 12] {
    std::array::from_fn(|i| match i {
        0..8 => (scales[i] & 0x0F) | scales[i + 8] << 4,
        _ => (0..4).fold(0, |byte, k| byte | scales[i - 8 + 4 * k] >> 4 << (2 * k)),
    })
}

/// The lower four bits: of each 128 codes, those of `i` and `i + 64` in byte `i`.
fn nibbles(codes: &[u8; 256]) -> [u8; 128] {
    std::array::from_fn(|i| {
        let at = i / 64 * 128 + i % 64;
        (codes[at] & 0x0F) | codes[at + 64] << 4
    })
}
