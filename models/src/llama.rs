//! Llama 2 and 3: pre-norm decoder, grouped queries, gated activation, biases where the configuration asks.

use graph::{GraphBuilder, ValueId};

use crate::blocks::{Attention, Blocks};
use crate::decoder::{Decoder, Defaults, decoder};
use crate::{Architecture, Config, ConfigError, Options};

/// The row in the list.
pub const LLAMA: Architecture =
    Architecture { hf: &["LlamaForCausalLM"], types: &["llama"], gguf: &["llama"], build };

fn build(config: &Config, options: &Options, g: &mut GraphBuilder<'_>) -> Result<ValueId, ConfigError> {
    let dims = Decoder::from_config(config, options.kv, Defaults::LLAMA)?;
    let attention_bias = config.flag_or("attention_bias", false)?;
    let mlp_bias = config.flag_or("mlp_bias", false)?;
    Ok(decoder(g, &dims, |f, layer, x| {
        let attention =
            Attention { qkv_bias: attention_bias, out_bias: attention_bias, ..dims.attention(layer) };
        let a = f.rms_norm("input_layernorm", x, dims.eps);
        let a = f.attention("self_attn", a, &attention);
        let x = f.residual("attn_residual", x, a);
        let m = f.rms_norm("post_attention_layernorm", x, dims.eps);
        let m = f.gated_mlp("mlp", m, dims.inner, dims.act, mlp_bias);
        f.residual("mlp_residual", x, m)
    }))
}
