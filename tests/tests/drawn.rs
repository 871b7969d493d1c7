//! Tokens that modules for Neuron chips draw themselves, on the emulator and on stock XLA: they are the reference's, and the
//! step behind takes them without the host. Where a module draws another than the definition does, that step runs again.

use graph::{Backend, Graph, GraphBuilder, Input, Op, Row, Sampling};
use neuron::{Chip, Device, Dialect, Neuron, Options, Precision};
use polysilicon_tests::counted::{Counted, Runs};
use polysilicon_tests::embedded::{describe, source};
use polysilicon_tests::emulated::{Emulated, OPTIONS};
use polysilicon_tests::prefill::Prefill;
use polysilicon_tests::xla::Xla;
use reference::Reference;
use tensor::{DType, Shape, SourceError, WeightInfo, WeightSource};

const STOCK: Options = Options::new(Precision::F32, Dialect::Stock);

/// One for every step, from one end of what can be drawn to the other.
const UNIFORMS: [f64; 8] = [0.03, 0.97, 0.31, 0.62, 0.5, 0.11, 0.83, 0.999];

const WARM: Sampling = Sampling { temperature: 0.9, ..Sampling::GREEDY };

/// Every kind of row that a module chooses the token of.
const KINDS: [Sampling; 8] = [
    Sampling::GREEDY,
    WARM,
    Sampling { top_k: 40, ..WARM },
    Sampling { top_p: 0.9, ..WARM },
    Sampling { top_k: 20, top_p: 0.8, ..WARM },
    Sampling { min_p: 0.05, ..WARM },
    Sampling { temperature: 1.5, top_k: 256, top_p: 0.95, min_p: 0.01, ..WARM },
    Sampling { top_k: 1, ..WARM },
];

fn rows(sampling: &Sampling) -> Vec<Row<'_>> {
    UNIFORMS.iter().map(|&uniform| Row { uniform, ..Row::new(0, sampling) }).collect()
}

/// Room for one sequence of the model inside the binary, and the token behind its opening.
fn opened(backend: &dyn Backend) -> (Prefill, u32) {
    let (config, source) = source(DType::F32);
    let graph = describe(&config, &*source, DType::F32);
    let mut prefill = Prefill::open(backend, &graph, &*source, 128).expect("there is room");
    let rows = [Row::new(3, &Sampling::GREEDY)];
    let fetch = prefill.feed_rows(&[(0, &[709, 777, 258, 478])], &rows, &[]).expect("the prompt runs");
    (prefill, fetch.sampled[0].id)
}

/// Tokens drawn on a device are the reference's, and every step ran once: each token was known there before the host drew
/// it.
fn every_kind_is_the_references<D: Device>(device: D, options: Options) {
    let (device, runs) = Counted::new(device);
    let backend = Neuron::new(device, "counted", options);
    let ((mut ours, first), (mut theirs, same)) = (opened(&backend), opened(&Reference::new()));
    assert_eq!(first, same);
    runs.take();
    let mut last = first;
    for kind in &KINDS {
        let wanted = theirs.follow_alone(last, &rows(kind)).expect("steps run");
        let drawn = ours.follow(last, &rows(kind), &mut |_| ()).expect("steps run");
        assert_eq!(drawn, wanted, "{kind:?}");
        assert_eq!(runs.take(), UNIFORMS.len(), "{kind:?}");
        last = wanted[UNIFORMS.len() - 1];
    }
}

#[test]
fn what_the_emulator_draws_is_the_references() {
    let emulated = Emulated::default();
    every_kind_is_the_references(Chip::open(&emulated.options()).expect("it starts"), OPTIONS);
}

#[test]
fn what_xla_draws_is_the_references() {
    if Xla::is_present() {
        every_kind_is_the_references(Xla::start(), STOCK);
    }
}

/// A model of 64 tokens without a past, each even one of which is as likely as the odd one behind it.
struct Pairs;

const WIDTH: usize = 32;
const VOCAB: usize = 64;

impl WeightSource for Pairs {
    fn find(&self, _: &str) -> Option<WeightInfo> {
        Some(WeightInfo { dtype: DType::F32, shape: Shape::new(&[VOCAB, WIDTH]) })
    }

    fn read_rows(&self, name: &str, first: usize, out: &mut [u8]) -> Result<(), SourceError> {
        for (place, bytes) in (first * WIDTH..).zip(out.chunks_exact_mut(4)) {
            let row = if name == "head" { place / WIDTH / 2 } else { place / WIDTH };
            // Any numbers, between -1/2 and 1/2.
            let number = (row * WIDTH + place % WIDTH + 1).wrapping_mul(0x9E37_79B9) as u32;
            bytes.copy_from_slice(&(number as f32 / u32::MAX as f32 - 0.5).to_le_bytes());
        }
        Ok(())
    }
}

fn pairs() -> Graph {
    let source: &dyn WeightSource = &Pairs;
    let mut g = GraphBuilder::new("pairs", VOCAB as u32, 16, &source);
    let [table, head] = ["table", "head"].map(|name| g.weight(name, &[VOCAB as u32, WIDTH as u32]));
    let tokens = g.input(Input::Tokens);
    let x = g.op(Op::Embed, &[tokens, table]);
    let rows = g.input(Input::Rows);
    let x = g.gather(x, rows);
    let logits = g.op(Op::Linear, &[x, head]);
    g.finish(logits).expect("a graph")
}

/// Ties are what a module does not break as the definition does, which cuts the larger ids off: so all its tokens may be
/// others, and those of the reference come out all the same.
fn a_step_that_took_another_token_runs_again(backend: &dyn Backend, runs: &Runs) {
    let open = |backend: &dyn Backend| Prefill::open(backend, &pairs(), &Pairs, 64).expect("there is room");
    let (mut ours, mut theirs) = (open(backend), open(&Reference::new()));
    let likeliest = Sampling { top_k: 1, ..WARM };
    let late = vec![Row { uniform: 0.9, ..Row::new(0, &likeliest) }; 6];
    let wanted = theirs.follow_alone(5, &late).expect("steps run");
    assert_eq!(ours.follow(5, &late, &mut |_| ()).expect("steps run"), wanted);
    // All but the first took a token that was not the one.
    assert_eq!(runs.take(), 6 + 5);
    let three = Sampling { top_k: 3, ..WARM };
    let mixed = UNIFORMS.map(|uniform| Row { uniform, ..Row::new(0, &three) });
    let wanted = theirs.follow_alone(9, &mixed).expect("steps run");
    assert_eq!(ours.follow(9, &mixed, &mut |_| ()).expect("steps run"), wanted);
    let again = runs.take() - mixed.len();
    assert!(again < mixed.len() - 1, "{again} of {} ran again, and some were right", mixed.len());
}

#[test]
fn a_step_on_the_emulator_that_took_another_token_runs_again() {
    let emulated = Emulated::default();
    let (device, runs) = Counted::new(Chip::open(&emulated.options()).expect("it starts"));
    a_step_that_took_another_token_runs_again(&Neuron::new(device, "counted", OPTIONS), &runs);
}

#[test]
fn a_step_on_xla_that_took_another_token_runs_again() {
    if Xla::is_present() {
        let (device, runs) = Counted::new(Xla::start());
        a_step_that_took_another_token_runs_again(&Neuron::new(device, "counted", STOCK), &runs);
    }
}
