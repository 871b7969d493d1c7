//! What the fuzzer calls, and what the replay of its seeds calls: any bytes as a configuration, and the model that it
//! describes over weights that are all there.

use graph::Catalogue;
use tensor::{DType, Shape, WeightInfo};

use crate::{Config, Options, describe};

/// Describes the model of a config.json.
pub fn config_json(bytes: &[u8]) {
    let Ok(config) = Config::from_json(bytes) else { return };
    let options = Options { kv: DType::F32, page_len: 16 };
    if let Ok(graph) = describe("any", &config, &options, &Everything) {
        let verified = graph::verify(&graph);
        assert!(verified.is_ok(), "what is described is a graph: {verified:?}");
    }
}

/// Has every weight, in f32.
struct Everything;

impl Catalogue for Everything {
    fn find(&self, _: &str, dims: &[u32]) -> Option<WeightInfo> {
        let shape = Shape::new(&dims.iter().map(|&n| n as usize).collect::<Vec<_>>());
        Some(WeightInfo { dtype: DType::F32, shape })
    }
}
