//! Rates of products, for whoever tunes them: `cargo test --release -p polysilicon-cpu product_rates -- --ignored
//! --nocapture`. `POLYSILICON_PRODUCTS="q4_0,q6_k 1,16 avx512 1,2"` asks for some formats, rows, levels and threads.

use std::ops::Range;
use std::sync::Barrier;
use std::time::Instant;

use simd::{Isa, LANES};
use tensor::{Buffer, DType};

use super::quantized::tests::{Noise, quantized, values, weight};
use super::{Output, product, scratch_bytes};
use crate::activation::{Activation, Int8};
use crate::packed::{Layout, Packed, pack_strip};

/// Far more than caches hold, for up to 16 rows; fewer for more, so that outputs stay of the size they have in models.
const BYTES: usize = 240 << 20;
const COLS: usize = 2048;

#[test]
#[ignore = "prints, and decides nothing"]
fn product_rates() {
    let asked = std::env::var("POLYSILICON_PRODUCTS").unwrap_or_default();
    let words = asked.split_whitespace().map(|w| w.split(',').collect::<Vec<_>>()).collect::<Vec<_>>();
    let wants = |i: usize, name: &str| words.get(i).is_none_or(|w| w.contains(&name) || w.contains(&"all"));
    println!("{:8}{:>6}{:>10}{:>9}{:>8}{:>8}", "format", "rows", "level", "threads", "GB/s", "TOP/s");
    for dtype in DType::ALL.into_iter().filter(|t| t.is_block() && wants(0, t.name())) {
        for m in [1, 2, 4, 8, 16, 32, 64, 512].into_iter().filter(|m| wants(1, &m.to_string())) {
            let weight = random(dtype, BYTES * 16 / m.max(16));
            for isa in Isa::present().into_iter().skip(1).filter(|isa| wants(2, &isa.to_string())) {
                for threads in [1, 2].into_iter().filter(|t| wants(3, &t.to_string())) {
                    let (bytes, operations) = rates(isa, &weight, m, threads);
                    println!("{dtype:8}{m:>6}{isa:>10}{threads:>9}{bytes:>8.1}{operations:>8.2}");
                }
            }
        }
    }
}

/// One random strip, over and over.
fn random(dtype: DType, bytes: usize) -> Packed {
    let one = Layout::of(dtype, LANES, COLS).unwrap();
    let layout = Layout::of(dtype, bytes / one.strip_bytes() * LANES, COLS).unwrap();
    let mut strip = Buffer::zeroed(one.strip_bytes());
    pack_strip(&one, &weight(dtype, LANES, COLS, &mut Noise::new(3)), strip.as_mut_slice());
    let mut packed = Packed::try_zeroed(layout).unwrap();
    packed.bytes_mut().chunks_mut(strip.len()).for_each(|s| s.copy_from_slice(strip.as_slice()));
    packed
}

/// GB of weights in a second, and operations, in millions of millions.
fn rates(isa: Isa, weight: &Packed, m: usize, threads: usize) -> (f64, f64) {
    let view = weight.view();
    let layout = view.layout;
    let groups = quantized(isa, &values(m, COLS, &mut Noise::new(4)), m, COLS);
    let x = Activation::Int8(Int8::new(m, &groups));
    let mut out = vec![0.0f32; m * layout.rows];
    let start = out.as_mut_ptr() as usize;
    let seconds = best(threads, layout.strips(), &|strips, scratch: &mut Buffer| {
        *scratch = Buffer::zeroed(scratch_bytes(isa, &view, &x));
        let out = Output { start: start as *mut f32, stride: layout.rows };
        // SAFETY: each thread has strips of its own.
        unsafe { product(isa, &view, &x, strips, out, scratch.as_mut_slice()) }
    });
    (layout.bytes() as f64 / seconds / 1e9, 2.0 * (layout.rows * COLS * m) as f64 / seconds / 1e12)
}

/// The shortest of some rounds of all strips.
fn best(threads: usize, strips: usize, work: &(impl Fn(Range<usize>, &mut Buffer) + Sync)) -> f64 {
    let round = || {
        let barrier = Barrier::new(threads);
        std::thread::scope(|scope| {
            let workers = (0..threads).map(|t| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let mut scratch = Buffer::zeroed(0);
                    let share = strips * t / threads..strips * (t + 1) / threads;
                    barrier.wait();
                    let start = Instant::now();
                    work(share, &mut scratch);
                    start.elapsed().as_secs_f64()
                })
            });
            let workers = workers.collect::<Vec<_>>();
            workers.into_iter().map(|w| w.join().unwrap()).fold(0.0, f64::max)
        })
    };
    // A busy neighbour only ever adds.
    let start = Instant::now();
    let mut best = round();
    while start.elapsed().as_secs_f64() < 1.5 {
        best = best.min(round());
    }
    best
}
