//! Attention alone, one token at several depths, with the heads of a model of a billion parameters.

use benches::{Layers, attention};
use criterion::BenchmarkId;
use polysilicon::Error;
use polysilicon::bench::{Room, Runner, decode, prefill};

use crate::steps::{Bench, Lazy, number, time};

const LAYERS: Layers = Layers { count: 16, heads: 32, kv_heads: 8, width: 64 };
const DEPTHS: [u32; 4] = [128, 1024, 4096, 16384];

pub fn bench(bench: &mut Bench<'_>) -> Result<(), Error> {
    let deepest = number("POLYSILICON_BENCH_DEPTH", DEPTHS[DEPTHS.len() - 1])?;
    let mut group = bench.criterion.benchmark_group("attention");
    for &kv in &bench.machine.backend.caps().kv {
        for depth in DEPTHS.into_iter().filter(|&depth| depth <= deepest) {
            let mut runner = Lazy::new(|| {
                let made = attention(LAYERS, kv);
                let room = Room { seqs: 1, context: depth + 1 };
                let mut runner = Runner::open(&*bench.machine.backend, made.graph, &made.source, room)?;
                runner.run(&prefill(0, 0..depth))?;
                Ok(runner)
            });
            let id = BenchmarkId::new(kv.name(), depth);
            time(&mut group, bench.machine.limits.as_ref(), id, &decode(1, depth..depth + 1), &mut runner)?;
        }
    }
    group.finish();
    Ok(())
}
