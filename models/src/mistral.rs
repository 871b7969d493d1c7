//! Mistral: Llama's layer with a window over the last positions in every layer, where there is one.

use graph::{GraphBuilder, ValueId};

use crate::blocks::Blocks;
use crate::decoder::{Decoder, Defaults, decoder, window_or};
use crate::{Architecture, Config, ConfigError, Options};

/// The row in the list.
pub const MISTRAL: Architecture =
    Architecture { hf: &["MistralForCausalLM"], types: &["mistral"], gguf: &[], build };

const DEFAULTS: Defaults = Defaults { kv_heads: Some(8), ..Defaults::LLAMA };

fn build(config: &Config, options: &Options, g: &mut GraphBuilder<'_>) -> Result<ValueId, ConfigError> {
    let window = window_or(config, 4096)?;
    let dims = Decoder::from_config(config, options.kv, DEFAULTS)?.with_windows(config, window, |_| true)?;
    Ok(decoder(g, &dims, |f, layer, x| {
        let a = f.rms_norm("input_layernorm", x, dims.eps);
        let a = f.attention("self_attn", a, &dims.attention(layer));
        let x = f.residual("attn_residual", x, a);
        let m = f.rms_norm("post_attention_layernorm", x, dims.eps);
        let m = f.gated_mlp("mlp", m, dims.inner, dims.act, false);
        f.residual("mlp_residual", x, m)
    }))
}
