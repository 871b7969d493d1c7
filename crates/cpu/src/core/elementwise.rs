//! Element by element.

use graph::{BinaryOp, CompareOp, UnaryOp};
use simd::{LANES, Portable};
use tensor::{DType, Element, blocks};

use super::walk::{repeated, walk};
use super::{View, ViewMut};

pub fn unary(op: UnaryOp, x: View<'_>, out: &mut ViewMut<'_>) {
    let f = match op {
        UnaryOp::Neg if x.dtype == DType::I32 => return map(x, out, i32::wrapping_neg),
        UnaryOp::Neg => |x: f32| -x,
        UnaryOp::Exp => f32::exp,
        UnaryOp::Sqrt => f32::sqrt,
        UnaryOp::Sin => f32::sin,
        UnaryOp::Cos => f32::cos,
        UnaryOp::Tanh => f32::tanh,
        UnaryOp::Erf => |x| simd::erf(Portable, [x; LANES])[0],
        UnaryOp::Sigmoid => |x: f32| 1.0 / (1.0 + (-x).exp()),
    };
    map(x, out, f);
}

fn map<T: Element>(x: View<'_>, out: &mut ViewMut<'_>, f: impl Fn(T) -> T) {
    out.slice::<T>().iter_mut().zip(x.slice::<T>()).for_each(|(out, &x)| *out = f(x));
}

pub fn binary(op: BinaryOp, a: View<'_>, b: View<'_>, out: &mut ViewMut<'_>) {
    if a.dtype == DType::I32 {
        let f = match op {
            BinaryOp::Add => i32::wrapping_add,
            BinaryOp::Sub => i32::wrapping_sub,
            BinaryOp::Mul => i32::wrapping_mul,
            BinaryOp::Div => floor_div,
            BinaryOp::Min => Ord::min,
            BinaryOp::Max => Ord::max,
        };
        return zip::<i32, i32>(a, b, out, f);
    }
    let f = match op {
        BinaryOp::Add => |a: f32, b: f32| a + b,
        BinaryOp::Sub => |a, b| a - b,
        BinaryOp::Mul => |a, b| a * b,
        BinaryOp::Div => |a, b| a / b,
        BinaryOp::Min => f32::min,
        BinaryOp::Max => f32::max,
    };
    zip::<f32, f32>(a, b, out, f);
}

/// Rounded towards negative infinity; 0 where there is no quotient.
fn floor_div(a: i32, b: i32) -> i32 {
    match (a.checked_div(b), a.checked_rem(b)) {
        (Some(quotient), Some(rest)) if rest != 0 && (rest < 0) != (b < 0) => quotient - 1,
        (quotient, _) => quotient.unwrap_or(0),
    }
}

pub fn compare(op: CompareOp, a: View<'_>, b: View<'_>, out: &mut ViewMut<'_>) {
    match a.dtype {
        DType::I32 => zip::<i32, u8>(a, b, out, holds(op)),
        _ => zip::<f32, u8>(a, b, out, holds(op)),
    }
}

fn holds<T: PartialOrd>(op: CompareOp) -> fn(T, T) -> u8 {
    match op {
        CompareOp::Equal => |a, b| u8::from(a == b),
        CompareOp::Less => |a, b| u8::from(a < b),
        CompareOp::LessEqual => |a, b| u8::from(a <= b),
    }
}

fn zip<T: Element, O: Element>(a: View<'_>, b: View<'_>, out: &mut ViewMut<'_>, f: impl Fn(T, T) -> O) {
    let (left, right) = (a.slice::<T>(), b.slice::<T>());
    let shape = out.shape;
    let mut out = out.slice::<O>().iter_mut();
    walk(&shape, [repeated(&a.shape, &shape), repeated(&b.shape, &shape)], |[l, r]| {
        if let Some(out) = out.next() {
            *out = f(left[l], right[r]);
        }
    });
}

/// Bytes are chosen without looking inside, so any dense type will do.
pub fn select(which: View<'_>, a: View<'_>, b: View<'_>, out: &mut ViewMut<'_>) {
    let size = a.dtype.block_bytes();
    let shape = out.shape;
    let mut out = out.data.chunks_exact_mut(size);
    walk(&shape, [which, a, b].map(|x| repeated(&x.shape, &shape)), |[w, l, r]| {
        let chosen = if which.data[w] != 0 { &a.data[l * size..] } else { &b.data[r * size..] };
        if let Some(out) = out.next() {
            out.copy_from_slice(&chosen[..size]);
        }
    });
}

/// By way of f32; whole numbers are cut towards zero and saturate.
pub fn cast(x: View<'_>, out: &mut ViewMut<'_>) {
    let to = out.dtype;
    let elements = x.data.chunks_exact(x.dtype.block_bytes());
    for (from, out) in elements.zip(out.data.chunks_exact_mut(to.block_bytes())) {
        let x = number(x.dtype, from);
        match to {
            DType::I32 => out.copy_from_slice(&(x as i32).to_ne_bytes()),
            DType::U32 => out.copy_from_slice(&(x as u32).to_ne_bytes()),
            DType::U8 => out[0] = x as u8,
            DType::Bool => out[0] = u8::from(x != 0.0),
            _ => blocks::encode(to, &[x], out),
        }
    }
}

/// One element of a dense type as f32.
fn number(dtype: DType, bytes: &[u8]) -> f32 {
    let word = || *bytes.first_chunk().expect("an element has the bytes of its type");
    match dtype {
        DType::I32 => i32::from_ne_bytes(word()) as f32,
        DType::U32 => u32::from_ne_bytes(word()) as f32,
        DType::U8 | DType::Bool => f32::from(bytes[0]),
        _ => {
            let mut x = [0.0];
            blocks::decode(dtype, bytes, &mut x);
            x[0]
        }
    }
}
