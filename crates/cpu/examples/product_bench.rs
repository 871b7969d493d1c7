//! Speed of the products of int8 activations and block formats: `product_bench [types] [levels] [rows] [threads]`, each
//! `all` or words with commas between, prints the bytes of weights read per second and the operations done.
//!
//! The modules are the crate's own, compiled in here because they are not for others to call.

#![allow(dead_code, reason = "only the products are called")]

#[path = "../src/activation.rs"]
mod activation;
#[path = "../src/packed/mod.rs"]
mod packed;
#[path = "../src/product/mod.rs"]
mod product;

use std::ops::Range;
use std::sync::Barrier;
use std::time::Instant;

use activation::{Activation, Int8, Int8Group, int8_groups};
use half::f16;
use packed::{Fields, Layout, Packed, pack_strip};
use product::{Output, product, scratch_bytes};
use simd::{Isa, LANES};
use tensor::{Buffer, DType};

/// Bytes of a weight, far more than caches hold; of one for more than 16 rows so much less as there are more rows, so
/// that outputs stay of the size they have in models.
const BYTES: usize = 240 << 20;
const COLS: usize = 2048;

/// Rounds of a measurement: as many as fit into so many seconds.
const SECONDS: f64 = 1.0;

fn main() {
    let words = std::env::args().skip(1).collect::<Vec<_>>();
    let wants = |i: usize, name: String| {
        words.get(i).is_none_or(|all| all.split(',').any(|word| word == name || word == "all"))
    };
    println!("{:8}{:>10}{:>6}{:>9}{:>8}{:>8}", "type", "level", "rows", "threads", "GB/s", "TOP/s");
    for dtype in DType::ALL.into_iter().filter(|t| t.is_block() && wants(0, t.to_string())) {
        for rows in [1, 2, 4, 8, 12, 16, 32, 64, 512].into_iter().filter(|m| wants(2, m.to_string())) {
            let weight = random(dtype, BYTES * 16 / rows.max(16));
            for isa in Isa::present().into_iter().skip(1).filter(|isa| wants(1, isa.to_string())) {
                for threads in [1, 2].into_iter().filter(|t: &usize| wants(3, t.to_string())) {
                    let seconds = seconds(isa, &weight, rows, threads);
                    let layout = weight.view().layout;
                    let operations = 2.0 * (layout.rows * COLS * rows) as f64;
                    let (bytes, operations) =
                        (layout.bytes() as f64 / seconds / 1e9, operations / seconds / 1e12);
                    println!("{dtype:8}{isa:>10}{rows:>6}{threads:>9}{bytes:>8.1}{operations:>8.2}");
                }
            }
        }
    }
}

/// One strip of any codes under small scales, over and over.
fn random(dtype: DType, bytes: usize) -> Packed {
    let layout = |rows| Layout::of(dtype, rows, COLS).expect("the columns are whole groups");
    let one = layout(LANES);
    let mut state = 1u64;
    let mut source = (0..LANES * one.row_bytes())
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect::<Vec<_>>();
    let fields = Fields::of(dtype).expect("the type has blocks");
    for block in source.chunks_mut(dtype.block_bytes()) {
        for &at in fields.floats {
            block[at..at + 2].copy_from_slice(&f16::from_f32(0.01).to_le_bytes());
        }
    }
    let mut strip = Buffer::zeroed(one.strip_bytes());
    pack_strip(&one, &source, strip.as_mut_slice());
    let mut packed = Packed::try_zeroed(layout(bytes / strip.len() * LANES)).expect("there is memory");
    packed.bytes_mut().chunks_mut(strip.len()).for_each(|to| to.copy_from_slice(strip.as_slice()));
    packed
}

/// The least seconds that a product takes.
fn seconds(isa: Isa, weight: &Packed, rows: usize, threads: usize) -> f64 {
    let view = weight.view();
    let mut groups = vec![Int8Group::ZERO; int8_groups(rows, COLS)];
    for (i, group) in groups.iter_mut().enumerate() {
        group.codes = std::array::from_fn(|k| ((i + k) * 37 % 255) as u8 as i8);
        group.scale = 0.01;
    }
    let x = Activation::Int8(Int8::new(rows, &groups));
    let mut out = vec![0.0f32; rows * view.layout.rows];
    let start = out.as_mut_ptr() as usize;
    least(threads, view.layout.strips(), &|strips| {
        let mut scratch = Buffer::zeroed(scratch_bytes(isa, &view, &x));
        let out = Output { start: start as *mut f32, stride: view.layout.rows };
        let begin = Instant::now();
        // SAFETY: each thread has strips of its own.
        unsafe { product(isa, &view, &x, strips, out, scratch.as_mut_slice()) };
        begin.elapsed().as_secs_f64()
    })
}

/// The least over rounds of the most that a thread takes for its share. A busy neighbour only ever adds.
fn least(threads: usize, strips: usize, work: &(impl Fn(Range<usize>) -> f64 + Sync)) -> f64 {
    let begin = Instant::now();
    let mut least = f64::MAX;
    while begin.elapsed().as_secs_f64() < SECONDS || least == f64::MAX {
        let barrier = Barrier::new(threads);
        let most = std::thread::scope(|scope| {
            let workers = (0..threads).map(|t| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    work(strips * t / threads..strips * (t + 1) / threads)
                })
            });
            let workers = workers.collect::<Vec<_>>();
            workers.into_iter().map(|w| w.join().expect("a product does not panic")).fold(0.0, f64::max)
        });
        least = least.min(most);
    }
    least
}
