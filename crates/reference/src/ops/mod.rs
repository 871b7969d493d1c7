//! One operation at a time: arguments in, results out.

mod attention;
mod elementwise;
mod experts;
mod layout;
mod products;
mod rows;
mod state;

use std::sync::Arc;

use graph::{BackendError, Bucket, Dims, Graph, Op, Ty};
use tensor::{Shape, Value};

use crate::NAME;

/// Applies an operation that this backend takes; `types` are those of its results.
pub fn apply(op: &Op, args: Vec<Arc<Value>>, types: &[Ty], page_len: u32) -> Vec<Arc<Value>> {
    if *op == Op::StateWrite {
        let [state, slots, values] = <[_; 3]>::try_from(args).expect("typed: three arguments");
        return vec![state::write(state, &slots, &values)];
    }
    let a = args.iter().map(Arc::as_ref).collect::<Vec<_>>();
    // The types of states are not bound: the pool knows how many pages it has.
    let shape = || types[0].dims.shape().expect("a graph is bound before it runs");
    let result = match op {
        Op::Constant(literal) => layout::constant(literal),
        Op::Cast(to) => elementwise::cast(a[0], *to),
        Op::Iota { dtype, dims, axis } => {
            layout::iota(*dtype, &dims.shape().expect("bound"), usize::from(*axis))
        }
        Op::Reshape(_) => Value { shape: shape(), ..a[0].clone() },
        Op::Broadcast(_) => layout::broadcast(a[0], shape()),
        Op::Transpose(order) => layout::transpose(a[0], order, shape()),
        Op::Slice { axis, start, .. } => layout::slice(a[0], usize::from(*axis), *start as usize, shape()),
        Op::Concat { axis } => layout::concat(&a, usize::from(*axis), shape()),
        Op::Gather => layout::gather(a[0], a[1], shape()),
        Op::Unary(unary) => elementwise::unary(*unary, a[0]),
        Op::Binary(binary) => elementwise::binary(*binary, a[0], a[1], shape()),
        Op::Compare(compare) => elementwise::compare(*compare, a[0], a[1], shape()),
        Op::Select => elementwise::select(a[0], a[1], a[2], shape()),
        Op::Reduce(reduce) => rows::reduce(*reduce, a[0], shape()),
        Op::Matmul { transposed } => products::matmul(*transposed, a[0], a[1], shape()),
        Op::Dequantize => Value::f32s(a[0].shape, &a[0].to_f32()),
        Op::Softmax => rows::softmax(a[0]),
        Op::TopK(k) => return rows::top_k(*k as usize, a[0]).map(Arc::new).into(),
        Op::StateRead => state::read(a[0], a[1], shape()),
        Op::Linear => products::linear(a[0], a[1], a.get(2).copied(), shape()),
        Op::Attention { scale, window } => attention::attention(*scale, *window, &a, page_len as usize),
        Op::Route { k } => return rows::route(*k as usize, a[0]).map(Arc::new).into(),
        Op::ExpertFfn { act, biased } => experts::expert_ffn(*act, *biased, &a),
        // Of one rank: graphs of several are refused when they are loaded.
        Op::AllReduce { .. } | Op::AllGather { .. } => a[0].clone(),
        Op::Param(_) | Op::Call(_) | Op::StateWrite => unreachable!("run by the interpreter"),
        Op::Embed | Op::RmsNorm { .. } | Op::Rope { .. } | Op::GatedAct(_) => {
            unreachable!("expanded before it runs")
        }
        Op::GatedLinear { .. } | Op::LinearAdd { .. } | Op::NormRope { .. } => {
            unreachable!("expanded before it runs")
        }
    };
    vec![Arc::new(result)]
}

/// Evaluates one operation on its own, whole where this backend takes it and as its expansion where it does not, or
/// always as its expansion where `expanded`. Conformance compares backends through this.
pub fn eval(
    op: &Op,
    args: &[Value],
    page_len: u32,
    bucket: &Bucket,
    expanded: bool,
) -> Result<Vec<Value>, BackendError> {
    let types = args.iter().map(|arg| Ty::new(arg.dtype, Dims::from(arg.shape))).collect::<Vec<_>>();
    let graph = Graph::of_op(op, &types, page_len).map_err(|error| BackendError::Unsupported {
        device: NAME,
        what: op.to_string(),
        reason: error.to_string(),
    })?;
    graph.check_alone(NAME)?;
    let graph = graph::expand(&graph, bucket, &|op| !expanded && crate::takes(op));
    let mut watch = crate::run::Watch {
        taps: &Default::default(),
        tapped: vec![],
        patches: Default::default(),
        experts_touched: None,
    };
    let args = args.iter().map(|arg| Arc::new(arg.clone())).collect();
    let results = crate::run::run(&graph, graph.main(), args, "", &mut watch);
    Ok(results.into_iter().map(Arc::unwrap_or_clone).collect())
}

/// Steps along each axis of a value when walked under a larger shape: 0 where it is repeated.
fn strides(from: &Shape, under: &Shape) -> Vec<usize> {
    let missing = under.len() - from.len();
    let mut strides = vec![0; under.len()];
    let mut step = 1;
    for axis in (0..from.len()).rev() {
        if from[axis] != 1 {
            strides[missing + axis] = step;
        }
        step *= from[axis];
    }
    strides
}

/// Calls `f` with the offset that each index of `shape` has under `strides`, in order.
fn walk(shape: &Shape, strides: &[usize], mut f: impl FnMut(usize)) {
    let total = shape.elements().expect("a value's shape has been counted");
    let mut index = vec![0; shape.len()];
    let mut offset = 0;
    for _ in 0..total {
        f(offset);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            offset += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            offset -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
}

/// A value's elements as they stand under a larger shape.
fn repeated<T: tensor::Element>(value: &Value, under: &Shape) -> Vec<T> {
    let elements = value.data.as_slice::<T>();
    if value.shape == *under {
        return elements.to_vec();
    }
    let mut out = Vec::with_capacity(under.elements().unwrap_or(0));
    walk(under, &strides(&value.shape, under), |offset| out.push(elements[offset]));
    out
}
