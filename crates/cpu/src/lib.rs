//! The CPU backend: weights packed once into the layout their kernels stream, kernels per instruction set level, and a
//! plan over one arena that all workers walk together.
//!
//! What a worker does is in `program`, the order of sums and the rounding of activations in `product` and
//! `attention`: within those rules every instruction set level, number of threads, chunk of a prompt and batch gives
//! the same bits.

#![allow(
    clippy::needless_range_loop,
    reason = "iterators take vectors through closures, which are compiled without a level's instructions"
)]

mod activation;
mod attention;
mod core;
mod eval;
mod executor;
#[cfg(all(test, target_os = "linux"))]
mod guard;
mod hazards;
pub mod measure;
mod options;
mod packed;
mod part;
mod product;
mod program;
mod roles;
mod rows;
mod states;
mod team;
mod trace;
mod weights;

use std::num::NonZero;
use std::sync::Arc;

use graph::{Backend, BackendError, Bucket, BucketPolicy, Budget, Caps, Executor, Graph, Needs, Weights};
use simd::Isa;
use tensor::{DType, WeightSource};

pub use eval::eval;
pub use options::{Options, Precision};
pub use trace::TRACE;

use program::Ways;

/// The name in errors and reports.
const NAME: &str = "cpu";

/// The CPU.
pub struct Cpu {
    caps: Caps,
    ways: Ways,
}

impl Cpu {
    /// The CPU, used as the options say. A level that [`simd::FORCED`] asks for and the machine does not have is an
    /// error.
    pub fn new(options: &Options) -> Result<Cpu, BackendError> {
        let isa = options.isa.map_or_else(Isa::detect, Ok).map_err(|error| BackendError::Unsupported {
            device: NAME,
            what: "this level".to_owned(),
            reason: error.to_string(),
        })?;
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let workers = options.threads.filter(|&threads| threads > 0).unwrap_or(cores);
        let caps = Caps {
            name: NAME,
            description: format!("this machine's cores, by {isa} kernels"),
            kv: vec![DType::BF16, DType::F16, DType::Q8_0, DType::F32],
            buckets: BucketPolicy::RoundedPages,
            overlap: false,
            mixed_steps: true,
            batch_invariant: true,
            memory_bytes: None,
        };
        Ok(Cpu { caps, ways: Ways { isa, precision: options.precision, workers } })
    }
}

impl Backend for Cpu {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn load(&self, graph: &Graph, source: &dyn WeightSource) -> Result<Arc<dyn Weights>, BackendError> {
        graph.check_alone(NAME)?;
        Ok(Arc::new(weights::Loaded::load(graph, source)?))
    }

    fn needs(&self, graph: &Graph, bucket: &Bucket) -> Result<Needs, BackendError> {
        let forms = weights::forms(graph)?;
        let weight_bytes = forms.iter().fold(0, |sum: u64, form| sum.saturating_add(form.bytes()));
        let work_bytes = executor::work_bytes(graph, &forms, bucket, self.ways)? as u64;
        Ok(Needs { weight_bytes, work_bytes })
    }

    fn open(
        &self,
        graph: &Graph,
        weights: Arc<dyn Weights>,
        budget: &Budget,
    ) -> Result<Box<dyn Executor>, BackendError> {
        Ok(Box::new(executor::Running::open(graph, weights.packed_by(NAME)?, budget, self.ways)?))
    }
}

/// The error of an allocation that failed.
fn no_memory(what: &'static str, bytes: usize) -> BackendError {
    BackendError::Memory { device: NAME, what, needed: bytes as u64, available: 0 }
}
