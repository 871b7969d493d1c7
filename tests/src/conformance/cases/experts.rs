//! Routing, and mixtures of experts.

use graph::{Act, Op};
use tensor::{DType, Value};

use crate::conformance::{Case, Data};

pub fn cases() -> Vec<Case> {
    [route(), expert_ffn()].into_iter().flatten().collect()
}

fn route() -> Vec<Case> {
    vec![
        Case::new("route/some", Op::Route { k: 4 }, |data| vec![data.f32s(&[5, 32])]),
        Case::new("route/one", Op::Route { k: 1 }, |data| vec![data.f32s(&[5, 8])]),
        Case::new("route/all", Op::Route { k: 8 }, |data| vec![data.f32s(&[5, 8])]),
        Case::new("route/ties", Op::Route { k: 3 }, |data| {
            let few = data.i32s(&[5, 8], 0, 2).to_f32();
            vec![Value::f32s([5, 8], &few)]
        }),
    ]
}

fn expert_ffn() -> Vec<Case> {
    let clamped = Act::Clamped { alpha: 1.702, limit: 0.75 };
    let mut cases = vec![];
    for dtype in [DType::F32, DType::BF16, DType::Q8_0, DType::MXFP4] {
        // Few tokens gather the weights of their experts, many go through all: tokens * k against experts.
        for (what, tokens, experts) in [("one token", 1, 4), ("few tokens", 2, 4), ("many tokens", 9, 4)] {
            for biased in [false, true] {
                let biases = if biased { ", biased" } else { "" };
                let name = format!("expert_ffn/{dtype}, {what}{biases}");
                let act = if biased { clamped } else { Act::Silu };
                cases.push(Case::new(name, Op::ExpertFfn { act, biased }, |data| {
                    let chosen = distinct(data, tokens, 2, experts);
                    args(data, dtype, chosen, experts, biased)
                }));
            }
        }
    }
    for (what, tokens) in [("few", 2), ("many", 7)] {
        let op = Op::ExpertFfn { act: Act::Silu, biased: true };
        cases.push(Case::new(format!("expert_ffn/{what} tokens that choose one alike"), op, |data| {
            let chosen = Value::i32s([tokens, 1], &vec![3; tokens]);
            args(data, DType::F32, chosen, 5, true)
        }));
    }
    cases
}

/// `k` different experts per token.
fn distinct(data: &mut Data, tokens: usize, k: usize, experts: usize) -> Value {
    let chosen = (0..tokens).flat_map(|_| data.shuffled(0, experts).into_iter().take(k)).collect::<Vec<_>>();
    Value::i32s([tokens, k], &chosen)
}

/// Arguments of a mixture of width 64 whose experts are 32 wide.
fn args(data: &mut Data, dtype: DType, chosen: Value, experts: usize, biased: bool) -> Vec<Value> {
    let (width, inner) = (64, 32);
    let tokens = chosen.shape[0];
    let mut args = vec![data.f32s(&[tokens, width]), data.f32s(&chosen.shape), chosen];
    args.push(data.weight(dtype, &[experts, inner, width]));
    args.push(data.weight(dtype, &[experts, inner, width]));
    args.push(data.weight(dtype, &[experts, width, inner]));
    if biased {
        for width in [inner, inner, width] {
            args.push(data.weight(DType::BF16, &[experts, width]));
        }
    }
    args
}
