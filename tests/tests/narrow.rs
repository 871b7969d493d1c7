//! Weights in fewer bits on Neuron chips, by the emulator of a Trainium3 and by stock XLA: each form means what it says,
//! and costs what `docs/accuracy.md` says.

use graph::{Act, Backend, Bucket, Op};
use half::f16;
use neuron::{Chip, Dialect, Form, Narrow, Neuron, Options, Precision};
use polysilicon_tests::conformance::{CLOSE, Data, PAGE_LEN};
use polysilicon_tests::divergence::Divergence;
use polysilicon_tests::embedded::{VOCAB, describe, source, stories};
use polysilicon_tests::emulated::Emulated;
use polysilicon_tests::prefill::Prefill;
use polysilicon_tests::xla::{self, Xla};
use tensor::{DType, ErrorStats, Value, WeightInfo};

fn options(narrow: Option<Narrow>, dialect: Dialect) -> Options {
    Options { narrow, ..Options::new(Precision::F32, dialect) }
}

/// A number of eight bits, four of them exponent.
fn e4m3(code: u8) -> f32 {
    let (exponent, eighths) = (i32::from(code >> 3 & 15), f32::from(code & 7));
    let size = if exponent == 0 {
        eighths / 8.0 * 2f32.powi(-6)
    } else {
        (1.0 + eighths / 8.0) * 2f32.powi(exponent - 7)
    };
    if code & 0x80 == 0 { size } else { -size }
}

/// What a matrix becomes when it is stored so, by the definition of each form.
fn stored(narrow: Narrow, matrix: &Value) -> Value {
    let info = WeightInfo { dtype: matrix.dtype, shape: matrix.shape };
    let [elements, scales] = Form::Narrow(narrow, Dialect::Stock).pack(&info, matrix.data.as_slice::<u8>());
    let width = *matrix.shape.last().expect("as the test says");
    let scales: Vec<f32> = match narrow {
        Narrow::F8 | Narrow::Int8 => {
            scales.as_chunks().0.iter().map(|&scale| f32::from_le_bytes(scale)).collect()
        }
        Narrow::Int8Blocks => {
            scales.as_chunks().0.iter().map(|&scale| f16::from_le_bytes(scale).to_f32()).collect()
        }
        Narrow::Mxfp8 | Narrow::Mxfp4 => scales.iter().map(|&e| 2f32.powi(i32::from(e) - 127)).collect(),
    };
    let together = elements.len() / scales.len();
    assert_eq!(together, if matches!(narrow, Narrow::F8 | Narrow::Int8) { width } else { 32 });
    let value = |(place, &element): (usize, &u8)| {
        let element = match narrow {
            Narrow::Int8 | Narrow::Int8Blocks => f32::from(element as i8),
            _ => e4m3(element),
        };
        element * scales[place / together]
    };
    Value::f32s(matrix.shape, &elements.iter().enumerate().map(value).collect::<Vec<_>>())
}

/// What an operation gives on the emulator, and on XLA where there is one.
fn everywhere(narrow: Option<Narrow>, op: &Op, args: &[Value]) -> Vec<Vec<f32>> {
    let (bucket, mut all) = (Bucket::default(), vec![]);
    let emulated = Emulated::with(&[("chip", "trn3")]);
    let mut chip = Chip::open(&emulated.options()).expect("as the test says");
    all.push(neuron::eval(&mut chip, &options(narrow, Dialect::Neuron), op, args, PAGE_LEN, &bucket));
    if Xla::is_present() {
        let options = options(narrow, Dialect::Stock);
        all.push(xla::with(|device| neuron::eval(device, &options, op, args, PAGE_LEN, &bucket)));
    }
    all.into_iter().map(|results| results.expect("as the test says")[0].as_f32s().to_vec()).collect()
}

fn by_reference(op: &Op, args: &[Value]) -> Vec<f32> {
    let results = reference::eval(op, args, PAGE_LEN, &Bucket::default(), false).expect("as the test says");
    results[0].as_f32s().to_vec()
}

/// Activations as what multiplies MXFP8 takes them: rounded to bf16, then as weights are.
fn activations(x: &Value) -> Value {
    let mut bytes = vec![0; 2 * x.as_f32s().len()];
    tensor::blocks::encode(DType::BF16, x.as_f32s(), &mut bytes);
    stored(Narrow::Mxfp8, &Value::new(DType::BF16, x.shape, &bytes))
}

/// Experts in MXFP8 by definition: one product after another, activations rounded before each.
fn experts_by_hand(args: &[Value]) -> Vec<f32> {
    let [gate, up, down] = [3, 4, 5].map(|place| stored(Narrow::Mxfp8, &args[place]));
    let (x, [weights, experts]) = (activations(&args[0]), [&args[1], &args[2]]);
    let (hidden, width) = (gate.shape[1], gate.shape[2]);
    let product = |matrix: &Value, expert: usize, x: &[f32], rows: usize| {
        let matrix = matrix.as_f32s()[expert * rows * x.len()..][..rows * x.len()].to_vec();
        let matrix = Value::f32s([rows, x.len()], &matrix);
        by_reference(&Op::Linear, &[Value::f32s([1, x.len()], x), matrix])
    };
    let mut out = vec![];
    for (token, x) in x.as_f32s().chunks_exact(width).enumerate() {
        let mut sum = vec![0.0; width];
        for choice in 2 * token..2 * token + 2 {
            let expert = experts.as_i32s()[choice] as usize;
            let [gate, up] = [&gate, &up].map(|matrix| product(matrix, expert, x, hidden));
            let silu = |gate: f32| gate / (1.0 + (-gate).exp());
            let acted: Vec<f32> = gate.iter().zip(&up).map(|(&gate, up)| silu(gate) * up).collect();
            let acted = activations(&Value::f32s([1, hidden], &acted));
            let made = product(&down, expert, acted.as_f32s(), width);
            sum.iter_mut().zip(made).for_each(|(sum, made)| *sum += weights.as_f32s()[choice] * made);
        }
        out.extend(sum);
    }
    out
}

fn experts(tokens: usize, dtype: DType, data: &mut Data) -> Vec<Value> {
    vec![
        data.f32s(&[tokens, 64]),
        data.f32s(&[tokens, 2]),
        data.i32s(&[tokens, 2], 0, 4),
        data.weight(dtype, &[4, 32, 64]),
        data.weight(dtype, &[4, 32, 64]),
        data.weight(dtype, &[4, 64, 32]),
    ]
}

const EXPERTS: Op = Op::ExpertFfn { act: Act::Silu, biased: false };

#[test]
fn products_by_narrow_weights_are_products_by_what_they_stand_for() {
    let mut data = Data::of("narrow");
    for narrow in [Narrow::F8, Narrow::Int8, Narrow::Int8Blocks, Narrow::Mxfp8] {
        let [x, w] = [&[5, 64][..], &[24, 64]].map(|shape| data.f32s(shape));
        let all = everywhere(Some(narrow), &Op::Linear, &[x.clone(), w.clone()]);
        // What multiplies MXFP8 rounds activations first to bf16, then alike.
        let rounded = if narrow == Narrow::Mxfp8 { activations(&x) } else { x.clone() };
        let wanted = by_reference(&Op::Linear, &[rounded, stored(narrow, &w)]);
        let exact = by_reference(&Op::Linear, &[x, w]);
        for found in all {
            let stats = ErrorStats::new(&found, &wanted);
            assert!(stats.within(CLOSE), "{narrow}: {stats}");
            let stats = ErrorStats::new(&found, &exact);
            assert!(!stats.within(1e-6), "{narrow}: {stats}, as if nothing had been rounded");
        }
    }
}

#[test]
fn experts_with_narrow_weights_are_experts_with_what_they_stand_for() {
    let mut data = Data::of("narrow experts");
    for (tokens, narrow) in [1, 9].into_iter().flat_map(|n| [(n, Narrow::F8), (n, Narrow::Int8Blocks)]) {
        let args = experts(tokens, DType::F32, &mut data);
        let mut rounded = args.clone();
        rounded[3..].iter_mut().for_each(|weight| *weight = stored(narrow, weight));
        let wanted = by_reference(&EXPERTS, &rounded);
        for found in everywhere(Some(narrow), &EXPERTS, &args) {
            let stats = ErrorStats::new(&found, &wanted);
            assert!(stats.within(CLOSE), "{narrow}, {tokens} tokens: {stats}");
        }
    }
}

/// What the compiler's calls compute for experts is what their twins do, and what the definition says.
#[test]
fn experts_in_mxfp8_are_the_same_by_calls_and_by_twins() {
    let mut data = Data::of("experts in mxfp8");
    for tokens in [1, 9] {
        let args = experts(tokens, DType::BF16, &mut data);
        let all = everywhere(Some(Narrow::Mxfp8), &EXPERTS, &args);
        for pair in all.windows(2) {
            let stats = ErrorStats::new(&pair[0], &pair[1]);
            assert!(stats.within(1e-4), "{tokens} tokens: {stats}");
        }
        let stats = ErrorStats::new(&all[0], &experts_by_hand(&args));
        assert!(stats.within(1e-4), "{tokens} tokens: {stats}");
        let exact = ErrorStats::new(&all[0], &by_reference(&EXPERTS, &args));
        assert!(!exact.within(1e-6), "{tokens} tokens: {exact}, as if nothing had been rounded");
    }
}

#[test]
fn mxfp4_that_stays_packed_loses_nothing() {
    let mut data = Data::of("packed experts");
    for tokens in [1, 9] {
        let args = experts(tokens, DType::MXFP4, &mut data);
        let found = everywhere(Some(Narrow::Mxfp4), &EXPERTS, &args);
        assert_eq!(found, everywhere(None, &EXPERTS, &args), "{tokens} tokens");
        let wanted = by_reference(&EXPERTS, &args);
        for found in found {
            let stats = ErrorStats::new(&found, &wanted);
            assert!(stats.within(CLOSE), "{tokens} tokens: {stats}");
        }
    }
}

/// The most that a form may add to the mean divergence, in nats: about four times what was measured. The first is what
/// factors in bf16 alone add.
const BOUNDS: [(Option<Narrow>, f64); 6] = [
    (None, 6e-5),
    (Some(Narrow::F8), 3e-3),
    (Some(Narrow::Int8), 6e-4),
    (Some(Narrow::Int8Blocks), 6e-5),
    (Some(Narrow::Mxfp8), 1e-2),
    (Some(Narrow::Mxfp4), 2e-4),
];

/// Tokens fed at once: one size, so that one module is compiled for all. What is left of a story is not fed.
const CHUNK: usize = 32;

/// Logits of the positions of some stories, weights found in a type and stored in a form.
fn logits(options: Options, found: DType, stories: &[Vec<u32>]) -> Vec<f32> {
    let (config, source) = source(found);
    let graph = describe(&config, &*source, DType::F32);
    let backend = Neuron::new(Xla::start(), "stock XLA", options);
    let context = stories.iter().map(Vec::len).max().unwrap_or(0) as u32;
    let weights = backend.load(&graph, &*source).expect("as the test says");
    let mut prefill =
        Prefill::on(&backend, &graph, weights, stories.len() as u32, context).expect("as the test says");
    let mut logits = vec![];
    for (place, story) in stories.iter().enumerate() {
        for chunk in story.chunks_exact(CHUNK) {
            logits.extend(prefill.feed_together(&[(place, chunk)], &[]).expect("as the test says").logits);
        }
    }
    logits
}

/// What a form adds to the same weights in f32; with MXFP4 the weights are in it already.
fn added(narrow: Option<Narrow>, stories: &[Vec<u32>]) -> Divergence {
    let found = if narrow == Some(Narrow::Mxfp4) { DType::MXFP4 } else { DType::F32 };
    let base = logits(options(None, Dialect::Stock), found, stories);
    let narrow = Options { precision: Precision::Bf16, ..options(narrow, Dialect::Stock) };
    Divergence::of(&logits(narrow, found, stories), &base, VOCAB)
}

#[test]
fn narrow_weights_add_little() {
    if !Xla::is_present() {
        return;
    }
    let stories = stories(4, 128);
    let mut faults = vec![];
    for (narrow, bound) in BOUNDS {
        let found = added(narrow, &stories);
        let name = narrow.map_or("bf16".to_owned(), |narrow| narrow.to_string());
        println!("{name}: {found:?}");
        if found.mean > bound {
            faults.push(format!("{name}: {:e}, and {bound:e} is allowed", found.mean));
        }
    }
    assert!(faults.is_empty(), "weights are rounded too far:\n{}", faults.join("\n"));
}

/// `cargo test --release -p polysilicon-tests --test narrow -- --ignored --nocapture table`
#[test]
#[ignore = "prints the table of docs/accuracy.md, and decides nothing"]
fn table() {
    let stories = stories(24, 256);
    let tokens = stories.iter().map(|story| story.len() / CHUNK * CHUNK).sum::<usize>();
    println!("{} stories, {tokens} tokens\n", stories.len());
    println!("| Stored | mean | largest | same top |\n|---|---|---|---|");
    for (narrow, _) in BOUNDS {
        let found = added(narrow, &stories);
        let name = narrow.map_or("bf16".to_owned(), |narrow| narrow.to_string());
        println!("| {name} | {:.1e} | {:.1e} | {:.2} % |", found.mean, found.max, 100.0 * found.same_top);
    }
}
