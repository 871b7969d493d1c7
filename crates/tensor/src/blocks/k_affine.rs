//! K-quants with a scale and a min for each group: 256 values, of 2, 4 or 5 bits.
//!
//! | type | groups  | bytes                                                            |
//! |------|---------|------------------------------------------------------------------|
//! | Q2_K | 16 x 16 | 16 (scale low, min high nibble), 64 codes, scale f16, min f16    |
//! | Q4_K | 8 x 32  | scale f16, min f16, 12 packed scales, 128 codes                  |
//! | Q5_K | 8 x 32  | scale f16, min f16, 12 packed scales, 32 high bits, 128 codes    |
//!
//! A value is `(scale * group_scale) * code - (min * group_min)`; both products in brackets are rounded first. The
//! group's scale and min are unsigned integers of 4 bits (Q2_K) or 6 bits ([`unpack_scales`]).
#![allow(non_camel_case_types, reason = "the names are the formats' own")]

use super::{f16_field, field};

/// A block of Q2_K, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Q2_K<'a> {
    /// Multiplies every group's scale.
    pub scale: f32,
    /// Multiplies every group's min.
    pub min: f32,
    /// For each group of 16 values its scale (low nibble) and min (high nibble).
    pub scales: &'a [u8; 16],
    /// 2-bit codes: of each 128 values, those of `i`, `i + 32`, `i + 64`, `i + 96` in byte `i`, lowest bits first.
    pub codes: &'a [u8; 64],
}

impl<'a> Q2_K<'a> {
    /// Takes a block apart.
    #[inline]
    pub fn of(block: &'a [u8; 84]) -> Self {
        Q2_K {
            scales: field::<0, _, _>(block),
            codes: field::<16, _, _>(block),
            scale: f16_field::<80, _>(block),
            min: f16_field::<82, _>(block),
        }
    }

    /// The values of the block.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 256]) {
        let codes = self.codes.as_chunks::<16>().0;
        for (g, (values, packed)) in out.as_chunks_mut::<16>().0.iter_mut().zip(self.scales).enumerate() {
            let scale = self.scale * f32::from(packed & 0x0F);
            let min = self.min * f32::from(packed >> 4);
            let shift = g % 8 / 2 * 2;
            for (value, byte) in values.iter_mut().zip(&codes[g / 8 * 2 + g % 2]) {
                *value = scale * f32::from(byte >> shift & 3) - min;
            }
        }
    }
}

/// A block of Q4_K, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Q4_K<'a> {
    /// Multiplies every group's scale.
    pub scale: f32,
    /// Multiplies every group's min.
    pub min: f32,
    /// Scales and mins of the groups; see [`unpack_scales`].
    pub scales: &'a [u8; 12],
    /// 4-bit codes: of each 64 values, those of `i` and `i + 32` in byte `i`.
    pub codes: &'a [u8; 128],
}

impl<'a> Q4_K<'a> {
    /// Takes a block apart.
    #[inline]
    pub fn of(block: &'a [u8; 144]) -> Self {
        Q4_K {
            scale: f16_field::<0, _>(block),
            min: f16_field::<2, _>(block),
            scales: field::<4, _, _>(block),
            codes: field::<16, _, _>(block),
        }
    }

    /// The values of the block.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 256]) {
        let groups = group_scales(self.scale, self.min, self.scales);
        let pairs = out.as_chunks_mut::<64>().0.iter_mut().zip(groups.as_chunks::<2>().0);
        for ((values, [low, high]), codes) in pairs.zip(self.codes.as_chunks::<32>().0) {
            let (lows, highs) = values.split_at_mut(32);
            for ((l, h), byte) in lows.iter_mut().zip(highs).zip(codes) {
                *l = low.scale * f32::from(byte & 0x0F) - low.min;
                *h = high.scale * f32::from(byte >> 4) - high.min;
            }
        }
    }
}

/// A block of Q5_K, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Q5_K<'a> {
    /// Multiplies every group's scale.
    pub scale: f32,
    /// Multiplies every group's min.
    pub min: f32,
    /// Scales and mins of the groups; see [`unpack_scales`].
    pub scales: &'a [u8; 12],
    /// Bit `g` of byte `i` is the fifth bit of value `i` of group `g`.
    pub high_bits: &'a [u8; 32],
    /// Lower four bits of the codes: of each 64 values, those of `i` and `i + 32` in byte `i`.
    pub codes: &'a [u8; 128],
}

impl<'a> Q5_K<'a> {
    /// Takes a block apart.
    #[inline]
    pub fn of(block: &'a [u8; 176]) -> Self {
        Q5_K {
            scale: f16_field::<0, _>(block),
            min: f16_field::<2, _>(block),
            scales: field::<4, _, _>(block),
            high_bits: field::<16, _, _>(block),
            codes: field::<48, _, _>(block),
        }
    }

    /// The values of the block.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 256]) {
        let groups = group_scales(self.scale, self.min, self.scales);
        let codes = self.codes.as_chunks::<32>().0;
        for (g, (values, group)) in out.as_chunks_mut::<32>().0.iter_mut().zip(&groups).enumerate() {
            let shift = g % 2 * 4;
            for ((value, byte), high) in values.iter_mut().zip(&codes[g / 2]).zip(self.high_bits) {
                let code = (byte >> shift & 0x0F) | (high >> g & 1) << 4;
                *value = group.scale * f32::from(code) - group.min;
            }
        }
    }
}

/// What a group's codes are multiplied by, and what is taken off.
#[derive(Clone, Copy)]
struct Group {
    scale: f32,
    min: f32,
}

#[inline]
fn group_scales(scale: f32, min: f32, packed: &[u8; 12]) -> [Group; 8] {
    let (scales, mins) = unpack_scales(packed);
    std::array::from_fn(|g| Group { scale: scale * f32::from(scales[g]), min: min * f32::from(mins[g]) })
}

/// The eight 6-bit scales and mins of Q4_K and Q5_K.
///
/// The first four of each lie in the low bits of bytes 0..4 and 4..8. Bytes 8..12 hold the low nibbles of the last
/// four, scale below min, and the top two bits of bytes 0..8 their high bits.
#[inline]
pub fn unpack_scales(packed: &[u8; 12]) -> ([u8; 8], [u8; 8]) {
    let [s0, s1, s2, s3, m0, m1, m2, m3, lows @ ..] = *packed;
    let (first_scales, first_mins) = ([s0, s1, s2, s3], [m0, m1, m2, m3]);
    let (mut scales, mut mins) = ([0; 8], [0; 8]);
    for i in 0..4 {
        scales[i] = first_scales[i] & 0x3F;
        mins[i] = first_mins[i] & 0x3F;
        scales[i + 4] = (lows[i] & 0x0F) | (first_scales[i] >> 6) << 4;
        mins[i + 4] = (lows[i] >> 4) | (first_mins[i] >> 6) << 4;
    }
    (scales, mins)
}

/// The reverse of [`unpack_scales`]. Bits above the sixth are cut off.
pub fn pack_scales(scales: &[u8; 8], mins: &[u8; 8]) -> [u8; 12] {
    let mut packed = [0; 12];
    for i in 0..4 {
        packed[i] = (scales[i] & 0x3F) | (scales[i + 4] >> 4 & 3) << 6;
        packed[i + 4] = (mins[i] & 0x3F) | (mins[i + 4] >> 4 & 3) << 6;
        packed[i + 8] = (scales[i + 4] & 0x0F) | (mins[i + 4] & 0x0F) << 4;
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_scales_unpack() {
        let scales = [0, 1, 62, 63, 63, 32, 15, 16];
        let mins = [63, 31, 0, 7, 8, 48, 63, 1];
        let packed = pack_scales(&scales, &mins);
        assert_eq!(unpack_scales(&packed), (scales, mins));
        let every: [u8; 12] = std::array::from_fn(|i| (i * 23 + 5) as u8);
        let (scales, mins) = unpack_scales(&every);
        assert_eq!(pack_scales(&scales, &mins), every);
    }
}
