//! Elements moved and made, in every type that an operation moves.

use graph::{Dims, Literal, Op};
use tensor::{DType, Value};

use crate::conformance::{Case, Data};

pub fn cases() -> Vec<Case> {
    let families = [made(), reshape(), broadcast(), transpose(), slice(), concat(), gather()];
    families.into_iter().flatten().map(Case::exact).collect()
}

fn made() -> Vec<Case> {
    let mut cases = vec![];
    for (what, literal) in [
        ("scalar", Literal::Scalar(-1.25)),
        ("minus infinity", Literal::Scalar(f32::NEG_INFINITY)),
        ("int", Literal::Int(i32::MAX)),
        ("vector", Literal::Vector(vec![0.5, -3.0, 1e-30])),
    ] {
        cases.push(Case::new(format!("constant/{what}"), Op::Constant(literal), |_| vec![]));
    }
    for dtype in [DType::I32, DType::F32] {
        for axis in 0..3 {
            let op = Op::Iota { dtype, dims: Dims::from([2, 5, 3]), axis };
            cases.push(Case::new(format!("iota/{dtype} axis {axis}"), op, |_| vec![]));
        }
    }
    cases
}

fn reshape() -> Vec<Case> {
    let reshape = |dims: &[u32]| Op::Reshape(Dims::new(&dims.iter().map(|&n| n.into()).collect::<Vec<_>>()));
    vec![
        Case::new("reshape/split", reshape(&[2, 3, 4]), |data| vec![data.f32s(&[6, 4])]),
        Case::new("reshape/join i32", reshape(&[24]), |data| vec![data.i32s(&[2, 3, 4], -9, 9)]),
        Case::new("reshape/scalar", reshape(&[1, 1, 1]), |data| vec![data.f32s(&[])]),
        Case::new("reshape/rows of blocks", reshape(&[2, 3, 32]), |data| {
            vec![data.weight(DType::MXFP4, &[6, 32])]
        }),
    ]
}

fn broadcast() -> Vec<Case> {
    let wide = |axes| Op::Broadcast(Dims::from(axes));
    vec![
        Case::new("broadcast/missing axes", wide([2, 3, 4]), |data| vec![data.f32s(&[4])]),
        Case::new("broadcast/axes of one", wide([2, 3, 4]), |data| vec![data.i32s(&[2, 1, 4], -9, 9)]),
        Case::new("broadcast/scalar", wide([2, 1, 2]), |data| vec![data.f32s(&[])]),
    ]
}

fn transpose() -> Vec<Case> {
    let turn = |order: &[u8]| Op::Transpose(order.to_vec());
    vec![
        Case::new("transpose/two axes", turn(&[1, 0]), |data| vec![data.f32s(&[3, 5])]),
        Case::new("transpose/five axes", turn(&[0, 3, 1, 4, 2]), |data| vec![data.f32s(&[2, 3, 2, 4, 5])]),
        Case::new("transpose/cycle i32", turn(&[2, 0, 1]), |data| vec![data.i32s(&[2, 3, 4], -9, 9)]),
        Case::new("transpose/f16", turn(&[1, 0, 2]), |data| vec![data.rounded(DType::F16, &[2, 3, 4])]),
        Case::new("transpose/as it was", turn(&[0, 1]), |data| vec![data.f32s(&[3, 5])]),
    ]
}

fn slice() -> Vec<Case> {
    let cut = |axis, start, len| Op::Slice { axis, start, len };
    vec![
        Case::new("slice/first axis", cut(0, 1, 2), |data| vec![data.f32s(&[4, 3])]),
        Case::new("slice/middle axis", cut(1, 2, 3), |data| vec![data.f32s(&[2, 5, 3])]),
        Case::new("slice/last axis i32", cut(2, 3, 1), |data| vec![data.i32s(&[2, 3, 4], -9, 9)]),
        Case::new("slice/everything", cut(0, 0, 4), |data| vec![data.f32s(&[4, 3])]),
        Case::new("slice/bf16", cut(1, 1, 2), |data| vec![data.rounded(DType::BF16, &[2, 4])]),
    ]
}

fn concat() -> Vec<Case> {
    let three = |data: &mut Data, shapes: [[usize; 3]; 3]| shapes.map(|shape| data.f32s(&shape)).to_vec();
    vec![
        Case::new("concat/first axis", Op::Concat { axis: 0 }, |data| {
            three(data, [[1, 2, 3], [2, 2, 3], [3, 2, 3]])
        }),
        Case::new("concat/middle axis", Op::Concat { axis: 1 }, |data| {
            three(data, [[2, 1, 3], [2, 4, 3], [2, 2, 3]])
        }),
        Case::new("concat/last axis", Op::Concat { axis: 2 }, |data| {
            three(data, [[2, 3, 5], [2, 3, 1], [2, 3, 2]])
        }),
        Case::new("concat/one argument", Op::Concat { axis: 0 }, |data| vec![data.i32s(&[3], -9, 9)]),
    ]
}

fn gather() -> Vec<Case> {
    let mut cases = vec![
        Case::new("gather/elements", Op::Gather, |data| vec![data.f32s(&[7]), data.i32s(&[5], 0, 7)]),
        Case::new("gather/i32", Op::Gather, |data| vec![data.i32s(&[7], -9, 9), data.i32s(&[5], 0, 7)]),
        Case::new("gather/matrices", Op::Gather, |data| vec![data.f32s(&[3, 2, 4]), data.i32s(&[6], 0, 3)]),
        Case::new("gather/one id", Op::Gather, |data| vec![data.f32s(&[3, 4]), Value::i32s([], &[2])]),
    ];
    for dtype in DType::weights() {
        cases.push(Case::new(format!("gather/{dtype} by a matrix of ids"), Op::Gather, |data| {
            vec![data.weight(dtype, &[5, dtype.block_len() * 2]), data.i32s(&[2, 3], 0, 5)]
        }));
    }
    let experts = Case::new("gather/experts", Op::Gather, |data| {
        vec![data.weight(DType::MXFP4, &[4, 3, 32]), data.i32s(&[6], 0, 4)]
    });
    cases.push(experts);
    cases
}
