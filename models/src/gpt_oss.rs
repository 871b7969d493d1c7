//! gpt-oss: attention with sinks and biases in alternating windows, YaRN, and a mixture of experts with a clamped
//! activation, whose MXFP4 weights stay MXFP4.

use graph::{Act, FuncBuilder, GraphBuilder, Op, Shard, ValueId};

use crate::blocks::{Attention, Blocks};
use crate::decoder::{Decoder, Defaults, decoder, window_or};
use crate::rope::RopeDefaults;
use crate::{Architecture, Config, ConfigError, EXPERTS_MAX, Options};

/// The row in the list.
pub const GPT_OSS: Architecture =
    Architecture { hf: &["GptOssForCausalLM"], types: &["gpt_oss"], gguf: &["gpt-oss"], build };

const DEFAULTS: Defaults = Defaults {
    rope: RopeDefaults { theta: 150_000.0, gpt_oss_yarn: true },
    eps: 1e-5,
    kv_heads: Some(8),
    head_width: Some(64),
};

fn build(config: &Config, options: &Options, g: &mut GraphBuilder<'_>) -> Result<ValueId, ConfigError> {
    let bias = config.flag_or("attention_bias", true)?;
    let experts = Experts::from_config(config)?;
    let window = window_or(config, 128)?;
    let dims = Decoder::from_config(config, options.kv, DEFAULTS)?;
    let dims = dims.with_windows(config, window, |layer| layer % 2 == 0)?;
    Ok(decoder(g, &dims, |f, layer, x| {
        let attention = Attention { sinks: true, qkv_bias: bias, out_bias: bias, ..dims.attention(layer) };
        let a = f.rms_norm("input_layernorm", x, dims.eps);
        let a = f.attention("self_attn", a, &attention);
        let x = f.residual("attn_residual", x, a);
        let m = f.rms_norm("post_attention_layernorm", x, dims.eps);
        let m = experts.apply(f, "mlp", m, dims.inner);
        f.residual("mlp_residual", x, m)
    }))
}

/// The router and its experts.
struct Experts {
    count: u32,
    chosen: u32,
    act: Act,
}

impl Experts {
    fn from_config(config: &Config) -> Result<Experts, ConfigError> {
        let count = config.count_or("num_local_experts", 128)?;
        let chosen = config.count_or("num_experts_per_tok", config.count_or("experts_per_token", 4)?)?;
        if count > EXPERTS_MAX {
            return Err(config.wrong("num_local_experts", format!("at most {EXPERTS_MAX} experts are read")));
        }
        if chosen > count {
            return Err(
                config.wrong("num_experts_per_tok", format!("there are {count} experts to choose from"))
            );
        }
        let alpha = config.number_or("swiglu_alpha", 1.702)? as f32;
        let limit = config.number_or("swiglu_limit", 7.0)? as f32;
        Ok(Experts { count, chosen, act: Act::Clamped { alpha, limit } })
    }

    fn apply(&self, f: &mut FuncBuilder<'_>, name: &str, x: ValueId, inner: u32) -> ValueId {
        let width = f.width(x);
        let scores = f.linear(&format!("{name}.router"), x, self.count, true, Shard::Whole);
        let chosen = f.ops(Op::Route { k: self.chosen }, &[scores]);
        let mut args = vec![x, chosen[0], chosen[1]];
        // Ranks divide each expert in itself: whichever a token chooses, all of them read as much.
        let [gate, up] = ["gate", "up"].map(|part| (part, inner, width, Shard::Even(1), Shard::Even(1)));
        let parts = [gate, up, ("down", width, inner, Shard::Even(2), Shard::Once)];
        for (part, out, of, shard, _) in parts {
            let name = format!("{name}.experts.{part}_proj.weight");
            args.push(f.weight_by(&name, &[self.count, out, of], shard));
        }
        for (part, out, _, _, shard) in parts {
            args.push(f.weight_by(&format!("{name}.experts.{part}_proj.bias"), &[self.count, out], shard));
        }
        let x = f.op(Op::ExpertFfn { act: self.act, biased: true }, &args);
        f.name(x, "mlp")
    }
}
