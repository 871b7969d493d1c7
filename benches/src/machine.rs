//! What to run on: a device, its threads, and the limits of both.

use graph::Backend;
use polysilicon::{Choices, Device, Error, Limits, bench};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// A device with threads to work with.
pub struct Machine {
    /// The device.
    pub backend: Box<dyn Backend>,
    /// What its threads reach, where the device is this machine's processor.
    pub limits: Option<Limits>,
    pool: ThreadPool,
}

impl Machine {
    /// The device and the threads that `POLYSILICON_BENCH_DEVICE` and `POLYSILICON_BENCH_THREADS` name: the arguments of
    /// benches belong to their harness.
    pub fn from_env() -> Result<Machine, Error> {
        let device = match std::env::var("POLYSILICON_BENCH_DEVICE") {
            Ok(word) => word.parse()?,
            Err(_) => Device::Auto,
        };
        let threads = match std::env::var("POLYSILICON_BENCH_THREADS").map(|word| (word.parse(), word)) {
            Ok((Ok(threads), _)) => threads,
            Ok((Err(_), word)) => return Err(Error::Word(format!("`{word}` is no number of threads"))),
            Err(_) => 0,
        };
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|error| Error::Word(format!("threads could not be started: {error}")))?;
        let threads = pool.current_num_threads();
        let choices = Choices { threads: Some(threads), ..Choices::default() };
        Ok(Machine { backend: device.backend(&choices)?, limits: bench::limits(device, threads), pool })
    }

    /// Does all work of a bench with this machine's threads.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.install(work)
    }
}
