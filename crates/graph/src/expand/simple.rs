//! Expansions that fit a few lines.

use tensor::DType;

use super::as_f32;
use crate::{Act, Dim, FuncBuilder, Op, ReduceOp, UnaryOp, ValueId};

pub(super) fn embed(f: &mut FuncBuilder<'_>, args: &[ValueId]) -> ValueId {
    let rows = f.gather(args[1], args[0]);
    as_f32(f, rows)
}

pub(super) fn linear(f: &mut FuncBuilder<'_>, args: &[ValueId]) -> ValueId {
    let w = as_f32(f, args[1]);
    let y = f.matmul_transposed(args[0], w);
    match args.get(2) {
        Some(&bias) => {
            let bias = as_f32(f, bias);
            f.add(y, bias)
        }
        None => y,
    }
}

pub(super) fn rms_norm(f: &mut FuncBuilder<'_>, eps: f32, args: &[ValueId]) -> ValueId {
    let x = args[0];
    let square = f.mul(x, x);
    let mean = f.reduce(ReduceOp::Mean, square);
    let eps = f.scalar(eps);
    let mean = f.add(mean, eps);
    let root = f.unary(UnaryOp::Sqrt, mean);
    let normed = f.div(x, root);
    let w = as_f32(f, args[1]);
    f.mul(normed, w)
}

pub(super) fn rope(f: &mut FuncBuilder<'_>, scale: f32, args: &[ValueId]) -> ValueId {
    let &[x, positions, frequencies] = args else { unreachable!("typed before it is expanded") };
    let dims = f.dims(x);
    let (half, width) = (f.width(frequencies), f.width(x));
    let positions = f.reshape(positions, &[dims[0], Dim::Fixed(1), Dim::Fixed(1)]);
    let positions = f.cast(DType::F32, positions);
    let angle = f.mul(positions, frequencies);
    let (mut cos, mut sin) = (f.unary(UnaryOp::Cos, angle), f.unary(UnaryOp::Sin, angle));
    if scale != 1.0 {
        let scale = f.scalar(scale);
        (cos, sin) = (f.mul(cos, scale), f.mul(sin, scale));
    }
    let (a, b) = (f.slice(x, 2, 0, half), f.slice(x, 2, half, half));
    let (a_cos, b_sin) = (f.mul(a, cos), f.mul(b, sin));
    let (b_cos, a_sin) = (f.mul(b, cos), f.mul(a, sin));
    let mut parts = vec![f.sub(a_cos, b_sin), f.add(b_cos, a_sin)];
    if 2 * half < width {
        parts.push(f.slice(x, 2, 2 * half, width - 2 * half));
    }
    f.concat(2, &parts)
}

pub(super) fn gated_act(f: &mut FuncBuilder<'_>, act: Act, args: &[ValueId]) -> ValueId {
    let &[gate, up] = args else { unreachable!("typed before it is expanded") };
    match act {
        Act::Silu => {
            let sigmoid = f.unary(UnaryOp::Sigmoid, gate);
            let gate = f.mul(gate, sigmoid);
            f.mul(gate, up)
        }
        Act::Relu => {
            let zero = f.scalar(0.0);
            let gate = f.max(gate, zero);
            f.mul(gate, up)
        }
        Act::Gelu => {
            let c = f.scalar(std::f32::consts::FRAC_1_SQRT_2);
            let inner = f.mul(gate, c);
            let inner = f.unary(UnaryOp::Erf, inner);
            half_gated(f, gate, inner, up)
        }
        Act::GeluTanh => {
            // tanh(sqrt(2 / pi) (g + 0.044715 g^3))
            let square = f.mul(gate, gate);
            let cube = f.mul(square, gate);
            let c = f.scalar(0.044715);
            let cube = f.mul(cube, c);
            let inner = f.add(gate, cube);
            let c = f.scalar((2.0 / std::f32::consts::PI).sqrt());
            let inner = f.mul(inner, c);
            let inner = f.unary(UnaryOp::Tanh, inner);
            half_gated(f, gate, inner, up)
        }
        Act::Clamped { alpha, limit } => {
            let (high, low) = (f.scalar(limit), f.scalar(-limit));
            let gate = f.min(gate, high);
            let up = f.min(up, high);
            let up = f.max(up, low);
            let alpha = f.scalar(alpha);
            let steep = f.mul(gate, alpha);
            let sigmoid = f.unary(UnaryOp::Sigmoid, steep);
            let gate = f.mul(gate, sigmoid);
            let one = f.scalar(1.0);
            let up = f.add(up, one);
            f.mul(gate, up)
        }
    }
}

/// `gate (1 + inner) / 2 up`
fn half_gated(f: &mut FuncBuilder<'_>, gate: ValueId, inner: ValueId, up: ValueId) -> ValueId {
    let (one, half) = (f.scalar(1.0), f.scalar(0.5));
    let inner = f.add(inner, one);
    let inner = f.mul(inner, half);
    let gate = f.mul(gate, inner);
    f.mul(gate, up)
}

pub(super) fn route(f: &mut FuncBuilder<'_>, k: u32, args: &[ValueId]) -> Vec<ValueId> {
    let top = f.ops(Op::TopK(k), args);
    vec![f.softmax(top[0]), top[1]]
}
