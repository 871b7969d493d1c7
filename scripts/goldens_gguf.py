#!/usr/bin/env python3
"""GGUF twins of some golden checkpoints, by the conventions of llama.cpp's converter.

    pip install -r scripts/requirements-goldens.txt
    python scripts/goldens_gguf.py [--type f32] [--out tests/goldens-gguf] [NAME ...]

`tests/goldens-gguf/NAME.gguf` holds the very values of `tests/goldens/NAME`, so that folder's
golden.safetensors is what the twin must give too.  `--type f32` writes every matrix as f32 (the
MXFP4 experts as well), for comparing with engines that round activations to suit the weights.
"""
import argparse
import math
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors.torch import load_file
from transformers import AutoConfig

# Only what llama.cpp computes alike: it has no windows in llama (mistral) and qwen2, rounds the ends of YaRN's
# ramp, and takes YaRN's betas as 32 and 1 whatever the file says.
# f32 keeps every value, bf16 and f16 those of checkpoints stored so.
TWINS = {
    "llama-gqa-llama3-rope": Type.F32,
    "llama-biases": Type.F32,
    "llama-linear-rope": Type.F16,
    "mistral-no-window-head-dim": Type.F32,
    "qwen2-untied": Type.F32,
    "qwen2-yarn": Type.BF16,
    "qwen3-gqa-tied": Type.F32,
    "gpt-oss-mxfp4": Type.F32,
}
ARCH = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gpt_oss": "gpt-oss"}
PRE_TOKENIZER = {"llama": "llama-bpe", "qwen2": "qwen2", "qwen3": "qwen2", "gpt-oss": "gpt-4o"}
FILE_TYPE = {Type.F32: gguf.LlamaFileType.ALL_F32, Type.F16: gguf.LlamaFileType.MOSTLY_F16,
             Type.BF16: gguf.LlamaFileType.MOSTLY_BF16}

TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
LAYER = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "mlp.router": "ffn_gate_inp",
}


def gguf_name(name, arch):
    if name.endswith("self_attn.sinks"):
        return f"blk.{name.split('.')[2]}.attn_sinks.weight"
    stem, leaf = name.rsplit(".", 1)
    if stem in TOP:
        return f"{TOP[stem]}.{leaf}"
    _, _, layer, part = stem.split(".", 3)
    part = "post_attention_norm" if arch == "gpt-oss" and part == "post_attention_layernorm" else LAYER[part]
    return f"blk.{layer}.{part}.{leaf}"


def interleave(rows, heads):
    """The llama architecture rotates neighbours (2i, 2i+1), checkpoints the halves (i, i + head_dim/2)."""
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def llama3_divisors(head_dim, rope):
    """What each rotation frequency is divided by: `rope_freqs.weight`."""
    frequency = rope["rope_theta"] ** (-np.arange(0, head_dim, 2) / head_dim)
    turns = rope["original_max_position_embeddings"] * frequency / (2 * math.pi)
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    keep = np.clip((turns - low) / (high - low), 0, 1)
    return (1 / ((1 - keep) / rope["factor"] + keep)).astype(np.float32)


def repack_mxfp4(blocks, scales):
    """Checkpoints pair neighbours in a byte; GGUF pairs value i with i + 16, after the block's scale."""
    codes = np.stack([blocks & 15, blocks >> 4], -1).reshape(*blocks.shape[:-1], 32)
    packed = codes[..., :16] | codes[..., 16:] << 4
    return np.concatenate([scales[..., None], packed], -1).reshape(*blocks.shape[:2], -1)


def tensors(config, stored, arch):
    """Yields (GGUF name, f32 values), or for MXFP4 experts (GGUF name, u8 blocks)."""
    value = lambda name: stored[name].float().numpy()
    for name in stored:
        if ".mlp.experts." not in name:
            x = value(name)
            if arch == "llama" and ".q_proj." in name:
                x = interleave(x, config.num_attention_heads)
            if arch == "llama" and ".k_proj." in name:
                x = interleave(x, config.num_key_value_heads)
            yield gguf_name(name, arch), x
            continue
        prefix = f"blk.{name.split('.')[2]}.ffn_"
        if name.endswith("down_proj_bias"):
            yield prefix + "down_exps.bias", value(name)
        elif name.endswith("gate_up_proj_bias"):            # gate and up alternate
            yield prefix + "gate_exps.bias", value(name)[:, 0::2]
            yield prefix + "up_exps.bias", value(name)[:, 1::2]
        elif name.endswith("_blocks"):
            blocks = repack_mxfp4(stored[name].numpy(), stored[name.replace("_blocks", "_scales")].numpy())
            if "down_proj" in name:
                yield prefix + "down_exps.weight", blocks
            else:
                yield prefix + "gate_exps.weight", blocks[:, 0::2]
                yield prefix + "up_exps.weight", blocks[:, 1::2]
        elif not name.endswith("_scales"):                  # [experts, in, out] to [experts, out, in]
            x = value(name).swapaxes(1, 2)
            if "down_proj" in name:
                yield prefix + "down_exps.weight", x
            else:
                yield prefix + "gate_exps.weight", x[:, 0::2]
                yield prefix + "up_exps.weight", x[:, 1::2]


def add_tokenizer(writer, config, arch):
    """As many byte tokens as the vocabulary has room for, and two merges."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    char = {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}
    special = ["<|pad|>", "<|begin|>", "<|end|>"]           # bos 1 and eos 2, as in config.json
    byte_order = [ord(" "), ord("\n"), *printable, *(b for b in others if chr(b) not in " \n")]
    tokens = (special + ["he", "the"] + [char[b] for b in byte_order])[: config.vocab_size]
    pads = [f"[PAD{i}]" for i in range(len(tokens), config.vocab_size)]
    kinds = [gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (len(tokens) - 3)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER[arch])
    writer.add_token_list(tokens + pads)
    writer.add_token_types(kinds + [gguf.TokenType.UNUSED] * len(pads))
    writer.add_token_merges(["h e", "t he"])
    writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_add_bos_token(False)


def add_metadata(writer, config, arch, kind):
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_file_type(FILE_TYPE[kind])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if arch == "llama":
        writer.add_vocab_size(config.vocab_size)
        writer.add_rope_dimension_count(head_dim)
    if arch == "gpt-oss":
        writer.add_sliding_window(config.sliding_window)
        writer.add_expert_count(config.num_local_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
        writer.add_expert_feed_forward_length(config.intermediate_size)
    rope = config.rope_parameters
    if rope["rope_type"] in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        for key, add in [("attention_factor", writer.add_rope_scaling_yarn_attn_factor),
                         ("beta_fast", writer.add_rope_scaling_yarn_beta_fast),
                         ("beta_slow", writer.add_rope_scaling_yarn_beta_slow)]:
            if rope.get(key) is not None:
                add(rope[key])
    return head_dim


def write(folder, path, kind, plain):
    config = AutoConfig.from_pretrained(folder)
    arch = ARCH[config.model_type]
    stored = {}
    for file in sorted(folder.glob("model*.safetensors")):
        stored |= load_file(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, arch)
    writer.add_name(path.stem)
    head_dim = add_metadata(writer, config, arch, kind)
    add_tokenizer(writer, config, arch)
    if config.rope_parameters["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_divisors(head_dim, config.rope_parameters))
    for name, x in tensors(config, stored, arch):
        if x.dtype == np.uint8 and not plain:
            writer.add_tensor(name, np.ascontiguousarray(x), raw_dtype=Type.MXFP4)
            continue
        if x.dtype == np.uint8:
            x = gguf.quants.dequantize(np.ascontiguousarray(x), Type.MXFP4)
        # vectors and the router stay f32 whatever the file's type
        small = x.ndim == 1 or "ffn_gate_inp" in name or name.endswith(".bias")
        to = Type.F32 if small else kind
        data = gguf.quants.quantize(np.ascontiguousarray(x), to)
        assert np.array_equal(gguf.quants.dequantize(data, to), x), f"{name} is not exact as {to.name}"
        writer.add_tensor(name, data, raw_dtype=to)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def main():
    tests = Path(__file__).parent.parent / "tests"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--type", choices=["f32"], help="instead of each twin's own type")
    parser.add_argument("--goldens", type=Path, default=tests / "goldens")
    parser.add_argument("--out", type=Path, default=tests / "goldens-gguf")
    args = parser.parse_args()
    for name in args.names or TWINS:
        kind = Type.F32 if args.type else TWINS.get(name, Type.F32)
        write(args.goldens / name, args.out / f"{name}.gguf", kind, plain=bool(args.type))


if __name__ == "__main__":
    main()
