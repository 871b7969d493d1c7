//! Qwen2 and Qwen2.5: Llama's layer with biases on queries, keys and values, and windows in the later layers on request.

use graph::{GraphBuilder, ValueId};

use crate::blocks::{Attention, Blocks};
use crate::decoder::{Decoder, Defaults, decoder, window_or};
use crate::{Architecture, Config, ConfigError, Options};

/// The row in the list.
pub const QWEN2: Architecture =
    Architecture { hf: &["Qwen2ForCausalLM"], types: &["qwen2"], gguf: &["qwen2"], build };

const DEFAULTS: Defaults = Defaults { kv_heads: Some(32), ..Defaults::LLAMA };

fn build(config: &Config, options: &Options, g: &mut GraphBuilder<'_>) -> Result<ValueId, ConfigError> {
    let (window, first) = windows(config)?;
    let dims = Decoder::from_config(config, options.kv, DEFAULTS)?;
    let dims = dims.with_windows(config, window, |layer| layer >= first)?;
    Ok(decoder(g, &dims, |f, layer, x| {
        let a = f.rms_norm("input_layernorm", x, dims.eps);
        let a = f.attention("self_attn", a, &Attention { qkv_bias: true, ..dims.attention(layer) });
        let x = f.residual("attn_residual", x, a);
        let m = f.rms_norm("post_attention_layernorm", x, dims.eps);
        let m = f.gated_mlp("mlp", m, dims.inner, dims.act, false);
        f.residual("mlp_residual", x, m)
    }))
}

/// The window, where it is in use, and the first layer that has it.
pub(crate) fn windows(config: &Config) -> Result<(Option<u32>, u32), ConfigError> {
    let used = config.flag_or("use_sliding_window", false)?;
    let window = if used { window_or(config, 4096)? } else { None };
    let first = if config.has("max_window_layers") { config.whole("max_window_layers")? } else { 28 };
    Ok((window, first))
}
