//! Types that blocks of keys and values are kept in.

use simd::Simd;

/// A type of elements. Sixteen positions of a head are a *block* of `width / 2` pairs of vectors: of keys, elements
/// `2i` and `2i + 1` at all positions; of values, sixteen elements at positions `2i` and `2i + 1`, sixteen elements
/// after the other.
pub trait Element: Copy + 'static {
    /// Bytes of an element.
    const BYTES: usize;
    /// Bytes of a pair.
    const PAIR: usize = 32 * Self::BYTES;

    /// The two vectors of a pair.
    ///
    /// # Safety
    /// `PAIR` bytes may be read.
    unsafe fn pair<S: Simd>(s: S, at: *const u8) -> (S::F, S::F);
}

/// A pair is a vector of pairs.
#[derive(Clone, Copy)]
pub struct Bf16;

/// A pair is two vectors, one behind the other.
#[derive(Clone, Copy)]
pub struct F16;

/// As `F16`.
#[derive(Clone, Copy)]
pub struct F32;

impl Element for Bf16 {
    const BYTES: usize = 2;

    #[inline(always)]
    unsafe fn pair<S: Simd>(s: S, at: *const u8) -> (S::F, S::F) {
        // SAFETY: as the caller says.
        let both = unsafe { s.load_i(at) };
        (s.even_bf16(both), s.odd_bf16(both))
    }
}

impl Element for F16 {
    const BYTES: usize = 2;

    #[inline(always)]
    unsafe fn pair<S: Simd>(s: S, at: *const u8) -> (S::F, S::F) {
        // SAFETY: as the caller says.
        unsafe { (s.load_f16(at.cast()), s.load_f16(at.add(32).cast())) }
    }
}

impl Element for F32 {
    const BYTES: usize = 4;

    #[inline(always)]
    unsafe fn pair<S: Simd>(s: S, at: *const u8) -> (S::F, S::F) {
        // SAFETY: as the caller says.
        unsafe { (s.load(at.cast()), s.load(at.add(64).cast())) }
    }
}
