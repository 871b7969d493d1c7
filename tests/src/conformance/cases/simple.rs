//! The composites that are a few lines each: embed, linear, rms_norm, rope, gated_act.

use graph::{Act, Op};
use tensor::{DType, Value};

use crate::conformance::Case;

pub fn cases() -> Vec<Case> {
    [embed(), linear(), rms_norm(), rope(), gated_act()].into_iter().flatten().collect()
}

fn embed() -> Vec<Case> {
    let of = |dtype: DType| {
        Case::new(format!("embed/{dtype}"), Op::Embed, |data| {
            vec![Value::i32s([5], &[6, 0, 3, 3, 1]), data.weight(dtype, &[7, 256])]
        })
    };
    DType::weights().map(of).collect()
}

fn linear() -> Vec<Case> {
    let mut cases = vec![];
    for dtype in DType::weights() {
        cases.push(Case::new(format!("linear/{dtype}"), Op::Linear, |data| {
            vec![data.f32s(&[3, 512]), data.weight(dtype, &[9, 512])]
        }));
    }
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        cases.push(Case::new(format!("linear/bias {dtype}"), Op::Linear, |data| {
            let (x, w) = (data.f32s(&[2, 3, 40]), data.weight(DType::F32, &[7, 40]));
            vec![x, w, data.weight(dtype, &[7])]
        }));
    }
    cases.push(Case::new("linear/one row of blocks with a bias", Op::Linear, |data| {
        let (x, w) = (data.f32s(&[1, 64]), data.weight(DType::Q4_0, &[33, 64]));
        vec![x, w, data.weight(DType::F32, &[33])]
    }));
    cases
}

fn rms_norm() -> Vec<Case> {
    let mut cases = vec![];
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        cases.push(Case::new(format!("rms_norm/{dtype}"), Op::RmsNorm { eps: 1e-5 }, |data| {
            vec![data.f32s(&[3, 50]), data.weight(dtype, &[50])]
        }));
    }
    cases.push(Case::new("rms_norm/heads", Op::RmsNorm { eps: 1e-6 }, |data| {
        vec![data.f32s(&[3, 4, 8]), data.f32s(&[8])]
    }));
    cases.push(Case::new("rms_norm/nothing but epsilon", Op::RmsNorm { eps: 1e-6 }, |data| {
        vec![Value::f32s([2, 3], &[0.0, 0.0, 0.0, 1e-8, -1e-8, 0.0]), data.f32s(&[3])]
    }));
    cases
}

fn rope() -> Vec<Case> {
    let mut cases = vec![];
    for (what, width, turned, scale) in [
        ("whole heads", 8, 4, 1.0),
        ("part of a head", 10, 3, 1.0),
        ("scaled", 8, 4, 1.346_573_6),
        ("scaled part", 6, 1, 0.5),
    ] {
        cases.push(Case::new(format!("rope/{what}"), Op::Rope { scale }, |data| {
            let frequencies = (0..turned).map(|i| 10_000f32.powf(-(i as f32) / turned as f32));
            vec![
                data.f32s(&[5, 2, width]),
                Value::i32s([5], &[0, 1, 2, 777, 131_071]),
                Value::f32s([turned], &frequencies.collect::<Vec<_>>()),
            ]
        }));
    }
    cases
}

fn gated_act() -> Vec<Case> {
    let clamped = Act::Clamped { alpha: 1.702, limit: 1.25 };
    let mut cases = vec![];
    for act in [Act::Silu, Act::Gelu, Act::GeluTanh, Act::Relu, clamped] {
        // Half of what is drawn lies beyond the clamp's limit.
        cases.push(Case::new(format!("gated_act/{act}"), Op::GatedAct(act), |data| {
            vec![data.f32s(&[3, 17]), data.f32s(&[3, 17])]
        }));
        cases.push(Case::new(format!("gated_act/{act}, far out"), Op::GatedAct(act), |_| {
            let (gate, up) = ([0.0, 6.0, -6.0, 12.0, -100.0], [1.0, -3.0, 3.0, 0.5, 0.5]);
            vec![Value::f32s([1, 5], &gate), Value::f32s([1, 5], &up)]
        }));
    }
    cases
}
