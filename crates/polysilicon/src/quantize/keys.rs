//! What a GGUF file says beside its tensors: of a GGUF model what its file said, of any other what its configuration
//! and its graph say.

use graph::{Graph, Literal, Op};
use models::{Config, ConfigError};
use tensor::{DType, blocks};
use weights::gguf::{Metadata, Value};
use weights::{GgufLayout, Target};

use super::{ROPE_FREQS, vocabulary};
use crate::open::Origin;
use crate::{Error, Opened};

/// GGUF's number for how k-quants and their like are laid out.
const QUANTIZATION_VERSION: u32 = 2;

/// The architecture whose frequencies may be divided by a list. It stands for Mistral too, which GGUF does not know.
const LLAMA: &str = "llama";

/// Everything but the weights.
pub(super) struct Keys {
    pub layout: GgufLayout,
    pub pairs: Vec<(String, Value)>,
    pub rope_factors: Option<Vec<f32>>,
    /// What had to be said otherwise than the model says it.
    pub notes: Vec<String>,
}

impl Keys {
    /// The keys of a model and its graph, to be written in a type.
    pub fn of(opened: &Opened, graph: &Graph, target: Target) -> Result<Keys, Error> {
        let mut keys = match &opened.origin {
            Origin::Gguf(file) => Keys::copied(opened, file.metadata())?,
            Origin::Folder(_) | Origin::Shape => Keys::made(opened, graph)?,
        };
        keys.set("general.quantization_version", QUANTIZATION_VERSION);
        keys.set("general.file_type", file_type(target));
        if opened.random {
            keys.set(Opened::RANDOM_KEY, true);
        }
        Ok(keys)
    }

    fn new(arch: &str, config: &Config) -> Result<Keys, Error> {
        let heads = |key: &str| config.count(key).map(|heads| heads as usize);
        let layout = GgufLayout {
            arch: arch.to_owned(),
            heads: heads("num_attention_heads")?,
            kv_heads: heads("num_key_value_heads").or_else(|_| heads("num_attention_heads"))?,
        };
        let mut keys = Keys { layout, pairs: vec![], rope_factors: None, notes: vec![] };
        // Readers that look at one key look at the first.
        keys.set("general.architecture", arch);
        Ok(keys)
    }

    /// What a GGUF file says, but for what is about that file alone.
    fn copied(opened: &Opened, metadata: &Metadata) -> Result<Keys, Error> {
        let arch = metadata.str("general.architecture").map_err(models::GgufError::from)?;
        let mut keys = Keys::new(arch, &opened.config)?;
        const OWN: [&str; 5] = [
            "general.architecture",
            "general.alignment",
            "general.file_type",
            "general.quantization_version",
            Opened::RANDOM_KEY,
        ];
        let about_file =
            |key: &str| OWN.contains(&key) || key.starts_with("split.") || key.starts_with("quantize.");
        for (key, value) in metadata.iter().filter(|(key, _)| !about_file(key)) {
            keys.set(key, value.clone());
        }
        if let Some(info) = opened.source.find(ROPE_FREQS) {
            let mut factors = vec![0.0; info.shape.elements().unwrap_or(0)];
            let bytes = opened.source.read(ROPE_FREQS).map_err(models::GgufError::from)?;
            blocks::decode(info.dtype, &bytes, &mut factors);
            keys.rope_factors = Some(factors);
        }
        Ok(keys)
    }

    fn made(opened: &Opened, graph: &Graph) -> Result<Keys, Error> {
        let config = &opened.config;
        let arch = models::find(config)?.gguf.first().copied().unwrap_or(LLAMA);
        let seen = Seen::in_graph(graph);
        let mut keys = Keys::new(arch, config)?;
        keys.layout.kv_heads = seen.kv_heads as usize;
        keys.set("general.type", "model");
        keys.set("general.name", opened.name.as_str());
        for (key, ours) in [
            ("block_count", "num_hidden_layers"),
            ("embedding_length", "hidden_size"),
            ("feed_forward_length", "intermediate_size"),
            ("attention.head_count", "num_attention_heads"),
        ] {
            keys.set_arch(key, config.count(ours)?);
        }
        for (key, value) in [
            ("attention.head_count_kv", seen.kv_heads),
            ("attention.key_length", seen.width),
            ("attention.value_length", seen.width),
            ("rope.dimension_count", seen.width),
            ("vocab_size", graph.vocab),
        ] {
            keys.set_arch(key, value);
        }
        keys.set_arch("attention.layer_norm_rms_epsilon", seen.eps);
        if let Some((experts, inner)) = experts(graph) {
            keys.set_arch("expert_count", experts);
            keys.set_arch("expert_used_count", seen.chosen);
            keys.set_arch("expert_feed_forward_length", inner);
        }
        keys.set_windows(&seen, opened.context()?);
        keys.set_rope(config, &seen)?;
        for (key, value) in vocabulary::pairs(opened, arch, graph.vocab)? {
            keys.set(&key, value);
        }
        Ok(keys)
    }

    /// Windows, where GGUF has a way to say them: every other layer of gpt-oss, the first included. Elsewhere the file
    /// declares no more context than the smallest window, and within that there is none.
    fn set_windows(&mut self, seen: &Seen, context: u32) {
        let smallest = seen.windows.iter().flatten().copied().min().filter(|&window| window < context);
        let alternate = |(layer, window): (usize, &Option<u32>)| {
            *window == seen.windows[0].filter(|_| layer.is_multiple_of(2))
        };
        let sayable = self.layout.arch == "gpt-oss" && seen.windows.iter().enumerate().all(alternate);
        let declared = match smallest.filter(|_| !sayable) {
            Some(window) => {
                self.notes.push(format!(
                    "the file declares a context of {window} tokens, not {context}: GGUF cannot say that some layers \
                     see a window of {window}"
                ));
                window
            }
            None => context,
        };
        self.set_arch("context_length", declared);
        if let Some(window) = seen.windows.first().copied().flatten().filter(|_| sayable) {
            self.set_arch("attention.sliding_window", window);
        }
    }

    fn set_rope(&mut self, config: &Config, seen: &Seen) -> Result<(), ConfigError> {
        let scaling = match config.object("rope_parameters")? {
            Some(parameters) => Some(parameters),
            None => config.object("rope_scaling")?,
        };
        let gpt_oss = self.layout.arch == "gpt-oss";
        let scaling = scaling.unwrap_or_else(|| Config::from_map(serde_json::Map::new()));
        let theta = config.number_or("rope_theta", if gpt_oss { 150_000.0 } else { 10_000.0 })?;
        let theta = scaling.number_or("rope_theta", theta)?;
        self.set_arch("rope.freq_base", theta as f32);
        let assumed = if gpt_oss && !scaling.has("rope_theta") { "yarn" } else { "default" };
        match scaling.word_or("rope_type", scaling.word_or("type", assumed)?)? {
            "linear" => {
                self.set_arch("rope.scaling.type", "linear");
                self.set_arch("rope.scaling.factor", scaling.number("factor")? as f32);
            }
            "yarn" => self.set_yarn(config, &scaling, seen)?,
            "llama3" if self.layout.arch == LLAMA => {
                let width = f64::from(seen.width);
                let plain = |i: usize| theta.powf(-2.0 * i as f64 / width);
                let factors =
                    seen.frequencies.iter().enumerate().map(|(i, &f)| (plain(i) / f64::from(f)) as f32);
                self.rope_factors = Some(factors.collect());
            }
            _ => {}
        }
        Ok(())
    }

    fn set_yarn(&mut self, config: &Config, scaling: &Config, seen: &Seen) -> Result<(), ConfigError> {
        // Where gpt-oss's configuration is silent: see `models`.
        let factor = scaling.number_or("factor", 32.0)?;
        let declared = if scaling.has("factor") { config.count("max_position_embeddings")? } else { 4096 };
        let original = scaling.count_or("original_max_position_embeddings", declared)?;
        self.set_arch("rope.scaling.type", "yarn");
        self.set_arch("rope.scaling.factor", factor as f32);
        self.set_arch("rope.scaling.original_context_length", original);
        self.set_arch("rope.scaling.yarn_beta_fast", scaling.number_or("beta_fast", 32.0)? as f32);
        self.set_arch("rope.scaling.yarn_beta_slow", scaling.number_or("beta_slow", 1.0)? as f32);
        // What a file says multiplies YaRN's own factor.
        let own = 0.1 * factor.max(1.0).ln() + 1.0;
        let times = f64::from(seen.rope_scale) / own;
        if (times - 1.0).abs() > 1e-6 {
            self.set_arch("rope.scaling.attn_factor", times as f32);
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.pairs.push((key.to_owned(), value.into()));
    }

    fn set_arch(&mut self, key: &str, value: impl Into<Value>) {
        self.set(&format!("{}.{key}", self.layout.arch), value);
    }
}

/// What a graph says that a configuration may leave to its family's defaults.
#[derive(Default)]
struct Seen {
    eps: f32,
    /// Of a head.
    width: u32,
    kv_heads: u32,
    /// Experts chosen per token.
    chosen: u32,
    frequencies: Vec<f32>,
    rope_scale: f32,
    /// Per layer.
    windows: Vec<Option<u32>>,
}

impl Seen {
    fn in_graph(graph: &Graph) -> Seen {
        let mut seen = Seen::default();
        if let Some(slot) = graph.states.first().and_then(|state| state.slot.shape()) {
            (seen.kv_heads, seen.width) = (slot[0] as u32, slot[1] as u32);
        }
        graph.walk(&mut |_, op, _, _| match op {
            Op::RmsNorm { eps } => seen.eps = *eps,
            Op::Rope { scale } => seen.rope_scale = *scale,
            Op::Route { k } => seen.chosen = *k,
            Op::Attention { window, .. } => seen.windows.push(*window),
            Op::Constant(Literal::Vector(frequencies)) => seen.frequencies.clone_from(frequencies),
            _ => {}
        });
        seen
    }
}

/// How many experts there are, and how wide they are.
fn experts(graph: &Graph) -> Option<(u32, u32)> {
    let gate = graph.weights.iter().find(|weight| weight.name.ends_with(".mlp.experts.gate_proj.weight"))?;
    Some((gate.info.shape[0] as u32, gate.info.shape[1] as u32))
}

/// What llama.cpp calls a file whose matrices are mostly of these types.
fn file_type(target: Target) -> u32 {
    match target {
        Target::One(DType::F16) => 1,
        Target::One(DType::Q4_0) => 2,
        Target::One(DType::Q4_1) => 3,
        Target::One(DType::Q8_0) => 7,
        Target::One(DType::Q5_0) => 8,
        Target::One(DType::Q5_1) => 9,
        Target::One(DType::Q2_K) | Target::Mix(weights::Mix::Q2_K) => 10,
        Target::One(DType::Q3_K) | Target::Mix(weights::Mix::Q3_K_S) => 11,
        Target::Mix(weights::Mix::Q3_K_M) => 12,
        Target::Mix(weights::Mix::Q3_K_L) => 13,
        Target::One(DType::Q4_K) | Target::Mix(weights::Mix::Q4_K_S) => 14,
        Target::Mix(weights::Mix::Q4_K_M) => 15,
        Target::One(DType::Q5_K) | Target::Mix(weights::Mix::Q5_K_S) => 16,
        Target::Mix(weights::Mix::Q5_K_M) => 17,
        Target::One(DType::Q6_K) => 18,
        Target::One(DType::IQ4_NL) => 25,
        Target::One(DType::IQ4_XS) => 30,
        Target::One(DType::BF16) => 32,
        Target::One(DType::MXFP4) => 38,
        // All in f32.
        _ => 0,
    }
}
