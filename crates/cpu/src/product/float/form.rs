//! How strips hold floats: two values of each of sixteen rows side by side, or one after the other.

use simd::{LANES, Simd};

/// A way to hold the values of a strip. Two neighbouring values of all its rows are a pair.
pub trait Form: Copy {
    /// Bytes of a pair.
    const PAIR: usize;

    /// The first value of each row.
    ///
    /// # Safety
    /// A pair may be read.
    unsafe fn even<S: Simd>(s: S, pair: *const u8) -> S::F;

    /// The second value of each row.
    ///
    /// # Safety
    /// A pair may be read.
    unsafe fn odd<S: Simd>(s: S, pair: *const u8) -> S::F;
}

/// f32, the sixteen first values before the sixteen second.
#[derive(Clone, Copy, Debug)]
pub struct F32;

/// f16, the two values of a row in one word.
#[derive(Clone, Copy, Debug)]
pub struct F16;

/// bf16, the two values of a row in one word.
#[derive(Clone, Copy, Debug)]
pub struct BF16;

impl Form for F32 {
    const PAIR: usize = 128;

    #[inline(always)]
    unsafe fn even<S: Simd>(s: S, pair: *const u8) -> S::F {
        // SAFETY: the first half of the pair.
        unsafe { s.load(pair.cast()) }
    }

    #[inline(always)]
    unsafe fn odd<S: Simd>(s: S, pair: *const u8) -> S::F {
        // SAFETY: the second half of the pair.
        unsafe { s.load(pair.cast::<f32>().add(LANES)) }
    }
}

impl Form for F16 {
    const PAIR: usize = 64;

    #[inline(always)]
    unsafe fn even<S: Simd>(s: S, pair: *const u8) -> S::F {
        // SAFETY: the pair.
        s.even_f16(unsafe { s.load_i(pair) })
    }

    #[inline(always)]
    unsafe fn odd<S: Simd>(s: S, pair: *const u8) -> S::F {
        // SAFETY: the pair.
        s.odd_f16(unsafe { s.load_i(pair) })
    }
}

impl Form for BF16 {
    const PAIR: usize = 64;

    #[inline(always)]
    unsafe fn even<S: Simd>(s: S, pair: *const u8) -> S::F {
        // SAFETY: the pair.
        s.even_bf16(unsafe { s.load_i(pair) })
    }

    #[inline(always)]
    unsafe fn odd<S: Simd>(s: S, pair: *const u8) -> S::F {
        // SAFETY: the pair.
        s.odd_bf16(unsafe { s.load_i(pair) })
    }
}
