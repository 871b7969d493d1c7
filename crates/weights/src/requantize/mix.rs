//! Which type each weight gets: one for all, or one of the mixes that GGUF users know.

use std::str::FromStr;

use tensor::DType;

/// What weights are changed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One type for every matrix.
    One(DType),
    /// A mix of types.
    Mix(Mix),
}

/// The mixes: a base type, with more bits where they pay, as llama.cpp assigns them.
#[allow(non_camel_case_types, missing_docs, reason = "the names are the format's own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mix {
    Q4_K_S,
    Q4_K_M,
    Q5_K_S,
    Q5_K_M,
}

/// A name that is neither a weight type nor a mix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a weight type; the types are {types} and the mixes {mixes}",
    types = DType::weights().map(DType::name).collect::<Vec<_>>().join(", "),
    mixes = Mix::ALL.map(|(name, _)| name).join(", "))]
pub struct UnknownTarget(pub String);

impl Target {
    /// The type for a canonical name. `head` says that the weight makes the logits.
    pub(super) fn dtype(self, name: &str, head: bool, layers: usize) -> DType {
        match self {
            Target::One(dtype) => dtype,
            Target::Mix(mix) => mix.dtype(name, head, layers),
        }
    }
}

impl Mix {
    const ALL: [(&str, Mix); 4] =
        [("q4_k_s", Mix::Q4_K_S), ("q4_k_m", Mix::Q4_K_M), ("q5_k_s", Mix::Q5_K_S), ("q5_k_m", Mix::Q5_K_M)];

    fn dtype(self, name: &str, head: bool, layers: usize) -> DType {
        let base = match self {
            Mix::Q4_K_S | Mix::Q4_K_M => DType::Q4_K,
            Mix::Q5_K_S | Mix::Q5_K_M => DType::Q5_K,
        };
        if head {
            return DType::Q6_K;
        }
        let layer =
            name.strip_prefix("layers.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
        let (Some(layer), Some(module)) = (layer, name.rsplit('.').nth(1)) else { return base };
        match (self, module) {
            (Mix::Q4_K_M | Mix::Q5_K_M, "v_proj" | "down_proj") if deserves_more(layer, layers) => {
                DType::Q6_K
            }
            (Mix::Q4_K_S, "v_proj") if layer < 4 => DType::Q5_K,
            (Mix::Q4_K_S, "down_proj") if layer < layers / 8 => DType::Q5_K,
            _ => base,
        }
    }
}

/// The first and the last eighth of the layers, and every third between.
fn deserves_more(layer: usize, layers: usize) -> bool {
    let eighth = layers / 8;
    layer < eighth || layer >= layers.saturating_mul(7) / 8 || (layer - eighth) % 3 == 2
}

impl FromStr for Mix {
    type Err = UnknownTarget;

    fn from_str(name: &str) -> Result<Mix, UnknownTarget> {
        let lower = name.to_ascii_lowercase();
        let found = Mix::ALL.into_iter().find(|(name, _)| *name == lower);
        found.map(|(_, mix)| mix).ok_or_else(|| UnknownTarget(name.to_owned()))
    }
}

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(name: &str) -> Result<Target, UnknownTarget> {
        match name.parse::<DType>() {
            Ok(dtype) if dtype.is_float() || dtype.is_block() => Ok(Target::One(dtype)),
            _ => name.parse().map(Target::Mix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        assert_eq!("q4_K_M".parse(), Ok(Target::Mix(Mix::Q4_K_M)));
        assert_eq!("q8_0".parse(), Ok(Target::One(DType::Q8_0)));
        let error = "i32".parse::<Target>().unwrap_err().to_string();
        assert!(error.contains("`i32`") && error.contains("q4_k_m") && error.contains("mxfp4"), "{error}");
    }

    #[test]
    fn a_mix_spends_its_bits_where_llama_cpp_does() {
        let of = |name: &str| Mix::Q4_K_M.dtype(name, false, 32);
        let more: Vec<usize> = (0..32)
            .filter(|layer| of(&format!("layers.{layer}.self_attn.v_proj.weight")) == DType::Q6_K)
            .collect();
        assert_eq!(more, [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]);
        assert_eq!(of("layers.0.self_attn.k_proj.weight"), DType::Q4_K);
        assert_eq!(of("layers.31.mlp.experts.down_proj.weight"), DType::Q6_K);
        assert_eq!(of("embed_tokens.weight"), DType::Q4_K);
        assert_eq!(Mix::Q4_K_M.dtype("embed_tokens.weight", true, 32), DType::Q6_K);
    }
}
