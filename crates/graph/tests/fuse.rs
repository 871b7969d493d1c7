//! Each rewrite on a graph of a few operations: that it applies, that it does not where it may not, and that what
//! comes out is legal.

mod common;

use common::{Made, PAGE_LEN, VOCAB, WIDTH, mixture, plain};
use graph::{
    Act, BinaryOp, Bucket, Dim, Graph, GraphBuilder, GroupCounts, Input, Op, StepCounts, ValueId, Var, bind,
    expand, fuse, fuse_counted, verify,
};
use tensor::DType;

const F32: Made = Made(|_| DType::F32);
const T: Dim = Dim::Var(Var::Tokens);
const ADD: Op = Op::Binary(BinaryOp::Add);
const SILU: Op = Op::GatedAct(Act::Silu);

/// A graph of what `body` makes of an embedding `x: [T, E]`.
fn tiny(body: impl FnOnce(&mut GraphBuilder<'_>, ValueId) -> ValueId) -> Graph {
    let mut g = GraphBuilder::new("tiny", VOCAB, PAGE_LEN, &F32);
    let tokens = g.input(Input::Tokens);
    let table = g.weight("embed", &[VOCAB, WIDTH]);
    let x = g.op(Op::Embed, &[tokens, table]);
    let out = body(&mut g, x);
    let graph = g.finish(out).expect("a graph");
    verify(&graph).expect("legal");
    graph
}

/// The rewrites applied, and the words of what is left behind the embedding.
fn fused(graph: &Graph, keep: &[&str]) -> (Vec<(&'static str, usize)>, Vec<String>) {
    let keep = keep.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let (fused, mut counts) = fuse_counted(graph, &keep);
    verify(&fused).unwrap_or_else(|error| panic!("{error}\n{fused}"));
    for name in &keep {
        assert_eq!(fused.op_of(name).is_some(), graph.op_of(name).is_some(), "{name} is kept");
        assert_eq!(fused.ty_of(name), graph.ty_of(name));
    }
    counts.retain(|(_, count)| *count > 0);
    let nodes = fused.main().nodes.iter().filter(|node| !matches!(node.op, Op::Param(_) | Op::Embed));
    (counts, nodes.map(|node| node.op.name().to_owned()).collect())
}

fn linear(g: &mut GraphBuilder<'_>, name: &str, x: ValueId, bias: bool) -> ValueId {
    let mut args = vec![x, g.weight(name, &[WIDTH, WIDTH])];
    args.extend(bias.then(|| g.weight(&format!("{name}.bias"), &[WIDTH])));
    let y = g.op(Op::Linear, &args);
    g.name(y, name)
}

#[test]
fn gated_linear() {
    for biases in [[false, false], [true, true], [true, false]] {
        let graph = tiny(|g, x| {
            let (gate, up) = (linear(g, "gate", x, biases[0]), linear(g, "up", x, biases[1]));
            let y = g.op(SILU, &[gate, up]);
            g.name(y, "act")
        });
        let apart = vec!["linear", "linear", "gated_act"];
        if biases[0] != biases[1] {
            assert_eq!(fused(&graph, &[]).1, apart);
            continue;
        }
        let (counts, ops) = fused(&graph, &["act"]);
        assert_eq!(
            (&counts[..], &ops[..]),
            (&[("unused", 2), ("gated_linear", 1)][..], &["gated_linear".to_owned()][..])
        );
        let node = fuse(&graph, &[]);
        let node = node.main().nodes.last().expect("a node");
        assert_eq!(node.op, Op::GatedLinear { act: Act::Silu, biased: biases[0] });
        assert_eq!(node.name.as_deref(), Some("act"));
        for keep in ["gate", "up"] {
            assert_eq!(fused(&graph, &[keep]).1, apart);
        }
    }
}

#[test]
fn gated_linear_needs_one_input_and_products_of_its_own() {
    let two_inputs = tiny(|g, x| {
        let (gate, y) = (linear(g, "gate", x, false), g.add(x, x));
        let up = linear(g, "up", y, false);
        g.op(SILU, &[gate, up])
    });
    assert!(fused(&two_inputs, &[]).1.contains(&"gated_act".to_owned()));
    let read_twice = tiny(|g, x| {
        let (gate, up) = (linear(g, "gate", x, false), linear(g, "up", x, false));
        let y = g.op(SILU, &[gate, up]);
        g.op(Op::Binary(BinaryOp::Mul), &[y, up])
    });
    assert_eq!(fused(&read_twice, &[]).1, ["linear", "linear", "gated_act", "binary"]);
    let of_one = tiny(|g, x| {
        let gate = linear(g, "gate", x, false);
        g.op(SILU, &[gate, gate])
    });
    assert_eq!(fused(&of_one, &[]).1, ["linear", "gated_act"]);
}

#[test]
fn linear_add() {
    for (bias, swapped) in [(false, false), (true, false), (false, true), (true, true)] {
        let graph = tiny(|g, x| {
            let y = linear(g, "product", x, bias);
            let y = if swapped { g.op(ADD, &[y, x]) } else { g.op(ADD, &[x, y]) };
            g.name(y, "sum")
        });
        let (counts, ops) = fused(&graph, &["sum"]);
        assert_eq!(counts, [("unused", 1), ("linear_add", 1)]);
        assert_eq!(ops, ["linear_add"]);
        let sum = fuse(&graph, &[]);
        let node = sum.main().nodes.last().expect("a node");
        assert_eq!(
            (&node.op, node.args[0], node.args[node.args.len() - 1]),
            (&Op::LinearAdd { biased: bias }, ValueId(2), ValueId(2))
        );
        assert_eq!(fused(&graph, &["product"]).1, ["linear", "binary"]);
    }
}

#[test]
fn linear_add_needs_a_product_of_its_own_and_one_shape() {
    let read_twice = tiny(|g, x| {
        let y = linear(g, "product", x, false);
        let z = g.op(ADD, &[x, y]);
        g.op(Op::Binary(BinaryOp::Mul), &[z, y])
    });
    assert_eq!(fused(&read_twice, &[]).1, ["linear", "binary", "binary"]);
    let repeated = tiny(|g, x| {
        let (y, row) = (linear(g, "product", x, false), g.weight("row", &[1, WIDTH]));
        g.op(ADD, &[y, row])
    });
    assert_eq!(fused(&repeated, &[]).1, ["linear", "binary"]);
    let of_two = tiny(|g, x| {
        let (a, b) = (linear(g, "a", x, false), linear(g, "b", x, false));
        g.op(ADD, &[b, a])
    });
    let of_two = fuse(&of_two, &[]);
    assert!(of_two.to_string().contains("linear_add(%2, @b: f32[32, 32], %4)"), "{of_two}");
}

#[test]
fn norm_rope() {
    let turned = |twice: bool| {
        tiny(|g, x| {
            let heads = g.reshape(x, &[T, 4.into(), 8.into()]);
            let (w, positions) = (g.weight("norm", &[8]), g.input(Input::Positions));
            let frequencies = g.vector(vec![1.0, 0.1]);
            let normed = g.op(Op::RmsNorm { eps: 1e-6 }, &[heads, w]);
            g.name(normed, "q_norm");
            let q = g.op(Op::Rope { scale: 1.5 }, &[normed, positions, frequencies]);
            let q = g.name(q, "q_rope");
            if twice { g.op(ADD, &[q, normed]) } else { q }
        })
    };
    let (counts, ops) = fused(&turned(false), &["q_rope"]);
    assert_eq!(counts, [("unused", 1), ("norm_rope", 1)]);
    assert_eq!(ops, ["reshape", "constant", "norm_rope"]);
    let graph = fuse(&turned(false), &[]);
    assert_eq!(graph.op_of("q_rope"), Some(&Op::NormRope { eps: 1e-6, scale: 1.5 }));
    assert!(fused(&turned(false), &["q_norm"]).1.contains(&"rope".to_owned()));
    assert!(fused(&turned(true), &[]).1.contains(&"rope".to_owned()));
}

#[test]
fn reshape_reshape_and_identity() {
    let graph = tiny(|g, x| {
        let y = g.reshape(x, &[T, 4.into(), 8.into()]);
        let y = g.name(y, "heads");
        let y = g.reshape(y, &[T, 2.into(), 16.into()]);
        let y = g.reshape(y, &[T, WIDTH.into()]);
        let y = g.op(Op::Cast(DType::F32), &[y]);
        let y = g.broadcast(y, &[T, WIDTH.into()]);
        g.name(y, "out")
    });
    let (counts, ops) = fused(&graph, &[]);
    // Cast, broadcast and what the reshapes come to.
    assert_eq!(counts, [("unused", 2), ("identity", 3), ("reshape_reshape", 2)]);
    assert!(ops.is_empty(), "{ops:?}");
    // What may be replaced is not passed by, and what is to be seen under a name stays.
    assert_eq!(fused(&graph, &["heads"]).1, ["reshape", "reshape"]);
    assert_eq!(fused(&graph, &["out"]).1, ["broadcast"]);
}

#[test]
fn same_constant() {
    let graph = |values: [f32; 3]| {
        tiny(|g, x| {
            values.iter().enumerate().fold(x, |x, (i, &value)| {
                let c = g.scalar(value);
                let c = g.name(c, &format!("c{i}"));
                g.mul(x, c)
            })
        })
    };
    let (counts, ops) = fused(&graph([2.0, 3.0, 2.0]), &[]);
    assert_eq!(counts, [("same_constant", 1)]);
    assert_eq!(ops, ["constant", "binary", "constant", "binary", "binary"]);
    assert_eq!(fused(&graph([0.0, -0.0, 1.0]), &[]).0, [], "zero is not minus zero");
    assert_eq!(fused(&graph([f32::NAN; 3]), &[]).0, [("same_constant", 2)]);
    assert_eq!(fused(&graph([2.0; 3]), &["c0", "c2"]).0, [], "c1 would be patched with c0");
}

#[test]
fn unused() {
    let graph = tiny(|g, x| {
        let y = linear(g, "a", x, false);
        let y = g.op(Op::Softmax, &[y]);
        g.name(y, "probe");
        g.op(Op::TopK(2), &[x])
    });
    assert_eq!(fused(&graph, &[]), (vec![("unused", 2)], vec!["top_k".to_owned()]));
    assert_eq!(fused(&graph, &["probe"]).1, ["linear", "softmax", "top_k"]);
}

#[test]
fn layers_keep_what_one_of_them_is_to_show() {
    let bucket = Bucket { tokens: 5, seqs: 2, queries: 0, pages: 3, rows: 2 };
    let graph = bind(&mixture(&F32), &bucket);
    let names = graph.names();
    for name in &names {
        let fused = fuse(&graph, std::slice::from_ref(name));
        verify(&fused).expect("legal");
        assert_eq!(fused.ty_of(name), graph.ty_of(name), "{name}");
    }
    assert_eq!(fuse(&graph, &names).names(), names);
}

#[test]
fn fusing_saves_values_and_nothing_else() {
    let counts = StepCounts {
        tokens: 3,
        seqs: 2,
        rows: 2,
        groups: vec![GroupCounts { attended: 10, positions: 7 }],
        ..StepCounts::default()
    };
    let graph = plain(&Made(|_| DType::Q8_0));
    let (fused, applied) = fuse_counted(&graph, &[]);
    let of = |name| applied.iter().find(|(rewrite, _)| *rewrite == name).map(|(_, count)| *count);
    assert_eq!([of("gated_linear"), of("linear_add")], [Some(1), Some(2)]);
    let (before, after) = (graph.work(&counts), fused.work(&counts));
    assert_eq!(after.operations, before.operations);
    assert_eq!((after.weight_bytes, after.state_bytes), (before.weight_bytes, before.state_bytes));
    // In each of two layers gate and up, and two products, are neither written nor read; the input of the first two is
    // read once. All of three tokens and four bytes.
    let saved = 2 * 3 * 4 * (2 * (64 + 64) + 2 * (32 + 32) + 32);
    assert_eq!(before.value_bytes - after.value_bytes, f64::from(saved));
}

#[test]
fn fused_operations_expand_into_what_they_were_made_of() {
    let bucket = Bucket { tokens: 2, seqs: 2, queries: 1, pages: 3, rows: 2 };
    let graph = bind(&plain(&F32), &bucket);
    let ops = |graph: &Graph| {
        let mut ops = vec![];
        expand(graph, &bucket, &|_| false).walk(&mut |_, op, _, _| ops.push(op.to_string()));
        ops
    };
    let (mut before, mut after) = (ops(&graph), ops(&fuse(&graph, &[])));
    before.sort();
    after.sort();
    assert_eq!(before, after);
}
