//! `cargo run --release -p polysilicon-cpu --example attention_bench [decode|prefill] [level [type]]`: bytes of keys and
//! values that decoding reads per second, and operations of prompts per second, by depth and threads.

use cpu::attention_trial::Trial;
use simd::Isa;
use tensor::DType;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = std::env::args().skip(1).collect::<Vec<_>>();
    let isa = args.get(1).map_or_else(Isa::detect, |word| word.parse())?;
    if !isa.is_present() {
        return Err(format!("this machine has no {isa}").into());
    }
    let asked = |word: &str| args.first().is_none_or(|arg| arg == word);
    let types = [(DType::BF16, true), (DType::F16, false)];
    let types = types.into_iter().filter(|(dtype, _)| args.get(2).is_none_or(|word| dtype.name() == word));
    let types = types.collect::<Vec<_>>();
    if asked("decode") {
        println!("decode on {isa}: GB/s of keys and values at 1 and 2 threads");
        for (dtype, rounded) in types.iter().copied() {
            for heads in [[32, 8, 64], [32, 8, 128], [16, 8, 128], [64, 8, 64]] {
                for depth in [4096, 16384] {
                    let trial = |workers: usize| {
                        let trial =
                            Trial { isa, workers, heads, dtype, rounded, depth: depth - 1, tokens: 1 };
                        trial.run(40).map(|took| took.bytes / 1e9)
                    };
                    println!("{dtype:5} {heads:?} {depth:6} {:6.1} {:6.1}", trial(1)?, trial(2)?);
                }
            }
        }
    }
    if asked("prefill") {
        println!("prefill of 512 tokens on {isa}: TFLOP/s at 1 and 2 threads");
        for (dtype, rounded) in types.iter().copied() {
            for heads in [[32, 8, 64], [32, 8, 128]] {
                for depth in [512, 4096, 8192] {
                    let trial = |workers: usize| {
                        let trial =
                            Trial { isa, workers, heads, dtype, rounded, depth: depth - 512, tokens: 512 };
                        trial.run(10).map(|took| took.operations / 1e12)
                    };
                    println!("{dtype:5} {heads:?} {depth:6} {:6.3} {:6.3}", trial(1)?, trial(2)?);
                }
            }
        }
    }
    Ok(())
}
