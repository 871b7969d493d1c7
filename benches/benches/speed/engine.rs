//! What the engine costs itself: on a device that does nothing, all that is measured is scheduling.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use engine::null::Quiet;
use engine::{Ask, Drafter, Engine, Facts, PromptLookup, Request};
use graph::{BucketPolicy, Group};

use crate::steps::Bench;

const VOCAB: u32 = 32_000;
const PAGE_LEN: u32 = 16;
/// Tokens of every sequence while it is measured, at most.
const CONTEXT: u32 = 4096;
/// The token that the device always makes.
const TOKEN: u32 = 5;

pub fn bench(bench: &mut Bench<'_>) {
    steps(bench.criterion, "engine/step", None);
    let lookup: Box<dyn Drafter> = Box::new(PromptLookup::default());
    steps(bench.criterion, "engine/step_with_guesses", Some(lookup));
    prefixes(bench.criterion);
    lookups(bench.criterion);
}

fn facts(context: u32, max_seqs: u32) -> Facts {
    Facts {
        groups: vec![Group::Pages { window: None }],
        page_len: PAGE_LEN,
        context,
        vocab: VOCAB,
        buckets: BucketPolicy::RoundedPages,
        chunk: 512,
        max_seqs,
        usual: context,
        overlap: true,
        mixed_steps: true,
    }
}

/// A step in which all decode. Of a slow device, so that guesses pay, of which all are right: with them a step makes many
/// tokens.
fn steps(criterion: &mut Criterion, name: &str, drafter: Option<Box<dyn Drafter>>) {
    let mut group = criterion.benchmark_group(name);
    for seqs in [1, 64, 1024] {
        let open = || {
            let facts = facts(CONTEXT, seqs);
            let device = Quiet::new(facts.budget(None).pages, TOKEN).slow(1_000_000);
            let mut engine = Engine::new(Box::new(device), facts).expect("there are pages");
            for sequence in 0..seqs {
                let prompt = (0..16).map(|i| (sequence * 16 + i) * 7919 % VOCAB).collect();
                let request = Request { drafter: drafter.clone(), ..Request::new(prompt) };
                engine.start(request).expect("the request is good");
            }
            (0..80).for_each(|_| engine.step().for_each(drop));
            engine
        };
        let mut engine = None;
        group.throughput(Throughput::Elements(u64::from(seqs)));
        group.bench_function(BenchmarkId::from_parameter(seqs), |bencher| {
            bencher.iter_custom(|count| {
                let mut total = Duration::ZERO;
                for _ in 0..count {
                    let engine = engine.get_or_insert_with(&open);
                    if engine.is_idle() {
                        *engine = open();
                    }
                    let begin = Instant::now();
                    engine.step().for_each(drop);
                    total += begin.elapsed();
                }
                total
            });
        });
    }
    group.finish();
}

/// The longest prefix of a prompt that is kept, all of it or none.
fn prefixes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine/prefix");
    for tokens in [2048, 32_768] {
        let facts = facts(tokens + 64, 4);
        let device = Quiet::new(facts.budget(None).pages, TOKEN);
        let mut engine = Engine::new(Box::new(device), facts).expect("there are pages");
        let prompt = (0..tokens).map(|i| i * 7919 % VOCAB).collect::<Vec<_>>();
        engine.start(Request { max_tokens: 1, ..Request::new(prompt.clone()) }).expect("the request is good");
        while !engine.is_idle() {
            engine.step().for_each(drop);
        }
        group.throughput(Throughput::Elements(u64::from(tokens)));
        group.bench_function(BenchmarkId::new("found", tokens), |bencher| {
            bencher.iter(|| engine.kept(0, &prompt));
        });
        group.bench_function(BenchmarkId::new("missed", tokens), |bencher| {
            bencher.iter(|| engine.kept(1, &prompt));
        });
    }
    group.finish();
}

/// What looking up costs per token, while an answer grows behind a prompt of so many.
fn lookups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine/lookup");
    for tokens in [1024_usize, 32_768] {
        let text = (0..2 * tokens as u32).map(|i| i * i % 509).collect::<Vec<_>>();
        let request = Request::new(vec![]);
        let (mut lookup, mut out, mut end) = (PromptLookup::default(), vec![], tokens);
        group.bench_function(BenchmarkId::from_parameter(tokens), |bencher| {
            bencher.iter(|| {
                if end == text.len() {
                    (lookup, end) = (PromptLookup::default(), tokens);
                }
                end += 1;
                out.clear();
                lookup.ask(&Ask { tokens: &text[..end], most: 8, request: &request });
                lookup.answer(&mut out);
                out.len()
            });
        });
    }
    group.finish();
}
