//! The graph run operation by operation on candle: an oracle nobody here wrote, and a portable backend.
//!
//! Composites are expanded first, so every core operation is one small arm over candle tensors. Speed is not its aim:
//! quantized weights stay as bytes and are decoded, by candle where it knows the format, each time they are used.

#![forbid(unsafe_code)]

mod array;
mod decode;
mod eval;
mod executor;
mod ops;
mod ops_layout;
mod ops_state;
mod pages;
mod program;
mod run;
mod weights;

use std::sync::Arc;

use graph::{Backend, BackendError, BucketPolicy, Budget, Caps, Executor, Graph, Weights};
use tensor::{DType, WeightSource};

pub use eval::eval;

use executor::CandleExecutor;
use weights::CandleWeights;

/// What users call this device.
const NAME: &str = "candle";

/// Candle on the CPU.
#[derive(Debug)]
pub struct Candle {
    caps: Caps,
}

impl Candle {
    /// The device; it is always present.
    pub fn new() -> Candle {
        let caps = Caps {
            name: NAME,
            description: "candle 0.11 on the CPU, operation by operation".to_owned(),
            kv: vec![DType::F32, DType::F16, DType::BF16],
            buckets: BucketPolicy::Exact,
            overlap: false,
            mixed_steps: true,
            batch_invariant: false,
            memory_bytes: None,
        };
        Candle { caps }
    }
}

impl Default for Candle {
    fn default() -> Self {
        Candle::new()
    }
}

impl Backend for Candle {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn load(&self, graph: &Graph, source: &dyn WeightSource) -> Result<Arc<dyn Weights>, BackendError> {
        graph.check_alone(NAME)?;
        Ok(Arc::new(CandleWeights::load(graph, source)?))
    }

    fn open(
        &self,
        graph: &Graph,
        weights: Arc<dyn Weights>,
        budget: &Budget,
    ) -> Result<Box<dyn Executor>, BackendError> {
        Ok(Box::new(CandleExecutor::open(graph, weights.packed_by::<CandleWeights>(NAME)?, budget)?))
    }
}

/// What candle said, as the caller's error.
fn failed(error: candle_core::Error) -> BackendError {
    BackendError::Device { device: NAME, reason: error.to_string() }
}

fn unsupported(what: impl Into<String>, reason: impl Into<String>) -> BackendError {
    BackendError::Unsupported { device: NAME, what: what.into(), reason: reason.into() }
}
