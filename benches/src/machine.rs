//! What to run on: a device, its threads, and the limits of both.

use graph::Backend;
use polysilicon::{Choices, Device, Error, Gauge, Measured, measure_devices};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::Limits;

/// A device with threads to work with.
pub struct Machine {
    /// The device.
    pub backend: Box<dyn Backend>,
    /// Threads.
    pub threads: usize,
    device: Device,
    pool: ThreadPool,
}

impl Machine {
    /// This device with so many threads; one per core where `None`.
    pub fn new(device: Device, threads: Option<usize>) -> Result<Machine, Error> {
        let pool = ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0)).build();
        let pool = pool.map_err(|error| Error::Word(format!("threads could not be started: {error}")))?;
        let threads = pool.current_num_threads();
        let choices = Choices { threads: Some(threads), ..Choices::default() };
        Ok(Machine { backend: device.backend(&choices)?, threads, device, pool })
    }

    /// The device and the threads that `POLYSILICON_BENCH_DEVICE` and `POLYSILICON_BENCH_THREADS` name, for benches
    /// whose arguments belong to their harness.
    pub fn from_env() -> Result<Machine, Error> {
        let device = match std::env::var("POLYSILICON_BENCH_DEVICE") {
            Ok(word) => word.parse()?,
            Err(_) => Device::Auto,
        };
        let threads = match std::env::var("POLYSILICON_BENCH_THREADS").map(|word| (word.parse(), word)) {
            Ok((Ok(threads), _)) => Some(threads),
            Ok((Err(_), word)) => return Err(Error::Word(format!("`{word}` is no number of threads"))),
            Err(_) => None,
        };
        Machine::new(device, threads)
    }

    /// Does all work of a bench with this machine's threads.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.install(work)
    }

    /// What the threads reach, measured where that was not done on a quiet machine before; `None` where the device is
    /// not this processor.
    pub fn limits(&self) -> Option<Limits> {
        let kept = self.measured(false)?;
        let measured = if kept.quiet { kept } else { self.measured(true)? };
        if !measured.quiet {
            eprintln!("other programs use this machine's cores: shares of its limits will be too high");
        }
        Some(Limits::new(measured, self.threads))
    }

    /// What memory gives while something is measured; `None` where the device is not this processor.
    pub fn gauge(&self) -> Option<Gauge> {
        self.measured(false).map(|_| Gauge::new(self.threads))
    }

    fn measured(&self, again: bool) -> Option<Measured> {
        let name = self.device.to_string();
        let mut devices = measure_devices(again, &mut |_| {}).into_iter();
        let info = devices.find(|info| info.name == name || info.auto && self.device == Device::Auto)?;
        info.processor?.measured
    }
}
