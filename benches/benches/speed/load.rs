//! From a file in the page cache to a model that is ready; and of loading onto a GPU what the host does, reading and
//! packing, with nowhere to bring it.

use std::sync::Arc;

use cuda::{Cuda, Options, Recorder};
use graph::Backend;
use polysilicon::{Error, Opened};

use crate::steps::{Bench, model};

/// Memory of the GPU that is not there.
const MEMORY_BYTES: u64 = 141 << 30;

pub fn bench(bench: &mut Bench<'_>) -> Result<(), Error> {
    one(bench, "load", &*bench.machine.backend)?;
    let recorder = Arc::new(Recorder::new(MEMORY_BYTES));
    one(bench, "load/host part of cuda", &Cuda::new(recorder, Options::default()))
}

fn one(bench: &mut Bench<'_>, name: &str, backend: &dyn Backend) -> Result<(), Error> {
    let mut failure = None;
    bench.criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            let load = || {
                let opened = Opened::find(&model(), None)?;
                let graph = opened.graph(backend.caps().kv[0])?;
                Ok::<_, Error>(backend.load(&graph, &**opened.source())?.bytes())
            };
            load().map_err(|error| failure = Some(error)).ok()
        });
    });
    failure.map_or(Ok(()), Err)
}
