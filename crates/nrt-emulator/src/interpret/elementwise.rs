//! Operations on one element at a time. Numbers with a fraction are computed in f32 and rounded once.

use hlo::{Binary, Compare, Element, Unary};

use super::numbers::{bounds, floats, of_floats, of_whole, whole};
use super::value::Value;

pub fn unary(op: Unary, x: Value) -> Value {
    if op == Unary::Copy {
        return x;
    }
    if !x.shape.element.is_float() {
        let values: Vec<i64> = whole(&x).iter().map(|x| x.wrapping_neg()).collect();
        return of_whole(x.shape, &values);
    }
    let apply: fn(f32) -> f32 = match op {
        Unary::Copy => |x| x,
        Unary::Negate => |x| -x,
        Unary::Exponential => f32::exp,
        Unary::Log => f32::ln,
        Unary::Sqrt => f32::sqrt,
        Unary::Sine => f32::sin,
        Unary::Cosine => f32::cos,
        Unary::Tanh => f32::tanh,
        Unary::Floor => f32::floor,
    };
    let values: Vec<f32> = floats(&x).iter().map(|&x| apply(x)).collect();
    of_floats(x.shape, &values)
}

pub fn binary(op: Binary, a: Value, b: &Value) -> Value {
    if a.shape.element.is_float() {
        let values: Vec<f32> = match op {
            // The common ones stand apart, so that each is a loop of its own.
            Binary::Add => pairs(&floats(&a), &floats(b), |a, b| a + b),
            Binary::Multiply => pairs(&floats(&a), &floats(b), |a, b| a * b),
            _ => pairs(&floats(&a), &floats(b), |a, b| of_two_floats(op, a, b)),
        };
        return of_floats(a.shape, &values);
    }
    let element = a.shape.element;
    let values = pairs(&whole(&a), &whole(b), |a, b| of_two_whole(op, a, b, element));
    of_whole(a.shape, &values)
}

fn pairs<T: Copy>(a: &[T], b: &[T], apply: impl Fn(T, T) -> T) -> Vec<T> {
    a.iter().zip(b).map(|(&a, &b)| apply(a, b)).collect()
}

/// What is not a number stays so in a maximum and a minimum, as in XLA.
pub fn of_two_floats(op: Binary, a: f32, b: f32) -> f32 {
    match op {
        Binary::Add => a + b,
        Binary::Subtract => a - b,
        Binary::Multiply => a * b,
        Binary::Divide => a / b,
        Binary::Maximum if a.is_nan() || b.is_nan() => f32::NAN,
        Binary::Minimum if a.is_nan() || b.is_nan() => f32::NAN,
        Binary::Maximum => a.max(b),
        Binary::Minimum => a.min(b),
        Binary::And => unreachable!("floats have no bits in HLO, as was inferred when it was decoded"),
    }
}

/// A quotient by zero has all bits, as in XLA.
pub fn of_two_whole(op: Binary, a: i64, b: i64, element: Element) -> i64 {
    match op {
        Binary::Add => a + b,
        Binary::Subtract => a - b,
        Binary::Multiply => a.wrapping_mul(b),
        Binary::Divide if b == 0 && bounds(element).0 == 0 => bounds(element).1,
        Binary::Divide if b == 0 => -1,
        Binary::Divide => a.wrapping_div(b),
        Binary::Maximum => a.max(b),
        Binary::Minimum => a.min(b),
        Binary::And => a & b,
    }
}

pub fn compare(op: Compare, a: &Value, b: &Value) -> Value {
    fn each<T: PartialOrd + Copy>(op: Compare, a: &[T], b: &[T]) -> Vec<i64> {
        let holds: fn(&T, &T) -> bool = match op {
            Compare::Eq => T::eq,
            Compare::Ne => T::ne,
            Compare::Lt => T::lt,
            Compare::Le => T::le,
            Compare::Gt => T::gt,
            Compare::Ge => T::ge,
        };
        a.iter().zip(b).map(|(a, b)| holds(a, b).into()).collect()
    }
    let values = match a.shape.element.is_float() {
        true => each(op, &floats(a), &floats(b)),
        false => each(op, &whole(a), &whole(b)),
    };
    of_whole(a.shape.of(Element::Pred), &values)
}

pub fn select(which: &Value, a: Value, b: &Value) -> Value {
    let (width, mut result) = (a.shape.element.bytes(), a.unshared());
    let elements = result.bytes_mut().chunks_exact_mut(width).zip(b.bytes().chunks_exact(width));
    for ((to, other), &first) in elements.zip(which.bytes()) {
        if first == 0 {
            to.copy_from_slice(other);
        }
    }
    result
}

/// A number in another type: floats round to the nearest, whole numbers are cut towards zero and to what the type
/// can hold.
pub fn convert(x: Value, element: Element) -> Value {
    let (from, shape) = (x.shape.element, x.shape.of(element));
    match (from.is_float(), element.is_float()) {
        _ if from == element => x,
        (true, true) => of_floats(shape, &floats(&x)),
        (false, true) => of_floats(shape, &whole(&x).iter().map(|&x| x as f32).collect::<Vec<_>>()),
        (true, false) if element == Element::Pred => {
            of_whole(shape, &floats(&x).iter().map(|&x| i64::from(x != 0.0)).collect::<Vec<_>>())
        }
        (true, false) => {
            let (least, greatest) = bounds(element);
            of_whole(
                shape,
                &floats(&x).iter().map(|&x| (x as i64).clamp(least, greatest)).collect::<Vec<_>>(),
            )
        }
        (false, false) => of_whole(shape, &whole(&x)),
    }
}
