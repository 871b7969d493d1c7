//! K-quants with a scale but no min for each group of 16: 256 values, of 3 or 6 bits.
//!
//! | type | bytes                                                   | value                                      |
//! |------|---------------------------------------------------------|--------------------------------------------|
//! | Q3_K | 32 high bits, 64 codes, 12 packed scales, scale f16     | `(scale * (group_scale - 32)) * (code - 4)`|
//! | Q6_K | 128 codes, 64 high bits, 16 group scales i8, scale f16  | `(scale * group_scale) * (code - 32)`      |
//!
//! The product in the first brackets is rounded first.
#![allow(non_camel_case_types, reason = "the names are the formats' own")]

use super::{f16_field, field};

/// A block of Q3_K, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Q3_K<'a> {
    /// Multiplies every group's scale.
    pub scale: f32,
    /// Bit `b` of byte `i` is the third bit of the code of value `32 b + i`.
    pub high_bits: &'a [u8; 32],
    /// Lower two bits of the codes: of each 128 values, those of `i`, `i + 32`, `i + 64`, `i + 96` in byte `i`.
    pub codes: &'a [u8; 64],
    /// Scales of the groups; see [`Q3_K::scales`].
    pub packed: &'a [u8; 12],
}

impl<'a> Q3_K<'a> {
    /// Takes a block apart.
    #[inline]
    pub fn of(block: &'a [u8; 110]) -> Self {
        Q3_K {
            high_bits: field::<0, _, _>(block),
            codes: field::<32, _, _>(block),
            packed: field::<96, _, _>(block),
            scale: f16_field::<108, _>(block),
        }
    }

    /// The scales of the groups, -32 to 31.
    ///
    /// Low nibbles are the nibbles of bytes 0..8, those of groups `g` and `g + 8` in byte `g`; two high bits are
    /// in bytes 8..12, those of groups `i`, `i + 4`, `i + 8`, `i + 12` in byte `8 + i`.
    #[inline]
    pub fn scales(&self) -> [i8; 16] {
        std::array::from_fn(|g| {
            let low = self.packed[g % 8] >> (g / 8 * 4) & 0x0F;
            let high = self.packed[8 + g % 4] >> (g / 4 * 2) & 3;
            (low | high << 4).cast_signed() - 32
        })
    }

    /// The values of the block.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 256]) {
        let codes = self.codes.as_chunks::<16>().0;
        let high_bits = self.high_bits.as_chunks::<16>().0;
        for (g, (values, scale)) in out.as_chunks_mut::<16>().0.iter_mut().zip(self.scales()).enumerate() {
            let scale = self.scale * f32::from(scale);
            let (shift, bit) = (g % 8 / 2 * 2, g / 2);
            let bytes = codes[g / 8 * 2 + g % 2].iter().zip(&high_bits[g % 2]);
            for (value, (byte, high)) in values.iter_mut().zip(bytes) {
                let code = (byte >> shift & 3) | (high >> bit & 1) << 2;
                *value = scale * (i32::from(code) - 4) as f32;
            }
        }
    }
}

/// A block of Q6_K, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Q6_K<'a> {
    /// Multiplies every group's scale.
    pub scale: f32,
    /// Lower four bits of the codes: of each 128 values, those of `i` and `i + 64` in byte `i`.
    pub codes: &'a [u8; 128],
    /// Upper two bits of the codes: of each 128 values, those of `i`, `i + 32`, `i + 64`, `i + 96` in byte `i`.
    pub high_bits: &'a [u8; 64],
    /// Scale of each group of 16 values, in two's complement.
    pub scales: &'a [u8; 16],
}

impl<'a> Q6_K<'a> {
    /// Takes a block apart.
    #[inline]
    pub fn of(block: &'a [u8; 210]) -> Self {
        Q6_K {
            codes: field::<0, _, _>(block),
            high_bits: field::<128, _, _>(block),
            scales: field::<192, _, _>(block),
            scale: f16_field::<208, _>(block),
        }
    }

    /// The values of the block.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 256]) {
        let codes = self.codes.as_chunks::<16>().0;
        let high_bits = self.high_bits.as_chunks::<16>().0;
        for (g, (values, scale)) in out.as_chunks_mut::<16>().0.iter_mut().zip(self.scales).enumerate() {
            let scale = self.scale * f32::from(scale.cast_signed());
            let (half, g) = (g / 8, g % 8);
            let (low_shift, high_shift) = (g / 4 * 4, g / 2 * 2);
            let bytes = codes[half * 4 + g % 4].iter().zip(&high_bits[half * 2 + g % 2]);
            for (value, (low, high)) in values.iter_mut().zip(bytes) {
                let code = (low >> low_shift & 0x0F) | (high >> high_shift & 3) << 4;
                *value = scale * (i32::from(code) - 32) as f32;
            }
        }
    }
}
