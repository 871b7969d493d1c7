//! What each composite operation means in simpler ones, on concrete shapes.

mod attention;
mod experts;
mod fused;
mod simple;

use std::collections::HashMap;

use tensor::DType;

use crate::{Bucket, Func, FuncBuilder, Graph, Node, Op, ValueId};

/// The graph with every composite that `takes` does not accept written out, until none is left. The graph is bound
/// to `bucket` already: an expansion may choose by it.
pub fn expand(graph: &Graph, bucket: &Bucket, takes: &dyn Fn(&Op) -> bool) -> Graph {
    let expands = |op: &Op| op.is_composite() && !takes(op);
    let mut graph = graph.clone();
    for func in &mut graph.funcs {
        while func.nodes.iter().any(|node| expands(&node.op)) {
            *func = expand_once(func, graph.page_len, bucket, &expands);
        }
    }
    graph
}

/// One operation written out over `args`, or `None` where it is a core operation.
pub fn expand_op(
    op: &Op,
    f: &mut FuncBuilder<'_>,
    args: &[ValueId],
    bucket: &Bucket,
) -> Option<Vec<ValueId>> {
    let one = |value| Some(vec![value]);
    match op {
        Op::Embed => one(simple::embed(f, args)),
        Op::Linear => one(simple::linear(f, args)),
        Op::RmsNorm { eps } => one(simple::rms_norm(f, *eps, args)),
        Op::Rope { scale } => one(simple::rope(f, *scale, args)),
        Op::GatedAct(act) => one(simple::gated_act(f, *act, args)),
        Op::Attention { scale, window } => one(attention::attention(f, *scale, *window, args, bucket)),
        Op::Route { k } => Some(simple::route(f, *k, args)),
        Op::ExpertFfn { act, biased } => one(experts::expert_ffn(f, *act, *biased, args)),
        Op::GatedLinear { act, biased } => one(fused::gated_linear(f, *act, *biased, args)),
        Op::LinearAdd { .. } => one(fused::linear_add(f, args)),
        Op::NormRope { eps, scale } => one(fused::norm_rope(f, *eps, *scale, args)),
        _ => None,
    }
}

fn expand_once(func: &Func, page_len: u32, bucket: &Bucket, expands: &dyn Fn(&Op) -> bool) -> Func {
    let mut f = FuncBuilder::new(&func.name, page_len, None);
    (f.func.params, f.func.shards) = (func.params.clone(), func.shards.clone());
    let mut values = HashMap::new();
    for (first, node) in func.nodes_with_ids() {
        let args = node.args.iter().map(|arg| values[arg]).collect::<Vec<_>>();
        let results = match expands(&node.op).then(|| expand_op(&node.op, &mut f, &args, bucket)).flatten() {
            Some(results) => {
                if let Some(name) = &node.name {
                    f.name(results[0], name);
                }
                results
            }
            None => f.push(Node { args, ..node.clone() }, func.result_types(first, node)),
        };
        values.extend((first.0..).map(ValueId).zip(results));
    }
    if let Some(error) = &f.error {
        panic!("an expansion is wrongly typed: {error}");
    }
    f.func.results = func.results.iter().map(|value| values[value]).collect();
    f.func
}

/// A weight or value as f32.
fn as_f32(f: &mut FuncBuilder<'_>, value: ValueId) -> ValueId {
    if f.ty(value).dtype == DType::F32 { value } else { f.dequantize(value) }
}

/// The numbers of a bound value's axes.
fn numbers<const N: usize>(f: &FuncBuilder<'_>, value: ValueId) -> [u32; N] {
    let dims = f.dims(value);
    let numbers = dims.iter().map(|dim| dim.number().expect("a graph is bound before it is expanded"));
    numbers
        .collect::<Vec<_>>()
        .try_into()
        .expect("a composite's arguments have the axes its type rule asks for")
}
