//! What `fuse` makes of the composites: gated_linear, linear_add, norm_rope.

use graph::{Act, Op};
use tensor::{DType, Value};

use crate::conformance::{Case, Data};

pub fn cases() -> Vec<Case> {
    [gated_linear(), linear_add(), norm_rope()].into_iter().flatten().collect()
}

fn gated_linear() -> Vec<Case> {
    let of = |what: String, act, rows: &'static [usize], [gate, up]: [DType; 2], biased| {
        Case::new(format!("gated_linear/{what}"), Op::GatedLinear { act, biased }, |data| {
            let mut args = vec![data.f32s(&[rows, &[512]].concat())];
            args.extend([gate, up].map(|dtype| data.weight(dtype, &[9, 512])));
            args.extend(biases(data, biased, 2));
            args
        })
    };
    let mut cases = vec![];
    for dtype in DType::weights() {
        cases.push(of(dtype.to_string(), Act::Silu, &[3], [dtype; 2], false));
    }
    let clamped = Act::Clamped { alpha: 1.702, limit: 1.25 };
    for act in [Act::Gelu, Act::GeluTanh, Act::Relu, clamped] {
        cases.push(of(act.to_string(), act, &[2, 3], [DType::F32; 2], false));
    }
    cases.push(of("biases".to_owned(), Act::Silu, &[3], [DType::F32; 2], true));
    cases.push(of("one row of blocks with biases".to_owned(), Act::Silu, &[1], [DType::Q4_0; 2], true));
    cases.push(of("two types".to_owned(), Act::Silu, &[3], [DType::Q4_K, DType::Q6_K], false));
    cases
}

fn linear_add() -> Vec<Case> {
    let of = |what: String, rows: &'static [usize], dtype, biased| {
        Case::new(format!("linear_add/{what}"), Op::LinearAdd { biased }, |data| {
            let mut args = vec![data.f32s(&[rows, &[512]].concat()), data.weight(dtype, &[9, 512])];
            args.extend(biases(data, biased, 1));
            args.push(data.f32s(&[rows, &[9]].concat()));
            args
        })
    };
    let mut cases = vec![];
    for dtype in DType::weights() {
        cases.push(of(dtype.to_string(), &[3], dtype, false));
    }
    cases.push(of("bias".to_owned(), &[2, 3], DType::F32, true));
    cases.push(of("one row of blocks with a bias".to_owned(), &[1], DType::Q4_0, true));
    cases
}

fn biases(data: &mut Data, biased: bool, count: usize) -> Vec<Value> {
    let count = if biased { count } else { 0 };
    (0..count).map(|_| data.weight(DType::BF16, &[9])).collect()
}

fn norm_rope() -> Vec<Case> {
    let mut cases = vec![];
    for (what, width, turned, scale, dtype) in [
        ("whole heads", 8, 4, 1.0, DType::F32),
        ("part of a head", 10, 3, 1.0, DType::F16),
        ("scaled", 8, 4, 1.346_573_6, DType::BF16),
        ("wide heads", 128, 64, 1.0, DType::F32),
    ] {
        cases.push(Case::new(format!("norm_rope/{what}"), Op::NormRope { eps: 1e-5, scale }, |data| {
            let frequencies = (0..turned).map(|i| 10_000f32.powf(-(i as f32) / turned as f32));
            vec![
                data.f32s(&[5, 2, width]),
                data.weight(dtype, &[width]),
                Value::i32s([5], &[0, 1, 2, 777, 131_071]),
                Value::f32s([turned], &frequencies.collect::<Vec<_>>()),
            ]
        }));
    }
    cases
}
