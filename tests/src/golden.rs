//! The goldens: tiny random checkpoints with the logits and greedy tokens that `transformers` gave for them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use graph::Graph;
use models::{Config, Options};
use tensor::{Access, DType, WeightSource};
use weights::{Renamed, SafeTensors};

/// One golden.
pub struct Golden {
    /// The folder's name.
    pub name: String,
    /// Its configuration.
    pub config: Config,
    /// Its weights, under canonical names.
    pub source: Arc<dyn WeightSource>,
    /// The prompt.
    pub ids: Vec<u32>,
    /// Logits at every position of the prompt, row after row.
    pub logits: Vec<f32>,
    /// What follows the prompt greedily.
    pub greedy: Vec<u32>,
}

impl Golden {
    /// Every golden there is; those of another folder where `POLYSILICON_GOLDENS` names one.
    pub fn all() -> Vec<Golden> {
        let folder =
            std::env::var_os("POLYSILICON_GOLDENS").map_or_else(|| root().join("goldens"), PathBuf::from);
        let mut folders = std::fs::read_dir(&folder)
            .expect("the goldens are part of the repository")
            .map(|entry| entry.expect("readable").path())
            .filter(|path| path.is_dir())
            .collect::<Vec<_>>();
        folders.sort();
        assert!(folders.len() >= 20, "only {} goldens were found", folders.len());
        folders.iter().map(|path| Golden::open(path)).collect()
    }

    /// The golden in a folder.
    pub fn open(path: &Path) -> Golden {
        let name = path.file_name().expect("a folder").to_string_lossy().into_owned();
        let config = std::fs::read(path.join("config.json")).expect("each golden has its configuration");
        let stored = SafeTensors::open(path, Access::Read).unwrap_or_else(|error| panic!("{name}: {error}"));
        let bytes = std::fs::read(path.join("golden.safetensors")).expect("each golden has its expectation");
        let golden = safetensors::SafeTensors::deserialize(&bytes).expect("written by the script");
        let words = |key: &str| {
            let tensor = golden.tensor(key).expect("written by the script");
            tensor.data().chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]).collect::<Vec<_>>()
        };
        let ids = |key: &str| words(key).into_iter().map(u32::from_le_bytes).collect::<Vec<_>>();
        Golden {
            config: Config::from_json(&config).unwrap_or_else(|error| panic!("{name}: {error}")),
            source: Arc::new(Renamed::hf(Arc::new(stored))),
            ids: ids("ids"),
            logits: words("logits").into_iter().map(f32::from_le_bytes).collect(),
            greedy: ids("greedy"),
            name,
        }
    }

    /// Its graph.
    pub fn graph(&self, kv: DType) -> Result<Graph, String> {
        let options = Options { kv, page_len: 4 };
        let source: &dyn WeightSource = &*self.source;
        models::describe(&self.name, &self.config, &options, &source).map_err(|error| error.to_string())
    }
}

/// The folder of test data.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
