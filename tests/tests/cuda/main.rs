//! The CUDA backend as a whole, on a device that is the CPU: whole answers through the engine, tokens chosen on the device,
//! and how many launches a step is.

mod gpu;
mod invariant;
mod prepared;
mod ranks;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use cuda::{Call, Cuda, Driver, Event, Options, Recorder, Source};
use graph::{Act, Backend, Bucket, Graph, Op, ProgramSpec, Sampling as RowSampling};
use polysilicon::{Error, Model, Piece, Sampling};
use polysilicon_tests::conformance::Data;
use polysilicon_tests::cuda_host;
use polysilicon_tests::embedded;
use polysilicon_tests::prefill::Prefill;
use tensor::{DType, ErrorStats, WeightSource};
use weights::Target;

const PROMPT: [u32; 4] = [709, 777, 258, 478];

/// What the built-in model writes: ids and the bits of their log-probabilities.
fn written(backend: &dyn Backend, sampling: &Sampling) -> Result<Vec<(u32, u32)>, Error> {
    let model = Model::open("embedded")?.kv(DType::F32).context(128).ids_only().load_on(backend)?;
    let piece = |piece: Piece| (piece.id.expect("every piece is a token"), piece.logprob.to_bits());
    model.generate(PROMPT.to_vec(), sampling)?.map(|next| next.map(piece)).collect()
}

fn ids(written: &[(u32, u32)]) -> Vec<u32> {
    written.iter().map(|(id, _)| *id).collect()
}

#[test]
fn the_built_in_model_writes_what_the_reference_writes() -> Result<(), Error> {
    if !cuda_host::is_present() {
        return Ok(());
    }
    let greedy = Sampling::default().temperature(0.0).max_tokens(24).ignore_end(true);
    let wanted = ids(&written(&reference::Reference::new(), &greedy)?);
    assert_eq!(wanted.len(), 24);
    assert_eq!(ids(&written(&cuda_host::backend(cuda_host::EXACTLY), &greedy)?), wanted);
    // Rounded activations, where there are many rows, change no token of so sure a model.
    assert_eq!(ids(&written(&cuda_host::backend(Options::default()), &greedy)?), wanted);
    Ok(())
}

/// Many rows are rounded to bf16 for tensor cores, and so are queries and weights of attention: no more than that.
#[test]
fn rounded_rows_stay_close() {
    if !cuda_host::is_present() {
        return;
    }
    let prompt = (0..40).map(|i| i * 37 % 2000).collect::<Vec<_>>();
    for dtype in [DType::BF16, DType::Q8_0, DType::Q4_0, DType::F8_E4M3] {
        let (config, source) = embedded::source(dtype);
        let graph = embedded::describe(&config, &*source, DType::BF16);
        let logits = |options: Options| {
            let mut run =
                Prefill::open(&cuda_host::backend(options), &graph, &*source, 64).expect("there is room");
            run.feed(&prompt, &[]).expect("the step runs").logits
        };
        let stats = ErrorStats::new(&logits(Options::default()), &logits(cuda_host::EXACTLY));
        assert!(stats.nmse > 0.0, "{dtype}: nothing was rounded");
        assert!(stats.within(2e-3), "{dtype}: {stats}");
    }
}

/// Long prompts may be left to a library, which gives the sums alone; what comes after them is done here, and the plan says so.
#[test]
fn products_of_many_rows_may_be_a_librarys() {
    if !cuda_host::is_present() {
        return;
    }
    let (rows, width, features) = (1024, 128, 40);
    let mut data = Data::of("library");
    let x = data.f32s(&[rows, width]);
    let [w, up] = [0, 1].map(|_| data.weight(DType::BF16, &[features, width]));
    let (bias, added) = (data.f32s(&[features]), data.f32s(&[rows, features]));
    let bucket = Bucket { tokens: rows as u32, seqs: 1, queries: 0, pages: 1, rows: 1 };
    let cases = [
        (Op::Linear, vec![x.clone(), w.clone()]),
        (Op::Linear, vec![x.clone(), w.clone(), bias.clone()]),
        (Op::LinearAdd { biased: true }, vec![x.clone(), w.clone(), bias, added]),
        (Op::GatedLinear { act: Act::Silu, biased: false }, vec![x, w, up]),
    ];
    for (op, args) in cases {
        let with = |library| {
            let options = Options { library, ..Options::default() };
            let found = cuda::eval(cuda_host::forwards(), &options, &op, &args, 16, &bucket);
            found.expect("it is multiplied").remove(0)
        };
        let recorder = Arc::new(Recorder::new(1 << 30));
        let driver: Arc<dyn Driver> = recorder.clone();
        let options = Options { library: true, ..Options::default() };
        cuda::eval(&driver, &options, &op, &args, 16, &bucket).expect("it is recorded");
        let played = recorder.take().into_iter().find_map(|event| match event {
            Event::Play(calls) => Some(calls),
            _ => None,
        });
        let products = |call: &&Call| matches!(call, Call::Matmul(_));
        let count = if matches!(op, Op::GatedLinear { .. }) { 2 } else { 1 };
        assert_eq!(played.map(|calls| calls.iter().filter(products).count()), Some(count), "{op}");
        let stats = ErrorStats::new(with(true).as_f32s(), with(false).as_f32s());
        // The same products of the same rounded rows, summed in another order.
        assert!(stats.within(1e-10), "{op}: {stats}");
    }
}

#[test]
fn a_long_prompt_is_multiplied_by_the_library_and_no_other_step_is() {
    let graph = shape("llama-3.2-1b", DType::BF16, DType::BF16);
    let unpacked = |tokens: u32, invariant: bool| {
        let options = Options { library: true, invariant, ..Options::default() };
        let sources = kernels_with(&graph, Bucket { tokens, ..PREFILL }, &options);
        sources.iter().filter(|source| source.kernel == "untile").count()
    };
    // Of each layer q, k, v, o, gate, up and down; of the head one row is wanted.
    assert_eq!(unpacked(2048, false), 16 * 7);
    assert_eq!((unpacked(512, false), unpacked(2048, true)), (0, 0));
}

/// Who asks for the likeliest tokens has the row sampled on the host, from the same logits.
#[test]
fn the_device_draws_what_the_host_draws() -> Result<(), Error> {
    if !cuda_host::is_present() {
        return Ok(());
    }
    for (seed, temperature) in [(1, 0.7), (2, 1.0), (3, 1.9)] {
        let drawn = Sampling::default().temperature(temperature).top_p(1.0).top_k(0).min_p(0.0);
        let drawn = drawn.seed(seed).max_tokens(16).ignore_end(true);
        let on_device = written(&cuda_host::backend(cuda_host::EXACTLY), &drawn)?;
        let on_host = written(&cuda_host::backend(cuda_host::EXACTLY), &drawn.top_logprobs(1))?;
        assert_eq!(on_device, on_host, "at a temperature of {temperature}");
    }
    Ok(())
}

#[test]
fn a_decode_step_is_few_launches() {
    let (config, source) = embedded::source(DType::Q8_0);
    let graph = embedded::describe(&config, &*source, DType::BF16);
    let layers = config.count("num_hidden_layers").expect("it counts its layers") as usize;
    let recorder = Arc::new(Recorder::new(80 << 30));
    let backend = Cuda::new(recorder.clone(), Options::default());
    let mut run = Prefill::open(&backend, &graph, &*source, 64).expect("there is room");
    let sampling = RowSampling::default();
    run.feed_rows(&[(0, &[1])], &[graph::Row::new(0, &sampling)], &[]).expect("it is recorded");
    let events = recorder.take();
    let captured = events.iter().find_map(|event| match event {
        Event::Capture(_, calls) => Some(calls.len()),
        _ => None,
    });
    // Of a layer: q, k and v with their norm; rotations and writes; attention; o; gate and up with their norm; down.
    // Of the whole: the embedding, the last norm, the rows wanted, the head, three for the token.
    assert_eq!(captured, Some(6 * layers + 7), "{layers} layers");
}

/// A launch that begins before the one before it has ended reads nonsense unless its kernel waits.
#[test]
fn launches_that_begin_early_wait_by_themselves() {
    let (config, source) = embedded::source(DType::Q8_0);
    let graph = embedded::describe(&config, &*source, DType::BF16);
    let recorder = Arc::new(Recorder::new(80 << 30));
    let backend = Cuda::new(recorder.clone(), Options { early: true, ..Options::default() });
    let mut run = Prefill::open(&backend, &graph, &*source, 64).expect("there is room");
    let sampling = RowSampling::default();
    run.feed_rows(&[(0, &[1])], &[graph::Row::new(0, &sampling)], &[]).expect("it is recorded");
    let events = recorder.take();
    let captured = events.iter().find_map(|event| match event {
        Event::Capture(_, calls) => Some(calls),
        _ => None,
    });
    let kernels = captured.expect("a decode step is captured").iter().map(|call| match call {
        Call::Kernel(kernel) => kernel,
        other => panic!("one device alone has only kernels, and not {other:?}"),
    });
    let sources = recorder.sources();
    for (place, call) in kernels.enumerate() {
        let source = &sources[call.kernel.0 as usize];
        // Before the first there is none; all others of so plain a step wait.
        assert_eq!(call.early, place > 0, "{}", source.label());
        let text = source.text();
        let body = &text[text.find(&format!("KERNEL {}(", source.kernel)).expect("it has an entry")..];
        let waits = ["in_turn();", "await_previous();"].iter().any(|call| body.contains(call));
        assert!(waits || !call.early, "{}", source.label());
    }
}

/// The graph of a model's shape, with keys and values of a type. Nothing of its weights is read.
fn shape(name: &str, target: DType, kv: DType) -> Graph {
    let config = models::shapes::config(name).expect("the shape is known");
    let options = models::Options { kv, page_len: 16 };
    let source = models::shapes::weights(&config, &options, Target::One(target)).expect("it has weights");
    let source: &dyn WeightSource = &source;
    models::describe(name, &config, &options, &source).expect("it has a graph")
}

fn kernels(graph: &Graph, bucket: Bucket) -> Vec<Source> {
    kernels_with(graph, bucket, &Options::default())
}

fn kernels_with(graph: &Graph, bucket: Bucket, options: &Options) -> Vec<Source> {
    let spec = ProgramSpec { bucket, ..ProgramSpec::default() };
    cuda::sources(graph, &spec, options).expect("it is lowered")
}

const DECODE: Bucket = Bucket { tokens: 1, seqs: 1, queries: 1, pages: 64, rows: 1 };
const PREFILL: Bucket = Bucket { tokens: 512, seqs: 1, queries: 0, pages: 64, rows: 1 };

/// Texts of the kernels that real models need, in all types that are packed and one that is not: one of each that differs by
/// more than large numbers.
fn texts() -> BTreeMap<String, Source> {
    let mut texts = BTreeMap::new();
    // With everything that is off until somebody has measured it and has kernels of its own.
    let options = Options { library: true, ..Options::default() };
    let mut add = |name, target, kv, buckets: &[Bucket]| {
        let graph = shape(name, target, kv);
        for source in buckets.iter().flat_map(|bucket| kernels_with(&graph, *bucket, &options)) {
            let is_large = |value: &str| value.parse::<u64>().is_ok_and(|number| number > 64);
            let told = source.macros.iter().filter(|(_, value)| !is_large(value));
            let key = told.map(|(name, value)| format!(" {name} {value}")).collect::<String>();
            texts.entry(source.kernel.to_owned() + &key).or_insert(source);
        }
    };
    let batch = Bucket { tokens: 8, seqs: 8, rows: 8, ..DECODE };
    add("llama-3.1-8b", DType::BF16, DType::BF16, &[DECODE, batch, PREFILL]);
    add("llama-3.1-8b", DType::BF16, DType::BF16, &[Bucket { tokens: 2048, ..PREFILL }]);
    add("gpt-oss-20b", DType::MXFP4, DType::BF16, &[DECODE, PREFILL]);
    add("qwen2.5-7b", DType::Q4_K, DType::F16, &[DECODE]);
    add("qwen3-0.6b", DType::Q6_K, DType::Q8_0, &[PREFILL]);
    add("qwen3-0.6b", DType::Q5_K, DType::F32, &[PREFILL]);
    add("llama-3.2-1b", DType::Q4_0, DType::BF16, &[DECODE]);
    add("llama-3.1-8b", DType::F8_E4M3, DType::BF16, &[DECODE, batch, PREFILL]);
    add("llama-3.2-1b", DType::IQ4_NL, DType::BF16, &[DECODE]);
    texts
}

#[test]
fn every_kernel_compiles_for_every_architecture() {
    let Some(python) = std::env::var_os("POLYSILICON_NVRTC_PYTHON") else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cuda-texts");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("it can be made");
    for (place, source) in texts().values().enumerate() {
        let path = folder.join(format!("{}-{place}.cu", source.kernel));
        std::fs::write(path, source.text()).expect("it can be written");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = Command::new(python);
    command.arg(root.join("scripts/nvrtc.py")).arg(&folder);
    // Where somebody wants it, what they take is written as a table.
    if let Some(table) = std::env::var_os("POLYSILICON_CUDA_TABLE") {
        command.arg("--table").arg(table);
    }
    let said = command.output().expect("it starts");
    let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    assert!(said.status.success(), "{text}");
}

/// What stands between a small model and the bandwidth of memory is its launches.
#[test]
fn launches_of_a_decode_step_are_counted() {
    // With experts: the norm before them, their scores and choice, two products, their sum.
    for (name, target, per_layer) in [
        ("llama-3.2-1b", DType::BF16, 6),
        ("llama-3.1-8b", DType::Q4_K, 6),
        ("qwen3-8b", DType::Q8_0, 6),
        ("llama-3.1-8b", DType::F8_E4M3, 6),
        ("gpt-oss-20b", DType::MXFP4, 10),
    ] {
        let graph = shape(name, target, DType::BF16);
        let layers = models::shapes::config(name).and_then(|config| config.count("num_hidden_layers").ok());
        let layers = layers.expect("it counts its layers") as usize;
        let launches = kernels(&graph, DECODE).len();
        assert!(launches <= per_layer * layers + 7, "{name}: {launches} launches in {layers} layers");
    }
}

#[test]
fn memory_that_is_not_there_is_refused_before_anything_is_taken() {
    let (config, source) = embedded::source(DType::Q8_0);
    let graph = embedded::describe(&config, &*source, DType::BF16);
    let recorder = Arc::new(Recorder::new(8 << 20));
    let backend = Cuda::new(recorder.clone(), Options::default());
    let weights = backend.load(&graph, &*source);
    let refused = weights.and_then(|weights| Prefill::on(&backend, &graph, weights, 4096, 1024).map(|_| ()));
    let sentence = refused.expect_err("eight megabytes are not enough").to_string();
    assert!(sentence.starts_with("cuda needs ") && sentence.contains("are left"), "{sentence}");
}
