//! Where it was asked for, a row's bits depend on the row alone: on no other rows of its step, not on how its prompt was cut,
//! and not on how long others' contexts are.

use std::sync::Arc;

use cuda::{Cuda, Driver, Options};
use graph::{Backend, Bucket, Graph, Op};
use polysilicon_tests::conformance::{Data, PAGE_LEN};
use polysilicon_tests::cuda_host;
use polysilicon_tests::embedded;
use polysilicon_tests::golden::Golden;
use polysilicon_tests::prefill::Prefill;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tensor::{DType, Value, WeightSource};

/// Sequences of a step, at most.
const SEQUENCES: usize = 3;
/// Positions of each, at most.
const CONTEXT: u32 = 128;

/// The CPU that stands for a device, and a GPU where there is one.
fn devices() -> impl Iterator<Item = &'static Arc<dyn Driver>> {
    cuda_host::is_present().then(cuda_host::forwards).into_iter().chain(cuda_host::gpu())
}

fn backend(driver: &Arc<dyn Driver>) -> Cuda {
    let options = Options { invariant: true, ..Options::default() };
    let backend = Cuda::new(Arc::clone(driver), options);
    assert!(backend.caps().batch_invariant);
    backend
}

/// A token of a sequence.
fn token(sequence: usize, position: usize) -> u32 {
    ((sequence * 31 + position * 37 + position * position) % 60) as u32
}

/// How many tokens of each sequence the steps have, one after another.
fn steps() -> impl Strategy<Value = Vec<[usize; SEQUENCES]>> {
    let count = || prop_oneof![Just(0), 1..3usize, 9..40usize];
    let step = [count(), count(), count()];
    vec(step.prop_filter("a step has a token", |step| step.iter().any(|&count| count > 0)), 1..4)
}

#[test]
fn a_row_has_the_same_bits_alone_and_among_others() {
    let experts =
        Golden::all().into_iter().find(|golden| golden.name == "gpt-oss-mxfp4").expect("it is there");
    let mut models = vec![(experts.graph(DType::BF16).expect("a graph"), experts.source)];
    for dtype in [DType::BF16, DType::Q4_0] {
        let (config, source) = embedded::source(dtype);
        models.push((embedded::describe(&config, &*source, DType::BF16), source));
    }
    for driver in devices() {
        for (graph, source) in &models {
            let config = Config { cases: 4, failure_persistence: None, ..Config::default() };
            let held = TestRunner::new(config).run(&steps(), |steps| hold(driver, graph, &**source, &steps));
            held.unwrap_or_else(|fault| panic!("{fault}"));
        }
    }
}

fn hold(
    driver: &Arc<dyn Driver>,
    graph: &Graph,
    source: &dyn WeightSource,
    steps: &[[usize; SEQUENCES]],
) -> Result<(), TestCaseError> {
    let backend = backend(driver);
    let weights = backend.load(graph, source).expect("there is room");
    let tokens = |sequence: usize, from: usize, count: usize| {
        (from..from + count).map(|position| token(sequence, position)).collect::<Vec<_>>()
    };
    let mut alone = vec![];
    for sequence in 0..SEQUENCES {
        let all = steps.iter().map(|step| step[sequence]).sum::<usize>();
        let mut run = Prefill::on(&backend, graph, Arc::clone(&weights), 1, CONTEXT).expect("there is room");
        let ids = tokens(sequence, 0, all);
        alone.push(if all > 0 { run.feed(&ids, &[]).expect("it runs").logits } else { vec![] });
    }
    let mut run = Prefill::on(&backend, graph, weights, SEQUENCES as u32, CONTEXT).expect("there is room");
    let (mut at, vocab) = ([0; SEQUENCES], graph.vocab as usize);
    for step in steps {
        let present = (0..SEQUENCES).filter(|&sequence| step[sequence] > 0);
        let parts = present.map(|sequence| (sequence, tokens(sequence, at[sequence], step[sequence])));
        let parts = parts.collect::<Vec<_>>();
        let fed = parts.iter().map(|(sequence, ids)| (*sequence, &ids[..])).collect::<Vec<_>>();
        let logits = run.feed_together(&fed, &[]).expect("it runs").logits;
        let mut rows = logits.chunks_exact(vocab);
        for &(sequence, ids) in &fed {
            for position in at[sequence]..at[sequence] + ids.len() {
                let (among, by_itself) = (rows.next(), &alone[sequence][position * vocab..][..vocab]);
                let same = among
                    .is_some_and(|row| row.iter().zip(by_itself).all(|(a, b)| a.to_bits() == b.to_bits()));
                prop_assert!(same, "position {position} of sequence {sequence}");
            }
            at[sequence] += ids.len();
        }
    }
    Ok(())
}

/// One token far behind, whose positions are cut and put together where it is alone, and gone through by one block among so
/// many that each has its own.
#[test]
fn attention_is_the_same_bits_however_its_positions_are_cut() {
    const PLACE: usize = 599;
    const OTHERS: usize = 299;
    let options = Options { invariant: true, ..Options::default() };
    let (heads, width) = (2, 32);
    for (sinks, window) in [(false, None), (true, None), (false, Some(530))] {
        let mut data = Data::of("attention that is cut");
        let pages = PLACE / PAGE_LEN as usize + 1;
        let state = [pages + 1, PAGE_LEN as usize, 1, width];
        let (keys, values) = (data.rounded(DType::BF16, &state), data.rounded(DType::BF16, &state));
        let queries = data.f32s(&[OTHERS + 1, heads, width]).to_f32();
        let sink = data.f32s(&[heads]);
        let table = (1..=pages as i32).collect::<Vec<_>>();
        let op = Op::Attention { scale: 0.2, window };
        let of_last = |driver: &Arc<dyn Driver>, others: usize| {
            let (tokens, skipped) = (others + 1, (OTHERS - others) * heads * width);
            let positions = (0..others as i32).chain([PLACE as i32]).collect::<Vec<_>>();
            let mut args = vec![
                Value::f32s([tokens, heads, width], &queries[skipped..]),
                keys.clone(),
                values.clone(),
                Value::i32s([tokens], &positions),
                Value::i32s([tokens], &vec![0; tokens]),
                Value::i32s([1, pages], &table),
                Value::i32s([1], &[0]),
            ];
            args.extend(sinks.then(|| sink.clone()));
            let bucket = Bucket {
                tokens: tokens as u32,
                seqs: 1,
                queries: 0,
                pages: pages as u32,
                rows: tokens as u32,
            };
            let found = cuda::eval(driver, &options, &op, &args, PAGE_LEN, &bucket).expect("it runs");
            let all = found[0].to_f32();
            all[others * heads * width..].iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        };
        for driver in devices() {
            assert_eq!(of_last(driver, 0), of_last(driver, OTHERS), "sinks {sinks}, window {window:?}");
        }
    }
}
