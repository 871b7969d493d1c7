//! One kernel deliberately broken: comparing devices value by value must name that value, and nothing where nothing is
//! broken.
//!
//! The broken device is the reference running a graph in which one operation of one layer has another attribute, as a
//! kernel that gets this operation wrong would.

use graph::{Act, Backend, FuncId, Graph, Op};
use polysilicon_tests::conformance::{Divergence, first_divergence};
use polysilicon_tests::golden::{Golden, root};
use polysilicon_tests::prefill::Prefill;
use reference::Reference;
use tensor::DType;

/// Normalised squared error between devices that compute in f32; a broken kernel is far above it.
const NMSE: f64 = 1e-9;

fn golden(name: &str) -> (Golden, Graph) {
    let golden = Golden::open(&root().join("goldens").join(name));
    let graph = golden.graph(DType::F32).expect("a golden is a model");
    (golden, graph)
}

/// The first value in which a device running `got` differs from the reference running `want`.
fn compare(golden: &Golden, device: &dyn Backend, got: &Graph, want: &Graph) -> Option<Divergence> {
    let names = want.names();
    let run = |device: &dyn Backend, graph: &Graph| {
        let mut prefill = Prefill::open(device, graph, &*golden.source, golden.ids.len() as u32)
            .expect("a golden loads on every device");
        prefill.feed(&golden.ids, &names).expect("a prompt runs on every device")
    };
    first_divergence(&names, &run(device, got), &run(&Reference::new(), want), NMSE)
}

/// The graph with the operation that makes `name` in one layer replaced, and in no other layer.
fn with_broken(graph: &Graph, layer: &str, name: &str, broken: impl Fn(&Op) -> Op) -> Graph {
    let mut graph = graph.clone();
    let is_call = |op: &Op| if let Op::Call(callee) = *op { Some(callee) } else { None };
    let call = graph.main().nodes.iter().position(|node| node.name.as_deref() == Some(layer));
    let call = call.expect("the graph has this layer");
    let mut func = graph.func(is_call(&graph.main().nodes[call].op).expect("a layer is called")).clone();
    let node = func.nodes.iter_mut().find(|node| node.name.as_deref() == Some(name));
    let node = node.expect("the layer has this value");
    node.op = broken(&node.op);

    // The layer's own function goes before main, which has to come last.
    let own = graph.main;
    graph.funcs.insert(own.index(), func);
    graph.main = FuncId(own.0 + 1);
    graph.funcs[graph.main.index()].nodes[call].op = Op::Call(own);
    graph::verify(&graph).expect("the graph is broken in its meaning only");
    graph
}

#[test]
fn nothing_differs_where_nothing_is_broken() {
    for name in ["llama-gqa-llama3-rope", "qwen3-gqa-tied", "gpt-oss-mxfp4"] {
        let (golden, graph) = golden(name);
        assert_eq!(compare(&golden, &candle::Candle::new(), &graph, &graph), None, "{name}");
    }
}

#[test]
fn a_broken_kernel_is_named() {
    let wrong_scale = |op: &Op| match *op {
        Op::Attention { scale, window } => Op::Attention { scale: scale * 1.1, window },
        ref other => panic!("{other} is no attention"),
    };
    let wrong_window = |op: &Op| match *op {
        Op::Attention { scale, window } => Op::Attention { scale, window: window.map(|window| window + 1) },
        ref other => panic!("{other} is no attention"),
    };
    let large_epsilon = |_: &Op| Op::RmsNorm { eps: 0.01 };
    let scaled_rope = |_: &Op| Op::Rope { scale: 0.9 };
    let other_act = |_: &Op| Op::GatedAct(Act::GeluTanh);
    let wrong_clamp = |_: &Op| Op::ExpertFfn { act: Act::Clamped { alpha: 1.6, limit: 7.0 }, biased: true };
    let subtracted = |_: &Op| Op::Binary(graph::BinaryOp::Sub);
    type Break<'a> = &'a dyn Fn(&Op) -> Op;
    let breaks: [(&str, &str, &str, Break<'_>); 7] = [
        ("llama-gqa-llama3-rope", "layers.1", "self_attn.heads", &wrong_scale),
        ("llama-gqa-llama3-rope", "layers.0", "input_layernorm", &large_epsilon),
        ("llama-gqa-llama3-rope", "layers.1", "self_attn.k_rope", &scaled_rope),
        ("llama-gqa-llama3-rope", "layers.1", "mlp.act", &other_act),
        ("mistral-window", "layers.0", "self_attn.heads", &wrong_window),
        ("gpt-oss-mxfp4", "layers.1", "mlp", &wrong_clamp),
        ("qwen3-gqa-tied", "layers.1", "attn_residual", &subtracted),
    ];
    for (model, layer, name, broken) in breaks {
        let (golden, graph) = golden(model);
        let broken = with_broken(&graph, layer, name, broken);
        let found = compare(&golden, &Reference::new(), &broken, &graph);
        let found = found.unwrap_or_else(|| panic!("{model}: nobody notices {layer}.{name}"));
        assert_eq!(found.name, format!("{layer}.{name}"), "{model}: {}", found.stats);
        assert!(found.stats.nmse > 100.0 * NMSE, "{model}: {} is hardly broken", found.stats);
    }
}
