//! Along the innermost axis.

use graph::{Op, ReduceOp};
use tensor::Value;

use crate::conformance::Case;

pub fn cases() -> Vec<Case> {
    [reduce(), softmax(), top_k()].into_iter().flatten().collect()
}

fn reduce() -> Vec<Case> {
    let mut cases = vec![];
    for op in [ReduceOp::Sum, ReduceOp::Mean, ReduceOp::Max].map(Op::Reduce) {
        for shape in [&[7][..], &[4, 1], &[2, 3, 300]] {
            let name = format!("{op}/{shape:?}");
            cases.push(Case::new(name, op.clone(), |data| vec![data.f32s(shape)]));
        }
    }
    cases.push(Case::new("reduce max/minus infinity", Op::Reduce(ReduceOp::Max), |_| {
        vec![Value::f32s([2, 2], &[f32::NEG_INFINITY, -3.0, f32::NEG_INFINITY, f32::NEG_INFINITY])]
    }));
    cases
}

fn softmax() -> Vec<Case> {
    let hidden = f32::NEG_INFINITY;
    vec![
        Case::new("softmax/rows", Op::Softmax, |data| vec![data.f32s(&[2, 3, 33])]),
        Case::new("softmax/one axis", Op::Softmax, |data| vec![data.f32s(&[5])]),
        Case::new("softmax/one element", Op::Softmax, |data| vec![data.f32s(&[4, 1])]),
        Case::new("softmax/some at minus infinity", Op::Softmax, |_| {
            vec![Value::f32s([2, 4], &[hidden, 1.0, hidden, 0.5, hidden, hidden, hidden, -7.0])]
        }),
        Case::new("softmax/large", Op::Softmax, |_| {
            vec![Value::f32s([2, 3], &[1e4, 1e4 - 1.0, -1e4, -1e30, -1e30, -2e30])]
        }),
    ]
}

fn top_k() -> Vec<Case> {
    let cases = vec![
        Case::new("top_k/rows", Op::TopK(4), |data| vec![data.f32s(&[2, 3, 20])]),
        Case::new("top_k/all", Op::TopK(9), |data| vec![data.f32s(&[3, 9])]),
        Case::new("top_k/one", Op::TopK(1), |data| vec![data.f32s(&[3, 9])]),
        Case::new("top_k/ties", Op::TopK(5), |data| {
            let few = data.i32s(&[6, 12], 0, 3).to_f32();
            vec![Value::f32s([6, 12], &few)]
        }),
        Case::new("top_k/zeros of either sign", Op::TopK(3), |_| {
            vec![Value::f32s([1, 4], &[-0.0, 0.0, -1.0, -0.0])]
        }),
        Case::new("top_k/infinities", Op::TopK(3), |_| {
            let infinity = f32::INFINITY;
            vec![Value::f32s([1, 4], &[-infinity, 2.0, -infinity, infinity])]
        }),
    ];
    cases.into_iter().map(Case::exact).collect()
}
