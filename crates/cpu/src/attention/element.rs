//! How blocks of keys and values are multiplied, by what they are kept in.

use simd::{LANES, Simd};

/// A way to hold blocks and to multiply them. Neighbouring elements of keys, and neighbouring positions of values, are
/// multiplied in *pairs*; what they are multiplied by, queries and weights, lies in rows whose neighbours are broadcast.
pub trait Element: Copy + 'static {
    /// Bytes of an element.
    const BYTES: usize;
    /// Bytes of an element of a row.
    const OF_ROW: usize;
    /// Bytes from sixteen elements of a pair of values to the next sixteen.
    const NEXT: usize;
    /// Bytes of a pair of keys.
    const PAIR: usize = 2 * LANES * Self::BYTES;
    /// Registers that a sum takes.
    const SUMS: usize;
    /// A pair of vectors.
    type Pair<S: Simd>: Copy;
    /// Sums of pairs.
    type Sum<S: Simd>: Copy;

    /// No products.
    fn zero<S: Simd>(s: S) -> Self::Sum<S>;
    /// Elements `2i` and `2i + 1` of keys at sixteen positions.
    ///
    /// # Safety
    /// `PAIR` bytes may be read.
    unsafe fn keys<S: Simd>(s: S, at: *const u8) -> Self::Pair<S>;
    /// Sixteen elements of values at positions `2i` and `2i + 1` of a block whose rows are `row` bytes.
    ///
    /// # Safety
    /// They may be read.
    unsafe fn values<S: Simd>(s: S, at: *const u8, row: usize) -> Self::Pair<S>;
    /// Two neighbours of a row in all lanes.
    ///
    /// # Safety
    /// They may be read.
    unsafe fn row<S: Simd>(s: S, at: *const u8) -> Self::Pair<S>;
    /// `sum`, and the products of a pair.
    fn add<S: Simd>(s: S, sum: Self::Sum<S>, x: Self::Pair<S>, row: Self::Pair<S>) -> Self::Sum<S>;
    /// The sum as a vector.
    fn total<S: Simd>(s: S, sum: Self::Sum<S>) -> S::F;
}

/// Pairs by the instruction for them, or what it means: queries and weights are bf16, too.
#[derive(Clone, Copy)]
pub struct Pairs;

/// bf16, a pair in one vector.
#[derive(Clone, Copy)]
pub struct Bf16;

/// f16, two vectors.
#[derive(Clone, Copy)]
pub struct F16;

/// f32, two vectors.
#[derive(Clone, Copy)]
pub struct F32;

impl Element for Pairs {
    const BYTES: usize = 2;
    const OF_ROW: usize = 2;
    const NEXT: usize = 4 * LANES;
    const SUMS: usize = 1;
    type Pair<S: Simd> = S::I;
    type Sum<S: Simd> = S::F;

    #[inline(always)]
    fn zero<S: Simd>(s: S) -> S::F {
        s.splat(0.0)
    }
    #[inline(always)]
    unsafe fn keys<S: Simd>(s: S, at: *const u8) -> S::I {
        // SAFETY: as the caller says.
        unsafe { s.load_i(at) }
    }
    #[inline(always)]
    unsafe fn values<S: Simd>(s: S, at: *const u8, _: usize) -> S::I {
        // SAFETY: as the caller says.
        unsafe { s.load_i(at) }
    }
    #[inline(always)]
    unsafe fn row<S: Simd>(s: S, at: *const u8) -> S::I {
        // SAFETY: as the caller says.
        s.splat_i(unsafe { at.cast::<i32>().read_unaligned() })
    }
    #[inline(always)]
    fn add<S: Simd>(s: S, sum: S::F, x: S::I, row: S::I) -> S::F {
        s.dot_bf16(sum, x, row)
    }
    #[inline(always)]
    fn total<S: Simd>(_: S, sum: S::F) -> S::F {
        sum
    }
}

/// Elements whose pairs are two vectors of f32, with the even and the odd products summed apart.
macro_rules! apart {
    ($name:ident, $bytes:literal, $next:expr, $keys:expr, $values:expr) => {
        impl Element for $name {
            const BYTES: usize = $bytes;
            const OF_ROW: usize = 4;
            const NEXT: usize = $next;
            const SUMS: usize = 2;
            type Pair<S: Simd> = (S::F, S::F);
            type Sum<S: Simd> = (S::F, S::F);

            #[inline(always)]
            fn zero<S: Simd>(s: S) -> (S::F, S::F) {
                (s.splat(0.0), s.splat(0.0))
            }
            #[inline(always)]
            unsafe fn keys<S: Simd>(s: S, at: *const u8) -> (S::F, S::F) {
                // SAFETY: as the caller says.
                unsafe { $keys(s, at, LANES * $bytes) }
            }
            #[inline(always)]
            unsafe fn values<S: Simd>(s: S, at: *const u8, row: usize) -> (S::F, S::F) {
                // SAFETY: as the caller says.
                unsafe { $values(s, at, row) }
            }
            #[inline(always)]
            unsafe fn row<S: Simd>(s: S, at: *const u8) -> (S::F, S::F) {
                let at = at.cast::<f32>();
                // SAFETY: as the caller says.
                unsafe { (s.splat(at.read()), s.splat(at.add(1).read())) }
            }
            #[inline(always)]
            fn add<S: Simd>(
                s: S,
                (even, odd): (S::F, S::F),
                x: (S::F, S::F),
                row: (S::F, S::F),
            ) -> (S::F, S::F) {
                (s.fma(x.0, row.0, even), s.fma(x.1, row.1, odd))
            }
            #[inline(always)]
            fn total<S: Simd>(s: S, (even, odd): (S::F, S::F)) -> S::F {
                s.add(even, odd)
            }
        }
    };
}

apart!(Bf16, 2, 4 * LANES, in_one, in_one);
apart!(F16, 2, 2 * LANES, two_f16, two_f16);
apart!(F32, 4, 4 * LANES, two_f32, two_f32);

/// # Safety
/// 64 bytes may be read.
#[inline(always)]
unsafe fn in_one<S: Simd>(s: S, at: *const u8, _: usize) -> (S::F, S::F) {
    // SAFETY: as the caller says.
    let both = unsafe { s.load_i(at) };
    (s.even_bf16(both), s.odd_bf16(both))
}

/// # Safety
/// 32 bytes may be read, and as many `row` bytes further on.
#[inline(always)]
unsafe fn two_f16<S: Simd>(s: S, at: *const u8, row: usize) -> (S::F, S::F) {
    // SAFETY: as the caller says.
    unsafe { (s.load_f16(at.cast()), s.load_f16(at.add(row).cast())) }
}

/// # Safety
/// 64 bytes may be read, and as many `row` bytes further on.
#[inline(always)]
unsafe fn two_f32<S: Simd>(s: S, at: *const u8, row: usize) -> (S::F, S::F) {
    // SAFETY: as the caller says.
    unsafe { (s.load(at.cast()), s.load(at.add(row).cast())) }
}
