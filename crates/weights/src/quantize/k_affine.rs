//! Q2_K, Q4_K and Q5_K: 256 values in groups that each have a scale and a min.

use tensor::blocks::pack_scales;

use super::groups::Affine;
use super::join;

/// The largest 6-bit scale or min, of Q4_K and Q5_K.
const SIX_BITS: f32 = 63.0;

/// The largest 4-bit scale or min, of Q2_K.
const FOUR_BITS: f32 = 15.0;

pub(super) fn q2_k(values: &[f32; 256]) -> [u8; 84] {
    let (groups, _) = values.as_chunks::<16>();
    let fit = Affine::<16>::of(groups, 3.0, FOUR_BITS);
    let codes: [_; 16] = std::array::from_fn(|g| fit.grid(g).codes(&groups[g], 3.0).map(|c| c as u8));
    let scales: [_; 16] = std::array::from_fn(|g| fit.scales[g] | fit.mins[g] << 4);
    let (scale, min) = (fit.scale.to_le_bytes(), fit.min.to_le_bytes());
    join(&[&scales, &pairs_of_bits(codes.as_flattened()), &scale, &min])
}

pub(super) fn q4_k(values: &[f32; 256]) -> [u8; 144] {
    let block = Block::of(values, 15.0);
    join(&[&block.head, &block.nibbles()])
}

pub(super) fn q5_k(values: &[f32; 256]) -> [u8; 176] {
    let block = Block::of(values, 31.0);
    join(&[&block.head, &block.fifth_bits(), &block.nibbles()])
}

/// The lower two bits: of each 128 codes, those of `i`, `i + 32`, `i + 64` and `i + 96` in byte `i`.
pub(super) fn pairs_of_bits(codes: &[u8]) -> [u8; 64] {
    std::array::from_fn(|i| {
        let at = i / 32 * 128 + i % 32;
        (0..4).fold(0, |byte, k| byte | (codes[at + 32 * k] & 3) << (2 * k))
    })
}

/// What Q4_K and Q5_K have in common.
struct Block {
    /// Scale, min and packed group scales, as stored.
    head: [u8; 16],
    codes: [[u8; 32]; 8],
}

impl Block {
    /// Quantizes to codes of `0..=top`.
    fn of(values: &[f32; 256], top: f32) -> Block {
        let (groups, _) = values.as_chunks::<32>();
        let fit = Affine::<8>::of(groups, top, SIX_BITS);
        let codes = std::array::from_fn(|g| fit.grid(g).codes(&groups[g], top).map(|c| c as u8));
        let (scale, min) = (fit.scale.to_le_bytes(), fit.min.to_le_bytes());
        Block { head: join(&[&scale, &min, &pack_scales(&fit.scales, &fit.mins)]), codes }
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
