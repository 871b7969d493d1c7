"""Writes the trained model as one GGUF file, and checks it against transformers.

    python export.py --work target/embedded --out models/embedded/model.gguf
"""
import argparse
import json
import os
import pathlib

import gguf
import torch
from gguf import GGMLQuantizationType as Q
from gguf import TokenType
from safetensors.torch import load_file

from model import CONFIG, Model

HERE = pathlib.Path(__file__).resolve().parent
PARTS = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
         "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
         "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def gguf_name(name):
    """model.layers.2.mlp.up_proj.weight -> blk.2.ffn_up.weight"""
    top = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in top:
        return top[name]
    _, _, layer, part = name.split(".", 3)
    return f"blk.{layer}.{PARTS[part.removesuffix('.weight')]}.weight"


def export(work, out):
    tok = json.loads((work / "tokenizer.json").read_text())
    vocab = dict(tok["model"]["vocab"])
    added = {a["content"]: a for a in tok["added_tokens"]}
    vocab.update({t: a["id"] for t, a in added.items()})
    tokens = sorted(vocab, key=vocab.get)
    assert [vocab[t] for t in tokens] == list(range(CONFIG["vocab_size"]))
    # Tags such as <tool_call> are to be seen in the text, so they are no control tokens.
    kinds = [TokenType.NORMAL if t not in added else
             TokenType.CONTROL if added[t]["special"] else TokenType.USER_DEFINED for t in tokens]
    merges = [m if isinstance(m, str) else " ".join(m) for m in tok["model"]["merges"]]

    temp = out.with_suffix(".tmp")
    g = gguf.GGUFWriter(temp, "qwen3")
    g.add_name("polysilicon-tiny")
    g.add_type("model")
    g.add_description("A tiny story and chat model, trained from scratch on generated text")
    g.add_license("MIT OR Apache-2.0")
    g.add_size_label("3.7M")
    g.add_languages(["en"])
    g.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    g.add_quantization_version(gguf.GGML_QUANT_VERSION)
    g.add_block_count(CONFIG["num_hidden_layers"])
    g.add_context_length(CONFIG["max_position_embeddings"])
    g.add_embedding_length(CONFIG["hidden_size"])
    g.add_feed_forward_length(CONFIG["intermediate_size"])
    g.add_head_count(CONFIG["num_attention_heads"])
    g.add_head_count_kv(CONFIG["num_key_value_heads"])
    g.add_key_length(CONFIG["head_dim"])
    g.add_value_length(CONFIG["head_dim"])
    g.add_rope_freq_base(CONFIG["rope_theta"])
    g.add_layer_norm_rms_eps(CONFIG["rms_norm_eps"])
    g.add_vocab_size(CONFIG["vocab_size"])
    g.add_tokenizer_model("gpt2")
    g.add_tokenizer_pre("qwen2")
    g.add_token_list(tokens)
    g.add_token_types(kinds)
    g.add_token_merges(merges)
    g.add_add_bos_token(False)
    g.add_eos_token_id(vocab["<|im_end|>"])
    g.add_eot_token_id(vocab["<|im_end|>"])
    g.add_pad_token_id(vocab["<|endoftext|>"])
    g.add_chat_template((HERE / "chat_template.jinja").read_text())
    for name, t in load_file(work / "model.safetensors").items():
        data = t.float().numpy()
        kind = Q.Q8_0 if data.ndim == 2 else Q.F32
        g.add_tensor(gguf_name(name), gguf.quants.quantize(data, kind), raw_dtype=kind)
    g.write_header_to_file()
    g.write_kv_data_to_file()
    g.write_tensors_to_file()
    g.close()
    os.replace(temp, out)  # whoever reads the old file meanwhile is not disturbed
    print(f"wrote {out.name}: {out.stat().st_size:,} bytes")


def compare(work):
    """The same weights in transformers' Qwen3 must give the same logits, up to the last position."""
    from transformers import Qwen3Config, Qwen3ForCausalLM
    weights = load_file(work / "model.safetensors")
    keys = {k: v for k, v in CONFIG.items() if k != "rope_theta"}
    theirs = Qwen3ForCausalLM(Qwen3Config(**keys, rope_theta=CONFIG["rope_theta"],
                                          attn_implementation="eager")).eval()
    missing, extra = theirs.load_state_dict(weights, strict=False)
    assert not extra and set(missing) <= {"lm_head.weight"}, (missing, extra)
    theirs.tie_weights()
    ours = Model().eval()
    ours.load_state_dict(weights)
    ids = torch.randint(0, CONFIG["vocab_size"], (2, CONFIG["max_position_embeddings"]))
    with torch.no_grad():
        worst = (ours(ids) - theirs(ids).logits).abs().max().item()
    print(f"largest difference of a logit from transformers' Qwen3: {worst:.1e}")
    assert worst < 1e-4


if __name__ == "__main__":
    args = argparse.ArgumentParser()
    args.add_argument("--work", type=pathlib.Path, default=HERE.parents[1] / "target/embedded")
    args.add_argument("--out", type=pathlib.Path, default=HERE.parents[1] / "models/embedded/model.gguf")
    args = args.parse_args()
    export(args.work, args.out)
    compare(args.work)
