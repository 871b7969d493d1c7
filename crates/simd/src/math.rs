//! Functions that no instruction gives, for any level and with the same bits at each.

use crate::Simd;

/// `e^x` to within 2^-23 of it; 0 below about -87.3 (where results would be denormal), infinite above
/// 88.7, no number where `x` is none.
///
/// `x = n ln 2 + r` with `n` whole and `|r| <= ln 2 / 2`; `e^r` by its Taylor polynomial of degree seven, whose
/// remainder is below 2^-27, and `n` by the exponent's bits.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    let high = s.splat(88.722_84);
    let low = s.splat(-87.336_54);
    // `max` and `min` give their second argument where one is no number, so `x` stands second.
    let inside = s.min(high, s.max(low, x));
    let (p, n) = reduced(s, inside);
    // Two factors, since n may be 128, which is no exponent of a finite number.
    let half = s.sar(n, 1);
    let y = s.mul(s.mul(p, power(s, half)), power(s, s.sub_i(n, half)));
    let y = s.select_less(x, low, s.splat(0.0), y);
    s.select_less(high, x, s.splat(f32::INFINITY), y)
}

/// `e^x` of an `x` that is at most zero (or no number): the bits of [`exp`], in fewer steps.
#[inline(always)]
pub fn decay<S: Simd>(s: S, x: S::F) -> S::F {
    let low = s.splat(-87.336_54);
    let (p, n) = reduced(s, s.max(low, x));
    s.select_less(x, low, s.splat(0.0), s.mul(p, power(s, n)))
}

/// `(e^r, n)` of `x = n ln 2 + r`.
#[inline(always)]
fn reduced<S: Simd>(s: S, x: S::F) -> (S::F, S::I) {
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    let n_f = s.to_f(n);
    // ln 2 in two parts, the first with so few bits that its product with n is exact.
    let r = s.fma(n_f, s.splat(-0.693_359_4), x);
    let r = s.fma(n_f, s.splat(2.121_944_4e-4), r);
    let mut p = s.splat(1.0 / 5040.0);
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = s.fma(p, r, s.splat(c));
    }
    (p, n)
}

/// `2^n` for `n` from -126 to 127.
#[inline(always)]
fn power<S: Simd>(s: S, n: S::I) -> S::F {
    s.from_bits(s.shl(s.add_i(n, s.splat_i(127)), 23))
}

/// `1 / (1 + e^-x)`, to within 3 * 2^-24 of it: for negative `x` as `e^x / (1 + e^x)`.
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    let e = decay(s, s.sub(zero, s.abs(x)));
    s.div(s.select_less(x, zero, e, one), s.add(one, e))
}

/// `tanh x`, to within 5 * 2^-24 of it: by its continued fraction near zero, where `(1 - e^-2x) / (1 + e^-2x)` would
/// cancel.
#[inline(always)]
pub fn tanh<S: Simd>(s: S, x: S::F) -> S::F {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    let a = s.abs(x);
    let e = decay(s, s.mul(a, s.splat(-2.0)));
    let far = s.select_less(x, zero, s.sub(e, one), s.sub(one, e));
    // x (10395 + 1260 x^2 + 21 x^4) / (10395 + 4725 x^2 + 210 x^4 + x^6), below 2e-8 of the value for |x| < 0.6.
    let q = s.mul(x, x);
    let over = s.fma(q, s.fma(q, s.splat(21.0), s.splat(1260.0)), s.splat(10395.0));
    let under = s.fma(q, s.add(q, s.splat(210.0)), s.splat(4725.0));
    let under = s.fma(q, under, s.splat(10395.0));
    // One division for either.
    let border = s.splat(0.6);
    let over = s.select_less(a, border, s.mul(x, over), far);
    s.div(over, s.select_less(a, border, under, s.add(one, e)))
}

/// The error function, to within 3e-7: near zero by its Taylor series, elsewhere by formula 7.1.26 of Abramowitz and Stegun.
#[inline(always)]
pub fn erf<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    let a = s.abs(x);
    let t = s.div(one, s.fma(a, s.splat(0.327_591_1), one));
    let mut p = s.splat(1.061_405_4);
    for c in [-1.453_152, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
        p = s.fma(p, t, s.splat(c));
    }
    let q = s.mul(x, x);
    let far = s.sub(one, s.mul(s.mul(p, t), decay(s, s.sub(s.splat(0.0), q))));
    let far = s.select_less(x, s.splat(0.0), s.sub(s.splat(0.0), far), far);
    // 2/sqrt(pi) x (1 - q/3 + q^2/10 - q^3/42 + q^4/216)
    let mut near = s.splat(1.0 / 216.0);
    for c in [-1.0 / 42.0, 0.1, -1.0 / 3.0, 1.0] {
        near = s.fma(near, q, s.splat(c));
    }
    let near = s.mul(s.mul(near, x), s.splat(std::f32::consts::FRAC_2_SQRT_PI));
    s.select_less(a, s.splat(0.4), near, far)
}
