//! Steps of decoding: one sequence at several depths, and several sequences together.

use criterion::BenchmarkId;
use polysilicon::bench::{Room, Runner, decode, prefill};
use polysilicon::{Error, Opened};

use crate::steps::{Bench, Lazy, model, number, time};

/// Sequences and the depth of each.
const CASES: [(u32, u32); 6] = [(1, 128), (4, 128), (16, 128), (64, 128), (1, 4096), (1, 16384)];
/// Steps timed together.
const STEPS: u32 = 8;

pub fn bench(bench: &mut Bench<'_>) -> Result<(), Error> {
    let opened = Opened::find(&model(), None)?;
    let deepest = number("POLYSILICON_BENCH_DEPTH", 16384)?.min(opened.context()?.saturating_sub(STEPS));
    let backend = &*bench.machine.backend;
    let mut group = bench.criterion.benchmark_group("decode");
    for (seqs, depth) in CASES.into_iter().filter(|(_, depth)| *depth <= deepest) {
        let mut runner = Lazy::new(|| {
            let graph = opened.graph(backend.caps().kv[0])?;
            let room = Room { seqs, context: depth + STEPS };
            let mut runner = Runner::open(backend, graph, &**opened.source(), room)?;
            for sequence in 0..seqs {
                runner.run(&prefill(sequence, 0..depth))?;
            }
            Ok(runner)
        });
        let id = BenchmarkId::new(format!("{seqs}_sequences"), depth);
        time(
            &mut group,
            bench.machine.limits.as_ref(),
            id,
            &decode(seqs, depth..depth + STEPS),
            &mut runner,
        )?;
    }
    group.finish();
    Ok(())
}
