//! Products of each weight type, from one row to a prompt's chunk.

use benches::linear;
use criterion::BenchmarkId;
use polysilicon::bench::{Room, Runner, prefill};
use polysilicon::{DType, Error};

use crate::steps::{Bench, Lazy, number, time};

/// Bytes of weights at least: more than caches hold.
const BYTES: u64 = 256 << 20;
/// Rows multiplied at once.
const ROWS: [u32; 5] = [1, 4, 16, 64, 512];

pub fn bench(bench: &mut Bench<'_>) -> Result<(), Error> {
    let width = number("POLYSILICON_BENCH_WIDTH", 4096)?;
    let mut group = bench.criterion.benchmark_group("ops");
    for dtype in DType::weights() {
        let matrix = dtype.bytes_of(width as usize).map(|row| row as u64 * u64::from(width));
        let Some(matrix) = matrix.filter(|&bytes| bytes > 0) else {
            return Err(Error::Word(format!("rows of {width} are no whole blocks of {dtype}")));
        };
        // Small ones are for devices that are slow.
        let count = if width < 1024 { 2 } else { BYTES.div_ceil(matrix) as u32 };
        let mut runner = Lazy::new(|| {
            let made = linear(dtype, width, count);
            let room = Room { seqs: 1, context: ROWS[ROWS.len() - 1] };
            Runner::open(&*bench.machine.backend, made.graph, &made.source, room)
        });
        for rows in ROWS {
            let id = BenchmarkId::new(dtype.name(), rows);
            time(&mut group, bench.machine.limits.as_ref(), id, &prefill(0, 0..rows), &mut runner)?;
        }
    }
    group.finish();
    Ok(())
}
