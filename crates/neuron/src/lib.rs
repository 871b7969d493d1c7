//! AWS Neuron chips: the graph as whole HLO modules with static shapes, one per bucket.
//!
//! Nothing here was run on a chip. What a module means is held against stock XLA, which runs every one that the
//! conformance suite and the goldens give rise to.

#![forbid(unsafe_code)]

mod bundle;
mod chip;
mod compiler;
mod device;
mod emit;
mod eval;
mod executor;
mod narrow;
mod options;
mod program;
mod rows;
mod states;
mod target;
mod uses;
mod weights;

use std::sync::{Arc, Mutex};

use graph::{
    Backend, BackendError, Bucket, BucketPolicy, Budget, Caps, Executor, Graph, Needs, Weights,
};
use tensor::{DType, WeightSource};

pub use bundle::Bundle;
pub use chip::{Chip, ChipBound, ChipOptions, ChipProgram, describe};
pub use compiler::{COMMAND, Compiler, key};
pub use device::Device;
pub use emit::{Emitted, Given, emit};
pub use eval::eval;
pub use narrow::Narrow;
pub use nrt::Seen;
pub use options::{Dialect, Options, Precision};
pub use target::{TARGETS, Target};
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

    fn needs(&self, graph: &Graph, bucket: &Bucket) -> Result<Needs, BackendError> {
        let weight_bytes = weights::bytes(graph, &self.options);
        Ok(Needs { weight_bytes, work_bytes: graph.value_bytes(bucket) })
    }

    fn load(&self, graph: &Graph, source: &dyn WeightSource) -> Result<Arc<dyn Weights>, BackendError> {
        let device = &mut *executor::lock(&self.device);
        Ok(Arc::new(weights::Loaded::load(graph, source, &self.options, device)?))
    }

    fn open(
        &self,
        graph: &Graph,
        weights: Arc<dyn Weights>,
        budget: &Budget,
    ) -> Result<Box<dyn Executor>, BackendError> {
        let weights = weights.packed_by::<weights::Loaded<D>>(NAME)?;
        let device = Arc::clone(&self.device);
        Ok(Box::new(executor::Running::open(graph, &self.options, device, weights, budget)?))
    }
}

fn unsupported(what: String, reason: String) -> BackendError {
    BackendError::Unsupported { device: NAME, what, reason }
}
