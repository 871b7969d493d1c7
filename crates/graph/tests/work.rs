//! Operations and bytes, against sums done by hand.

mod common;

use common::{Made, PAGE_LEN, VOCAB, WIDTH, plain};
use graph::{Act, Dim, GroupCounts, GroupId, Op, StepCounts, Ty, Var, Work};
use tensor::DType;

const T: Dim = Dim::Var(Var::Tokens);

fn f32s(axes: &[Dim]) -> Ty {
    Ty::new(DType::F32, graph::Dims::new(axes))
}

fn i32s(axes: &[Dim]) -> Ty {
    Ty::new(DType::I32, graph::Dims::new(axes))
}

fn work(op: &Op, args: &[Ty], counts: &StepCounts) -> Work {
    let results = op.infer(args).expect("legal");
    op.work(args, &results, counts)
}

/// Three tokens of two sequences; padding counts nothing.
fn counts() -> StepCounts {
    StepCounts { tokens: 3, seqs: 2, rows: 2, padding: 5, ..StepCounts::default() }
}

#[test]
fn linear() {
    let (x, w) = (f32s(&[T, Dim::Fixed(32)]), Ty::new(DType::Q8_0, [5, 32]));
    let work = work(&Op::Linear, &[x, w, Ty::new(DType::BF16, [5])], &counts());
    let wanted = Work {
        operations: 2.0 * 3.0 * 5.0 * 32.0,
        // Five blocks of 34 bytes, and five of two.
        weight_bytes: 180.0,
        state_bytes: 0.0,
        // 3 * 32 in and 3 * 5 out, of four bytes.
        value_bytes: 444.0,
        link_bytes: 0.0,
    };
    assert_eq!(work, wanted);
    assert_eq!(work.bytes(), 624.0);
}

#[test]
fn embed_reads_the_rows_it_needs() {
    let work = work(&Op::Embed, &[i32s(&[T]), Ty::new(DType::Q4_0, [1000, 64])], &counts());
    // Three rows of two blocks of 18 bytes.
    assert_eq!((work.operations, work.weight_bytes), (0.0, 108.0));
}

#[test]
fn attention_is_priced_by_what_is_attended() {
    let group = GroupId(1);
    let state = Ty::new(DType::F16, [Dim::Pool(group), 4.into(), 2.into(), 8.into()]);
    let seqs = Dim::Var(Var::Seqs);
    let q = f32s(&[T, 4.into(), 8.into()]);
    let args = [q, state, state, i32s(&[T]), i32s(&[T]), i32s(&[seqs, Dim::Var(Var::Pages)]), i32s(&[seqs])];
    let group = GroupCounts { attended: 10, positions: 7 };
    let counts = StepCounts { groups: vec![GroupCounts::default(), group], ..counts() };
    let wanted = Work {
        // Scores and sums, 2 operations each, of 10 pairs, 4 heads and 8 elements.
        operations: 1280.0,
        weight_bytes: 0.0,
        // 7 positions, keys and values, 2 heads of 8 elements of 2 bytes.
        state_bytes: 448.0,
        // Queries in, heads out: 3 * 4 * 8 of four bytes, twice.
        value_bytes: 768.0,
        link_bytes: 0.0,
    };
    assert_eq!(work(&Op::Attention { scale: 1.0, window: Some(5) }, &args, &counts), wanted);
}

#[test]
fn writing_a_state_moves_what_is_written() {
    let state = Ty::new(DType::F16, [Dim::Pool(GroupId(0)), 4.into(), 2.into(), 8.into()]);
    let values = f32s(&[T, 2.into(), 8.into()]);
    let work = work(&Op::StateWrite, &[state, i32s(&[T]), values], &counts());
    assert_eq!((work.state_bytes, work.value_bytes), (96.0, 192.0));
}

#[test]
fn experts_are_read_once_if_anyone_chose_them() {
    let [gate, down] = [[8, 64, 32], [8, 32, 64]].map(|axes| Ty::new(DType::MXFP4, axes));
    let pair = [T, 2.into()];
    let mut args = vec![f32s(&[T, 32.into()]), f32s(&pair), i32s(&pair), gate, gate, down];
    for width in [64, 64, 32] {
        args.push(Ty::new(DType::BF16, [8, width]));
    }
    let op = Op::ExpertFfn { act: Act::Silu, biased: true };
    let known = work(&op, &args, &StepCounts { experts_touched: Some(4.0), ..counts() });
    // Three tokens, two experts each, three products of 32 by 64.
    assert_eq!(known.operations, 2.0 * 3.0 * 2.0 * 3.0 * 2048.0);
    // Each expert is 3 * 64 blocks of 17 bytes, and 160 biases of two.
    assert_eq!(known.weight_bytes, 4.0 * (3264.0 + 320.0));

    // Where nobody counted: of 8 experts, each is missed by three tokens with probability (6/8)^3.
    let expected = work(&op, &args, &counts());
    assert!((expected.weight_bytes - 8.0 * (1.0 - 0.421_875) * 3584.0).abs() < 1e-6);
}

#[test]
fn a_graph_is_all_its_calls() {
    let graph = plain(&Made(|_| DType::F32));
    assert_eq!(graph.page_len, PAGE_LEN);
    let group = GroupCounts { attended: 10, positions: 7 };
    let counts = StepCounts { groups: vec![group], ..counts() };
    let work = graph.work(&counts);
    // Per layer: q and o are 32 by 32, k and v 16 by 32, the three others 64 by 32; two norms.
    let (layer, norm) = (2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32, WIDTH);
    let head = VOCAB * WIDTH;
    let read = 4 * (2 * (layer + 2 * norm) + norm + head) + 3 * 4 * WIDTH;
    assert_eq!(work.weight_bytes, f64::from(read));
    // Read: 7 positions of 2 * 2 * 8 elements of two bytes; written: 3 of them; in two layers.
    assert_eq!(work.state_bytes, 2.0 * (7.0 + 3.0) * 64.0);
    let products = f64::from(2 * (2 * 3 * layer + 4 * 10 * 32) + 2 * 2 * head);
    assert!(work.operations > products && work.operations < 1.1 * products, "{}", work.operations);
}

#[test]
fn collectives_send_what_others_lack() {
    let x = f32s(&[T, 64.into()]);
    // Three rows of 64 f32; of four ranks, three quarters of them go out twice.
    let summed = work(&Op::AllReduce { ranks: 4 }, &[x], &counts());
    assert_eq!((summed.link_bytes, summed.memory_bytes()), (2.0 * 768.0 * 0.75, 0.0));
    // Of the three rows of 256 that are put together, a rank gets three quarters from others, as they do from it.
    let gathered = work(&Op::AllGather { axis: 1, ranks: 4 }, &[x], &counts());
    assert_eq!((gathered.link_bytes, gathered.operations), (4.0 * 768.0 * 0.75, 0.0));
    assert_eq!(work(&Op::AllReduce { ranks: 1 }, &[x], &counts()).link_bytes, 0.0);
}
