//! How blocks of keys and values are multiplied, by what they are kept in.

use simd::{LANES, Simd};

use super::softmax::STEP;

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
    /// Scales of sixteen positions for a step's elements.
    type OfKeys<S: Simd>: Copy;
    /// Scales of a block of values.
    type OfValues: Copy;

    /// Bytes of a block before its elements.
    fn scales(_width: usize) -> usize {
        0
    }
    /// No products.
    fn zero<S: Simd>(s: S) -> Self::Sum<S>;
    /// The scales of a block of keys, for the elements of a step.
    ///
    /// # Safety
    /// The block may be read.
    unsafe fn of_keys<S: Simd>(s: S, block: *const u8, step: usize) -> Self::OfKeys<S>;
    /// Elements `2i` and `2i + 1` of keys at sixteen positions.
    ///
    /// # Safety
    /// `PAIR` bytes may be read.
    unsafe fn keys<S: Simd>(s: S, at: *const u8, scales: Self::OfKeys<S>) -> Self::Pair<S>;
    /// The scales of a block of values, for sixty-four elements at most from element `first` on.
    ///
    /// # Safety
    /// The block may be read.
    unsafe fn of_values<S: Simd>(s: S, block: *const u8, first: usize, width: usize) -> Self::OfValues;
    /// Sixteen elements of values at positions `2i` and `2i + 1` of a block whose rows are `row` bytes; they are the
    /// `v`th of those that scales were asked for.
    ///
    /// # Safety
    /// They may be read.
    unsafe fn values<S: Simd>(
        s: S,
        at: *const u8,
        row: usize,
        scales: &Self::OfValues,
        v: usize,
        i: usize,
    ) -> Self::Pair<S>;
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

/// q8_0: bytes under a scale for each 32 elements of a position.
#[derive(Clone, Copy)]
pub struct Q8;

impl Element for Pairs {
    const BYTES: usize = 2;
    const OF_ROW: usize = 2;
    const NEXT: usize = 4 * LANES;
    const SUMS: usize = 1;
    type Pair<S: Simd> = S::I;
    type Sum<S: Simd> = S::F;
    type OfKeys<S: Simd> = ();
    type OfValues = ();

    #[inline(always)]
    unsafe fn of_keys<S: Simd>(_: S, _: *const u8, _: usize) {}
    #[inline(always)]
    unsafe fn of_values<S: Simd>(_: S, _: *const u8, _: usize, _: usize) {}
    #[inline(always)]
    fn zero<S: Simd>(s: S) -> S::F {
        s.splat(0.0)
    }
    #[inline(always)]
    unsafe fn keys<S: Simd>(s: S, at: *const u8, (): ()) -> S::I {
        // SAFETY: as the caller says.
        unsafe { s.load_i(at) }
    }
    #[inline(always)]
    unsafe fn values<S: Simd>(s: S, at: *const u8, _: usize, (): &(), _: usize, _: usize) -> S::I {
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

/// What all have whose pairs are two vectors of f32, with the even and the odd products summed apart.
macro_rules! apart {
    () => {
        const OF_ROW: usize = 4;
        const SUMS: usize = 2;
        type Pair<S: Simd> = (S::F, S::F);
        type Sum<S: Simd> = (S::F, S::F);

        #[inline(always)]
        fn zero<S: Simd>(s: S) -> (S::F, S::F) {
            (s.splat(0.0), s.splat(0.0))
        }
        #[inline(always)]
        unsafe fn row<S: Simd>(s: S, at: *const u8) -> (S::F, S::F) {
            let at = at.cast::<f32>();
            // SAFETY: as the caller says.
            unsafe { (s.splat(at.read()), s.splat(at.add(1).read())) }
        }
        #[inline(always)]
        fn add<S: Simd>(s: S, (even, odd): (S::F, S::F), x: (S::F, S::F), row: (S::F, S::F)) -> (S::F, S::F) {
            (s.fma(x.0, row.0, even), s.fma(x.1, row.1, odd))
        }
        #[inline(always)]
        fn total<S: Simd>(s: S, (even, odd): (S::F, S::F)) -> S::F {
            s.add(even, odd)
        }
    };
}

/// Floats, which have no scales.
macro_rules! floats {
    ($name:ident, $bytes:literal, $next:expr, $pair:expr) => {
        impl Element for $name {
            const BYTES: usize = $bytes;
            const NEXT: usize = $next;
            type OfKeys<S: Simd> = ();
            type OfValues = ();
            apart!();

            #[inline(always)]
            unsafe fn of_keys<S: Simd>(_: S, _: *const u8, _: usize) {}
            #[inline(always)]
            unsafe fn of_values<S: Simd>(_: S, _: *const u8, _: usize, _: usize) {}
            #[inline(always)]
            unsafe fn keys<S: Simd>(s: S, at: *const u8, (): ()) -> (S::F, S::F) {
                // SAFETY: as the caller says.
                unsafe { $pair(s, at, LANES * $bytes) }
            }
            #[inline(always)]
            unsafe fn values<S: Simd>(
                s: S,
                at: *const u8,
                row: usize,
                (): &(),
                _: usize,
                _: usize,
            ) -> (S::F, S::F) {
                // SAFETY: as the caller says.
                unsafe { $pair(s, at, row) }
            }
        }
    };
}

floats!(Bf16, 2, 4 * LANES, in_one);
floats!(F16, 2, 2 * LANES, two_f16);
floats!(F32, 4, 4 * LANES, two_f32);

impl Element for Q8 {
    const BYTES: usize = 1;
    const NEXT: usize = LANES;
    type OfKeys<S: Simd> = S::F;
    /// By 32 elements and by position.
    type OfValues = [[f32; LANES]; 2];
    apart!();

    #[inline(always)]
    fn scales(width: usize) -> usize {
        width / STEP * LANES * size_of::<u16>()
    }
    #[inline(always)]
    unsafe fn of_keys<S: Simd>(s: S, block: *const u8, step: usize) -> S::F {
        // SAFETY: as the caller says.
        unsafe { s.load_f16(block.cast::<u16>().add(step * LANES)) }
    }
    #[inline(always)]
    unsafe fn keys<S: Simd>(s: S, at: *const u8, scales: S::F) -> (S::F, S::F) {
        // SAFETY: as the caller says.
        unsafe { (code(s, at, scales), code(s, at.add(LANES), scales)) }
    }
    #[inline(always)]
    unsafe fn of_values<S: Simd>(s: S, block: *const u8, first: usize, width: usize) -> [[f32; LANES]; 2] {
        let mut scales = [[0.0; LANES]; 2];
        for (i, scales) in scales.iter_mut().enumerate() {
            // Past the last of them the last is taken, and not used.
            let step = (first / STEP + i).min(width / STEP - 1);
            // SAFETY: as the caller says.
            unsafe { s.store(scales.as_mut_ptr(), s.load_f16(block.cast::<u16>().add(step * LANES))) };
        }
        scales
    }
    #[inline(always)]
    unsafe fn values<S: Simd>(
        s: S,
        at: *const u8,
        row: usize,
        scales: &[[f32; LANES]; 2],
        v: usize,
        i: usize,
    ) -> (S::F, S::F) {
        let [even, odd] = [0, 1].map(|odd| s.splat(scales[v / 2 % 2][2 * i + odd]));
        // SAFETY: as the caller says.
        unsafe { (code(s, at, even), code(s, at.add(row), odd)) }
    }
}

/// Sixteen codes under their scales.
///
/// # Safety
/// 16 bytes may be read.
#[inline(always)]
unsafe fn code<S: Simd>(s: S, at: *const u8, scales: S::F) -> S::F {
    // SAFETY: as the caller says.
    s.mul(s.to_f(unsafe { s.load_i8(at.cast()) }), scales)
}

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
