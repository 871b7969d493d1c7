//! Which type each weight gets: one for all, or one of the mixes that GGUF users know.

use std::str::FromStr;

use tensor::DType;

/// What weights are changed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One type for every matrix but the head, which keeps more bits than the narrow types have: q8_0 beside mxfp4 and
    /// f8_e4m3, q6_k beside any other type of less than eight bits. Of a mixture of experts, mxfp4 is for the experts alone, and q8_0
    /// for all else.
    One(DType),
    /// A mix of types.
    Mix(Mix),
}

/// The mixes: a base type, with more bits where they pay, as llama.cpp assigns them where it has no importance matrix.
#[allow(non_camel_case_types, missing_docs, reason = "the names are the format's own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mix {
    Q2_K,
    Q3_K_S,
    Q3_K_M,
    Q3_K_L,
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

/// What a mix looks at beside a weight's name.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    /// Layers.
    pub layers: usize,
    /// Query heads that share a key and value head.
    pub sharing: usize,
    /// Whether there are experts.
    pub experts: bool,
}

impl Target {
    /// The type for a canonical name. `head` says that the weight makes the logits.
    pub(super) fn dtype(self, name: &str, head: bool, facts: Facts) -> DType {
        match self {
            Target::One(DType::MXFP4) if head || (facts.experts && !name.contains(".experts.")) => {
                DType::Q8_0
            }
            Target::One(DType::F8_E4M3) if head => DType::Q8_0,
            Target::One(dtype) if head && dtype.is_block() && dtype != DType::Q8_0 => DType::Q6_K,
            Target::One(dtype) => dtype,
            Target::Mix(_) if head => DType::Q6_K,
            Target::Mix(mix) => mix.dtype(name, facts),
        }
    }
}

impl Mix {
    const ALL: [(&str, Mix); 8] = [
        ("q2_k", Mix::Q2_K),
        ("q3_k_s", Mix::Q3_K_S),
        ("q3_k_m", Mix::Q3_K_M),
        ("q3_k_l", Mix::Q3_K_L),
        ("q4_k_s", Mix::Q4_K_S),
        ("q4_k_m", Mix::Q4_K_M),
        ("q5_k_s", Mix::Q5_K_S),
        ("q5_k_m", Mix::Q5_K_M),
    ];

    /// The type of all that no rule mentions.
    fn base(self) -> DType {
        match self {
            Mix::Q2_K => DType::Q2_K,
            Mix::Q3_K_S | Mix::Q3_K_M | Mix::Q3_K_L => DType::Q3_K,
            Mix::Q4_K_S | Mix::Q4_K_M => DType::Q4_K,
            Mix::Q5_K_S | Mix::Q5_K_M => DType::Q5_K,
        }
    }

    fn dtype(self, name: &str, facts: Facts) -> DType {
        let layer =
            name.strip_prefix("layers.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
        let (Some(layer), Some(module)) = (layer, name.rsplit('.').nth(1)) else { return self.base() };
        let layers = facts.layers;
        match (self, module) {
            (Mix::Q2_K, "v_proj") if facts.sharing >= 4 => DType::Q4_K,
            (Mix::Q2_K, "v_proj" | "o_proj" | "down_proj") => DType::Q3_K,
            (Mix::Q3_K_M, "v_proj") if layer < 2 => DType::Q5_K,
            (Mix::Q3_K_M, "down_proj") if layer < layers / 16 => DType::Q5_K,
            (Mix::Q3_K_M, "v_proj" | "o_proj" | "down_proj") => DType::Q4_K,
            (Mix::Q3_K_L, "v_proj" | "o_proj" | "down_proj") => DType::Q5_K,
            (Mix::Q4_K_S, "v_proj") if layer < 4 => DType::Q5_K,
            (Mix::Q4_K_S, "down_proj") if layer < layers / 8 => DType::Q5_K,
            (Mix::Q4_K_M | Mix::Q5_K_M, "v_proj" | "down_proj") if deserves_more(layer, layers) => {
                DType::Q6_K
            }
            _ => self.base(),
        }
    }
}

/// The first and the last eighth of the layers, and every third between.
fn deserves_more(layer: usize, layers: usize) -> bool {
    let eighth = layers / 8;
    layer < eighth || layer >= layers.saturating_mul(7) / 8 || (layer - eighth) % 3 == 2
}

/// The type for weights whose rows are no whole blocks of `dtype`, as llama.cpp chooses it: of the types in smaller
/// blocks the next better one. `None` where there is none.
pub(super) fn in_smaller_blocks(dtype: DType) -> Option<DType> {
    match dtype {
        DType::Q2_K | DType::Q3_K | DType::IQ4_XS => Some(DType::IQ4_NL),
        DType::Q4_K => Some(DType::Q5_0),
        DType::Q5_K => Some(DType::Q5_1),
        DType::Q6_K | DType::F8_E4M3 => Some(DType::Q8_0),
        _ => None,
    }
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

    /// `q2_k` is the mix of that name: two bits everywhere are too few for any model.
    fn from_str(name: &str) -> Result<Target, UnknownTarget> {
        if let Ok(mix) = name.parse() {
            return Ok(Target::Mix(mix));
        }
        match name.parse::<DType>() {
            Ok(dtype) if dtype.is_float() || dtype.is_block() => Ok(Target::One(dtype)),
            _ => Err(UnknownTarget(name.to_owned())),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::One(dtype) => dtype.fmt(f),
            Target::Mix(mix) => {
                let name = Mix::ALL.iter().find(|(_, known)| known == mix).map_or("", |(name, _)| name);
                f.pad(name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts = Facts { layers: 32, sharing: 4, experts: false };

    fn more(mix: &str, module: &str, dtype: DType) -> Vec<usize> {
        let target: Target = mix.parse().unwrap();
        let of = |layer| target.dtype(&format!("layers.{layer}.{module}.weight"), false, FACTS);
        (0..32).filter(|&layer| of(layer) == dtype).collect()
    }

    #[test]
    fn names_are_read_and_written() {
        assert_eq!("q4_K_M".parse(), Ok(Target::Mix(Mix::Q4_K_M)));
        assert_eq!("q8_0".parse(), Ok(Target::One(DType::Q8_0)));
        assert_eq!("q2_k".parse(), Ok(Target::Mix(Mix::Q2_K)));
        for name in DType::weights().map(DType::name).chain(Mix::ALL.map(|(name, _)| name)) {
            assert_eq!(name.parse::<Target>().unwrap().to_string(), name);
        }
        let error = "i32".parse::<Target>().unwrap_err().to_string();
        assert!(error.contains("`i32`") && error.contains("q4_k_m") && error.contains("mxfp4"), "{error}");
    }

    #[test]
    fn a_mix_spends_its_bits_where_llama_cpp_does() {
        let (v, o, down) = ("self_attn.v_proj", "self_attn.o_proj", "mlp.down_proj");
        let all: Vec<usize> = (0..32).collect();
        let often = [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31];
        assert_eq!(more("q4_k_m", v, DType::Q6_K), often);
        assert_eq!(more("q5_k_m", down, DType::Q6_K), often);
        assert_eq!(more("q4_k_m", "mlp.experts.down_proj", DType::Q6_K), often);
        assert_eq!(more("q4_k_m", "self_attn.k_proj", DType::Q4_K), all);
        assert_eq!(more("q4_k_s", v, DType::Q5_K), [0, 1, 2, 3]);
        assert_eq!(more("q4_k_s", down, DType::Q5_K), [0, 1, 2, 3]);
        assert_eq!(more("q3_k_m", v, DType::Q5_K), [0, 1]);
        assert_eq!(more("q3_k_m", down, DType::Q5_K), [0, 1]);
        assert_eq!(more("q3_k_m", o, DType::Q4_K), all);
        assert_eq!(more("q3_k_l", down, DType::Q5_K), all);
        assert_eq!(more("q3_k_s", down, DType::Q3_K), all);
        assert_eq!(more("q2_k", v, DType::Q4_K), all);
        assert_eq!(more("q2_k", down, DType::Q3_K), all);
        assert_eq!(more("q2_k", "mlp.up_proj", DType::Q2_K), all);
    }

    #[test]
    fn the_head_keeps_more_bits_than_a_narrow_type_has() {
        let head = |name: &str| name.parse::<Target>().unwrap().dtype("embed_tokens.weight", true, FACTS);
        for narrow in ["q4_0", "q5_1", "iq4_xs", "q3_k", "q2_k", "q4_k_m", "q6_k"] {
            assert_eq!(head(narrow), DType::Q6_K, "{narrow}");
        }
        assert_eq!(head("mxfp4"), DType::Q8_0);
        assert_eq!(head("f8_e4m3"), DType::Q8_0);
        for wide in ["f32", "bf16", "q8_0"] {
            assert_eq!(head(wide).name(), wide);
        }
        assert_eq!(
            "q4_k_m".parse::<Target>().unwrap().dtype("embed_tokens.weight", false, FACTS),
            DType::Q4_K
        );
    }

    #[test]
    fn mxfp4_is_for_experts_where_there_are_any() {
        let of = |name, experts| Target::One(DType::MXFP4).dtype(name, false, Facts { experts, ..FACTS });
        assert_eq!(of("layers.0.mlp.experts.up_proj.weight", true), DType::MXFP4);
        assert_eq!(of("layers.0.self_attn.q_proj.weight", true), DType::Q8_0);
        assert_eq!(of("layers.0.self_attn.q_proj.weight", false), DType::MXFP4);
    }
}
