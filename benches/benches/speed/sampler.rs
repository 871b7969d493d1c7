//! `sampler`: a token from a row of 151,936 logits, the vocabulary of Qwen3.

use criterion::BenchmarkId;
use graph::{Dry, Fetch, Penalties, Row, RowStats, Sampler, Sampling};

use crate::steps::Bench;

const VOCAB: u32 = 151_936;

/// Uniform numbers that the draws go through, so that they do not always end at the same place.
const DRAWS: [f64; 4] = [0.1, 0.35, 0.6, 0.85];

/// Benches each way to choose.
pub fn bench(bench: &mut Bench<'_>) {
    let random = Sampling { temperature: 1.0, ..Sampling::GREEDY };
    let dry = Penalties { dry: Dry { multiplier: 0.8, ..Dry::NONE }, ..Penalties::NONE };
    let ways = [
        ("greedy", Sampling::GREEDY),
        ("greedy-dry", Sampling { penalties: dry, ..Sampling::GREEDY }),
        ("temperature", random),
        ("top_k-min_p", Sampling { top_k: 40, min_p: 0.05, ..random }),
        ("top_p", Sampling { top_p: 0.95, ..random }),
        ("min_p", Sampling { min_p: 0.05, ..random }),
        ("typical", Sampling { typical: 0.95, ..random }),
    ];
    let recent = (0..4096).map(|i| hash(i) % 500).collect::<Vec<_>>();
    let half = (0..VOCAB.div_ceil(32)).map(hash).collect::<Vec<_>>();
    let mut group = bench.criterion.benchmark_group("sampler");
    for (kind, logits) in [("peaked", row(14.0)), ("flat", row(0.0))] {
        let stats = RowStats::of(&logits);
        let mut sampler = Sampler::default();
        let mut fetch = Fetch::default();
        for (name, sampling) in &ways {
            for (suffix, mask) in [("", None), ("-mask", Some(half.as_slice()))] {
                group.bench_function(BenchmarkId::new(format!("{name}{suffix}"), kind), |bencher| {
                    let mut draws = DRAWS.iter().cycle();
                    bencher.iter(|| {
                        let uniform = *draws.next().expect("a cycle has no end");
                        let row = Row { uniform, mask, recent: &recent, ..Row::new(0, sampling) };
                        fetch.clear();
                        sampler.sample_known(&logits, stats, &row, &mut fetch);
                        fetch.sampled[0].id
                    });
                });
            }
        }
    }
    group.finish();
}

/// Logits like a model's: a bell of width 2.5, and a hundred tokens that stand out by up to so much.
fn row(out: f32) -> Vec<f32> {
    let unit = |n: u32| hash(n) as f32 / u32::MAX as f32;
    let bell = |id: u32| (0..12).map(|i| unit(id * 12 + i)).sum::<f32>() - 6.0;
    let stands_out =
        |id: u32| if hash(id ^ 0x5bd1).is_multiple_of(VOCAB / 100) { out * unit(!id) } else { 0.0 };
    (0..VOCAB).map(|id| 2.5 * bell(id) + stands_out(id)).collect()
}

/// A number that looks random.
pub fn hash(n: u32) -> u32 {
    let n = (n ^ n >> 16).wrapping_mul(0x7feb_352d);
    let n = (n ^ n >> 15).wrapping_mul(0x846c_a68b);
    n ^ n >> 16
}
