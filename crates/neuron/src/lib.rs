//! AWS Neuron chips: the graph as whole HLO modules with static shapes, one per bucket.
//!
//! Nothing here was run on a chip. What a module means is held against stock XLA, which runs every one that the
//! conformance suite and the goldens give rise to.

#![forbid(unsafe_code)]

mod bundle;
mod device;
mod emit;
mod eval;
mod executor;
mod narrow;
mod options;
mod program;
mod states;
mod target;
mod uses;
mod weights;

use std::sync::{Arc, Mutex};

use graph::{Backend, BackendError, BucketPolicy, Budget, Caps, Executor, Graph, Weights};
use tensor::{DType, WeightSource};

pub use bundle::Bundle;
pub use device::Device;
pub use emit::{Emitted, Given, emit};
pub use eval::eval;
pub use narrow::Narrow;
pub use options::{Dialect, Options, Precision};
pub use target::{TARGETS, Target};
pub use weights::Form;

/// The name in errors and reports.
const NAME: &str = "neuron";

/// The backend, over something that runs modules.
pub struct Neuron<D: Device> {
    device: Arc<Mutex<D>>,
    options: Options,
    caps: Caps,
}

impl<D: Device> Neuron<D> {
    /// A backend on a device, which `description` tells of.
    pub fn new(device: D, description: &str, options: Options) -> Neuron<D> {
        let caps = Caps {
            name: NAME,
            description: description.to_owned(),
            kv: vec![DType::BF16, DType::F32, DType::F16],
            buckets: BucketPolicy::PowersOfTwo,
            overlap: false,
            mixed_steps: false,
            batch_invariant: false,
            memory_bytes: None,
        };
        Neuron { device: Arc::new(Mutex::new(device)), options, caps }
    }
}

impl<D: Device> Backend for Neuron<D> {
    fn caps(&self) -> &Caps {
        &self.caps
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
