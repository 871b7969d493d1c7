//! MXFP4: 32 values as 4-bit floats (e2m1) under one power of two (E8M0).
//!
//! Bytes: exponent u8, 16 codes; byte `i` holds the code of value `i` in its low and that of value `i + 16` in its
//! high nibble. A value is `2^(exponent - 127) * e2m1`, computed as `2^(exponent - 128) * (2 * e2m1)` because twice
//! an e2m1 is an integer. Code 8, minus zero, decodes to plus zero. Exponent 255, a NaN in the OCP specification, is
//! decoded like any other.

use super::field;
use super::iq4::look_up;

/// Twice the value of each code.
pub const MXFP4_CODES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// A block of MXFP4, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct MXFP4<'a> {
    /// The exponent of the block, biased by 127.
    pub exponent: u8,
    /// 4-bit codes, those of values `i` and `i + 16` in byte `i`.
    pub codes: &'a [u8; 16],
}

impl<'a> MXFP4<'a> {
    /// Takes a block apart.
    #[inline]
    pub fn of(block: &'a [u8; 17]) -> Self {
        MXFP4 { exponent: block[0], codes: field::<1, _, _>(block) }
    }

    /// What [`MXFP4_CODES`] are multiplied by: `2^(exponent - 128)`. The two smallest exponents give subnormals.
    #[inline]
    pub fn scale(&self) -> f32 {
        f32::from_bits(match self.exponent {
            0 => 0x0020_0000,
            1 => 0x0040_0000,
            e => u32::from(e - 1) << 23,
        })
    }

    /// The values of the block.
    #[inline]
    pub fn decode(&self, out: &mut [f32; 32]) {
        look_up(&MXFP4_CODES, self.scale(), self.codes, out);
    }
}
