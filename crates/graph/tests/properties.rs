//! Random operations on random types: typing is total, and whatever it lets through expands into legal core operations.

use graph::{
    Act, BinaryOp, Bucket, CompareOp, Dim, Dims, Graph, GroupId, Literal, Op, ReduceOp, StepCounts, Ty,
    UnaryOp, Var, expand, verify,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use tensor::DType;

fn any_dim() -> impl Strategy<Value = Dim> {
    prop_oneof![
        6 => (0u32..4).prop_map(Dim::Fixed),
        1 => Just(Dim::Fixed(u32::MAX)),
        2 => select(vec![Dim::Var(Var::Tokens), Dim::Var(Var::Pages), Dim::Times(Var::Rows, 3)]),
        1 => Just(Dim::Times(Var::Pages, u32::MAX)),
        1 => Just(Dim::Pool(GroupId(0))),
    ]
}

fn any_dims() -> impl Strategy<Value = Dims> {
    prop::collection::vec(any_dim(), 0..=6).prop_map(|axes| Dims::new(&axes))
}

fn any_ty() -> impl Strategy<Value = Ty> {
    let dtype = prop_oneof![4 => Just(DType::F32), 3 => Just(DType::I32), 2 => select(DType::ALL.to_vec())];
    (dtype, any_dims()).prop_map(|(dtype, dims)| Ty::new(dtype, dims))
}

fn any_number() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0u32..6, 1 => Just(u32::MAX)]
}

fn any_core() -> impl Strategy<Value = Op> {
    prop_oneof![
        any_number().prop_map(Op::Param),
        any_number().prop_map(|n| Op::Call(graph::FuncId(n))),
        select(vec![Literal::Scalar(1.0), Literal::Int(1), Literal::Vector(vec![])]).prop_map(Op::Constant),
        select(DType::ALL.to_vec()).prop_map(Op::Cast),
        (select(DType::ALL.to_vec()), any_dims(), 0u8..8).prop_map(|(dtype, dims, axis)| Op::Iota {
            dtype,
            dims,
            axis
        }),
        any_dims().prop_map(Op::Reshape),
        any_dims().prop_map(Op::Broadcast),
        prop::collection::vec(0u8..7, 0..7).prop_map(Op::Transpose),
        (0u8..8, any_number(), any_number()).prop_map(|(axis, start, len)| Op::Slice { axis, start, len }),
        (0u8..8).prop_map(|axis| Op::Concat { axis }),
        select(vec![UnaryOp::Neg, UnaryOp::Exp]).prop_map(Op::Unary),
        select(vec![BinaryOp::Add, BinaryOp::Div]).prop_map(Op::Binary),
        select(vec![CompareOp::Equal, CompareOp::Less]).prop_map(Op::Compare),
        select(vec![ReduceOp::Sum, ReduceOp::Max]).prop_map(Op::Reduce),
        any::<bool>().prop_map(|transposed| Op::Matmul { transposed }),
        any_number().prop_map(Op::TopK),
        any_number().prop_map(|ranks| Op::AllReduce { ranks }),
        (0u8..8, any_number()).prop_map(|(axis, ranks)| Op::AllGather { axis, ranks }),
        select(vec![Op::Gather, Op::Select, Op::Dequantize, Op::Softmax, Op::StateRead, Op::StateWrite]),
    ]
}

fn any_composite() -> impl Strategy<Value = Op> {
    prop_oneof![
        select(vec![
            Op::Embed,
            Op::Linear,
            Op::RmsNorm { eps: 1e-5 },
            Op::Rope { scale: 2.0 },
            Op::GatedAct(Act::Gelu),
            Op::Attention { scale: 1.0, window: Some(3) },
            Op::NormRope { eps: 1e-5, scale: 2.0 },
        ]),
        any_number().prop_map(|k| Op::Route { k }),
        any::<bool>().prop_map(|biased| Op::ExpertFfn { act: Act::Silu, biased }),
        any::<bool>().prop_map(|biased| Op::GatedLinear { act: Act::Silu, biased }),
        any::<bool>().prop_map(|biased| Op::LinearAdd { biased }),
    ]
}

/// A composite on arguments it takes, the bucket they are bound to, and the length of a page.
type Legal = (Op, Vec<Ty>, Bucket, u32);

fn weight(axes: &[u32]) -> impl Strategy<Value = Ty> + use<> {
    let dims = Dims::new(&axes.iter().map(|&n| Dim::Fixed(n)).collect::<Vec<_>>());
    let whole = move |dtype: &DType| axis_len(&dims).is_multiple_of(dtype.block_len() as u32);
    let dtypes = DType::weights().filter(whole).collect::<Vec<_>>();
    select(dtypes).prop_map(move |dtype| Ty::new(dtype, dims))
}

fn axis_len(dims: &Dims) -> u32 {
    dims.last().and_then(|dim| dim.number()).unwrap_or(1)
}

fn f32s(axes: &[u32]) -> Ty {
    Ty::new(DType::F32, Dims::new(&axes.iter().map(|&n| Dim::Fixed(n)).collect::<Vec<_>>()))
}

fn i32s(axes: &[u32]) -> Ty {
    Ty { dtype: DType::I32, ..f32s(axes) }
}

fn act() -> impl Strategy<Value = Act> {
    let clamped = Act::Clamped { alpha: 1.7, limit: 7.0 };
    select(vec![Act::Silu, Act::Gelu, Act::GeluTanh, Act::Relu, clamped])
}

/// Widths that some blocks fill and others do not.
fn width() -> impl Strategy<Value = u32> {
    select(vec![1u32, 3, 32, 64, 256])
}

fn simple() -> impl Strategy<Value = Legal> {
    let one = Bucket::default();
    prop_oneof![
        (1u32..5, 1u32..9, width())
            .prop_flat_map(|(t, v, e)| (Just(t), weight(&[v, e])))
            .prop_map(move |(t, w)| (Op::Embed, vec![i32s(&[t]), w], one, 1)),
        (1u32..5, 1u32..9, width(), any::<bool>())
            .prop_flat_map(|(t, f, e, has)| (Just((t, e, has)), weight(&[f, e]), weight(&[f])))
            .prop_map(move |((t, e, has), w, bias)| {
                let args = [vec![f32s(&[2, t, e]), w], if has { vec![bias] } else { vec![] }].concat();
                (Op::Linear, args, one, 1)
            }),
        (subsequence(vec![2u32, 3, 4, 5], 0..4), width())
            .prop_flat_map(|(outer, e)| (Just([outer, vec![e]].concat()), weight(&[e])))
            .prop_map(move |(x, w)| (Op::RmsNorm { eps: 1e-6 }, vec![f32s(&x), w], one, 1)),
        (1u32..5, 1u32..4, 2u32..9, 0u32..5, select(vec![1.0, 1.5])).prop_map(move |(t, h, d, n, scale)| {
            let args = vec![f32s(&[t, h, d]), i32s(&[t]), f32s(&[n.clamp(1, d / 2)])];
            (Op::Rope { scale }, args, one, 1)
        }),
        (act(), subsequence(vec![2u32, 3, 4, 5, 6, 7], 0..=6)).prop_map(move |(act, axes)| (
            Op::GatedAct(act),
            vec![f32s(&axes); 2],
            one,
            1
        )),
        (1u32..5, 1u32..9, 0u32..9).prop_map(move |(t, x, k)| (
            Op::Route { k: k.clamp(1, x) },
            vec![f32s(&[t, x])],
            one,
            1
        )),
    ]
}

fn fused() -> impl Strategy<Value = Legal> {
    let one = Bucket::default();
    let products = (1u32..5, 1u32..9, width(), any::<bool>(), any::<bool>(), act()).prop_flat_map(
        |(t, f, e, biased, gated, act)| {
            let weights = (weight(&[f, e]), weight(&[f, e]), weight(&[f]), weight(&[f]));
            weights.prop_map(move |(gate, up, a, b)| {
                let (x, biases) = (f32s(&[t, e]), if biased { vec![a, b] } else { vec![] });
                match gated {
                    true => (Op::GatedLinear { act, biased }, [vec![x, gate, up], biases].concat()),
                    false => {
                        let args = [&[x, gate], &biases[..usize::from(biased)], &[f32s(&[t, f])]].concat();
                        (Op::LinearAdd { biased }, args)
                    }
                }
            })
        },
    );
    prop_oneof![
        products.prop_map(move |(op, args)| (op, args, one, 1)),
        (1u32..5, 1u32..4, 2u32..9, 0u32..5, select(vec![1.0, 1.5])).prop_map(move |(t, h, d, n, scale)| {
            let args = vec![f32s(&[t, h, d]), f32s(&[d]), i32s(&[t]), f32s(&[n.clamp(1, d / 2)])];
            (Op::NormRope { eps: 1e-5, scale }, args, one, 1)
        }),
    ]
}

fn attention() -> impl Strategy<Value = Legal> {
    let counts = (1u32..4, 1u32..4, any::<bool>(), 1u32..4, 1u32..6);
    let heads = (1u32..4, 1u32..4, select(vec![1u32, 5, 32]), prop::option::of(1u32..9), any::<bool>());
    (counts, heads).prop_flat_map(
        |((seqs, queries, uniform, pages, page_len), (kv, group, d, window, sinks))| {
            let tokens = if uniform { seqs * queries } else { seqs + queries };
            let bucket =
                Bucket { tokens, seqs, queries: if uniform { queries } else { 0 }, pages, rows: seqs };
            (weight(&[7, page_len, kv, d]), weight(&[kv * group])).prop_map(move |(state, sink)| {
                let mut args = vec![f32s(&[tokens, kv * group, d]), state, state];
                args.extend([i32s(&[tokens]), i32s(&[tokens]), i32s(&[seqs, pages]), i32s(&[seqs])]);
                args.extend(sinks.then_some(sink));
                (Op::Attention { scale: 0.5, window }, args, bucket, page_len)
            })
        },
    )
}

fn experts() -> impl Strategy<Value = Legal> {
    (act(), 1u32..9, 1u32..6, 1u32..6, width(), width(), any::<bool>()).prop_flat_map(
        |(act, t, x, k, e, f, biased)| {
            let weights = (weight(&[x, f, e]), weight(&[x, f, e]), weight(&[x, e, f]));
            let biases = (weight(&[x, f]), weight(&[x, f]), weight(&[x, e]));
            (weights, biases).prop_map(move |((gate, up, down), (a, b, c))| {
                let k = k.min(x);
                let mut args = vec![f32s(&[t, e]), f32s(&[t, k]), i32s(&[t, k]), gate, up, down];
                args.extend(if biased { vec![a, b, c] } else { vec![] });
                (Op::ExpertFfn { act, biased }, args, Bucket::default(), 1)
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn typing_never_panics(
        op in prop_oneof![any_core(), any_composite()],
        args in prop::collection::vec(any_ty(), 0..10),
        alike in any::<bool>(),
    ) {
        // Arguments of one type are taken more often than arguments of any.
        let args = if alike { vec![args.first().copied().unwrap_or(Ty::new(DType::F32, [2])); args.len()] } else { args };
        match op.infer(&args) {
            Ok(results) => {
                prop_assert!(!results.is_empty());
                let work = op.work(&args, &results, &StepCounts { tokens: 3, seqs: 2, ..StepCounts::default() });
                prop_assert!(work.bytes() >= 0.0 && work.operations >= 0.0, "{work:?}");
            }
            Err(error) => prop_assert!(error.to_string().starts_with(&op.to_string())),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn expansions_are_legal((op, args, bucket, page_len) in prop_oneof![simple(), fused(), attention(), experts()]) {
        let mut graph = Graph::of_op(&op, &args, page_len).expect("made to be legal");
        let types = graph.main().tys(&graph.main().results);
        let expanded = expand(&graph, &bucket, &|_| false);
        prop_assert_eq!(&expanded.main().tys(&expanded.main().results), &types);
        prop_assert!(!expanded.main().nodes.iter().any(|node| node.op.is_composite()));

        // A step has one result besides its states; of routes, the other is left out.
        for graph in [&mut graph, &mut expanded.clone()] {
            graph.funcs[0].results.truncate(1);
            prop_assert_eq!(verify(graph), Ok(()));
        }
    }
}
