//! Binding: every variable becomes a number.

use crate::{Bucket, Func, Graph, Input, Op, Ty, Var};
use tensor::DType;

/// The graph with all shapes as large as the bucket, but for the pools, which only an executor knows.
pub fn bind(graph: &Graph, bucket: &Bucket) -> Graph {
    Graph { funcs: graph.funcs.iter().map(|func| bind_func(func, bucket)).collect(), ..graph.clone() }
}

fn bind_func(func: &Func, bucket: &Bucket) -> Func {
    let mut func = func.clone();
    func.types.iter_mut().for_each(|ty| *ty = ty.bind(bucket));
    for node in &mut func.nodes {
        match &mut node.op {
            Op::Reshape(dims) | Op::Broadcast(dims) | Op::Iota { dims, .. } => *dims = dims.bind(bucket),
            _ => {}
        }
    }
    func
}

impl Input {
    /// The type an input has before it is bound.
    pub fn ty(self) -> Ty {
        let i32s = |vars: &[Var]| {
            Ty::new(DType::I32, crate::Dims::new(&vars.iter().map(|&v| v.into()).collect::<Vec<_>>()))
        };
        match self {
            Input::Tokens | Input::Positions | Input::Sequences | Input::Slots(_) => i32s(&[Var::Tokens]),
            Input::Rows => i32s(&[Var::Rows]),
            Input::Table(_) => i32s(&[Var::Seqs, Var::Pages]),
            Input::Base(_) => i32s(&[Var::Seqs]),
        }
    }
}
