//! A mixture of experts, in two ways. Few tokens gather the weights of the experts they chose; many tokens go through
//! every expert and what they did not choose counts nothing.

use tensor::DType;

use super::{as_f32, numbers};
use crate::{Act, CompareOp, Dim, Dims, FuncBuilder, Op, ReduceOp, ValueId};

pub(super) fn expert_ffn(f: &mut FuncBuilder<'_>, act: Act, biased: bool, args: &[ValueId]) -> ValueId {
    let &[x, weights, chosen, gate, up, down, ref biases @ ..] = args else {
        unreachable!("typed before it is expanded")
    };
    let [tokens, k] = numbers(f, chosen);
    let [experts, _, _] = numbers(f, gate);
    let of = |i: usize| biased.then(|| biases[i]);
    let layers = [(gate, of(0)), (up, of(1)), (down, of(2))];
    if tokens * k <= experts {
        by_weight(f, act, x, weights, chosen, layers)
    } else {
        by_expert(f, act, x, weights, chosen, layers)
    }
}

type Layer = (ValueId, Option<ValueId>);

/// Each (token, choice) with its own copy of the expert's weights.
fn by_weight(
    f: &mut FuncBuilder<'_>,
    act: Act,
    x: ValueId,
    weights: ValueId,
    chosen: ValueId,
    layers: [Layer; 3],
) -> ValueId {
    let [tokens, width] = numbers(f, x);
    let [_, k] = numbers(f, chosen);
    let pairs = tokens * k;
    let chosen = f.reshape(chosen, &[Dim::Fixed(pairs)]);
    let layers = layers.map(|(weight, bias)| {
        let weight = f.gather(weight, chosen);
        let bias = bias.map(|bias| f.gather(bias, chosen));
        (weight, bias)
    });
    let x = f.reshape(x, &[tokens, 1, width].map(Dim::Fixed));
    let x = f.broadcast(x, &[tokens, k, width].map(Dim::Fixed));
    let x = f.reshape(x, &[pairs, 1, width].map(Dim::Fixed));
    let y = feed_forward(f, act, x, layers);
    let y = f.reshape(y, &[tokens, k, width].map(Dim::Fixed));
    let weights = f.reshape(weights, &[tokens, 1, k].map(Dim::Fixed));
    let sum = f.matmul(weights, y);
    f.reshape(sum, &[tokens, width].map(Dim::Fixed))
}

/// All tokens through all experts, weighted by zero where the expert was not chosen.
fn by_expert(
    f: &mut FuncBuilder<'_>,
    act: Act,
    x: ValueId,
    weights: ValueId,
    chosen: ValueId,
    layers: [Layer; 3],
) -> ValueId {
    let [tokens, width] = numbers(f, x);
    let [_, k] = numbers(f, chosen);
    let [experts, _, _] = numbers(f, layers[0].0);

    let chosen = f.reshape(chosen, &[tokens, 1, k].map(Dim::Fixed));
    let all = f.op(Op::Iota { dtype: DType::I32, dims: Dims::from([1, experts, 1]), axis: 1 }, &[]);
    let is_chosen = f.compare(CompareOp::Equal, chosen, all);
    let weights = f.reshape(weights, &[tokens, 1, k].map(Dim::Fixed));
    let zero = f.scalar(0.0);
    let weights = f.op(Op::Select, &[is_chosen, weights, zero]);
    let weights = f.reduce(ReduceOp::Sum, weights);
    let weights = f.transpose(weights, &[1, 0, 2]);

    let x = f.reshape(x, &[1, tokens, width].map(Dim::Fixed));
    let x = f.broadcast(x, &[experts, tokens, width].map(Dim::Fixed));
    let y = feed_forward(f, act, x, layers);
    let y = f.mul(y, weights);
    let y = f.transpose(y, &[1, 2, 0]);
    let sum = f.reduce(ReduceOp::Sum, y);
    f.reshape(sum, &[tokens, width].map(Dim::Fixed))
}

/// `x: [n, m, E]` through `n` experts of its own.
fn feed_forward(f: &mut FuncBuilder<'_>, act: Act, x: ValueId, [gate, up, down]: [Layer; 3]) -> ValueId {
    let linear = |f: &mut FuncBuilder<'_>, x, (weight, bias): Layer| {
        let weight = as_f32(f, weight);
        let y = f.matmul_transposed(x, weight);
        let Some(bias) = bias else { return y };
        let [n, width] = numbers(f, bias);
        let bias = as_f32(f, bias);
        let bias = f.reshape(bias, &[n, 1, width].map(Dim::Fixed));
        f.add(y, bias)
    };
    let gate = linear(f, x, gate);
    let up = linear(f, x, up);
    let inner = f.op(Op::GatedAct(act), &[gate, up]);
    linear(f, inner, down)
}
