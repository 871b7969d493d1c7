//! Prompts.

use criterion::BenchmarkId;
use polysilicon::bench::{Room, Runner, prefill};
use polysilicon::{Error, Opened};

use crate::steps::{Bench, Lazy, model, number, time};

const TOKENS: [u32; 4] = [64, 512, 2048, 8192];

pub fn bench(bench: &mut Bench<'_>) -> Result<(), Error> {
    let opened = Opened::find(&model(), None)?;
    let longest = number("POLYSILICON_BENCH_DEPTH", TOKENS[TOKENS.len() - 1])?.min(opened.context()?);
    let backend = &*bench.machine.backend;
    let mut group = bench.criterion.benchmark_group("prefill");
    let mut runner = Lazy::new(|| {
        let graph = opened.graph(backend.caps().kv[0])?;
        Runner::open(backend, graph, &**opened.source(), Room { seqs: 1, context: longest })
    });
    for tokens in TOKENS.into_iter().filter(|&tokens| tokens <= longest) {
        let id = BenchmarkId::from_parameter(tokens);
        time(&mut group, bench.machine.limits.as_ref(), id, &prefill(0, 0..tokens), &mut runner)?;
    }
    group.finish();
    Ok(())
}
