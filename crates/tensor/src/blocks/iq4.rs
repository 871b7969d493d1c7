//! 4-bit codes that index an uneven grid, finer near zero where weights are dense.
//!
//! | type   | values  | bytes                                                                    |
//! |--------|---------|--------------------------------------------------------------------------|
//! | IQ4_NL | 32      | scale f16, 16 codes                                                      |
//! | IQ4_XS | 8 x 32  | scale f16, 2 high bits of group scales, 4 low nibbles of them, 128 codes |
//!
//! A value is `scale * grid[code]`, in IQ4_XS `(scale * (group_scale - 32)) * grid[code]`. Byte `i` of a group holds
//! the code of value `i` in its low and that of value `i + 16` in its high nibble.
#![allow(non_camel_case_types, reason = "the names are the formats' own")]

use super::{f16_field, field};

/// The grid: what each code stands for before it is scaled.
pub const IQ4_CODES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// A block of IQ4_NL, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct IQ4_NL<'a> {
    /// Multiplies the grid.
    pub scale: f32,
    /// 4-bit codes, those of values `i` and `i + 16` in byte `i`.
    pub codes: &'a [u8; 16],
}

impl<'a> IQ4_NL<'a> {
    /// Takes a block apart.
    #[inline]
    pub fn of(block: &'a [u8; 18]) -> Self {
        IQ4_NL { scale: f16_field::<0, _>(block), codes: field::<2, _, _>(block) }
    }

    /// The values of the block.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 32]) {
        look_up(&IQ4_CODES, self.scale, self.codes, out);
    }
}

/// A block of IQ4_XS, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct IQ4_XS<'a> {
    /// Multiplies every group's scale.
    pub scale: f32,
    /// Upper two bits of the groups' scales, those of group 0 lowest.
    pub scales_high: u16,
    /// Lower four bits of the groups' scales, those of groups `2 i` and `2 i + 1` in byte `i`.
    pub scales_low: &'a [u8; 4],
    /// 4-bit codes: of each 32 values, those of `i` and `i + 16` in byte `i`.
    pub codes: &'a [u8; 128],
}

impl<'a> IQ4_XS<'a> {
    /// Takes a block apart.
    #[inline]
    pub fn of(block: &'a [u8; 136]) -> Self {
        IQ4_XS {
            scale: f16_field::<0, _>(block),
            scales_high: u16::from_le_bytes(*field::<2, _, _>(block)),
            scales_low: field::<4, _, _>(block),
            codes: field::<8, _, _>(block),
        }
    }

    /// The scales of the groups, -32 to 31.
    #[inline]
    pub fn scales(&self) -> [i8; 8] {
        std::array::from_fn(|g| {
            let low = self.scales_low[g / 2] >> (g % 2 * 4) & 0x0F;
            let high = (self.scales_high >> (2 * g) & 3) as u8;
            (low | high << 4).cast_signed() - 32
        })
    }

    /// The values of the block.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 256]) {
        let groups = out.as_chunks_mut().0.iter_mut().zip(self.codes.as_chunks().0);
        for ((values, codes), scale) in groups.zip(self.scales()) {
            look_up(&IQ4_CODES, self.scale * f32::from(scale), codes, values);
        }
    }
}

/// Looks 32 codes up in a grid that is scaled once: sixteen products instead of 32, rounded the same.
#[inline]
pub(super) fn look_up(grid: &[i8; 16], scale: f32, codes: &[u8; 16], out: &mut [f32; 32]) {
    let scaled = grid.map(|g| scale * f32::from(g));
    let (low, high) = out.split_at_mut(16);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(codes) {
        *low = scaled[usize::from(byte & 0x0F)];
        *high = scaled[usize::from(byte >> 4)];
    }
}
