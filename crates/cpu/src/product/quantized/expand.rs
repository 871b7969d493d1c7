//! Codes times integer scales, as tiles take them: two planes of bytes, the high ones signed, the low ones not.

use simd::Simd;

use super::format::{Format, Scales, WORDS, block_bytes, codes};
use crate::packed::GROUP;

/// Bytes of a plane of a group of sixteen rows.
pub const PLANE: usize = 16 * GROUP;

/// Writes a block's words to the planes of its group: `codes * scale = 256 * high + low`, word `i` of sixteen rows at
/// `64 i`. The products fit 16 bits by the formats' ranges.
///
/// # Safety
/// The scales are [`double`]. `group` is the codes of a group with such a block; the planes may be written.
#[inline(always)]
pub unsafe fn expand<S: Simd, F: Format>(
    s: S,
    group: *const u8,
    block: usize,
    scales: &Scales<S>,
    [high, low]: [*mut u8; 2],
) {
    // Signed codes are raised to be unsigned.
    let (flip, offset) = match F::OFFSET {
        Some(offset) => (0, offset),
        None => (0x8080_8080_u32 as i32, 128),
    };
    let bytes = s.splat_i(0x00ff_00ff);
    let offset = s.splat_i(offset * 0x0001_0001);
    let at = 64 * WORDS * block;
    // SAFETY: the block is one of the group's, and the planes have room for its words.
    unsafe {
        let codes = codes::<S, F>(s, group.wrapping_add(block * block_bytes::<F>()));
        let mut i = 0;
        while i < WORDS {
            let r = scales.r[block * F::SCALES + i * F::SCALES / WORDS];
            let code = s.xor(codes[i], s.splat_i(flip));
            let even = s.mul_i16(s.sub_i16(s.and(code, bytes), offset), r);
            let odd = s.mul_i16(s.sub_i16(s.shr_i16(code, 8), offset), r);
            s.store_i(high.wrapping_add(at + 64 * i), select(s, bytes, s.shr_i16(even, 8), odd));
            s.store_i(low.wrapping_add(at + 64 * i), select(s, bytes, even, s.shl(odd, 8)));
            i += 1;
        }
    }
}

/// Puts scales into both halves of their lanes, as [`expand`] wants them.
#[inline(always)]
pub fn double<S: Simd, F: Format>(s: S, scales: &mut Scales<S>, blocks: usize) {
    let mut b = 0;
    while b < blocks * F::SCALES {
        let r = scales.r[b];
        scales.r[b] = s.or(s.and(r, s.splat_i(0xffff)), s.shl(r, 16));
        b += 1;
    }
}

/// Bits of `a` where the mask has them, else those of `b`.
#[inline(always)]
fn select<S: Simd>(s: S, mask: S::I, a: S::I, b: S::I) -> S::I {
    s.xor(b, s.and(mask, s.xor(a, b)))
}
