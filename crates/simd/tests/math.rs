//! The functions have the same bits at every level, and the error against f64 that they state.

mod common;

use common::{Bits, FLOATS, Random, f, of_f, others, same_floats, triples};
use simd::{Isa, decay, erf, exp, sigmoid, tanh};

type Case = (&'static str, fn(Isa, &[Bits; 3]) -> Bits, fn(f64) -> f64);

const FUNCTIONS: &[Case] = &[
    ("exp", kernel!(|s, a, _b, _c| of_f(s, exp(s, f(s, a)))), f64::exp),
    ("decay", kernel!(|s, a, _b, _c| of_f(s, decay(s, f(s, a)))), f64::exp),
    ("sigmoid", kernel!(|s, a, _b, _c| of_f(s, sigmoid(s, f(s, a)))), |x| 1.0 / (1.0 + (-x).exp())),
    ("tanh", kernel!(|s, a, _b, _c| of_f(s, tanh(s, f(s, a)))), f64::tanh),
    ("erf", kernel!(|s, a, _b, _c| of_f(s, erf(s, f(s, a)))), exact_erf),
];

/// `2 / sqrt(pi) e^(-x^2) (x + 2 x^3 / 3 + 4 x^5 / (3 5) + ..)`, whose terms have one sign; one beyond 6.
fn exact_erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, 0.0);
    for n in 0..200 {
        sum += term;
        term *= 2.0 * x * x / f64::from(2 * n + 3);
    }
    sum * (-x * x).exp() * std::f64::consts::FRAC_2_SQRT_PI
}

#[test]
fn functions_give_the_same_bits() {
    let operands = [triples(&FLOATS, Random::near), triples(&FLOATS, Random::bits)].concat();
    for (name, run, _) in FUNCTIONS {
        for isa in others() {
            for args in &operands {
                let (found, wanted) = (run(isa, args), run(Isa::Portable, args));
                assert!(
                    same_floats(&found, &wanted),
                    "{name} {isa}: {found:x?}, not {wanted:x?}, of {args:x?}"
                );
            }
        }
    }
}

/// Values and what a function gives for them: the whole range in small steps, and near zero in smaller ones.
fn sampled(run: fn(Isa, &[Bits; 3]) -> Bits) -> Vec<(f32, f32)> {
    let mut x = (-1_000_000..1_000_000).map(|n| n as f32 * 1e-4).collect::<Vec<_>>();
    x.extend((-100_000..100_000).map(|n| n as f32 * 1e-5));
    x.extend((-1000..1000).map(|n| n as f32 * 1e-10));
    let isa = Isa::present().pop().unwrap_or(Isa::Portable);
    let of = |x: &[f32; 16]| {
        let y = run(isa, &[x.map(f32::to_bits), [0; 16], [0; 16]]);
        std::array::from_fn::<_, 16, _>(|lane| (x[lane], f32::from_bits(y[lane])))
    };
    x.as_chunks::<16>().0.iter().flat_map(of).collect()
}

/// The largest error: relative in units of 2^-24 (half a unit in the last place to a whole one), and absolute.
struct Error {
    units: f64,
    absolute: f64,
}

fn error_of(name: &str, range: std::ops::RangeInclusive<f32>) -> Error {
    let (_, run, exact) = FUNCTIONS.iter().find(|case| case.0 == name).expect("a function of the list");
    let mut largest = Error { units: 0.0, absolute: 0.0 };
    for (x, y) in sampled(*run).into_iter().filter(|(x, _)| range.contains(x)) {
        let right = exact(f64::from(x));
        let error = (f64::from(y) - right).abs();
        largest.absolute = largest.absolute.max(error);
        if error > 0.0 {
            largest.units = largest.units.max(error / right.abs() * f64::from(1 << 24));
        }
    }
    largest
}

#[test]
fn functions_are_as_exact_as_they_say() {
    assert!(error_of("exp", -87.3..=88.7).units < 2.0);
    assert!(error_of("sigmoid", -87.3..=100.0).units < 3.0);
    assert!(error_of("tanh", -100.0..=100.0).units < 5.0);
    assert!(error_of("erf", -100.0..=100.0).absolute < 3e-7);
}

#[test]
fn decay_is_the_exponential_below_zero() {
    let bits = |run| sampled(run).into_iter().filter(|(x, _)| *x <= 0.0).map(|(x, y)| (x, y.to_bits()));
    assert!(bits(FUNCTIONS[0].1).eq(bits(FUNCTIONS[1].1)));
}

#[test]
fn functions_saturate() {
    let at = |name: &str, x: f32| {
        let (_, run, _) = FUNCTIONS.iter().find(|case| case.0 == name).expect("a function of the list");
        f32::from_bits(run(Isa::Portable, &[[x.to_bits(); 16], [0; 16], [0; 16]])[0])
    };
    for (name, low, high) in
        [("exp", 0.0, f32::INFINITY), ("sigmoid", 0.0, 1.0), ("tanh", -1.0, 1.0), ("erf", -1.0, 1.0)]
    {
        assert_eq!([at(name, -1e30), at(name, f32::NEG_INFINITY)], [low; 2], "{name}");
        assert_eq!([at(name, 1e30), at(name, f32::INFINITY)], [high; 2], "{name}");
        assert!(at(name, f32::NAN).is_nan(), "{name}");
    }
    assert!(at("exp", 88.7) < f32::INFINITY && at("exp", -87.3) > 0.0);
}
