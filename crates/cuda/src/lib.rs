//! NVIDIA GPUs: kernels as text, compiled when they are first needed, and plans as lists of launches, captured once for
//! each bucket of decoding and replayed.
//!
//! Everything but [`Driver`] is plain computation, so it is tested without a GPU: the same launches go to a recorder, or to
//! the CPU on which the very same kernels were compiled.

mod compiled;
mod driver;
mod eval;
mod executor;
mod launch;
mod lower;
mod meeting;
mod nvidia;
mod options;
mod pack;
mod program;
mod rank;
mod ranks;
mod recorder;
mod rows;
mod source;
mod states;
mod weights;

use std::sync::Arc;

use graph::{
    Backend, BackendError, Bucket, BucketPolicy, Budget, Caps, Executor, Graph, Needs, ProgramSpec, Tell,
    Weights, shard,
};
use tensor::{DType, WeightSource};

use compiled::Kernels;

pub use driver::{
    About, Address, Call, Collective, CollectiveCall, Driver, Fault, GraphId, KernelCall, KernelId, Matmul,
    MatmulCall, Memory, SLOTS,
};
pub use eval::eval;
pub use meeting::{Seat, acquaint, meeting};
pub use nvidia::{Energy, Found, Nvidia, find};
pub use options::{Options, Precision};
pub use recorder::{Event, Recorder};
pub use source::Source;

/// The name in errors and reports.
const NAME: &str = "cuda";

/// The backend, over the drivers of devices that compute together.
pub struct Cuda {
    /// In the order of ranks.
    devices: Vec<Arc<Kernels>>,
    options: Options,
    caps: Caps,
}

impl Cuda {
    /// A backend on one device.
    pub fn new(driver: Arc<dyn Driver>, options: Options) -> Cuda {
        Cuda::together(vec![driver], options)
    }

    /// A backend on devices that compute together, in the order of ranks.
    ///
    /// # Panics
    /// Where they do not.
    pub fn together(drivers: Vec<Arc<dyn Driver>>, options: Options) -> Cuda {
        let count = drivers.len();
        assert!(count > 0, "there is a device");
        let alike = drivers.iter().all(|driver| driver.ranks() == count);
        assert!(alike, "devices that compute together are told so when they are opened");
        let about = drivers.iter().map(|driver| driver.about()).collect::<Vec<_>>();
        // What came before Hopper knows no such launches.
        let early = options.early && about.iter().all(|about| generation(about) >= 90);
        let shared_bytes = about.iter().map(|about| about.shared_bytes).min().unwrap_or(0);
        let library = options.library && drivers.iter().all(|driver| driver.has_library());
        let missing = if options.library && !library { ", cuBLASLt not found" } else { "" };
        let options = Options { early, library, shared_bytes, ..options };
        let About { name, arch, driver, .. } = about[0];
        let several = if count > 1 { format!("{count} times ") } else { String::new() };
        let caps = Caps {
            name: NAME,
            description: format!("{several}{name}, {arch}, driver {driver}{missing}"),
            kv: vec![DType::BF16, DType::F16, DType::F32, DType::Q8_0],
            buckets: BucketPolicy::PowersOfTwo,
            overlap: true,
            mixed_steps: true,
            batch_invariant: options.invariant,
            memory_bytes: Some(about.iter().map(|about| about.memory_bytes).sum()),
        };
        let devices = drivers.into_iter().map(|driver| Arc::new(Kernels::of(driver))).collect();
        Cuda { devices, options, caps }
    }

    /// A backend on so many GPUs, from this number on.
    pub fn open(number: u32, ranks: u32, options: Options) -> Result<Cuda, BackendError> {
        if ranks <= 1 {
            return Ok(Cuda::new(Arc::new(Nvidia::open(number).map_err(fault)?), options));
        }
        let numbers = (number..).take(ranks as usize).collect::<Vec<_>>();
        let gpus = Nvidia::together(&numbers).map_err(fault)?;
        let drivers = gpus.into_iter().map(|gpu| Arc::new(gpu) as Arc<dyn Driver>).collect::<Vec<_>>();
        acquaint(&drivers).map_err(fault)?;
        Ok(Cuda::together(drivers, options))
    }

    /// The graph of one of the ranks.
    fn of_rank(&self, graph: &Graph) -> Result<Graph, BackendError> {
        graph.check_alone(NAME)?;
        let ranks = self.devices.len() as u32;
        shard(graph, ranks)
            .map_err(|error| unsupported(format!("{} on {ranks} GPUs", graph.name), error.to_string()))
    }
}

/// The number of an architecture, 90 of `sm_90a`.
fn generation(about: &About) -> u32 {
    about.arch.trim_start_matches("sm_").trim_end_matches('a').parse().unwrap_or(0)
}

/// The kernels of a program, in the order in which they are launched, without any device: what a step launches, and what a
/// compiler will be given.
pub fn sources(graph: &Graph, spec: &ProgramSpec, options: &Options) -> Result<Vec<Source>, BackendError> {
    let program = program::Program::new(graph, &weights::forms(graph), spec, options)?;
    Ok(launch::sources(&program.lowered.launches).cloned().collect())
}

impl Backend for Cuda {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    /// Four times as many as elsewhere: reckoned for 8B on an H200, a step of 512 tokens takes 17 ms by `many.cu`'s rate, of which
    /// launching some 230 kernels one by one is a noticeable part. Not measured.
    fn chunk(&self) -> Option<u32> {
        Some(2048)
    }

    fn load(&self, graph: &Graph, source: &dyn WeightSource) -> Result<Arc<dyn Weights>, BackendError> {
        let drivers = self.devices.iter().map(|device| Arc::clone(&device.driver)).collect::<Vec<_>>();
        Ok(Arc::new(weights::Loaded::load(&self.of_rank(graph)?, source, &drivers)?))
    }

    fn prepare(&self, graph: &Graph, bucket: &Bucket, tell: &Tell<'_>) -> Result<(), BackendError> {
        let graph = self.of_rank(graph)?;
        let sources = compiled::needed(&graph, &weights::forms(&graph), bucket, &self.options)?;
        // One after another, so that those behind the first find what it compiled.
        let ranks = self.devices.len() as u64;
        (0..).zip(&self.devices).try_for_each(|(rank, device)| {
            device.load(sources.iter(), &|done, total| tell(rank * total + done, ranks * total)).map(drop)
        })
    }

    fn needs(&self, graph: &Graph, bucket: &Bucket) -> Result<Needs, BackendError> {
        let graph = self.of_rank(graph)?;
        let forms = weights::forms(&graph);
        let packed = graph.weights.iter().zip(&forms).map(|(spec, form)| form.bytes(&spec.info));
        let weight_bytes = packed.map(|bytes| bytes.map_or(u64::MAX, |bytes| bytes as u64));
        let work = executor::needs(&graph, &forms, bucket, &self.options)?;
        let of_all = |bytes: u64| bytes.saturating_mul(self.devices.len() as u64);
        Ok(Needs {
            weight_bytes: of_all(weight_bytes.fold(0, u64::saturating_add)),
            work_bytes: of_all(work.iter().map(|&bytes| bytes as u64).sum()),
        })
    }

    fn open(
        &self,
        graph: &Graph,
        weights: Arc<dyn Weights>,
        budget: &Budget,
    ) -> Result<Box<dyn Executor>, BackendError> {
        let weights = weights.packed_by::<weights::Loaded>(NAME)?;
        let (graph, Cuda { options, devices, .. }) = (self.of_rank(graph)?, self);
        Ok(Box::new(executor::Running::open(graph, options, devices, &weights, budget)?))
    }
}

fn unsupported(what: String, reason: String) -> BackendError {
    BackendError::Unsupported { device: NAME, what, reason }
}

fn fault(fault: Fault) -> BackendError {
    match fault {
        Fault::Memory { needed, available } => {
            BackendError::Memory { device: NAME, what: "weights, states and work space", needed, available }
        }
        Fault::Failed(reason) | Fault::Left(reason) => BackendError::Device { device: NAME, reason },
    }
}
