//! The numbers a pre-norm decoder is made of, and the walk from tokens to logits that all of them share.

use graph::{Act, FuncBuilder, GraphBuilder, Input, Op, Shard, ValueId};
use tensor::DType;

use crate::config::{Config, ConfigError, HEAD_WIDTH_MAX, HEADS_MAX, LAYERS_MAX};
use crate::rope::{Rope, RopeDefaults};

/// What a family assumes where its configuration is silent.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// Base of the rotary frequencies.
    pub rope: RopeDefaults,
    /// The norms' epsilon.
    pub eps: f64,
    /// kv heads, where they are not the query heads.
    pub kv_heads: Option<u32>,
    /// Width of a head, where it is not E / H.
    pub head_width: Option<u32>,
}

impl Defaults {
    /// Llama's.
    pub const LLAMA: Defaults = Defaults {
        rope: RopeDefaults { theta: 10_000.0, gpt_oss_yarn: false },
        eps: 1e-6,
        kv_heads: None,
        head_width: None,
    };
}

/// The numbers of a decoder.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// Layers.
    pub layers: u32,
    /// Model width: `E`.
    pub width: u32,
    /// Query heads: `H`.
    pub heads: u32,
    /// kv heads: `K`.
    pub kv_heads: u32,
    /// Head width: `D`.
    pub head_width: u32,
    /// Feed-forward width: `F`.
    pub inner: u32,
    /// Vocabulary: `V`.
    pub vocab: u32,
    /// The norms' epsilon.
    pub eps: f32,
    /// Whether the head is the embedding table.
    pub tied: bool,
    /// Rotary embedding.
    pub rope: Rope,
    /// The gated activation.
    pub act: Act,
    /// Per layer, how many positions a token sees; all where `None`.
    pub windows: Vec<Option<u32>>,
    /// Type that keys and values are kept in.
    pub kv: DType,
}

impl Decoder {
    /// Reads and checks them.
    pub fn from_config(config: &Config, kv: DType, defaults: Defaults) -> Result<Decoder, ConfigError> {
        let layers = config.count("num_hidden_layers")?;
        if layers > LAYERS_MAX {
            return Err(config.wrong("num_hidden_layers", format!("at most {LAYERS_MAX} layers are read")));
        }
        let (width, heads) = (config.count("hidden_size")?, config.count("num_attention_heads")?);
        // Null means one per query head, absent what the family assumes.
        let assumed = defaults.kv_heads.filter(|_| !config.names("num_key_value_heads")).unwrap_or(heads);
        let kv_heads = config.count_or("num_key_value_heads", assumed)?;
        if heads % kv_heads != 0 {
            return Err(
                config.wrong("num_key_value_heads", format!("it must divide the {heads} attention heads"))
            );
        }
        let head_width = match defaults.head_width {
            Some(head_width) => config.count_or("head_dim", head_width)?,
            None if config.has("head_dim") => config.count("head_dim")?,
            None if width % heads == 0 => width / heads,
            None => return Err(config.wrong("hidden_size", format!("{heads} heads do not divide it"))),
        };
        if head_width > HEAD_WIDTH_MAX {
            let reason = format!("heads are {head_width} wide, and at most {HEAD_WIDTH_MAX} are read");
            return Err(config.wrong("head_dim", reason));
        }
        if heads > HEADS_MAX {
            return Err(config.wrong("num_attention_heads", format!("at most {HEADS_MAX} heads are read")));
        }
        Ok(Decoder {
            layers,
            width,
            heads,
            kv_heads,
            head_width,
            inner: config.count("intermediate_size")?,
            vocab: config.count("vocab_size")?,
            eps: config.amount_or("rms_norm_eps", defaults.eps)? as f32,
            tied: config.flag_or("tie_word_embeddings", false)?,
            rope: Rope::from_config(config, head_width, defaults.rope)?,
            act: activation(config)?,
            windows: vec![None; layers as usize],
            kv,
        })
    }

    /// Gives each layer its window: where `layer_types` names layers, those called sliding, else those that `slides`.
    pub fn with_windows(
        mut self,
        config: &Config,
        window: Option<u32>,
        slides: impl Fn(u32) -> bool,
    ) -> Result<Decoder, ConfigError> {
        let types = config.words("layer_types")?;
        if types.as_ref().is_some_and(|types| types.len() != self.layers as usize) {
            return Err(config.wrong("layer_types", format!("it must name {} layers", self.layers)));
        }
        for layer in 0..self.layers {
            let sliding = match types.as_ref().map(|types| types[layer as usize]) {
                Some("sliding_attention") => true,
                Some("full_attention") => false,
                Some(_) => {
                    let known = "the kinds known are sliding_attention and full_attention";
                    return Err(config.wrong("layer_types", known.to_owned()));
                }
                None => slides(layer),
            };
            self.windows[layer as usize] = window.filter(|_| sliding);
        }
        Ok(self)
    }
}

/// The window a configuration gives: none where it is null, the family's where it is absent.
pub(crate) fn window_or(config: &Config, assumed: u32) -> Result<Option<u32>, ConfigError> {
    match config.names("sliding_window") && !config.has("sliding_window") {
        true => Ok(None),
        false => config.count_or("sliding_window", assumed).map(Some),
    }
}

fn activation(config: &Config) -> Result<Act, ConfigError> {
    match config.word_or("hidden_act", "silu")? {
        "silu" | "swish" => Ok(Act::Silu),
        "gelu" => Ok(Act::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" => Ok(Act::GeluTanh),
        "relu" => Ok(Act::Relu),
        _ => Err(config.wrong(
            "hidden_act",
            "the activations known are silu, gelu, gelu_pytorch_tanh and relu".to_owned(),
        )),
    }
}

/// Tokens to logits: embedding, the layers, and of the rows wanted the last norm and the head.
pub fn decoder(
    g: &mut GraphBuilder<'_>,
    dims: &Decoder,
    mut layer: impl FnMut(&mut FuncBuilder<'_>, u32, ValueId) -> ValueId,
) -> ValueId {
    for layer in 0..dims.layers {
        let group = g.group(graph::Group::Pages { window: dims.windows[layer as usize] });
        assert_eq!(group, dims.group(layer), "groups are made in the order in which layers need them");
    }
    let tokens = g.input(Input::Tokens);
    let matrix = |g: &mut GraphBuilder<'_>, name: &str| {
        g.weight_by(name, &[dims.vocab, dims.width], Shard::Vocabulary)
    };
    let table = matrix(g, "embed_tokens.weight");
    let mut x = g.op(Op::Embed, &[tokens, table]);
    g.name(x, "embed");
    for i in 0..dims.layers {
        x = g.layer(&format!("layers.{i}"), &[x], |f, args| {
            let x = layer(f, i, args[0]);
            vec![f.name(x, "out")]
        })[0];
    }
    let rows = g.input(Input::Rows);
    let x = g.gather(x, rows);
    let norm = g.weight("norm.weight", &[dims.width]);
    let x = g.op(Op::RmsNorm { eps: dims.eps }, &[x, norm]);
    g.name(x, "norm");
    let head = if dims.tied { table } else { matrix(g, "lm_head.weight") };
    let logits = g.op(Op::Linear, &[x, head]);
    g.name(logits, "logits")
}
