//! GGUF's names.

use tensor::WeightSource;

use super::{Make, Recipe};

/// What must be known of a GGUF model to put its weights in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GgufLayout {
    /// `general.architecture`.
    pub arch: String,
    /// Query heads, `H`.
    pub heads: usize,
    /// Key and value heads, `K`.
    pub kv_heads: usize,
}

impl GgufLayout {
    /// Whether the rows of the query and key projections are stored as interleaved pairs: llama.cpp rotates
    /// neighbours where Hugging Face rotates halves, and its converter moves the rows to suit.
    fn pairs(&self) -> bool {
        self.arch == "llama"
    }

    /// The heads of a weight whose rows are stored as interleaved pairs; `None` for all others.
    pub(super) fn paired_heads(&self, name: &str) -> Option<usize> {
        match name.rsplit('.').nth(1) {
            Some("q_proj") if self.pairs() => Some(self.heads),
            Some("k_proj") if self.pairs() => Some(self.kv_heads),
            _ => None,
        }
    }

    /// The name that a file gives a weight, or `None` where files have none for it.
    pub fn stored_name(&self, name: &str) -> Option<String> {
        let known = |stored: &String| stored.starts_with("blk.") || !name.starts_with("layers.");
        let mut names = candidates(name).filter(known);
        // Of two names for one module the later is gpt-oss's.
        if self.arch == "gpt-oss" { names.last() } else { names.next() }
    }
}

/// The modules of a layer, by their canonical names and the names files use.
const MODULES: [(&str, &str); 17] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    // gpt-oss alone calls it so.
    ("post_attention_layernorm", "post_attention_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("mlp.router", "ffn_gate_inp"),
    ("mlp.experts.gate_proj", "ffn_gate_exps"),
    ("mlp.experts.up_proj", "ffn_up_exps"),
    ("mlp.experts.down_proj", "ffn_down_exps"),
    ("self_attn.sinks", "attn_sinks"),
];

/// How to make the weight `name`, if what it takes is there. A name that is not canonical stands for itself.
pub(super) fn recipe(source: &dyn WeightSource, layout: &GgufLayout, name: &str) -> Option<Recipe> {
    let (stored, info) =
        candidates(name).find_map(|stored| source.find(&stored).map(|info| (stored, info)))?;
    let make = match layout.paired_heads(name) {
        Some(heads) => Make::Heads { stored, heads },
        None => Make::Same { stored },
    };
    Some(Recipe { info, make })
}

/// The names under which a file may store the weight `name`.
fn candidates(name: &str) -> impl Iterator<Item = String> {
    let top = match name {
        "embed_tokens.weight" => "token_embd.weight",
        "norm.weight" => "output_norm.weight",
        "lm_head.weight" => "output.weight",
        other => other,
    };
    let layer = name.strip_prefix("layers.").and_then(|rest| rest.split_once('.'));
    let in_layer = layer.into_iter().flat_map(|(number, part)| {
        let (module, leaf) = match part.rsplit_once('.') {
            Some((module, leaf @ ("weight" | "bias"))) => (module, leaf),
            _ => (part, "weight"),
        };
        let named = MODULES.iter().filter(move |(canonical, _)| *canonical == module);
        named.map(move |(_, stored)| format!("blk.{number}.{stored}.{leaf}"))
    });
    std::iter::once(top.to_owned()).chain(in_layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_names_have_the_names_of_files() {
        let all = |name| candidates(name).collect::<Vec<_>>();
        assert!(all("lm_head.weight").contains(&"output.weight".to_owned()));
        assert!(all("layers.7.self_attn.o_proj.bias").contains(&"blk.7.attn_output.bias".to_owned()));
        assert!(all("layers.0.self_attn.sinks").contains(&"blk.0.attn_sinks.weight".to_owned()));
        let norm = all("layers.3.post_attention_layernorm.weight");
        assert!(norm.contains(&"blk.3.ffn_norm.weight".to_owned()));
        assert!(norm.contains(&"blk.3.post_attention_norm.weight".to_owned()));
        assert_eq!(all("rope_freqs.weight"), ["rope_freqs.weight"]);
        for (arch, norm) in
            [("llama", "blk.3.ffn_norm.weight"), ("gpt-oss", "blk.3.post_attention_norm.weight")]
        {
            let layout = GgufLayout { arch: arch.to_owned(), heads: 1, kv_heads: 1 };
            assert_eq!(layout.stored_name("layers.3.post_attention_layernorm.weight").as_deref(), Some(norm));
            assert_eq!(layout.stored_name("norm.weight").as_deref(), Some("output_norm.weight"));
            assert_eq!(layout.stored_name("layers.3.unheard_of.weight"), None);
        }
    }
}
