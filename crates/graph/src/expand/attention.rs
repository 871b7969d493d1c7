//! Attention over pages as gathers, two products and a softmax.
//!
//! Where every sequence has as many tokens (or there is one sequence), keys and values are read once per sequence.
//! Otherwise each token gets its own copy of its sequence's keys: right, and only fit for small shapes.

use tensor::DType;

use super::{as_f32, numbers};
use crate::{Bucket, CompareOp, Dim, Dims, FuncBuilder, Op, ValueId};

pub(super) fn attention(
    f: &mut FuncBuilder<'_>,
    scale: f32,
    window: Option<u32>,
    args: &[ValueId],
    bucket: &Bucket,
) -> ValueId {
    let &[q, k, v, positions, sequences, table, mut base, ref sinks @ ..] = args else {
        unreachable!("typed before it is expanded")
    };
    let [tokens, heads, width] = numbers(f, q);
    let mut keys = f.op(Op::StateRead, &[k, table]);
    let mut values = f.op(Op::StateRead, &[v, table]);
    let [seqs, context, kv_heads, _] = numbers(f, keys);
    let uniform = seqs == 1 || bucket.queries > 0;
    // From here on there are `n` sequences of `m` tokens each.
    let (n, m) = if uniform { (seqs, tokens / seqs) } else { (tokens, 1) };
    if !uniform {
        keys = f.gather(keys, sequences);
        values = f.gather(values, sequences);
        base = f.gather(base, sequences);
    }
    let group = heads / kv_heads;

    let q = f.reshape(q, &fixed([n, m, kv_heads, group, width]));
    let q = f.transpose(q, &[0, 2, 3, 1, 4]);
    let q = f.reshape(q, &fixed([n, kv_heads, group * m, width]));
    let factor = f.scalar(scale);
    let q = f.mul(q, factor);
    let keys = f.transpose(keys, &[0, 2, 1, 3]);
    let scores = f.matmul_transposed(q, keys);
    let scores = f.reshape(scores, &fixed([n, kv_heads, group, m, context]));
    let scores = mask(f, scores, positions, base, window, [n, m, context]);
    let probabilities =
        softmax_with_sinks(f, scores, sinks.first().copied(), [n, kv_heads, group, m, context]);

    let probabilities = f.reshape(probabilities, &fixed([n, kv_heads, group * m, context]));
    let values = f.transpose(values, &[0, 2, 1, 3]);
    let out = f.matmul(probabilities, values);
    let out = f.reshape(out, &fixed([n, kv_heads, group, m, width]));
    let out = f.transpose(out, &[0, 3, 1, 2, 4]);
    f.reshape(out, &fixed([tokens, heads, width]))
}

/// Scores of positions that a token may not see become minus infinity.
fn mask(
    f: &mut FuncBuilder<'_>,
    mut scores: ValueId,
    positions: ValueId,
    base: ValueId,
    window: Option<u32>,
    [n, m, context]: [u32; 3],
) -> ValueId {
    let here = f.reshape(positions, &fixed([n, 1, 1, m, 1]));
    let page_len = f.page_len();
    let page_len = f.int(page_len as i32);
    let first = f.mul(base, page_len);
    let first = f.reshape(first, &fixed([n, 1, 1, 1, 1]));
    let count = f.op(Op::Iota { dtype: DType::I32, dims: Dims::from([1, 1, 1, 1, context]), axis: 4 }, &[]);
    let there = f.add(count, first);
    let never = f.scalar(f32::NEG_INFINITY);
    let seen = f.compare(CompareOp::LessEqual, there, here);
    scores = f.op(Op::Select, &[seen, scores, never]);
    if let Some(window) = window {
        let distance = f.sub(here, there);
        let window = f.int(i32::try_from(window).unwrap_or(i32::MAX));
        let near = f.compare(CompareOp::Less, distance, window);
        scores = f.op(Op::Select, &[near, scores, never]);
    }
    scores
}

fn softmax_with_sinks(
    f: &mut FuncBuilder<'_>,
    scores: ValueId,
    sinks: Option<ValueId>,
    [n, kv_heads, group, m, context]: [u32; 5],
) -> ValueId {
    let Some(sinks) = sinks else { return f.softmax(scores) };
    let sinks = as_f32(f, sinks);
    let sinks = f.reshape(sinks, &fixed([1, kv_heads, group, 1, 1]));
    let sinks = f.broadcast(sinks, &fixed([n, kv_heads, group, m, 1]));
    let scores = f.concat(4, &[scores, sinks]);
    let probabilities = f.softmax(scores);
    f.slice(probabilities, 4, 0, context)
}

fn fixed<const N: usize>(axes: [u32; N]) -> [Dim; N] {
    axes.map(Dim::Fixed)
}
