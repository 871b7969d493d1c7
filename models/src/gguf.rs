//! A GGUF file's metadata as a configuration: the same keys that config.json has.

use serde_json::{Map, Value, json};
use tensor::{SourceError, WeightSource, blocks};
use weights::Gguf;
use weights::gguf::{Metadata, MetadataError, Optional};

use crate::{ARCHITECTURES, Config, ConfigError, WIDTH_MAX};

/// Why a GGUF file gives no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// A key is missing or of another type.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// Its values are no model's.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A tensor that belongs to the configuration could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl Config {
    /// The configuration a GGUF file holds.
    pub fn from_gguf(file: &Gguf) -> Result<Config, GgufError> {
        let keys = Keys { metadata: file.metadata(), prefix: file.metadata().str("general.architecture")? };
        let name = keys.prefix;
        let architecture = ARCHITECTURES.iter().find(|a| a.gguf.contains(&name)).ok_or_else(|| {
            let known = ARCHITECTURES.iter().flat_map(|a| a.gguf).copied().collect::<Vec<_>>().join(", ");
            ConfigError::Architecture { name: name.to_owned(), known }
        })?;
        let mut map = Map::new();
        map.insert("architectures".into(), json!([architecture.hf[0]]));
        map.insert("model_type".into(), json!(architecture.types[0]));
        keys.copy_sizes(&mut map)?;
        keys.copy_rope(&mut map)?;
        look_at_tensors(file, &mut map);
        if let Some(factors) = rope_factors(file)? {
            map.insert("rope_factors".into(), json!(factors));
        }
        Ok(Config::from_map(map))
    }
}

/// GGUF's keys, below the architecture's name, and ours.
const SIZES: [(&str, &str); 11] = [
    ("block_count", "num_hidden_layers"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("expert_feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.key_length", "head_dim"),
    ("attention.sliding_window", "sliding_window"),
    ("context_length", "max_position_embeddings"),
    ("expert_count", "num_local_experts"),
    ("expert_used_count", "num_experts_per_tok"),
];

struct Keys<'a> {
    metadata: &'a Metadata,
    prefix: &'a str,
}

impl Keys<'_> {
    fn u32(&self, key: &str) -> Result<Option<u32>, MetadataError> {
        self.metadata.u32(&format!("{}.{key}", self.prefix)).optional()
    }

    fn f32(&self, key: &str) -> Result<Option<f32>, MetadataError> {
        self.metadata.f32(&format!("{}.{key}", self.prefix)).optional()
    }

    fn copy_sizes(&self, map: &mut Map<String, Value>) -> Result<(), GgufError> {
        for (key, ours) in SIZES {
            // Files write a zero for what a model does not have.
            if let Some(value) = self.u32(key)?.filter(|&value| value > 0) {
                map.insert(ours.into(), json!(value));
            }
        }
        if let Some(eps) = self.f32("attention.layer_norm_rms_epsilon")? {
            map.insert("rms_norm_eps".into(), json!(f64::from(eps)));
        }
        let size = |map: &Map<String, Value>, key: &str| map.get(key).and_then(Value::as_u64);
        let heads = size(map, "num_attention_heads").unwrap_or(1);
        // Where the file is silent, GGUF's defaults hold and not the family's.
        if size(map, "num_key_value_heads").is_none() {
            map.insert("num_key_value_heads".into(), json!(heads));
        }
        if size(map, "head_dim").is_none() {
            map.insert("head_dim".into(), json!(size(map, "hidden_size").unwrap_or(0) / heads.max(1)));
        }
        let width = size(map, "head_dim");
        for key in ["attention.value_length", "rope.dimension_count"] {
            if let Some(value) = self.u32(key)?.filter(|&value| Some(u64::from(value)) != width) {
                return Err(GgufError::Config(ConfigError::Value {
                    key: format!("{}.{key}", self.prefix),
                    found: value.to_string(),
                    reason: "only heads whose keys and values are equally wide, and wholly turned, are known"
                        .into(),
                }));
            }
        }
        Ok(())
    }

    fn copy_rope(&self, map: &mut Map<String, Value>) -> Result<(), GgufError> {
        let theta = self.f32("rope.freq_base")?.unwrap_or(10_000.0);
        let mut rope = Map::new();
        rope.insert("rope_theta".into(), json!(f64::from(theta)));
        let kind = self.metadata.str(&format!("{}.rope.scaling.type", self.prefix)).optional()?;
        let kind = if kind.is_none() || kind == Some("none") { "default" } else { kind.unwrap_or_default() };
        rope.insert("rope_type".into(), json!(kind));
        for (key, ours) in [
            ("rope.scaling.factor", "factor"),
            ("rope.scaling.yarn_beta_fast", "beta_fast"),
            ("rope.scaling.yarn_beta_slow", "beta_slow"),
        ] {
            if let Some(value) = self.f32(key)? {
                rope.insert(ours.into(), json!(f64::from(value)));
            }
        }
        // What the file holds multiplies YaRN's own factor, where config.json's key replaces it.
        if let Some(times) = self.f32("rope.scaling.attn_factor")?.filter(|_| kind == "yarn") {
            let factor = self.f32("rope.scaling.factor")?.unwrap_or(1.0).max(1.0);
            rope.insert("attention_factor".into(), json!(f64::from(times * (0.1 * factor.ln() + 1.0))));
        }
        if let Some(original) = self.u32("rope.scaling.original_context_length")? {
            rope.insert("original_max_position_embeddings".into(), json!(original));
        }
        // GGUF has no key for it, and gpt-oss was trained with the ramp's ends where they fall.
        if self.prefix == "gpt-oss" {
            rope.insert("truncate".into(), json!(false));
        }
        map.insert("rope_parameters".into(), Value::Object(rope));
        Ok(())
    }
}

/// What GGUF files say by which tensors they hold.
fn look_at_tensors(file: &Gguf, map: &mut Map<String, Value>) {
    let has = |name: &str| file.find(name).is_some();
    if let Some(table) = file.find("token_embd.weight") {
        map.insert("vocab_size".into(), json!(table.shape.first()));
    }
    map.insert("tie_word_embeddings".into(), json!(!has("output.weight")));
    map.insert("attention_bias".into(), json!(has("blk.0.attn_q.bias")));
    map.insert("mlp_bias".into(), json!(has("blk.0.ffn_gate.bias")));
}

fn rope_factors(file: &Gguf) -> Result<Option<Vec<f32>>, GgufError> {
    const NAME: &str = "rope_freqs.weight";
    let Some(info) = file.find(NAME) else { return Ok(None) };
    let len = info.shape.elements().filter(|&len| len <= WIDTH_MAX as usize && info.dtype.is_float());
    let Some(len) = len else {
        let reason = format!("rotary factors are floats, not {}{}", info.dtype, info.shape);
        return Err(SourceError::Convert { name: NAME.to_owned(), reason }.into());
    };
    let mut factors = vec![0.0; len];
    blocks::decode(info.dtype, &file.read(NAME)?, &mut factors);
    Ok(Some(factors))
}
