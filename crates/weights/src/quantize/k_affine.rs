//! Q4_K and Q5_K: 256 values in eight groups, each with a 6-bit scale and a 6-bit min.
//!
//! Every group's scale and min are searched for on their own. The largest of each becomes 63 steps of the block's f16
//! scale or min, and the others are rounded to steps: scale and min of a group then no longer belong together, so the
//! neighbouring pairs of steps are tried as well.

use half::f16;
use tensor::blocks::pack_scales;

use super::join;
use super::search::{Grid, affine, f16_unit, neighbours, weights};

/// The largest 6-bit scale or min.
const STEPS: f32 = 63.0;

pub(super) fn q4_k(values: &[f32; 256]) -> [u8; 144] {
    let block = Block::of(values, 15.0);
    join(&[&block.head, &block.nibbles()])
}

pub(super) fn q5_k(values: &[f32; 256]) -> [u8; 176] {
    let block = Block::of(values, 31.0);
    join(&[&block.head, &block.fifth_bits(), &block.nibbles()])
}

struct Block {
    /// Scale, min and packed group scales, as stored.
    head: [u8; 16],
    codes: [[u8; 32]; 8],
}

impl Block {
    /// Quantizes to codes of `0..=top`.
    fn of(values: &[f32; 256], top: f32) -> Block {
        let (groups, _) = values.as_chunks::<32>();
        let mut grids = [Grid { scale: 0.0, min: 0.0 }; 8];
        for (grid, group) in grids.iter_mut().zip(groups) {
            // The format takes a min off and never adds one.
            *grid = affine(group, &weights(group), top, 0.0);
        }
        let unit = Grid {
            scale: f16_unit(grids.iter().fold(0.0, |max, g| g.scale.max(max)), STEPS).to_f32(),
            min: f16_unit(grids.iter().fold(0.0, |max, g| max.max(-g.min)), STEPS).to_f32(),
        };
        let (mut scales, mut mins, mut codes) = ([0; 8], [0; 8], [[0; 32]; 8]);
        for (g, group) in groups.iter().enumerate() {
            let (scale, min) = best_steps(group, grids[g], unit, top);
            let grid = Grid { scale: unit.scale * scale, min: -unit.min * min };
            (scales[g], mins[g]) = (scale as u8, min as u8);
            codes[g] = grid.codes(group, top).map(|c| c as u8);
        }
        let [scale, min] = [unit.scale, unit.min].map(|u| f16::from_f32(u).to_le_bytes());
        Block { head: join(&[&scale, &min, &pack_scales(&scales, &mins)]), codes }
    }

    /// The lower four bits: of each two groups, value `i` of both in byte `i`.
    fn nibbles(&self) -> [u8; 128] {
        std::array::from_fn(|i| {
            let (pair, i) = (i / 32 * 2, i % 32);
            (self.codes[pair][i] & 0x0F) | self.codes[pair + 1][i] << 4
        })
    }

    /// The fifth bits: bit `g` of byte `i` belongs to value `i` of group `g`.
    fn fifth_bits(&self) -> [u8; 32] {
        std::array::from_fn(|i| (0..8).fold(0, |byte, g| byte | (self.codes[g][i] >> 4 & 1) << g))
    }
}

/// The steps of scale and min nearest to `wanted`, or neighbours of them where these fit the values better.
fn best_steps(values: &[f32; 32], wanted: Grid, unit: Grid, top: f32) -> (f32, f32) {
    let weights = weights(values);
    let steps = |wanted, unit| neighbours(wanted, unit).map(|steps| steps.clamp(0.0, STEPS));
    let mut best = (f32::INFINITY, 0.0, 0.0);
    for scale in steps(wanted.scale, unit.scale) {
        for min in steps(-wanted.min, unit.min) {
            let grid = Grid { scale: unit.scale * scale, min: -unit.min * min };
            let error = grid.error(values, &weights, top);
            if error < best.0 {
                best = (error, scale, min);
            }
        }
    }
    (best.1, best.2)
}
