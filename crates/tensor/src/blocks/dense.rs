//! Dense floats as little-endian bytes: f32, f16 (IEEE binary16) and bf16 (the upper half of an f32).

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Values converted at a time, so that the f16 staging array stays in the first-level cache.
const STRIDE: usize = 256;

pub(super) fn decode_f32(bytes: &[u8], out: &mut [f32]) {
    for (value, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
        *value = f32::from_le_bytes(*bytes);
    }
}

pub(super) fn encode_f32(values: &[f32], out: &mut [u8]) {
    for (bytes, value) in out.as_chunks_mut().0.iter_mut().zip(values) {
        *bytes = value.to_le_bytes();
    }
}

/// Through a staging array, because `half` converts slices with the processor's own instruction where it has one.
pub(super) fn decode_f16(bytes: &[u8], out: &mut [f32]) {
    let mut halves = [f16::ZERO; STRIDE];
    for (bytes, out) in bytes.chunks(2 * STRIDE).zip(out.chunks_mut(STRIDE)) {
        let halves = &mut halves[..out.len()];
        for (half, bytes) in halves.iter_mut().zip(bytes.as_chunks().0) {
            *half = f16::from_le_bytes(*bytes);
        }
        halves.convert_to_f32_slice(out);
    }
}

pub(super) fn encode_f16(values: &[f32], out: &mut [u8]) {
    let mut halves = [f16::ZERO; STRIDE];
    for (out, values) in out.chunks_mut(2 * STRIDE).zip(values.chunks(STRIDE)) {
        let halves = &mut halves[..values.len()];
        halves.convert_from_f32_slice(values);
        for (bytes, half) in out.as_chunks_mut().0.iter_mut().zip(halves) {
            *bytes = half.to_le_bytes();
        }
    }
}

pub(super) fn decode_bf16(bytes: &[u8], out: &mut [f32]) {
    for (value, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
        *value = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
    }
}

pub(super) fn encode_bf16(values: &[f32], out: &mut [u8]) {
    for (bytes, value) in out.as_chunks_mut().0.iter_mut().zip(values) {
        *bytes = round_to_bf16(*value).to_le_bytes();
    }
}

/// Adds just under half of the last kept bit, or exactly half where that bit is odd, and cuts: ties go to even.
/// A NaN must not be carried into infinity, so it is cut and made quiet. Without branches, so that it vectorises.
fn round_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let kept = (bits >> 16) as u16;
    let rounded = (bits.wrapping_add(0x7FFF + u32::from(kept & 1)) >> 16) as u16;
    if value.is_nan() { kept | 0x40 } else { rounded }
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use proptest::prelude::*;

    use super::*;

    /// More than one stride and not a multiple of it.
    const MANY: usize = 2 * STRIDE + 3;

    #[test]
    fn every_f16_and_bf16_survives() {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let mut values = vec![0.0; 1 << 16];
        let mut back = vec![0; bytes.len()];
        decode_f16(&bytes, &mut values);
        encode_f16(&values, &mut back);
        for (bits, (value, back)) in (0..=u16::MAX).zip(values.iter().zip(back.as_chunks().0)) {
            let back = u16::from_le_bytes(*back);
            assert!(if value.is_nan() { f16::from_bits(back).is_nan() } else { back == bits }, "{bits:#x}");
        }
        decode_bf16(&bytes, &mut values);
        encode_bf16(&values, &mut back);
        for (bits, (value, back)) in (0..=u16::MAX).zip(values.iter().zip(back.as_chunks().0)) {
            let back = u16::from_le_bytes(*back);
            assert!(if value.is_nan() { back == bits | 0x40 } else { back == bits }, "{bits:#x}");
        }
    }

    #[test]
    fn ties_go_to_even_and_overflow_to_infinity() {
        let encoded = |value: f32| {
            let mut bytes = [0; 2];
            encode_f16(&[value], &mut bytes);
            u16::from_le_bytes(bytes)
        };
        assert_eq!(encoded(1.0 + 1.0 / 2048.0), 0x3C00);
        assert_eq!(encoded(1.0 + 3.0 / 2048.0), 0x3C02);
        assert_eq!(encoded(65520.0), 0x7C00);
        assert_eq!(round_to_bf16(1.0 + 1.0 / 256.0), 0x3F80);
        assert_eq!(round_to_bf16(1.0 + 3.0 / 256.0), 0x3F82);
        assert_eq!(round_to_bf16(f32::MAX), 0x7F80);
        assert_eq!(round_to_bf16(-0.0), 0x8000);
    }

    proptest! {
        #[test]
        fn rounding_agrees_with_half(bits in prop::collection::vec(any::<u32>(), MANY)) {
            let values: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
            let mut bytes = vec![0; 2 * MANY];
            encode_bf16(&values, &mut bytes);
            for (value, bytes) in values.iter().zip(bytes.as_chunks().0) {
                prop_assert_eq!(bf16::from_le_bytes(*bytes).to_bits(), bf16::from_f32(*value).to_bits());
            }
            encode_f16(&values, &mut bytes);
            for (value, bytes) in values.iter().zip(bytes.as_chunks().0) {
                prop_assert_eq!(f16::from_le_bytes(*bytes).to_bits(), f16::from_f32(*value).to_bits());
            }
        }
    }
}
