//! AVX2 with FMA and F16C: a vector is two registers, the lower lanes in the first.

use std::arch::x86_64::*;

use crate::{Isa, Kernel, Simd};

/// AVX2 with FMA and F16C.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

/// Sixteen f32.
#[derive(Clone, Copy, Debug)]
pub struct F(__m256, __m256);

/// Sixteen i32, or sixty-four bytes.
#[derive(Clone, Copy, Debug)]
pub struct I(__m256i, __m256i);

pub(crate) fn is_present() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
}

/// # Safety
/// The machine has the level.
#[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2")]
pub(crate) unsafe fn enter<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

/// Each method of two registers as the same intrinsic on both.
macro_rules! lanewise {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ident),+) -> $out:ident = $intrinsic:path;)+) => {
        $($(#[$doc])* #[inline(always)]
        fn $name(self, $($arg: $ty),+) -> $out {
            $out(unsafe { $intrinsic($($arg.0),+) }, unsafe { $intrinsic($($arg.1),+) })
        })+
    };
}

// SAFETY: every method reads and writes exactly the elements its contract names. All intrinsics need only what the
// level has, and a value of the type exists only inside `enter`.
#[allow(clippy::undocumented_unsafe_blocks, reason = "the comment above holds for all of them")]
unsafe impl Simd for Avx2 {
    const ISA: Isa = Isa::Avx2;
    const I8_BIAS: i32 = 0;
    type F = F;
    type I = I;

    lanewise! {
        fn add(a: F, b: F) -> F = _mm256_add_ps;
        fn sub(a: F, b: F) -> F = _mm256_sub_ps;
        fn mul(a: F, b: F) -> F = _mm256_mul_ps;
        fn div(a: F, b: F) -> F = _mm256_div_ps;
        fn fma(a: F, b: F, c: F) -> F = _mm256_fmadd_ps;
        fn min(a: F, b: F) -> F = _mm256_min_ps;
        fn max(a: F, b: F) -> F = _mm256_max_ps;
        fn sqrt(a: F) -> F = _mm256_sqrt_ps;
        fn round(a: F) -> I = _mm256_cvtps_epi32;
        fn to_f(a: I) -> F = _mm256_cvtepi32_ps;
        fn bits(a: F) -> I = _mm256_castps_si256;
        fn from_bits(a: I) -> F = _mm256_castsi256_ps;
        fn add_i(a: I, b: I) -> I = _mm256_add_epi32;
        fn sub_i(a: I, b: I) -> I = _mm256_sub_epi32;
        fn mul_i(a: I, b: I) -> I = _mm256_mullo_epi32;
        fn max_i(a: I, b: I) -> I = _mm256_max_epi32;
        fn and(a: I, b: I) -> I = _mm256_and_si256;
        fn or(a: I, b: I) -> I = _mm256_or_si256;
        fn xor(a: I, b: I) -> I = _mm256_xor_si256;
        fn dot_u7(acc: I, w: I, x: I) -> I = dot_u7;
        fn dot_i8(acc: I, w: I, x: I) -> I = dot_i8;
        fn dot_i16(acc: I, a: I, b: I) -> I = dot_i16;
        fn mul_i16(a: I, b: I) -> I = _mm256_mullo_epi16;
        fn sub_i16(a: I, b: I) -> I = _mm256_sub_epi16;
        fn lookup(table: I, index: I) -> I = _mm256_shuffle_epi8;
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        let x = unsafe { _mm256_set1_ps(x) };
        F(x, x)
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> F {
        unsafe { F(_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))) }
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> F {
        unsafe {
            let (low, high) = first(n);
            F(_mm256_maskload_ps(p, low), _mm256_maskload_ps(p.wrapping_add(8), high))
        }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, x: F) {
        unsafe {
            _mm256_storeu_ps(p, x.0);
            _mm256_storeu_ps(p.add(8), x.1);
        }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, x: F, n: usize) {
        unsafe {
            let (low, high) = first(n);
            _mm256_maskstore_ps(p, low, x.0);
            _mm256_maskstore_ps(p.wrapping_add(8), high, x.1);
        }
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> F {
        unsafe {
            F(_mm256_cvtph_ps(_mm_loadu_si128(p.cast())), _mm256_cvtph_ps(_mm_loadu_si128(p.add(8).cast())))
        }
    }
    #[inline(always)]
    unsafe fn store_f16(self, p: *mut u16, x: F) {
        unsafe {
            _mm_storeu_si128(p.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x.0));
            _mm_storeu_si128(p.add(8).cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x.1));
        }
    }
    #[inline(always)]
    fn even_f16(self, a: I) -> F {
        unsafe {
            let low = _mm256_set1_epi32(0xffff);
            let packed = _mm256_packus_epi32(_mm256_and_si256(a.0, low), _mm256_and_si256(a.1, low));
            let even = _mm256_permute4x64_epi64::<0b11_01_10_00>(packed);
            F(
                _mm256_cvtph_ps(_mm256_castsi256_si128(even)),
                _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(even)),
            )
        }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> F {
        unsafe {
            let wide = |p: *const u16| _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
            self.even_bf16(I(wide(p), wide(p.add(8))))
        }
    }
    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut u16, x: F) {
        unsafe {
            let packed = _mm256_packus_epi32(to_bf16(x.0), to_bf16(x.1));
            _mm256_storeu_si256(p.cast(), _mm256_permute4x64_epi64::<0b11_01_10_00>(packed));
        }
    }
    #[inline(always)]
    fn abs(self, a: F) -> F {
        let sign = self.splat(-0.0);
        unsafe { F(_mm256_andnot_ps(sign.0, a.0), _mm256_andnot_ps(sign.1, a.1)) }
    }
    #[inline(always)]
    fn select_less(self, x: F, y: F, a: F, b: F) -> F {
        unsafe {
            F(
                _mm256_blendv_ps(b.0, a.0, _mm256_cmp_ps::<_CMP_LT_OQ>(x.0, y.0)),
                _mm256_blendv_ps(b.1, a.1, _mm256_cmp_ps::<_CMP_LT_OQ>(x.1, y.1)),
            )
        }
    }
    #[inline(always)]
    fn sum(self, a: F) -> f32 {
        unsafe { sum(_mm256_add_ps(a.0, a.1)) }
    }
    #[inline(always)]
    fn largest(self, a: F) -> f32 {
        unsafe { largest(_mm256_max_ps(a.0, a.1)) }
    }
    #[inline(always)]
    fn splat_i(self, x: i32) -> I {
        let x = unsafe { _mm256_set1_epi32(x) };
        I(x, x)
    }
    #[inline(always)]
    unsafe fn load_i(self, p: *const u8) -> I {
        unsafe { I(_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(32).cast())) }
    }
    #[inline(always)]
    unsafe fn store_i(self, p: *mut u8, x: I) {
        unsafe {
            _mm256_storeu_si256(p.cast(), x.0);
            _mm256_storeu_si256(p.add(32).cast(), x.1);
        }
    }
    #[inline(always)]
    unsafe fn load_u8(self, p: *const u8) -> I {
        unsafe {
            let x = _mm_loadu_si128(p.cast());
            I(_mm256_cvtepu8_epi32(x), _mm256_cvtepu8_epi32(_mm_unpackhi_epi64(x, x)))
        }
    }
    #[inline(always)]
    unsafe fn load_i8(self, p: *const i8) -> I {
        unsafe {
            let x = _mm_loadu_si128(p.cast());
            I(_mm256_cvtepi8_epi32(x), _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(x, x)))
        }
    }
    #[inline(always)]
    unsafe fn store_low_bytes(self, p: *mut u8, x: I) {
        unsafe {
            // The lowest byte of each lane to the front of its half, then the four halves together.
            let low = _mm256_setr_epi8(
                0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8, 12, -1, -1, -1, -1, -1,
                -1, -1, -1, -1, -1, -1, -1,
            );
            let (a, b) = (_mm256_shuffle_epi8(x.0, low), _mm256_shuffle_epi8(x.1, low));
            let word = |v: __m128i| _mm_cvtsi128_si32(v);
            _mm_storeu_si128(
                p.cast(),
                _mm_setr_epi32(
                    word(_mm256_castsi256_si128(a)),
                    word(_mm256_extracti128_si256::<1>(a)),
                    word(_mm256_castsi256_si128(b)),
                    word(_mm256_extracti128_si256::<1>(b)),
                ),
            );
        }
    }
    #[inline(always)]
    fn shl(self, a: I, n: u32) -> I {
        unsafe {
            let n = _mm256_set1_epi32(n as i32);
            I(_mm256_sllv_epi32(a.0, n), _mm256_sllv_epi32(a.1, n))
        }
    }
    #[inline(always)]
    fn shr(self, a: I, n: u32) -> I {
        unsafe {
            let n = _mm256_set1_epi32(n as i32);
            I(_mm256_srlv_epi32(a.0, n), _mm256_srlv_epi32(a.1, n))
        }
    }
    #[inline(always)]
    fn sar(self, a: I, n: u32) -> I {
        unsafe {
            let n = _mm256_set1_epi32(n as i32);
            I(_mm256_srav_epi32(a.0, n), _mm256_srav_epi32(a.1, n))
        }
    }
    #[inline(always)]
    fn shr_i16(self, a: I, n: u32) -> I {
        unsafe {
            let n = _mm_cvtsi32_si128(n as i32);
            I(_mm256_srl_epi16(a.0, n), _mm256_srl_epi16(a.1, n))
        }
    }
    #[inline(always)]
    fn high_halves(self, a: I, b: I) -> I {
        unsafe {
            let a = _mm256_packus_epi32(_mm256_srli_epi32::<16>(a.0), _mm256_srli_epi32::<16>(a.1));
            let b = _mm256_packus_epi32(_mm256_srli_epi32::<16>(b.0), _mm256_srli_epi32::<16>(b.1));
            // Quarters of the two registers alternate and are put in order.
            const IN_ORDER: i32 = 0b11_01_10_00;
            I(_mm256_permute4x64_epi64::<IN_ORDER>(a), _mm256_permute4x64_epi64::<IN_ORDER>(b))
        }
    }
    #[inline(always)]
    fn prefetch(self, p: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }
    #[inline(always)]
    fn prefetch_near(self, p: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
    }
}

/// The largest sum of two products, 2 * 127 * 127, fits the 16 bits it is kept in.
#[inline(always)]
unsafe fn dot_u7(acc: __m256i, w: __m256i, x: __m256i) -> __m256i {
    // SAFETY: called by methods of the level only.
    unsafe {
        let pairs = _mm256_maddubs_epi16(w, x);
        _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    }
}

/// `|w|` by `x` with the sign of `w`; at most 2 * 128 * 127, which fits 16 bits.
#[inline(always)]
unsafe fn dot_i8(acc: __m256i, w: __m256i, x: __m256i) -> __m256i {
    // SAFETY: called by methods of the level only.
    unsafe { dot_u7(acc, _mm256_abs_epi8(w), _mm256_sign_epi8(x, w)) }
}

#[inline(always)]
unsafe fn dot_i16(acc: __m256i, a: __m256i, b: __m256i) -> __m256i {
    // SAFETY: called by methods of the level only.
    unsafe { _mm256_add_epi32(acc, _mm256_madd_epi16(a, b)) }
}

/// Eight lanes folded to one.
#[inline(always)]
pub(crate) unsafe fn sum(a: __m256) -> f32 {
    // SAFETY: called by methods of levels that have AVX2.
    unsafe {
        let a = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
        _mm_cvtss_f32(_mm_add_ss(a, _mm_shuffle_ps::<1>(a, a)))
    }
}

/// The largest of eight lanes.
#[inline(always)]
pub(crate) unsafe fn largest(a: __m256) -> f32 {
    // SAFETY: called by methods of levels that have AVX2.
    unsafe {
        let a = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let a = _mm_max_ps(a, _mm_movehl_ps(a, a));
        _mm_cvtss_f32(_mm_max_ss(a, _mm_shuffle_ps::<1>(a, a)))
    }
}

/// Masks of the first `n` of sixteen lanes.
#[inline(always)]
unsafe fn first(n: usize) -> (__m256i, __m256i) {
    // SAFETY: called by methods of the level only.
    unsafe {
        let n = _mm256_set1_epi32(n as i32);
        let low = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let high = _mm256_add_epi32(low, _mm256_set1_epi32(8));
        (_mm256_cmpgt_epi32(n, low), _mm256_cmpgt_epi32(n, high))
    }
}

/// The bf16 of each lane in its low half: the bits above it rounded to even, what is no number made quiet.
#[inline(always)]
unsafe fn to_bf16(x: __m256) -> __m256i {
    // SAFETY: called by methods of the level only.
    unsafe {
        let bits = _mm256_castps_si256(x);
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
        let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x0040_0000));
        let none = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(x, x));
        _mm256_srli_epi32::<16>(_mm256_blendv_epi8(up, quiet, none))
    }
}
