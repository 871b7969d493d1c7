//! Every golden on every backend: logits and greedy tokens as `transformers` gave them.

use graph::Backend;
use neuron::{Dialect, Neuron, Options, Precision};
use polysilicon_tests::cuda_host;
use polysilicon_tests::golden::Golden;
use polysilicon_tests::prefill::Prefill;
use polysilicon_tests::skip;
use polysilicon_tests::xla::Xla;
use tensor::{DType, ErrorStats};

/// Normalised squared error of a backend that computes in f32.
const NMSE: f64 = 1e-9;

#[test]
fn reference_gives_the_logits_of_transformers() {
    gives_the_logits(&reference::Reference::new());
}

#[test]
fn candle_gives_the_logits_of_transformers() {
    gives_the_logits(&candle::Candle::new());
}

#[test]
fn cpu_gives_the_logits_of_transformers_at_every_level() {
    for isa in simd::Isa::present() {
        let options = cpu::Options { threads: Some(2), precision: cpu::Precision::F32, isa: Some(isa) };
        gives_the_logits(&cpu::Cpu::new(&options).expect("the level is present"));
    }
}

#[test]
fn cuda_gives_the_logits_of_transformers() {
    if cuda_host::is_present() {
        // Compiling the kernels of a golden takes seconds, so there are a few of every kind here; a GPU is held to all.
        let names = [
            "gpt-oss-mxfp4",
            "llama-yarn-rope",
            "llama-mqa-head-dim",
            "mistral-window",
            "qwen2-untied",
            "qwen3-gqa-tied",
        ];
        let goldens = Golden::all().into_iter().filter(|golden| names.contains(&&*golden.name));
        let goldens = goldens.collect::<Vec<_>>();
        assert_eq!(goldens.len(), names.len());
        give_the_logits(&cuda_host::backend(cuda_host::EXACTLY), &goldens);
    }
}

#[test]
fn a_gpu_gives_the_logits_of_transformers() {
    match cuda_host::gpu() {
        Some(driver) => gives_the_logits(&cuda::Cuda::new(std::sync::Arc::clone(driver), cuda_host::EXACTLY)),
        None => skip::say("ran on no GPU: there is none here"),
    }
}

#[test]
fn modules_for_neuron_give_the_logits_of_transformers_on_xla() {
    if Xla::is_present() {
        let options = Options::new(Precision::F32, Dialect::Stock);
        gives_the_logits(&Neuron::new(Xla::start(), "stock XLA", options));
    }
}

fn gives_the_logits(backend: &dyn Backend) {
    give_the_logits(backend, &Golden::all());
}

fn give_the_logits(backend: &dyn Backend, goldens: &[Golden]) {
    let mut faults = vec![];
    for golden in goldens {
        if let Err(fault) = check(backend, golden) {
            faults.push(format!("{}: {fault}", golden.name));
        }
    }
    assert!(faults.is_empty(), "{} of the goldens fail:\n{}", faults.len(), faults.join("\n"));
}

fn check(backend: &dyn Backend, golden: &Golden) -> Result<(), String> {
    let graph = golden.graph(DType::F32)?;
    graph::verify(&graph).map_err(|error| error.to_string())?;
    let context = (golden.ids.len() + golden.greedy.len()) as u32;
    let open = || Prefill::open(backend, &graph, &*golden.source, context).map_err(|error| error.to_string());

    // The prompt at once, and in pieces of seven: logits must not depend on it.
    let mut whole = open()?;
    let fetch = whole.feed(&golden.ids, &[]).map_err(|error| error.to_string())?;
    let mut pieces = open()?;
    let mut logits = vec![];
    for piece in golden.ids.chunks(7) {
        logits.extend(pieces.feed(piece, &[]).map_err(|error| error.to_string())?.logits);
    }
    for (how, logits) in [("at once", &fetch.logits), ("in pieces", &logits)] {
        let stats = ErrorStats::new(logits, &golden.logits);
        if !stats.within(NMSE) {
            return Err(format!("{how}: {stats}"));
        }
    }
    let mut last = fetch.sampled.last().expect("a row per token").id;
    for (place, &want) in golden.greedy.iter().enumerate() {
        if last != want {
            return Err(format!("greedy token {place} is {last}, not {want}"));
        }
        last = whole.feed(&[last], &[]).map_err(|error| error.to_string())?.sampled[0].id;
    }
    Ok(())
}
