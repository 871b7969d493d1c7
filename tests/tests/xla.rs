//! What modules for Neuron chips do beyond operations and logits, on stock XLA: sampling, steps that bring no logits
//! to the host, products in bf16.

use graph::{Bucket, Dims, Fetch, Graph, Op, Penalties, Place, ProgramSpec, Row, Sampler, Sampling, Ty};
use hlo::Module;
use models::shapes;
use neuron::{Bundle, Device, Dialect, Given, Knob, Neuron, Options, Precision, Target, emit};
use polysilicon_tests::conformance::Data;
use polysilicon_tests::golden::{Golden, root};
use polysilicon_tests::prefill::Prefill;
use polysilicon_tests::xla::Xla;
use tensor::{DType, ErrorStats};

const STOCK: Options = Options { precision: Precision::F32, dialect: Dialect::Stock };

/// Rows and vocabulary of the sampling test: more tokens than there are candidates.
const ROWS: usize = 240;
const VOCAB: usize = 1000;

/// A module that samples the logits it is given, and what its inputs are.
fn sampler() -> (Module, Vec<Given>) {
    let dims = [ROWS as u32, VOCAB as u32];
    let reshape = Op::Reshape(Dims::from(dims));
    let mut graph = Graph::of_op(&reshape, &[Ty::new(DType::F32, dims)], 1).unwrap();
    graph.vocab = VOCAB as u32;
    let bucket = Bucket { rows: ROWS as u32, ..Bucket::default() };
    let spec = ProgramSpec { bucket, ..ProgramSpec::default() };
    let emitted = emit(&graph, &spec, &[], &STOCK).unwrap();
    (emitted.module, emitted.inputs)
}

/// Every kind of cut, alone and together.
fn samplings() -> Vec<Sampling> {
    let mut samplings = vec![];
    for temperature in [0.0, 0.3, 1.0] {
        for top_k in [0, 1, 40, 256, 500] {
            for (top_p, min_p) in [(1.0, 0.0), (0.9, 0.0), (0.3, 0.0), (1.0, 0.05), (1e-6, 0.0), (0.95, 0.3)]
            {
                let penalties = Penalties { repetition: 1.0, presence: 0.0, frequency: 0.0 };
                samplings.push(Sampling { temperature, top_k, top_p, min_p, penalties });
            }
        }
    }
    samplings
}

#[test]
fn rows_become_the_tokens_that_the_host_would_choose() {
    if !Xla::is_present() {
        return;
    }
    let mut data = Data::of("sampling");
    // Some rows are flat and some are steep.
    let logits = (0..ROWS)
        .flat_map(|row| {
            let steepness = [0.2, 2.0, 6.0][row % 3];
            (0..VOCAB).map(|_| data.number() * steepness).collect::<Vec<_>>()
        })
        .collect::<Vec<_>>();
    let samplings = samplings();
    let rows = (0..ROWS).map(|row| (&samplings[row % samplings.len()], f64::from(data.number() + 2.0) / 4.0));
    let rows = rows.collect::<Vec<_>>();

    let (module, inputs) = sampler();
    let mut xla = Xla::start();
    let program = xla.load(&module).unwrap();
    let mut given = vec![];
    for (input, ty) in inputs.iter().zip(module.entry().parameters()) {
        let bytes: Vec<u8> = match input {
            Given::Main(Place::Argument(_)) => logits.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Given::Knob(knob) => rows
                .iter()
                .flat_map(|(sampling, uniform)| match knob {
                    Knob::Temperature => sampling.temperature.to_le_bytes(),
                    Knob::TopK => sampling.top_k.to_le_bytes(),
                    Knob::TopP => sampling.top_p.to_le_bytes(),
                    Knob::MinP => sampling.min_p.to_le_bytes(),
                    Knob::Uniform => (*uniform as f32).to_le_bytes(),
                })
                .collect(),
            other => panic!("{other:?} is given to nobody"),
        };
        let mut tensor = xla.allocate("", ty.array().unwrap()).unwrap();
        xla.write(&mut tensor, 0, &bytes).unwrap();
        given.push(tensor);
    }
    let shapes = module.entry().result().arrays();
    let made = shapes.iter().map(|shape| xla.allocate("", shape).unwrap()).collect::<Vec<_>>();
    xla.run(&program, &given.iter().collect::<Vec<_>>(), &made.iter().collect::<Vec<_>>()).unwrap();
    let mut output = |name: &str| {
        let place = module.outputs.iter().position(|output| output == name).unwrap();
        let mut bytes = vec![0; shapes[place].bytes().unwrap()];
        xla.read(&made[place], 0, &mut bytes).unwrap();
        bytes.chunks_exact(4).map(|word| word.try_into().unwrap()).collect::<Vec<[u8; 4]>>()
    };
    let (tokens, sure) = (output("token"), output("sure"));
    let (chosen, normalisers) = (output("token_logit"), output("normaliser"));

    let (mut sampler, mut fetch, mut certain) = (Sampler::default(), Fetch::default(), 0);
    for (row, &(sampling, uniform)) in rows.iter().enumerate() {
        let wanted =
            Row { token: 0, sampling, uniform, seen: &[], bias: &[], mask: None, top: 0, logits: false };
        sampler.sample(&logits[row * VOCAB..][..VOCAB], &wanted, &mut fetch);
        let is_sure = i32::from_le_bytes(sure[row]) != 0;
        // Whatever cannot reach beyond the candidates must be certain.
        let within = sampling.temperature == 0.0 || (1..=256).contains(&sampling.top_k);
        assert!(is_sure || !within, "row {row}: {sampling:?} could have been certain");
        if !is_sure {
            continue;
        }
        certain += 1;
        let expected = fetch.sampled[row];
        assert_eq!(u32::from_le_bytes(tokens[row]), expected.id, "row {row}: {sampling:?} at {uniform}");
        let logprob = f32::from_le_bytes(chosen[row]) - f32::from_le_bytes(normalisers[row]);
        assert!((logprob - expected.logprob).abs() < 1e-4, "row {row}: {logprob}, not {}", expected.logprob);
    }
    assert!((200..ROWS).contains(&certain), "{certain} of {ROWS} rows are certain");
}

/// A greedy row that asks for nothing but its token.
fn plain(token: u32, sampling: &Sampling) -> Row<'_> {
    Row { token, sampling, uniform: 0.0, seen: &[], bias: &[], mask: None, top: 0, logits: false }
}

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
    let greedy = Sampling::default();
    let rows = [plain(golden.ids.len() as u32 - 1, &greedy)];
    let mut last = prefill.feed_rows(&[(0, &golden.ids)], &rows, &[]).unwrap().sampled[0].id;
    for &wanted in &golden.greedy {
        assert_eq!(last, wanted);
        last = prefill.feed_rows(&[(0, &[last])], &[plain(0, &greedy)], &[]).unwrap().sampled[0].id;
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
    let graph = models::describe("llama-3.1-8b", &config, &options, &source).unwrap();
    let decode = Bucket { tokens: 8, seqs: 8, queries: 1, pages: 256, rows: 8 };
    let prompt = Bucket { tokens: 512, seqs: 1, queries: 0, pages: 256, rows: 1 };
    let folder = tempfile::tempdir().unwrap();
    let target = Target::named("trn2").unwrap();
    let manifest = Bundle { target, options: Options::default(), buckets: vec![decode, prompt] }
        .write(&graph, folder.path())
        .unwrap();
    let mut xla = Xla::start();
    for program in manifest["programs"].as_array().unwrap() {
        let module = std::fs::read(folder.path().join(program["module"].as_str().unwrap())).unwrap();
        xla.verify(&module).unwrap_or_else(|error| panic!("{}: {error}", program["name"]));
    }
    // 8.03 billion weights, all but a few in bf16, and eight times 4096 positions of 128 KiB, with the bin.
    assert_eq!(manifest["bytes_per_core"]["weights"], 16_060_522_496u64);
    assert_eq!(manifest["bytes_per_core"]["states"], (8 * 4096 + 16) * 131_072u64);
    assert_eq!(manifest["programs"][0]["predicted"]["bound"], "memory");
    assert_eq!(manifest["programs"][1]["predicted"]["bound"], "compute");
}
