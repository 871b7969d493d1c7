//! Backend zero: what every operation means, as plain loops over f32. It is the oracle that other backends are held
//! against, and `--device reference` runs models with it, slowly and rightly.
//!
//! It takes four composites whole, because their definition reads better than their expansion: linear, attention,
//! route and expert_ffn. All others run as their expansion.

#![forbid(unsafe_code)]

mod executor;
mod ops;
mod program;
mod run;
mod states;

use std::sync::Arc;

use graph::{
    Backend, BackendError, Bucket, BucketPolicy, Budget, Caps, Executor, Graph, Op, Weights, bind, expand,
};
use tensor::{Buffer, DType, SourceError, Value, WeightSource};

pub use ops::eval;

/// The name in errors and reports.
const NAME: &str = "reference";

/// The reference backend.
pub struct Reference {
    caps: Caps,
}

impl Reference {
    /// A reference backend that keeps keys and values in f32 unless asked otherwise.
    pub fn new() -> Reference {
        let caps = Caps {
            name: NAME,
            description: "plain f32 loops on this machine's cores".to_owned(),
            kv: vec![DType::F32, DType::F16, DType::BF16, DType::Q8_0],
            buckets: BucketPolicy::Exact,
            overlap: false,
            mixed_steps: true,
            batch_invariant: true,
            memory_bytes: None,
        };
        Reference { caps }
    }
}

impl Default for Reference {
    fn default() -> Self {
        Reference::new()
    }
}

impl Backend for Reference {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn load(&self, graph: &Graph, source: &dyn WeightSource) -> Result<Arc<dyn Weights>, BackendError> {
        graph.check_alone(NAME)?;
        let read = |spec: &graph::WeightSpec| {
            let name = || spec.name.clone();
            let bytes = spec.info.bytes().ok_or_else(|| SourceError::TooLarge { name: name() })?;
            let mut data = Buffer::try_zeroed(bytes).ok_or_else(|| no_memory("the weights", bytes))?;
            source.read_rows(&spec.name, 0, data.as_mut_slice())?;
            Ok(Arc::new(Value { dtype: spec.info.dtype, shape: spec.info.shape, data }))
        };
        let values = graph.weights.iter().map(read).collect::<Result<Vec<_>, BackendError>>()?;
        Ok(Arc::new(Loaded { values }))
    }

    fn open(
        &self,
        graph: &Graph,
        weights: Arc<dyn Weights>,
        budget: &Budget,
    ) -> Result<Box<dyn Executor>, BackendError> {
        Ok(Box::new(executor::Running::open(graph, weights.packed_by::<Loaded>(NAME)?, budget)?))
    }
}

/// The error of an allocation that failed.
fn no_memory(what: &'static str, bytes: usize) -> BackendError {
    BackendError::Memory { device: NAME, what, needed: bytes as u64, available: 0 }
}

/// Weights in the form they were found in.
struct Loaded {
    values: Vec<Arc<Value>>,
}

impl Weights for Loaded {
    fn bytes(&self) -> u64 {
        self.values.iter().map(|value| value.data.len() as u64).sum()
    }
}

/// Whether this backend runs an operation as it is.
fn takes(op: &Op) -> bool {
    !op.is_composite()
        || matches!(op, Op::Linear | Op::Attention { .. } | Op::Route { .. } | Op::ExpertFfn { .. })
}

/// The graph as this backend runs it.
fn lower(graph: &Graph, bucket: &Bucket) -> Graph {
    expand(&bind(graph, bucket), bucket, &takes)
}
