//! Weights as candle tensors: dense ones in their own type, blocks as bytes.

use graph::{BackendError, Graph, WeightSpec, Weights};
use tensor::{WeightInfo, WeightSource};

use crate::array::Array;
use crate::{failed, unsupported};

/// The weights of a graph, in its order.
pub(crate) struct CandleWeights {
    pub(crate) arrays: Vec<Array>,
    bytes: u64,
}

impl CandleWeights {
    /// Reads every weight, one at a time.
    pub(crate) fn load(graph: &Graph, source: &dyn WeightSource) -> Result<CandleWeights, BackendError> {
        let arrays = graph.weights.iter().map(|spec| load_one(spec, source)).collect::<Result<_, _>>()?;
        Ok(CandleWeights { arrays, bytes: graph.weight_bytes() })
    }
}

impl Weights for CandleWeights {
    fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn load_one(spec: &WeightSpec, source: &dyn WeightSource) -> Result<Array, BackendError> {
    let bytes = source.read(&spec.name)?;
    let WeightInfo { dtype, shape } = spec.info;
    if spec.info.bytes() != Some(bytes.len()) {
        let reason =
            format!("the graph takes it as {dtype}{shape}, and the source gives {} bytes", bytes.len());
        return Err(unsupported(format!("weight `{}`", spec.name), reason));
    }
    Array::from_bytes(dtype, &shape, &bytes).map_err(failed)
}
