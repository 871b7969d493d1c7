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
mod nvidia;
mod options;
mod pack;
mod program;
mod recorder;
mod rows;
mod source;
mod states;
mod weights;

use std::sync::Arc;

use graph::{
    Backend, BackendError, Bucket, BucketPolicy, Budget, Caps, Executor, Graph, Needs, ProgramSpec, Tell,
    Weights,
};
use tensor::{DType, WeightSource};

pub use driver::{
    About, Address, Call, Collective, CollectiveCall, Driver, Fault, GraphId, KernelCall, KernelId, Memory,
    SLOTS,
};
pub use eval::eval;
pub use nvidia::{Energy, Found, Nvidia, find};
pub use options::{Options, Precision};
pub use recorder::{Event, Recorder};
pub use source::Source;

/// The name in errors and reports.
const NAME: &str = "cuda";

/// The backend, over a driver.
pub struct Cuda {
    driver: Arc<dyn Driver>,
    options: Options,
    caps: Caps,
    kernels: Arc<compiled::Kernels>,
}

impl Cuda {
    /// A backend on a device.
    pub fn new(driver: Arc<dyn Driver>, options: Options) -> Cuda {
        let about = driver.about();
        // What came before Hopper knows no such launches.
        let generation =
            about.arch.trim_start_matches("sm_").trim_end_matches('a').parse::<u32>().unwrap_or(0);
        let early = options.early && generation >= 90;
        let options = Options { early, shared_bytes: about.shared_bytes, ..options };
        let caps = Caps {
            name: NAME,
            description: format!("{}, {}, driver {}", about.name, about.arch, about.driver),
            kv: vec![DType::BF16, DType::F16, DType::F32, DType::Q8_0],
            buckets: BucketPolicy::PowersOfTwo,
            overlap: true,
            mixed_steps: true,
            batch_invariant: options.invariant,
            memory_bytes: Some(about.memory_bytes),
        };
        Cuda { driver, options, caps, kernels: Arc::default() }
    }

    /// A backend on the GPU of this number.
    pub fn open(number: u32, options: Options) -> Result<Cuda, BackendError> {
        Ok(Cuda::new(Arc::new(Nvidia::open(number).map_err(fault)?), options))
    }
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

    fn load(&self, graph: &Graph, source: &dyn WeightSource) -> Result<Arc<dyn Weights>, BackendError> {
        graph.check_alone(NAME)?;
        Ok(Arc::new(weights::Loaded::load(graph, source, &self.driver)?))
    }

    fn prepare(&self, graph: &Graph, bucket: &Bucket, tell: &Tell<'_>) -> Result<(), BackendError> {
        let sources = compiled::needed(graph, &weights::forms(graph), bucket, &self.options)?;
        self.kernels.load(&self.driver, sources.iter(), tell).map(drop)
    }

    fn needs(&self, graph: &Graph, bucket: &Bucket) -> Result<Needs, BackendError> {
        let forms = weights::forms(graph);
        let packed = graph.weights.iter().zip(&forms).map(|(spec, form)| form.bytes(&spec.info));
        let weight_bytes = packed.map(|bytes| bytes.map_or(u64::MAX, |bytes| bytes as u64));
        let work = executor::needs(graph, &forms, bucket, &self.options)?;
        Ok(Needs {
            weight_bytes: weight_bytes.fold(0, u64::saturating_add),
            work_bytes: work.iter().map(|&bytes| bytes as u64).sum(),
        })
    }

    fn open(
        &self,
        graph: &Graph,
        weights: Arc<dyn Weights>,
        budget: &Budget,
    ) -> Result<Box<dyn Executor>, BackendError> {
        let weights = weights.packed_by::<weights::Loaded>(NAME)?;
        let Cuda { driver, options, kernels, .. } = self;
        Ok(Box::new(executor::Running::open(graph, options, driver, kernels, weights, budget)?))
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
        Fault::Failed(reason) => BackendError::Device { device: NAME, reason },
    }
}
