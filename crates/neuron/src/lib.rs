//! AWS Neuron chips: the graph as whole HLO modules with static shapes, one per bucket.
//!
//! Nothing here was run on a chip. What a module means is held against stock XLA, which runs every one that the
//! conformance suite and the goldens give rise to.

#![forbid(unsafe_code)]

mod bundle;
mod chip;
mod device;
mod emit;
mod eval;
mod executor;
mod narrow;
mod options;

mod program;
mod programs;
mod rows;
mod states;
mod uses;
mod weights;

use std::sync::{Arc, Mutex};

use graph::{
    Backend, BackendError, Bucket, BucketPolicy, Budget, Caps, Executor, Graph, Needs, ShardError, Weights,
    shard,
};
use tensor::{DType, WeightSource};

pub use bundle::{BucketError, Bundle, BundleError, Packed, Step, bucket_named};
pub use chip::{Chip, ChipBound, ChipOptions, ChipProgram, describe};
pub use device::Device;
pub use emit::{Emitted, Given, emit};
pub use eval::eval;
pub use narrow::Narrow;
pub use neuronx::{COMMAND, CompileError, Compiled, Compiler, Job, Neff, NeffError, TARGETS, Target};
pub use nrt::Seen;
pub use options::{Dialect, Options, Precision};
pub use weights::Form;

/// The name in errors and reports.
const NAME: &str = "neuron";

/// The name where it is the emulator.
const EMULATED: &str = "neuron (emulated)";

/// Types that keys and values may be kept in, the default first.
pub const KV: [DType; 3] = [DType::BF16, DType::F32, DType::F16];

/// The backend, over something that runs modules.
pub struct Neuron<D: Device> {
    device: Arc<Mutex<D>>,
    options: Options,
    caps: Caps,
    emulated: bool,
}

impl<D: Device> Neuron<D> {
    /// A backend on a device, which `description` tells of.
    pub fn new(device: D, description: &str, options: Options) -> Neuron<D> {
        let caps = Caps {
            name: NAME,
            description: description.to_owned(),
            kv: KV.to_vec(),
            buckets: BucketPolicy::PowersOfTwo,
            overlap: true,
            mixed_steps: false,
            batch_invariant: false,
            memory_bytes: None,
        };
        Neuron { device: Arc::new(Mutex::new(device)), options, caps, emulated: false }
    }
}

impl Neuron<Chip> {
    /// The backend on cores of this machine's chips.
    pub fn of_chip(chip: Chip, options: Options) -> Result<Neuron<Chip>, BackendError> {
        let (emulated, memory_bytes, description) =
            (chip.is_emulated(), chip.memory_bytes()?, chip.description());
        let memory_bytes = memory_bytes.saturating_mul(chip.ranks().into());
        // Programs that were made elsewhere were made of modules that were written like this.
        let options = chip.packed().map_or(options, |packed| packed.options());
        options.check(chip.target())?;
        let mut backend = Neuron::new(chip, &description, options);
        backend.caps.memory_bytes = Some(memory_bytes);
        backend.caps.name = if emulated { EMULATED } else { NAME };
        backend.emulated = emulated;
        Ok(backend)
    }
}

impl<D: Device> Backend for Neuron<D> {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn is_emulated(&self) -> bool {
        self.emulated
    }

    fn load(&self, graph: &Graph, source: &dyn WeightSource) -> Result<Arc<dyn Weights>, BackendError> {
        let device = &mut *executor::lock(&self.device);
        let graph = of_rank(graph, device.ranks())?;
        Ok(Arc::new(weights::Loaded::load(&graph, source, &self.options, device)?))
    }

    fn needs(&self, graph: &Graph, bucket: &Bucket) -> Result<Needs, BackendError> {
        let ranks = executor::lock(&self.device).ranks();
        let graph = of_rank(graph, ranks)?;
        let weight_bytes = weights::bytes(&graph, &self.options).saturating_mul(ranks.into());
        Ok(Needs { weight_bytes, work_bytes: graph.value_bytes(bucket).saturating_mul(ranks.into()) })
    }

    fn open(
        &self,
        graph: &Graph,
        weights: Arc<dyn Weights>,
        budget: &Budget,
    ) -> Result<Box<dyn Executor>, BackendError> {
        let weights = weights.packed_by::<weights::Loaded<D>>(NAME)?;
        let device = Arc::clone(&self.device);
        let ranks = executor::lock(&device).ranks();
        let graph = of_rank(graph, ranks)?;
        Ok(Box::new(executor::Running::open(&graph, &self.options, device, weights, budget)?))
    }
}

/// The graph of one rank of so many.
fn of_rank(graph: &Graph, ranks: u32) -> Result<Graph, BackendError> {
    let refused =
        |error: ShardError| unsupported(format!("{} on {ranks} ranks", graph.name), error.to_string());
    shard(graph, ranks).map_err(refused)
}

/// The compiler's errors, as a backend's.
pub fn uncompiled(error: CompileError) -> BackendError {
    BackendError::Device { device: NAME, reason: error.to_string() }
}

fn unsupported(what: String, reason: String) -> BackendError {
    BackendError::Unsupported { device: NAME, what, reason }
}
