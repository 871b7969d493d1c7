//! Real models' shapes by name, to be filled with random weights: for benches, predictions and bring-up where nothing
//! can be downloaded. Never mistaken for a model.

use std::sync::Arc;

use graph::Catalogue;
use serde_json::{Value, json};
use tensor::{DType, Shape, WeightInfo, WeightSource};
use weights::{Random, Requantized, Target};

use crate::{Config, ModelError, Options, describe};

/// The seed all shapes are filled from.
const SEED: u64 = 1;

/// Name, family, width, layers, query heads, kv heads, head width, inner width, vocabulary, tied, context.
type Row = (&'static str, Family, u32, u32, u32, u32, u32, u32, u32, bool, u32);

#[derive(Clone, Copy)]
enum Family {
    Llama2,
    Llama3 { factor: u32 },
    Mistral { theta: u32, window: Option<u32> },
    Qwen2,
    Qwen3,
    GptOss { experts: u32 },
}

use Family::{GptOss, Llama2, Llama3, Mistral, Qwen2, Qwen3};

#[rustfmt::skip]
const ROWS: [Row; 18] = [
    ("llama-2-7b", Llama2, 4096, 32, 32, 32, 128, 11008, 32000, false, 4096),
    ("llama-3.1-8b", Llama3 { factor: 8 }, 4096, 32, 32, 8, 128, 14336, 128256, false, 131072),
    ("llama-3.1-70b", Llama3 { factor: 8 }, 8192, 80, 64, 8, 128, 28672, 128256, false, 131072),
    ("llama-3.2-1b", Llama3 { factor: 32 }, 2048, 16, 32, 8, 64, 8192, 128256, true, 131072),
    ("llama-3.2-3b", Llama3 { factor: 32 }, 3072, 28, 24, 8, 128, 8192, 128256, true, 131072),
    ("mistral-7b-v0.1", Mistral { theta: 10000, window: Some(4096) }, 4096, 32, 32, 8, 128, 14336, 32000, false, 32768),
    ("mistral-7b-v0.3", Mistral { theta: 1000000, window: None }, 4096, 32, 32, 8, 128, 14336, 32768, false, 32768),
    ("qwen2.5-0.5b", Qwen2, 896, 24, 14, 2, 64, 4864, 151936, true, 32768),
    ("qwen2.5-1.5b", Qwen2, 1536, 28, 12, 2, 128, 8960, 151936, true, 32768),
    ("qwen2.5-7b", Qwen2, 3584, 28, 28, 4, 128, 18944, 152064, false, 32768),
    ("qwen3-0.6b", Qwen3, 1024, 28, 16, 8, 128, 3072, 151936, true, 40960),
    ("qwen3-1.7b", Qwen3, 2048, 28, 16, 8, 128, 6144, 151936, true, 40960),
    ("qwen3-4b", Qwen3, 2560, 36, 32, 8, 128, 9728, 151936, true, 40960),
    ("qwen3-8b", Qwen3, 4096, 36, 32, 8, 128, 12288, 151936, false, 40960),
    ("qwen3-14b", Qwen3, 5120, 40, 40, 8, 128, 17408, 151936, false, 40960),
    ("qwen3-32b", Qwen3, 5120, 64, 64, 8, 128, 25600, 151936, false, 40960),
    ("gpt-oss-20b", GptOss { experts: 32 }, 2880, 24, 64, 8, 64, 2880, 201088, false, 131072),
    ("gpt-oss-120b", GptOss { experts: 128 }, 2880, 36, 64, 8, 64, 2880, 201088, false, 131072),
];

/// The names of all shapes.
pub fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.0)
}

/// The configuration of a shape, or `None` where the name is none.
pub fn config(name: &str) -> Option<Config> {
    let &(_, family, width, layers, heads, kv_heads, head, inner, vocab, tied, context) =
        ROWS.iter().find(|row| row.0 == name)?;
    let mut map = json!({
        "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "head_dim": head, "intermediate_size": inner, "vocab_size": vocab,
        "tie_word_embeddings": tied, "max_position_embeddings": context, "hidden_act": "silu",
    });
    let (hf, more) = family.keys();
    map["architectures"] = json!([hf]);
    match (&mut map, more) {
        (Value::Object(map), Value::Object(more)) => map.extend(more),
        _ => unreachable!("both are written as objects"),
    }
    match map {
        Value::Object(map) => Some(Config::from_map(map)),
        _ => None,
    }
}

impl Family {
    fn keys(self) -> (&'static str, Value) {
        match self {
            Llama2 => ("LlamaForCausalLM", json!({"rope_theta": 1e4, "rms_norm_eps": 1e-5})),
            Llama3 { factor } => {
                let scaling = json!({
                    "rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 8192,
                });
                let keys = json!({"rope_theta": 5e5, "rms_norm_eps": 1e-5, "rope_scaling": scaling});
                ("LlamaForCausalLM", keys)
            }
            Mistral { theta, window } => {
                let keys = json!({"rope_theta": theta, "rms_norm_eps": 1e-5, "sliding_window": window});
                ("MistralForCausalLM", keys)
            }
            Qwen2 => ("Qwen2ForCausalLM", json!({"rope_theta": 1e6, "rms_norm_eps": 1e-6})),
            Qwen3 => ("Qwen3ForCausalLM", json!({"rope_theta": 1e6, "rms_norm_eps": 1e-6})),
            GptOss { experts } => {
                let keys =
                    json!({"num_local_experts": experts, "num_experts_per_tok": 4, "sliding_window": 128});
                ("GptOssForCausalLM", keys)
            }
        }
    }
}

/// Random weights of a configuration, matrices in the type asked for. Experts that are released in MXFP4 keep it; the
/// matrices beside MXFP4 experts are q8_0, as in the files people have.
pub fn weights(config: &Config, options: &Options, target: Target) -> Result<Random, ModelError> {
    let dense = describe("shape", config, options, &Dense)?;
    let specs = || dense.weights.iter().map(|weight| (weight.name.clone(), weight.info));
    let target = match target {
        Target::One(DType::MXFP4) if dense.weights.iter().any(|w| w.info.dtype == DType::MXFP4) => {
            Target::One(DType::Q8_0)
        }
        target => target,
    };
    let layers = config.count("num_hidden_layers")? as usize;
    let asked = Requantized::new(Arc::new(Random::new(specs(), SEED)), target, layers);
    let info = |(name, info): (String, WeightInfo)| {
        let info = asked.find(&name).unwrap_or(info);
        (name, info)
    };
    Ok(Random::new(specs().map(info), SEED))
}

/// Has every weight asked of it: vectors in f32, experts in MXFP4 where a row is whole blocks, other matrices in bf16.
struct Dense;

impl Catalogue for Dense {
    fn find(&self, name: &str, dims: &[u32]) -> Option<WeightInfo> {
        let whole = dims.last().is_some_and(|n| n % DType::MXFP4.block_len() as u32 == 0);
        let dtype = match dims.len() {
            1 => DType::F32,
            3 if whole && name.contains(".experts.") => DType::MXFP4,
            _ => DType::BF16,
        };
        let shape = Shape::new(&dims.iter().map(|&n| n as usize).collect::<Vec<_>>());
        Some(WeightInfo { dtype, shape })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: Options = Options { kv: DType::F16, page_len: 16 };

    fn gigabytes(name: &str, target: &str) -> f64 {
        let config = config(name).expect("a shape");
        let weights = weights(&config, &OPTIONS, target.parse().expect("a target")).expect("a model");
        weights.weights().map(|(_, info)| info.bytes().expect("fits") as f64).sum::<f64>() / 1e9
    }

    #[test]
    fn every_shape_is_a_model() {
        for name in names() {
            let config = config(name).expect("listed");
            let graph =
                describe(name, &config, &OPTIONS, &Dense).unwrap_or_else(|error| panic!("{name}: {error}"));
            graph::verify(&graph).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert!(config("llama-9").is_none());
    }

    #[test]
    fn sizes_are_those_of_the_real_files() {
        for (name, target, want) in [
            ("llama-3.2-1b", "bf16", 2.47),
            ("llama-3.1-8b", "q8_0", 8.53),
            ("llama-3.1-8b", "q4_k_m", 4.91),
            ("qwen3-0.6b", "bf16", 1.19),
            ("gpt-oss-20b", "mxfp4", 12.1),
        ] {
            let got = gigabytes(name, target);
            assert!((got / want - 1.0).abs() < 0.01, "{name}@{target} is {got:.2} GB, not {want}");
        }
    }
}
