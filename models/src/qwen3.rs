//! Qwen3, dense: Llama's layer with a norm on each query and key head, and windows in the later layers on request.

use graph::{GraphBuilder, ValueId};

use crate::blocks::{Attention, Blocks};
use crate::decoder::{Decoder, Defaults, decoder};
use crate::qwen2::windows;
use crate::{Architecture, Config, ConfigError, Options};

/// The row in the list.
pub const QWEN3: Architecture =
    Architecture { hf: &["Qwen3ForCausalLM"], types: &["qwen3"], gguf: &["qwen3"], build };

const DEFAULTS: Defaults = Defaults { kv_heads: Some(32), head_width: Some(128), ..Defaults::LLAMA };

fn build(config: &Config, options: &Options, g: &mut GraphBuilder<'_>) -> Result<ValueId, ConfigError> {
    let bias = config.flag_or("attention_bias", false)?;
    let (window, first) = windows(config)?;
    let dims = Decoder::from_config(config, options.kv, DEFAULTS)?;
    let dims = dims.with_windows(config, window, |layer| layer >= first)?;
    Ok(decoder(g, &dims, |f, layer, x| {
        let attention =
            Attention { head_norm: true, qkv_bias: bias, out_bias: bias, ..dims.attention(layer) };
        let a = f.rms_norm("input_layernorm", x, dims.eps);
        let a = f.attention("self_attn", a, &attention);
        let x = f.residual("attn_residual", x, a);
        let m = f.rms_norm("post_attention_layernorm", x, dims.eps);
        let m = f.gated_mlp("mlp", m, dims.inner, dims.act, false);
        f.residual("mlp_residual", x, m)
    }))
}
