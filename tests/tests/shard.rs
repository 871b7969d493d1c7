//! Graphs divided among ranks mean what the whole graph means.

use graph::{Backend, Graph, Part, ShardError, shard, verify};
use models::{Options, shapes};
use neuron::{Dialect, Neuron, Precision};
use polysilicon_tests::golden::{Golden, root};
use polysilicon_tests::lockstep::Lockstep;
use polysilicon_tests::prefill::Prefill;
use polysilicon_tests::xla::Xla;
use tensor::{DType, ErrorStats, WeightSource};

/// Normalised squared error: sums are made of as many parts as there are ranks, and else nothing differs.
const NMSE: f64 = 1e-9;

#[test]
fn every_golden_is_itself_on_two_ranks_and_on_four() {
    let mut faults = vec![];
    for golden in Golden::all() {
        for ranks in [2, 4] {
            if let Err(fault) = in_lockstep(&golden, ranks) {
                faults.push(format!("{} on {ranks} ranks: {fault}", golden.name));
            }
        }
    }
    assert!(faults.is_empty(), "{} fail:\n{}", faults.len(), faults.join("\n"));
}

fn in_lockstep(golden: &Golden, ranks: u32) -> Result<(), String> {
    let graph = shard(&golden.graph(DType::F32)?, ranks).map_err(|error| error.to_string())?;
    verify(&graph).map_err(|error| error.to_string())?;
    check(golden, &graph, &Lockstep::new())
}

const XLA_GOLDENS: [&str; 6] = [
    "gpt-oss-mxfp4-full-first",
    "llama-biases",
    "llama-gqa-tied-odd-vocab",
    "mistral-window-in-decode",
    "qwen2-untied",
    "qwen3-mqa-untied",
];

#[test]
fn modules_of_ranks_give_the_logits_of_transformers_on_xla() {
    if !Xla::is_present() {
        return;
    }
    let options = neuron::Options::new(Precision::F32, Dialect::Stock);
    // One of each architecture, with whatever does not divide by itself.
    let goldens = XLA_GOLDENS.map(|name| Golden::open(&root().join("goldens").join(name)));
    let mut faults = vec![];
    for ranks in [2, 4] {
        let backend = Neuron::new(Xla::start_on(ranks), "stock XLA", options);
        for golden in &goldens {
            let graph = golden.graph(DType::F32).expect("a graph");
            if let Err(fault) = check(golden, &graph, &backend) {
                faults.push(format!("{} on {ranks} ranks: {fault}", golden.name));
            }
        }
    }
    assert!(faults.is_empty(), "{} fail:\n{}", faults.len(), faults.join("\n"));
}

fn check(golden: &Golden, graph: &Graph, backend: &dyn Backend) -> Result<(), String> {
    let context = (golden.ids.len() + golden.greedy.len()) as u32;
    let mut prefill =
        Prefill::open(backend, graph, &*golden.source, context).map_err(|error| error.to_string())?;
    let fetch = prefill.feed(&golden.ids, &[]).map_err(|error| error.to_string())?;
    let stats = ErrorStats::new(&fetch.logits, &golden.logits);
    if !stats.within(NMSE) {
        return Err(format!("{stats}"));
    }
    let mut last = fetch.sampled.last().expect("a row per token").id;
    for (place, &want) in golden.greedy.iter().take(4).enumerate() {
        if last != want {
            return Err(format!("greedy token {place} is {last}, not {want}"));
        }
        last = prefill.feed(&[last], &[]).map_err(|error| error.to_string())?.sampled[0].id;
    }
    Ok(())
}

/// The graph of one rank of a real shape, its weights in a type.
fn graph_of(name: &str, target: &str, ranks: u32) -> Result<Graph, ShardError> {
    let options = Options { kv: DType::BF16, page_len: 16 };
    let config = shapes::config(name).expect("a shape");
    let source = shapes::weights(&config, &options, target.parse().expect("a type")).expect("a model");
    let source: &dyn WeightSource = &source;
    shard(&models::describe(name, &config, &options, &source).expect("a graph"), ranks)
}

#[test]
fn what_does_not_divide_is_filled_up_or_refused() {
    // 2880 is 22.5 blocks of 32 for each of four ranks: three have 23, and the last 21 and two of zeros.
    let graph = graph_of("gpt-oss-20b", "mxfp4", 4).unwrap();
    let of = |name: &str| graph.weights.iter().find(|w| w.name == name).unwrap();
    let [up, down] = ["up", "down"].map(|part| of(&format!("layers.0.mlp.experts.{part}_proj.weight")));
    assert_eq!((&up.info.shape[..], &down.info.shape[..]), (&[32, 736, 2880][..], &[32, 2880, 736][..]));
    assert_eq!(down.part, Part::Slice { axis: 2, whole: 2880, copies: 1 });
    assert_eq!(down.part.filling(736, 4), 64);
    assert_eq!(of("layers.0.mlp.experts.down_proj.bias").part, Part::First);
    // Eight kv heads for sixteen ranks: two ranks have the same.
    let graph = graph_of("llama-3.1-8b", "bf16", 16).unwrap();
    let k = graph.weights.iter().find(|w| w.name.ends_with("0.self_attn.k_proj.weight")).unwrap();
    assert_eq!(k.part, Part::Slice { axis: 0, whole: 1024, copies: 2 });
    assert_eq!(graph.states[0].slot.shape().unwrap()[..], [1, 128]);
    // Fourteen heads do not divide by four.
    let error = graph_of("qwen2.5-0.5b", "bf16", 4).unwrap_err();
    assert!(matches!(error, ShardError::Heads { heads: 14, ranks: 4, fits: 2, .. }), "{error}");
    // Neither do blocks of 256: two heads of 64 are half of one.
    let error = graph_of("llama-3.2-1b", "q4_k", 16).unwrap_err();
    assert!(matches!(error, ShardError::Blocks { part: 128, block: 256, .. }), "{error}");
    for ranks in [0, 1 << 20] {
        assert_eq!(graph_of("llama-3.1-8b", "bf16", ranks).unwrap_err(), ShardError::Ranks { ranks });
    }
}

#[test]
fn a_rank_reads_its_share() {
    let whole = graph_of("llama-3.1-8b", "bf16", 1).unwrap();
    for ranks in [2u64, 4, 8] {
        let graph = graph_of("llama-3.1-8b", "bf16", ranks as u32).unwrap();
        verify(&graph).unwrap();
        let norms = whole.weights.iter().filter(|w| w.info.shape.len() == 1);
        let norms = norms.map(|w| w.info.bytes().unwrap() as u64).sum::<u64>();
        assert_eq!(graph.weight_bytes(), (whole.weight_bytes() - norms) / ranks + norms);
        assert_eq!(graph.page_bytes(graph::GroupId(0)), whole.page_bytes(graph::GroupId(0)) / ranks);
        // Layers are still one function that is called often.
        assert_eq!(graph.funcs.len(), whole.funcs.len());
        let summed = graph.to_string().matches("all_reduce").count();
        assert_eq!(summed, 2, "after attention and after the feed-forward");
    }
}

#[test]
fn a_device_alone_refuses_a_graph_of_ranks() {
    let golden = Golden::all().remove(0);
    let graph = shard(&golden.graph(DType::F32).unwrap(), 2).unwrap();
    let cpu = cpu::Cpu::new(&cpu::Options::default()).unwrap();
    let backends: [&dyn Backend; 3] = [&reference::Reference::new(), &candle::Candle::new(), &cpu];
    for backend in backends {
        let error = backend.load(&graph, &*golden.source).map(drop).unwrap_err();
        assert!(error.to_string().contains("a graph of 2 ranks: it computes alone"), "{error}");
    }
    let op = graph::Op::AllReduce { ranks: 2 };
    let x = tensor::Value::f32s([1], &[1.0]);
    assert!(reference::eval(&op, &[x], 4, &graph::Bucket::default(), false).is_err());
}
