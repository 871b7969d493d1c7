//! The weights' exponential.

use simd::Simd;

/// `2^(c d)` for `d <= 0` and `c >= 0`, never below `2^-126`; exactly 1 at `d = 0`.
///
/// `c d = n + r` with `n` whole and `|r| <= 1/2`; `2^r` by a polynomial whose greatest relative error is as small as it
/// can be for its degree: 2e-9 before rounding, or 1e-4 where the result is rounded to bf16, which alone adds up to
/// 4e-3. `n` goes into the exponent.
#[derive(Clone, Copy)]
pub struct Exp2 {
    /// Multiplies.
    c: f32,
    /// Below it `c d` is below -126.
    low: f32,
}

/// Coefficients of `r` to the third power downwards.
const SHORT: [f32; 3] = [0.055_008_933, 0.242_210_95, 0.693_282_9];
/// Coefficients of `r` to the sixth power downwards.
#[allow(clippy::approx_constant, reason = "the best polynomial's, which is not the logarithm")]
const LONG: [f32; 6] =
    [1.535_336_2e-4, 1.339_887_4e-3, 9.618_437e-3, 5.550_332_4e-2, 0.240_226_48, 0.693_147_2];
/// Added to a number below 2^22 in size, it leaves the nearest whole number in the low bits.
const WHOLE: f32 = 12_582_912.0;

impl Exp2 {
    /// Of numbers that are multiplied by `c` first, which is not negative; as good as zero is told apart from zero, so
    /// that nothing is `0 * inf`.
    pub fn new(c: f32) -> Exp2 {
        let c = c.max(1e-30);
        Exp2 { c, low: -126.0 / c }
    }

    /// What is multiplied by.
    pub fn c(self) -> f32 {
        self.c
    }

    /// The exponential, by the short polynomial where the result will be `ROUNDED` to bf16.
    #[inline(always)]
    pub fn of<S: Simd, const ROUNDED: bool>(self, s: S, d: S::F) -> S::F {
        // `max` gives its second argument where one is no number: what is none stays none.
        let d = s.max(s.splat(self.low), d);
        let shifted = s.fma(d, s.splat(self.c), s.splat(WHOLE));
        let minus_n = s.sub(s.splat(WHOLE), shifted);
        let r = s.fma(d, s.splat(self.c), minus_n);
        let mut p = if ROUNDED { s.splat(SHORT[0]) } else { s.splat(LONG[0]) };
        if ROUNDED {
            for c in &SHORT[1..] {
                p = s.fma(p, r, s.splat(*c));
            }
        } else {
            for c in &LONG[1..] {
                p = s.fma(p, r, s.splat(*c));
            }
        }
        p = s.fma(p, r, s.splat(1.0));
        s.from_bits(s.add_i(s.bits(p), s.shl(s.bits(shifted), 23)))
    }

    /// The exponential rounded to bf16, to nearest, ties up: one addition, and ties are rare.
    #[inline(always)]
    pub fn rounded<S: Simd>(self, s: S, d: S::F) -> S::F {
        let p = s.bits(self.of::<S, true>(s, d));
        s.from_bits(s.and(s.add_i(p, s.splat_i(0x8000)), s.splat_i(0xffff_0000_u32 as i32)))
    }
}
