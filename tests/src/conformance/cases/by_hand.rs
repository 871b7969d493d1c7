//! Cases whose results do not come from our own code: worked out on paper, or by PyTorch in double precision. They keep
//! the reference and its expansions from agreeing on something wrong.

use graph::{Act, BinaryOp, Op};
use tensor::{DType, Value};

use crate::conformance::Case;

pub fn cases() -> Vec<Case> {
    [attention(), experts(), gated_act(), rows(), rope(), elements(), products(), states(), collectives()]
        .into_iter()
        .flatten()
        .collect()
}

fn case(what: &str, op: Op, args: Vec<Value>, wanted: Vec<Value>) -> Case {
    Case::new(format!("by hand/{what}"), op, |_| args).wants(wanted)
}

/// Keys are logarithms, so that the weights under the softmax are whole numbers. What nobody may see is 1000.
fn attention() -> Vec<Case> {
    let ln = f32::ln;
    let mut keys = [1000.0; 16];
    let mut values = [1000.0; 16];
    // Positions 0 to 2 of the sequence, in page 3.
    keys[12..15].copy_from_slice(&[ln(1.0), ln(2.0), ln(3.0)]);
    values[12..15].copy_from_slice(&[6.0, 12.0, 18.0]);
    // Positions 4 and 5 of a sequence whose first page is gone, in page 2.
    keys[8..10].copy_from_slice(&[ln(3.0), ln(2.0)]);
    values[8..10].copy_from_slice(&[10.0, 20.0]);
    let state = |values: &[f32; 16]| Value::f32s([4, 4, 1, 1], values);
    let args = |q: &[f32], position, page, base| {
        vec![
            Value::f32s([1, q.len(), 1], q),
            state(&keys),
            state(&values),
            Value::i32s([1], &[position]),
            Value::i32s([1], &[0]),
            Value::i32s([1, 1], &[page]),
            Value::i32s([1], &[base]),
        ]
    };
    let out = |values: &[f32]| vec![Value::f32s([1, values.len(), 1], values)];
    let full = Op::Attention { scale: 0.5, window: None };
    let near = Op::Attention { scale: 0.5, window: Some(2) };
    let mut with_sink = args(&[2.0], 5, 2, 1);
    with_sink.push(Value::f32s([1], &[ln(5.0)]));
    vec![
        // (1*6 + 2*12 + 3*18) / 6, and of the second head (6 + 12/2 + 18/3) / (1 + 1/2 + 1/3).
        case("attention, two heads", full.clone(), args(&[2.0, -2.0], 2, 3, 0), out(&[14.0, 108.0 / 11.0])),
        case("attention, two of three seen", full, args(&[2.0], 1, 3, 0), out(&[10.0])),
        // (2*12 + 3*18) / 5
        case("attention, window", near.clone(), args(&[2.0], 2, 3, 0), out(&[15.6])),
        // (3*10 + 2*20) / (3 + 2 + 5)
        case("attention, sink and dropped page", near, with_sink, out(&[7.0])),
    ]
}

fn experts() -> Vec<Case> {
    let scores = Value::f32s([1, 4], &[0.0, f32::ln(3.0), -5.0, 0.0]);
    let routed = vec![Value::f32s([1, 2], &[0.75, 0.25]), Value::i32s([1, 2], &[1, 0])];
    // The first expert gives (3, -3). The second, with its biases, 2 through the gate, 3 beside it, and (4, 6).
    let args = vec![
        Value::f32s([1, 2], &[1.0, 2.0]),
        Value::f32s([1, 2], &[0.25, 0.75]),
        Value::i32s([1, 2], &[1, 0]),
        Value::f32s([2, 1, 2], &[1.0, 1.0, -1.0, 0.0]),
        Value::f32s([2, 1, 2], &[1.0, 0.0, 0.0, 1.0]),
        Value::f32s([2, 2, 1], &[1.0, -1.0, 0.5, 1.0]),
        Value::f32s([2, 1], &[0.0, 3.0]),
        Value::f32s([2, 1], &[0.0, 1.0]),
        Value::f32s([2, 2], &[0.0, 0.0, 1.0, 0.0]),
    ];
    let mixed = vec![Value::f32s([1, 2], &[3.25, -0.75])];
    vec![
        case("route", Op::Route { k: 2 }, vec![scores], routed),
        case("expert_ffn", Op::ExpertFfn { act: Act::Relu, biased: true }, args, mixed),
    ]
}

/// `silu(g) * u` and so on by `torch.nn.functional`; the clamped kind as gpt-oss writes it.
fn gated_act() -> Vec<Case> {
    let gate = Value::f32s([6], &[-9.0, -1.5, 0.0, 0.75, 3.0, 8.5]);
    let up = Value::f32s([6], &[8.0, -9.0, 1.25, -0.5, 2.0, 7.5]);
    let table = [
        (Act::Silu, [-0.008_884_409, 2.462_744_6, 0.0, -0.254_692_02, 5.715_445, 63.737_03]),
        (Act::Gelu, [0.0, 0.901_897_2, 0.0, -0.290_014_74, 5.991_900_6, 63.75]),
        (Act::GeluTanh, [0.0, 0.903_855_8, 0.0, -0.289_980_3, 5.992_725_4, 63.75]),
        (Act::Relu, [0.0, 0.0, 0.0, -0.375, 6.0, 63.75]),
        (
            Act::Clamped { alpha: 1.702, limit: 7.0 },
            [-1.602_542_4e-5, 0.650_026_8, 0.0, 0.293_195_03, 8.945_786, 55.999_626],
        ),
    ];
    let of = |(act, wanted): (Act, [f32; 6])| {
        let wanted = vec![Value::f32s([6], &wanted)];
        case(&format!("gated_act {act}"), Op::GatedAct(act), vec![gate.clone(), up.clone()], wanted)
    };
    table.map(of).into()
}

fn rows() -> Vec<Case> {
    let x = Value::f32s([2, 4], &[3.0, -4.0, 0.0, 1.0, 0.1, 0.2, 0.3, 0.4]);
    let w = Value::f32s([4], &[1.0, 2.0, 0.5, -1.0]);
    // By `torch.nn.functional.rms_norm`.
    let normed =
        [1.175_792_7, -3.135_447_3, 0.0, -0.391_930_9, 0.342_997_16, 1.371_988_7, 0.514_495_8, -1.371_988_7];
    let hidden = f32::NEG_INFINITY;
    let top = vec![Value::f32s([1, 3], &[2.0, 0.0, 0.0]), Value::i32s([1, 3], &[3, 0, 1])];
    vec![
        case("rms_norm", Op::RmsNorm { eps: 1e-2 }, vec![x, w], vec![Value::f32s([2, 4], &normed)]),
        case(
            "softmax",
            Op::Softmax,
            vec![Value::f32s([3], &[0.0, hidden, f32::ln(3.0)])],
            vec![Value::f32s([3], &[0.25, 0.0, 0.75])],
        ),
        // Zeros of either sign are equal, and the first of equals comes first.
        case("top_k", Op::TopK(3), vec![Value::f32s([1, 4], &[-0.0, 0.0, -1.0, 2.0])], top).exact(),
    ]
}

/// Quarter and half a turn of the pairs (0, 2) and (1, 3), doubled; the last element stays as it is.
fn rope() -> Vec<Case> {
    use std::f32::consts::{FRAC_PI_2, FRAC_PI_4};
    let args = vec![
        Value::f32s([1, 1, 5], &[1.0, 2.0, 3.0, 4.0, 5.0]),
        Value::i32s([1], &[2]),
        Value::f32s([2], &[FRAC_PI_4, FRAC_PI_2]),
    ];
    let turned = vec![Value::f32s([1, 1, 5], &[-6.0, -4.0, 2.0, -8.0, 5.0])];
    vec![case("rope", Op::Rope { scale: 2.0 }, args, turned)]
}

fn elements() -> Vec<Case> {
    let i32s = |values: &[i32]| Value::i32s([values.len()], values);
    let floor = vec![i32s(&[7, -7, 7, -7, 6, i32::MAX]), i32s(&[2, 2, -2, -2, -3, 2])];
    let quotients = vec![i32s(&[3, -4, -4, 3, -2, i32::MAX / 2])];
    let floats = vec![Value::f32s([5], &[1.75, -1.75, 0.5, -0.5, 3.0])];
    vec![
        case("whole quotients", Op::Binary(BinaryOp::Div), floor, quotients),
        case("floats to whole numbers", Op::Cast(DType::I32), floats, vec![i32s(&[1, -1, 0, 0, 3])]),
    ]
}

fn products() -> Vec<Case> {
    let x = Value::f32s([1, 2], &[1.0, 2.0]);
    let w = Value::f32s([2, 2], &[3.0, 4.0, 5.0, 6.0]);
    let bias = Value::f32s([2], &[0.5, -1.0]);
    let row = |values: [f32; 2]| vec![Value::f32s([1, 2], &values)];
    let table = Value::f32s([3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    vec![
        case("matmul", Op::Matmul { transposed: false }, vec![x.clone(), w.clone()], row([13.0, 16.0])),
        case(
            "matmul transposed",
            Op::Matmul { transposed: true },
            vec![x.clone(), w.clone()],
            row([11.0, 17.0]),
        ),
        case("linear", Op::Linear, vec![x, w, bias], row([11.5, 16.0])),
        case("embed", Op::Embed, vec![Value::i32s([1], &[2]), table], row([5.0, 6.0])),
    ]
}

/// Pages of four slots: slot 6 is place 2 of page 1.
fn states() -> Vec<Case> {
    let state = |values: [f32; 8]| Value::f32s([2, 4, 1], &values);
    let values = Value::f32s([2, 1], &[10.0, 20.0]);
    let written = vec![state([0.0, 20.0, 0.0, 0.0, 0.0, 0.0, 10.0, 0.0])];
    let read = vec![Value::f32s([1, 8, 1], &[5.0, 6.0, 7.0, 8.0, 1.0, 2.0, 3.0, 4.0])];
    let counted = state([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    let args = vec![state([0.0; 8]), Value::i32s([2], &[6, 1]), values];
    vec![
        case("state_write", Op::StateWrite, args, written).exact(),
        case("state_read", Op::StateRead, vec![counted, Value::i32s([1, 2], &[1, 0])], read).exact(),
    ]
}

/// What one rank makes alone is the sum of all, and all of it.
fn collectives() -> Vec<Case> {
    let x = || Value::f32s([2, 2], &[1.0, -2.0, f32::INFINITY, 0.5]);
    vec![
        case("all_reduce", Op::AllReduce { ranks: 1 }, vec![x()], vec![x()]).exact(),
        case("all_gather", Op::AllGather { axis: 1, ranks: 1 }, vec![x()], vec![x()]).exact(),
    ]
}
