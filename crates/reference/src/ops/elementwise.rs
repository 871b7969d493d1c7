//! Element by element.

use graph::{BinaryOp, CompareOp, UnaryOp};
use tensor::{Buffer, DType, Shape, Value, blocks};

use super::repeated;

pub fn unary(op: UnaryOp, x: &Value) -> Value {
    if x.dtype == DType::I32 {
        return Value::i32s(x.shape, &x.as_i32s().iter().map(|x| x.wrapping_neg()).collect::<Vec<_>>());
    }
    let f = match op {
        UnaryOp::Neg => |x: f32| -x,
        UnaryOp::Exp => f32::exp,
        UnaryOp::Sqrt => f32::sqrt,
        UnaryOp::Sin => f32::sin,
        UnaryOp::Cos => f32::cos,
        UnaryOp::Tanh => f32::tanh,
        UnaryOp::Erf => erf,
        UnaryOp::Sigmoid => |x: f32| 1.0 / (1.0 + (-x).exp()),
    };
    Value::f32s(x.shape, &x.as_f32s().iter().map(|&x| f(x)).collect::<Vec<_>>())
}

pub fn binary(op: BinaryOp, a: &Value, b: &Value, shape: Shape) -> Value {
    if a.dtype == DType::I32 {
        let f = match op {
            BinaryOp::Add => i32::wrapping_add,
            BinaryOp::Sub => i32::wrapping_sub,
            BinaryOp::Mul => i32::wrapping_mul,
            BinaryOp::Div => floor_div,
            BinaryOp::Min => Ord::min,
            BinaryOp::Max => Ord::max,
        };
        return Value::i32s(shape, &zip(a, b, &shape, f));
    }
    let f = match op {
        BinaryOp::Add => |a: f32, b: f32| a + b,
        BinaryOp::Sub => |a, b| a - b,
        BinaryOp::Mul => |a, b| a * b,
        BinaryOp::Div => |a, b| a / b,
        BinaryOp::Min => f32::min,
        BinaryOp::Max => f32::max,
    };
    Value::f32s(shape, &zip(a, b, &shape, f))
}

/// The quotient rounded towards negative infinity; 0 where there is none.
fn floor_div(a: i32, b: i32) -> i32 {
    let Some(quotient) = a.checked_div(b) else { return 0 };
    quotient - i32::from(a % b != 0 && (a < 0) != (b < 0))
}

pub fn compare(op: CompareOp, a: &Value, b: &Value, shape: Shape) -> Value {
    let bits = if a.dtype == DType::I32 {
        zip(a, b, &shape, |a: i32, b: i32| holds(op, &a, &b))
    } else {
        zip(a, b, &shape, |a: f32, b: f32| holds(op, &a, &b))
    };
    Value::new(DType::Bool, shape, &bits)
}

pub fn select(which: &Value, a: &Value, b: &Value, shape: Shape) -> Value {
    let which = repeated::<u8>(which, &shape);
    // Either type is four bytes; choosing does not look inside.
    let (a_bits, b_bits) = (repeated::<u32>(a, &shape), repeated::<u32>(b, &shape));
    let chosen =
        which.iter().zip(a_bits.iter().zip(&b_bits)).map(|(&w, (&a, &b))| if w != 0 { a } else { b });
    Value { dtype: a.dtype, shape, data: Buffer::from_slice(&chosen.collect::<Vec<_>>()) }
}

pub fn cast(x: &Value, to: DType) -> Value {
    let values = x.to_f32();
    let mut out = Buffer::zeroed(to.bytes_of(values.len()).expect("casts go to dense types"));
    match to {
        DType::I32 => out.as_mut_slice::<i32>().iter_mut().zip(&values).for_each(|(o, &x)| *o = x as i32),
        DType::U32 => out.as_mut_slice::<u32>().iter_mut().zip(&values).for_each(|(o, &x)| *o = x as u32),
        DType::U8 => out.as_mut_slice::<u8>().iter_mut().zip(&values).for_each(|(o, &x)| *o = x as u8),
        DType::Bool => {
            out.as_mut_slice::<u8>().iter_mut().zip(&values).for_each(|(o, &x)| *o = u8::from(x != 0.0))
        }
        _ => blocks::encode(to, &values, out.as_mut_slice()),
    }
    Value { dtype: to, shape: x.shape, data: out }
}

fn zip<T: tensor::Element, O>(a: &Value, b: &Value, shape: &Shape, f: impl Fn(T, T) -> O) -> Vec<O> {
    repeated::<T>(a, shape).into_iter().zip(repeated::<T>(b, shape)).map(|(a, b)| f(a, b)).collect()
}

fn holds<T: PartialOrd>(op: CompareOp, a: &T, b: &T) -> u8 {
    u8::from(match op {
        CompareOp::Equal => a == b,
        CompareOp::Less => a < b,
        CompareOp::LessEqual => a <= b,
    })
}

/// The error function in f64, good to f32: a series near zero, a continued fraction for the tail.
pub fn erf(x: f32) -> f32 {
    let x = f64::from(x);
    let a = x.abs();
    let value = if a < 2.5 {
        // erf(x) = 2 / sqrt(pi) * sum_n (-1)^n x^(2n+1) / (n! (2n+1))
        let (mut term, mut sum, mut n) = (a, a, 0.0);
        while f64::abs(term) > 1e-17 * sum && n < 100.0 {
            n += 1.0;
            term *= -a * a / n;
            sum += term / (2.0 * n + 1.0);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    } else {
        // erfc(x) = exp(-x^2) / sqrt(pi) / (x + 1/2 / (x + 1 / (x + 3/2 / (x + ...))))
        let fraction = (1..=60).rev().fold(a, |below, k| a + f64::from(k) / 2.0 / below);
        1.0 - (-a * a).exp() / fraction * std::f64::consts::FRAC_2_SQRT_PI / 2.0
    };
    value.copysign(x) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_matches_known_values() {
        for (x, want) in
            [(0.0, 0.0), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (2.4, 0.999_311_5), (2.6, 0.999_763_97)]
        {
            assert!((erf(x) - want).abs() < 2e-7, "erf({x}) is {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        assert_eq!(erf(20.0), 1.0);
    }
}
