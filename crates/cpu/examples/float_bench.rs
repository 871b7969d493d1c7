//! Speed of the products of float activations: `float_bench [type] [level] [features] [columns] [rows]`, each `all` or a
//! word, prints for 1 and 2 threads the bytes of weights read per second and the operations done.
//!
//! The modules are the crate's own, compiled in here because they are not for others to call.

#![allow(dead_code, reason = "only the products are called")]

#[path = "../src/activation.rs"]
mod activation;
#[path = "../src/packed/mod.rs"]
mod packed;
#[path = "../src/product/mod.rs"]
mod product;

use std::sync::Barrier;
use std::time::Instant;

use activation::{Activation, Rows};
use half::bf16;
use packed::{BLOCK, Layout, Packed, pack_strip};
use product::{Output, product, scratch_bytes};
use simd::{Isa, LANES};
use tensor::{Buffer, DType, blocks};

/// Rows of activations.
const ROWS: [usize; 9] = [1, 2, 4, 6, 8, 16, 32, 64, 512];

/// The best of so many counts: a neighbour only ever makes a round slower.
const ROUNDS: usize = 8;

fn main() {
    let words = std::env::args().skip(1).collect::<Vec<_>>();
    let word = |i: usize| words.get(i).map(String::as_str).filter(|word| *word != "all");
    let number = |i: usize, default: usize| word(i).and_then(|word| word.parse().ok()).unwrap_or(default);
    let cols = number(3, 2048);
    let types = DType::weights().filter(|dtype| word(0).is_none_or(|word| dtype.to_string() == word));
    for dtype in types {
        let row = dtype.bytes_of(cols).expect("columns are whole blocks");
        let features = number(2, (256 << 20) / row / (4 * LANES) * (4 * LANES));
        let weight = weight(dtype, features, cols);
        for isa in Isa::present().into_iter().filter(|isa| *isa != Isa::Portable) {
            if word(1).is_some_and(|word| isa.to_string() != word) {
                continue;
            }
            println!("{dtype} {isa}, {features} features of {cols} columns");
            for rows in ROWS.into_iter().filter(|rows| number(4, *rows) == *rows) {
                bench(&weight, isa, rows);
            }
        }
    }
}

/// A weight of one strip, over and over.
fn weight(dtype: DType, features: usize, cols: usize) -> Packed {
    let layout = Layout::of(dtype, features, cols).expect("the type has a layout");
    let mut packed = Packed::try_zeroed(layout).expect("there is memory for the weight");
    let mut rows = vec![0; LANES * layout.row_bytes()];
    if dtype.is_block() {
        // Small scales whatever their place, and any codes.
        for (i, byte) in rows.iter_mut().enumerate() {
            *byte = (i * 37 % 101) as u8 & 0x2f;
        }
    } else {
        let values = (0..LANES * cols).map(|i| (i % 201) as f32 / 100.0 - 1.0).collect::<Vec<_>>();
        blocks::encode(dtype, &values, &mut rows);
    }
    for strip in packed.bytes_mut().chunks_exact_mut(layout.strip_bytes()) {
        pack_strip(&layout, &rows, strip);
    }
    packed
}

fn bench(weight: &Packed, isa: Isa, rows: usize) {
    let view = weight.view();
    let layout = view.layout;
    let x = (0..rows * layout.cols).map(|i| (i % 83) as f32 / 41.0 - 1.0).collect::<Vec<_>>();
    let halves = x.iter().copied().map(bf16::from_f32).collect::<Vec<_>>();
    assert!(layout.cols.is_multiple_of(BLOCK));
    let x = if layout.dtype == DType::BF16 {
        Activation::Bf16(Rows { rows, stride: layout.cols, values: &halves })
    } else {
        Activation::F32(Rows { rows, stride: layout.cols, values: &x })
    };
    let mut out = vec![0.0f32; rows * layout.rows];
    print!("{rows:5} rows");
    for threads in [1, 2] {
        let seconds = seconds(&view, isa, &x, threads, &mut out);
        let bytes = layout.bytes() as f64 / seconds / 1e9;
        let operations = 2.0 * (rows * layout.rows * layout.cols) as f64 / seconds / 1e12;
        print!("   {threads} threads {bytes:6.2} GB/s {operations:6.3} TFLOP/s");
    }
    println!();
}

/// An output that every thread writes its own features of.
struct Shared(Output);

// SAFETY: threads write different features.
unsafe impl Sync for Shared {}

impl Shared {
    fn output(&self) -> Output {
        self.0
    }
}

/// The best of some rounds.
fn seconds(weight: &packed::View<'_>, isa: Isa, x: &Activation<'_>, threads: usize, out: &mut [f32]) -> f64 {
    let shared = Shared(Output { start: out.as_mut_ptr(), stride: weight.layout.rows });
    let (barrier, begin) = (Barrier::new(threads), Instant::now());
    let strips = weight.layout.strips();
    let work = &|index: usize| {
        let out = Shared::output(&shared);
        let mut scratch = Buffer::zeroed(scratch_bytes(isa, weight, x));
        let mut best = f64::INFINITY;
        for _ in 0..ROUNDS {
            barrier.wait();
            let before = begin.elapsed();
            let share = strips * index / threads..strips * (index + 1) / threads;
            // SAFETY: the output has all rows and features, and each thread its own strips.
            unsafe { product(isa, weight, x, share, out, scratch.as_mut_slice()) };
            barrier.wait();
            best = best.min((begin.elapsed() - before).as_secs_f64());
        }
        best
    };
    std::thread::scope(|scope| {
        let handles = (1..threads).map(|index| scope.spawn(move || work(index))).collect::<Vec<_>>();
        let own = work(0);
        handles.into_iter().map(|handle| handle.join().expect("no thread panics")).fold(own, f64::max)
    })
}
