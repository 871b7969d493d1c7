//! Element by element, on floats and whole numbers, with axes repeated in every way there is.

use graph::{BinaryOp, CompareOp, Op, UnaryOp};
use tensor::{DType, Value};

use crate::conformance::{Case, Data};

/// Shapes of two arguments, and what is special about them.
const PAIRS: [(&str, &[usize], &[usize]); 6] = [
    ("alike", &[3, 4], &[3, 4]),
    ("scalar", &[2, 3], &[]),
    ("missing axes", &[3], &[2, 4, 3]),
    ("axes of one", &[2, 1, 3], &[4, 1]),
    ("both repeated", &[5, 1], &[1, 7]),
    ("six axes", &[1, 2, 1, 2, 1, 3], &[2, 1, 2, 1, 2, 1]),
];

pub fn cases() -> Vec<Case> {
    [unary(), binary(), compare(), select(), cast()].into_iter().flatten().collect()
}

fn unary() -> Vec<Case> {
    use UnaryOp::{Cos, Erf, Exp, Neg, Sigmoid, Sin, Sqrt, Tanh};
    let mut cases = vec![];
    for op in [Neg, Exp, Sqrt, Sin, Cos, Tanh, Erf, Sigmoid] {
        let name = format!("unary/{}", Op::Unary(op));
        cases.push(Case::new(name.clone(), Op::Unary(op), |data| {
            let x = data.f32s(&[3, 5]);
            let positive = x.as_f32s().iter().map(|x| x.abs()).collect::<Vec<_>>();
            vec![if op == Sqrt { Value::f32s([3, 5], &positive) } else { x }]
        }));
        // Where results saturate, and where arguments are much larger than a turn.
        let far: &[f32] = match op {
            Sqrt => &[0.0, 1e-30, 900.0, f32::INFINITY],
            Exp => &[0.0, 4.0, -30.0, f32::NEG_INFINITY],
            Sin | Cos => &[0.0, 100.0, -1000.0, 131_071.0],
            _ => &[0.0, 30.0, -30.0, -100.0],
        };
        cases.push(Case::new(format!("{name}, far out"), Op::Unary(op), |_| vec![Value::f32s([4], far)]));
    }
    cases.push(Case::new("unary/neg i32", Op::Unary(Neg), |data| vec![data.i32s(&[2, 3], -9, 9)]));
    cases
}

fn binary() -> Vec<Case> {
    use BinaryOp::{Add, Div, Max, Min, Mul, Sub};
    let mut cases = vec![];
    for op in [Add, Sub, Mul, Div, Min, Max].map(Op::Binary) {
        for (what, left, right) in PAIRS {
            cases.push(Case::new(format!("binary/{op} f32, {what}"), op.clone(), |data| {
                vec![data.f32s(left), data.f32s(right)]
            }));
            cases.push(Case::new(format!("binary/{op} i32, {what}"), op.clone(), |data| {
                vec![data.i32s(left, -99, 99), nonzero(data, right)]
            }));
        }
    }
    cases
}

/// Divisors of either sign.
fn nonzero(data: &mut Data, shape: &[usize]) -> Value {
    let magnitudes = data.i32s(shape, 1, 12);
    let signed = magnitudes.as_i32s().iter().map(|x| if data.whole(0, 2) == 0 { -x } else { *x });
    Value::i32s(magnitudes.shape, &signed.collect::<Vec<_>>())
}

fn compare() -> Vec<Case> {
    let mut cases = vec![];
    for op in [CompareOp::Equal, CompareOp::Less, CompareOp::LessEqual].map(Op::Compare) {
        for (what, left, right) in PAIRS {
            cases.push(Case::new(format!("compare/{op} i32, {what}"), op.clone(), |data| {
                vec![data.i32s(left, 0, 3), data.i32s(right, 0, 3)]
            }));
            cases.push(Case::new(format!("compare/{op} f32, {what}"), op.clone(), |data| {
                vec![data.i32s(left, 0, 3), data.i32s(right, 0, 3)].into_iter().map(as_f32s).collect()
            }));
        }
        let edges = [f32::NEG_INFINITY, -0.0, 0.0, f32::INFINITY];
        cases.push(Case::new(format!("compare/{op} infinities and zeros"), op.clone(), |_| {
            vec![Value::f32s([4, 1], &edges), Value::f32s([4], &edges)]
        }));
    }
    cases
}

fn as_f32s(value: Value) -> Value {
    Value::f32s(value.shape, &value.to_f32())
}

fn select() -> Vec<Case> {
    let which = |data: &mut Data, shape: &[usize]| {
        let bits = data.i32s(shape, 0, 2).as_i32s().iter().map(|&bit| bit as u8).collect::<Vec<_>>();
        Value::new(DType::Bool, tensor::Shape::new(shape), &bits)
    };
    let mut cases = vec![];
    for (what, left, right) in PAIRS {
        cases.push(Case::new(format!("select/f32, {what}"), Op::Select, |data| {
            vec![which(data, left), data.f32s(right), data.f32s(left)]
        }));
        cases.push(Case::new(format!("select/i32, {what}"), Op::Select, |data| {
            vec![which(data, right), data.i32s(left, -9, 9), data.i32s(&[], -9, 9)]
        }));
    }
    let masked = Case::new("select/minus infinity", Op::Select, |data| {
        vec![which(data, &[3, 4]), data.f32s(&[3, 4]), Value::f32s([], &[f32::NEG_INFINITY])]
    });
    cases.push(masked);
    cases.into_iter().map(Case::exact).collect()
}

fn cast() -> Vec<Case> {
    use DType::{BF16, Bool, F16, F32, I32, U8, U32};
    let mut cases = vec![];
    for to in [F32, F16, BF16, I32, Bool] {
        cases.push(Case::new(format!("cast/f32 to {to}"), Op::Cast(to), |data| vec![data.f32s(&[4, 5])]));
    }
    for to in [F32, I32, U32, U8, Bool] {
        let args = |data: &mut Data| vec![data.i32s(&[4, 5], 0, 3)];
        cases.push(Case::new(format!("cast/i32 to {to}"), Op::Cast(to), args));
    }
    for from in [F16, BF16] {
        let args = |data: &mut Data| vec![data.rounded(from, &[4, 5])];
        cases.push(Case::new(format!("cast/{from} to f32"), Op::Cast(F32), args));
    }
    for to in [F32, I32] {
        let args = |_: &mut Data| vec![Value::new(Bool, [3], &[1, 0, 1])];
        cases.push(Case::new(format!("cast/bool to {to}"), Op::Cast(to), args));
    }
    cases.into_iter().map(Case::exact).collect()
}
