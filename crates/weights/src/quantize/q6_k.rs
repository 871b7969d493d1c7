//! Q6_K: 256 values in sixteen groups, each with a signed 8-bit scale.
//!
//! Every group's scale is searched for on its own. The one of largest magnitude becomes -128 steps of the block's f16
//! scale, the others are rounded to whole steps, and neighbouring steps are tried as well.

use super::join;
use super::search::{Grid, extreme, f16_unit, neighbours, symmetric, weights};

/// The code that stands for nothing; codes are 0 to 63.
const ZERO: f32 = 32.0;
const TOP: f32 = 63.0;

pub(super) fn q6_k(values: &[f32; 256]) -> [u8; 210] {
    let (groups, _) = values.as_chunks::<16>();
    let mut wanted = [0.0; 16];
    for (scale, group) in wanted.iter_mut().zip(groups) {
        *scale = symmetric(group, &weights(group), ZERO);
    }
    let unit = f16_unit(-extreme(&wanted), 128.0);

    let (mut scales, mut codes) = ([0; 16], [[ZERO as u8; 16]; 16]);
    for (g, group) in groups.iter().enumerate() {
        let (steps, grid) = best_steps(group, wanted[g], unit.to_f32());
        if grid.scale != 0.0 {
            scales[g] = steps as i8;
            codes[g] = grid.codes(group, TOP).map(|c| c as u8);
        }
    }
    let codes = codes.as_flattened();
    join(&[&low_bits(codes), &high_bits(codes), &scales.map(i8::cast_unsigned), &unit.to_le_bytes()])
}

/// The steps of scale nearest to `wanted`, or a neighbour of them where it fits the values better.
fn best_steps(values: &[f32; 16], wanted: f32, unit: f32) -> (f32, Grid) {
    let weights = weights(values);
    let mut best = (f32::INFINITY, 0.0, Grid { scale: 0.0, min: 0.0 });
    for steps in neighbours(wanted, unit).map(|steps| steps.clamp(-128.0, 127.0)) {
        let grid = Grid { scale: unit * steps, min: -ZERO * unit * steps };
        let error = grid.error(values, &weights, TOP);
        if error < best.0 {
            best = (error, steps, grid);
        }
    }
    (best.1, best.2)
}

/// The lower four bits: of each 128 codes, those of `i` and `i + 64` in byte `i`.
fn low_bits(codes: &[u8]) -> [u8; 128] {
    std::array::from_fn(|i| {
        let at = i / 64 * 128 + i % 64;
        (codes[at] & 0x0F) | codes[at + 64] << 4
    })
}

/// The upper two bits: of each 128 codes, those of `i`, `i + 32`, `i + 64` and `i + 96` in byte `i`.
fn high_bits(codes: &[u8]) -> [u8; 64] {
    std::array::from_fn(|i| {
        let at = i / 32 * 128 + i % 32;
        (0..4).fold(0, |byte, k| byte | codes[at + 32 * k] >> 4 << (2 * k))
    })
}
