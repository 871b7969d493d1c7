//! `diff`: two devices on one prompt. It finds nothing where nothing is broken, and where one kernel is broken
//! deliberately it names that kernel's value.
//!
//! The broken device is the reference running a graph in which one operation of one layer has another attribute, as a
//! kernel that gets this operation wrong would.

use std::path::PathBuf;
use std::sync::Arc;

use graph::{Act, Backend, BackendError, Budget, Caps, Executor, FuncId, Graph, Op, Weights};
use polysilicon::{Device, Model, diff, diff_models};
use polysilicon_tests::golden::{Golden, root};
use reference::Reference;
use tensor::WeightSource;

/// Normalised squared error between devices that compute in f32; a broken kernel is far above it.
const NMSE: f64 = 1e-9;

#[test]
fn candle_and_reference_agree_on_every_golden() {
    for golden in Golden::all() {
        let path = path(&golden.name);
        let found = diff(&path, Device::Candle, Device::Reference, &golden.ids, NMSE);
        let found = found.unwrap_or_else(|error| panic!("{}: {error}", golden.name));
        assert!(found.compared > 20, "{}: only {} values were compared", golden.name, found.compared);
        assert_eq!(found.first, None, "{}: {found}", golden.name);
    }
}

#[test]
fn a_broken_kernel_is_named() {
    type Break = (&'static str, &'static str, &'static str, fn(&Op) -> Op);
    let breaks: [Break; 7] = [
        ("llama-gqa-llama3-rope", "layers.1", "self_attn.heads", wrong_scale),
        ("llama-gqa-llama3-rope", "layers.0", "input_layernorm", |_| Op::RmsNorm { eps: 0.01 }),
        ("llama-gqa-llama3-rope", "layers.1", "self_attn.k_rope", |_| Op::Rope { scale: 0.9 }),
        ("llama-gqa-llama3-rope", "layers.1", "mlp.act", |_| Op::GatedAct(Act::GeluTanh)),
        ("mistral-window", "layers.0", "self_attn.heads", wrong_window),
        ("gpt-oss-mxfp4", "layers.1", "mlp", wrong_clamp),
        ("qwen3-gqa-tied", "layers.1", "attn_residual", |_| Op::Binary(graph::BinaryOp::Sub)),
    ];
    for (model, layer, name, broken) in breaks {
        let ids = Golden::open(&root().join("goldens").join(model)).ids;
        let load = |backend: &dyn Backend| {
            let model = Model::open(&path(model)).expect("a golden is a model");
            model.load_on(backend).expect("a golden loads")
        };
        let device = Broken { layer, name, broken, inner: Reference::new() };
        let found = diff_models(&load(&device), &load(&Reference::new()), &ids, NMSE).expect("both run");
        let first = found.first.unwrap_or_else(|| panic!("{model}: nobody notices {layer}.{name}"));
        assert_eq!(first.name, format!("{layer}.{name}"), "{model}: {}", first.stats);
        assert!(!first.op.is_empty(), "the operation is told with the value");
        assert!(first.stats.nmse > 100.0 * NMSE, "{model}: {} is hardly broken", first.stats);
    }
}

#[test]
fn where_the_numbers_end_is_named() {
    let ids = Golden::open(&root().join("goldens/qwen3-gqa-tied")).ids;
    let load = |backend: &dyn Backend| {
        Model::open(&path("qwen3-gqa-tied")).and_then(|model| model.load_on(backend)).expect("a golden loads")
    };
    let (layer, name) = ("layers.1", "post_attention_layernorm");
    let device = Broken { layer, name, broken: |_| Op::RmsNorm { eps: f32::NAN }, inner: Reference::new() };
    let found = diff_models(&load(&device), &load(&Reference::new()), &ids, NMSE).expect("both run");
    assert_eq!(found.first.map(|first| first.name), Some("layers.1.post_attention_layernorm".to_owned()));
}

fn wrong_scale(op: &Op) -> Op {
    match *op {
        Op::Attention { scale, window } => Op::Attention { scale: scale * 1.1, window },
        ref other => panic!("{other} is no attention"),
    }
}

fn wrong_window(op: &Op) -> Op {
    match *op {
        Op::Attention { scale, window } => Op::Attention { scale, window: window.map(|window| window + 1) },
        ref other => panic!("{other} is no attention"),
    }
}

fn wrong_clamp(_: &Op) -> Op {
    Op::ExpertFfn { act: Act::Clamped { alpha: 1.6, limit: 7.0 }, biased: true }
}

fn path(golden: &str) -> String {
    let path: PathBuf = root().join("goldens").join(golden);
    path.to_string_lossy().into_owned()
}

/// The reference with one operation of one layer replaced.
struct Broken {
    layer: &'static str,
    name: &'static str,
    broken: fn(&Op) -> Op,
    inner: Reference,
}

impl Backend for Broken {
    fn caps(&self) -> &Caps {
        self.inner.caps()
    }

    fn load(&self, graph: &Graph, source: &dyn WeightSource) -> Result<Arc<dyn Weights>, BackendError> {
        self.inner.load(graph, source)
    }

    fn open(
        &self,
        graph: &Graph,
        weights: Arc<dyn Weights>,
        budget: &Budget,
    ) -> Result<Box<dyn Executor>, BackendError> {
        self.inner.open(&with_broken(graph, self.layer, self.name, self.broken), weights, budget)
    }
}

/// The graph with the operation that makes `name` in one layer replaced, and in no other layer.
fn with_broken(graph: &Graph, layer: &str, name: &str, broken: fn(&Op) -> Op) -> Graph {
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
