//! What modules for Neuron chips do beyond operations and logits, on stock XLA: steps that bring no logits to the host,
//! products in bf16, real shapes.

use graph::{Bucket, Fetch, Row, Sampler, Sampling};
use models::shapes;
use neuron::{Bundle, Dialect, Neuron, Options, Precision, Target, bucket_named};
use polysilicon_tests::golden::{Golden, root};
use polysilicon_tests::prefill::Prefill;
use polysilicon_tests::xla::Xla;
use tensor::{DType, ErrorStats, WeightSource};

const STOCK: Options = Options::new(Precision::F32, Dialect::Stock);

#[test]
fn steps_that_bring_no_logits_give_the_same_tokens() {
    if !Xla::is_present() {
        return;
    }
    let golden = Golden::open(&root().join("goldens/llama-gqa-llama3-rope"));
    let graph = golden.graph(DType::F32).unwrap();
    let backend = Neuron::new(Xla::start(), "stock XLA", STOCK);
    let context = (golden.ids.len() + golden.greedy.len()) as u32;
    let mut prefill = Prefill::open(&backend, &graph, &*golden.source, context).unwrap();
    let last = golden.ids.len() as u32 - 1;
    let rows = [Row::new(last, &Sampling::GREEDY)];
    let mut sampled = prefill.feed_rows(&[(0, &golden.ids)], &rows, &[]).unwrap().sampled[0];

    // The log-probability of the first, as the logits of `transformers` give it.
    let row = Row::new(last, &Sampling::GREEDY);
    let logits = &golden.logits[golden.logits.len() - graph.vocab as usize..];
    let mut wanted = Fetch::default();
    Sampler::default().sample(logits, &row, &mut wanted);
    assert!(
        (sampled.logprob - wanted.sampled[0].logprob).abs() < 1e-4,
        "{sampled:?}, not {:?}",
        wanted.sampled[0]
    );

    for &wanted in &golden.greedy {
        assert_eq!(sampled.id, wanted);
        let rows = [Row::new(0, &Sampling::GREEDY)];
        sampled = prefill.feed_rows(&[(0, &[sampled.id])], &rows, &[]).unwrap().sampled[0];
    }
}

/// Normalised squared error of products whose factors are rounded to bf16.
const NMSE_BF16: f64 = 5e-4;

#[test]
fn products_in_bf16_are_near() {
    if !Xla::is_present() {
        return;
    }
    let options = Options { precision: Precision::Bf16, ..STOCK };
    let backend = Neuron::new(Xla::start(), "stock XLA", options);
    for name in ["llama-gqa-llama3-rope", "gpt-oss-mxfp4"] {
        let golden = Golden::open(&root().join("goldens").join(name));
        let graph = golden.graph(DType::BF16).unwrap();
        let mut prefill = Prefill::open(&backend, &graph, &*golden.source, golden.ids.len() as u32).unwrap();
        let fetch = prefill.feed(&golden.ids, &[]).unwrap();
        let stats = ErrorStats::new(&fetch.logits, &golden.logits);
        assert!(stats.within(NMSE_BF16), "{name}: {stats}");
        assert!(!stats.within(1e-9), "{name}: {stats}, as if nothing had been rounded");
    }
}

/// Llama 3.1 8B at its real shape, in modules for its decode and its prompts, with no weight made.
#[test]
fn modules_of_a_real_shape_are_taken_by_xla() {
    if !Xla::is_present() {
        return;
    }
    let options = models::Options { kv: DType::BF16, page_len: 16 };
    let config = shapes::config("llama-3.1-8b").unwrap();
    let source = shapes::weights(&config, &options, weights::Target::One(DType::BF16)).unwrap();
    let source: &dyn WeightSource = &source;
    let graph = models::describe("llama-3.1-8b", &config, &options, &source).unwrap();
    let decode = Bucket { tokens: 8, seqs: 8, queries: 1, pages: 256, rows: 8 };
    let prompt = Bucket { tokens: 512, seqs: 1, queries: 0, pages: 256, rows: 1 };
    let folder = tempfile::tempdir().unwrap();
    let target = Target::named("trn2").unwrap();
    let bundle = Bundle { target, options: Options::default(), ranks: 1, buckets: vec![decode, prompt] };
    let manifest = bundle.write(&graph, folder.path(), None, 1, &|_| ()).unwrap();
    let mut xla = Xla::start();
    for program in manifest["programs"].as_array().unwrap() {
        let module = std::fs::read(folder.path().join(program["module"].as_str().unwrap())).unwrap();
        xla.verify(&module).unwrap_or_else(|error| panic!("{}: {error}", program["name"]));
    }
    // 8,029,995,008 elements of matrices in bf16 and 266,240 of norms in f32; eight times 4096 positions of 128 KiB, and
    // the bin.
    assert_eq!(manifest["bytes_per_core"]["weights"], 16_061_054_976u64);
    assert_eq!(manifest["bytes_per_core"]["states"], (8 * 4096 + 16) * 131_072u64);
    assert_eq!(manifest["programs"][0]["predicted"]["bound"], "memory");
    assert_eq!(manifest["programs"][1]["predicted"]["bound"], "compute");
}

/// The same on the four logical cores of a chip.
#[test]
fn modules_of_ranks_of_a_real_shape_are_taken_by_xla() {
    let options = models::Options { kv: DType::BF16, page_len: 16 };
    let config = shapes::config("llama-3.1-8b").unwrap();
    let source = shapes::weights(&config, &options, weights::Target::One(DType::BF16)).unwrap();
    let source: &dyn WeightSource = &source;
    let graph = models::describe("llama-3.1-8b", &config, &options, &source).unwrap();
    let buckets = ["decode-8x4096", "prefill-512x4096"].map(|name| bucket_named(name, 16).unwrap()).to_vec();
    let folder = tempfile::tempdir().unwrap();
    let target = Target::named("trn2").unwrap();
    let bundle = Bundle { target, options: Options::default(), ranks: 4, buckets };
    let manifest = bundle.write(&graph, folder.path(), None, 1, &|_| ()).unwrap();
    // A quarter of 8,029,995,008 elements of matrices in bf16, and 266,240 of norms in f32; and a quarter of eight times
    // 4096 positions of 128 KiB, and of the bin.
    assert_eq!(manifest["bytes_per_core"]["weights"], 2_007_498_752u64 * 2 + 266_240 * 4);
    assert_eq!(manifest["bytes_per_core"]["states"], (8 * 4096 + 16) * 32_768u64);
    assert_eq!(manifest["programs"][0]["predicted"]["bound"], "memory");
    if !Xla::is_present() {
        return;
    }
    let mut xla = Xla::start_on(4);
    for program in manifest["programs"].as_array().unwrap() {
        let module = std::fs::read(folder.path().join(program["module"].as_str().unwrap())).unwrap();
        xla.verify(&module).unwrap_or_else(|error| panic!("{}: {error}", program["name"]));
    }
}
