//! From a file in the page cache to a model that is ready.

use polysilicon::{Error, Opened};

use crate::steps::{Bench, model};

pub fn bench(bench: &mut Bench<'_>) -> Result<(), Error> {
    let backend = &*bench.machine.backend;
    let mut failure = None;
    bench.criterion.bench_function("load", |bencher| {
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
