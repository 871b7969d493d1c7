//! Criterion groups over every device: `cargo bench -p polysilicon-benches -- ops/q4_0`.
//!
//! | Variable | Meaning | Default |
//! |---|---|---|
//! | `POLYSILICON_BENCH_DEVICE` | the device | `auto` |
//! | `POLYSILICON_BENCH_THREADS` | threads | one per core |
//! | `POLYSILICON_BENCH_MODEL` | the model of decode, prefill and load | `embedded` |
//! | `POLYSILICON_BENCH_TOKENIZER` | a `tokenizer.json` for `mask` | made-up words |
//! | `POLYSILICON_BENCH_WIDTH` | rows and columns of a weight in `ops` | 4096 |
//! | `POLYSILICON_BENCH_DEPTH` | the deepest context in `attention` and `decode` | 16384 |
//!
//! After each figure of criterion's stands the share of the machine's measured limits that its median reaches.

#![forbid(unsafe_code)]

mod attention;
mod decode;
mod engine;
mod load;
mod mask;
mod ops;
mod prefill;
mod sampler;
mod steps;

use std::time::Duration;

use benches::Machine;
use criterion::Criterion;
use polysilicon::Error;
use steps::Bench;

fn main() -> Result<(), Error> {
    let machine = Machine::from_env()?;
    machine.install(|| {
        let mut criterion = Criterion::default()
            .sample_size(10)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1))
            .configure_from_args();
        let mut bench = Bench { machine: &machine, criterion: &mut criterion };
        ops::bench(&mut bench)?;
        attention::bench(&mut bench)?;
        decode::bench(&mut bench)?;
        prefill::bench(&mut bench)?;
        load::bench(&mut bench)?;
        engine::bench(&mut bench);
        sampler::bench(&mut bench);
        mask::bench(&mut bench);
        criterion.final_summary();
        Ok(())
    })
}
