//! Models: one architecture per file, the blocks they share, and the list.
//!
//! A model file names no device and has no loop over tokens.

#![forbid(unsafe_code)]

mod blocks;
mod config;
mod decoder;
mod embedded;
pub mod entry;
mod gguf;
mod gpt_oss;
mod llama;
mod mistral;
mod qwen2;
mod qwen3;
mod rope;
pub mod shapes;

use graph::{BuildError, Catalogue, Graph, GraphBuilder, ValueId};
use tensor::DType;

pub use config::{
    CONFIG_BYTES_MAX, Config, ConfigError, EXPERTS_MAX, HEAD_WIDTH_MAX, HEADS_MAX, LAYERS_MAX, WIDTH_MAX,
};
pub use embedded::EMBEDDED;
pub use gguf::GgufError;

/// Every architecture this build knows.
pub const ARCHITECTURES: &[Architecture] =
    &[llama::LLAMA, mistral::MISTRAL, qwen2::QWEN2, qwen3::QWEN3, gpt_oss::GPT_OSS];

/// A family of models that one function describes.
pub struct Architecture {
    /// Names in config.json's `architectures`.
    pub hf: &'static [&'static str],
    /// Names in config.json's `model_type`, where `architectures` is silent.
    pub types: &'static [&'static str],
    /// Names in GGUF's `general.architecture`.
    pub gguf: &'static [&'static str],
    build: fn(&Config, &Options, &mut GraphBuilder<'_>) -> Result<ValueId, ConfigError>,
}

/// What the one who runs a model chooses about its graph.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Type that keys and values are kept in.
    pub kv: DType,
    /// Positions per page.
    pub page_len: u32,
}

/// Why a model cannot be described.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The configuration is no model's.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Configuration and weights do not agree.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// The architecture a configuration names.
pub fn find(config: &Config) -> Result<&'static Architecture, ConfigError> {
    let by_name = config.architecture().and_then(|name| ARCHITECTURES.iter().find(|a| a.hf.contains(&name)));
    let by_type = || ARCHITECTURES.iter().find(|a| a.types.contains(&config.model_type()));
    by_name.or_else(|| if config.architecture().is_none() { by_type() } else { None }).ok_or_else(|| {
        let known = ARCHITECTURES.iter().flat_map(|a| a.hf).copied().collect::<Vec<_>>().join(", ");
        let name = config.architecture().unwrap_or(config.model_type()).to_owned();
        ConfigError::Architecture { name, known }
    })
}

/// One step of the model that a configuration and a catalogue of weights make.
pub fn describe(
    name: &str,
    config: &Config,
    options: &Options,
    catalogue: &dyn Catalogue,
) -> Result<Graph, ModelError> {
    let architecture = find(config)?;
    let vocab = config.count("vocab_size")?;
    let mut g = GraphBuilder::new(name, vocab, options.page_len, catalogue);
    let logits = (architecture.build)(config, options, &mut g)?;
    Ok(g.finish(logits)?)
}
