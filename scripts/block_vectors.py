#!/usr/bin/env python3
"""Random blocks of every GGUF weight type and their values as the `gguf` package decodes them.

    pip install -r scripts/requirements-goldens.txt
    python scripts/block_vectors.py [OUT]       # default: tests/vectors/blocks.safetensors

For each type the file holds `<type>.blocks` (u8 [blocks, bytes per block]) and `<type>.values`
(f32 [blocks, values per block]), lower case.  The bytes are random, so every scale, high bit and
code occurs; only the f16 fields are kept finite, and start with the values a decoder gets wrong
first.  The largest MXFP4 scales overflow f32: those values are infinite, as they must be.
"""
import sys
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import save_file

# type -> (blocks, byte offsets of its f16 fields)
TYPES = {
    Type.F16: (512, [0]),
    Type.BF16: (512, []),
    Type.Q4_0: (48, [0]),
    Type.Q4_1: (48, [0, 2]),
    Type.Q5_0: (48, [0]),
    Type.Q5_1: (48, [0, 2]),
    Type.Q8_0: (48, [0]),
    Type.Q2_K: (12, [80, 82]),
    Type.Q3_K: (12, [108]),
    Type.Q4_K: (12, [0, 2]),
    Type.Q5_K: (12, [0, 2]),
    Type.Q6_K: (12, [208]),
    Type.IQ4_NL: (48, [0]),
    Type.IQ4_XS: (12, [0]),
    Type.MXFP4: (255, []),
}

# smallest and largest subnormal, smallest normal, both zeros, largest: in both signs where it matters
F16_EDGES = np.array([0x0001, 0x83FF, 0x0400, 0x0000, 0x8000, 0xFBFF, 0x7BFF], np.uint16)


def blocks_of(kind, count, f16_fields, rng):
    size = gguf.GGML_QUANT_SIZES[kind][1]
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for i, offset in enumerate(f16_fields):
        field = rng.integers(0, 1 << 16, count, dtype=np.uint16)
        field[(field & 0x7C00) == 0x7C00] ^= 0x4000            # infinity or NaN becomes an ordinary number
        field[: len(F16_EDGES)] = np.roll(F16_EDGES, i)        # two fields of a block get unlike edges
        blocks[:, offset : offset + 2] = field.view(np.uint8).reshape(-1, 2)
    if kind == Type.BF16:
        words = blocks.view(np.uint16)
        words[(words & 0x7F80) == 0x7F80] ^= 0x4000
    if kind == Type.MXFP4:
        blocks[:, 0] = np.arange(count)                        # every E8M0 scale; 255 is NaN and left out
    return blocks


def main():
    default = Path(__file__).parent.parent / "tests/vectors/blocks.safetensors"
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    rng = np.random.default_rng(1)
    tensors = {}
    for kind, (count, f16_fields) in TYPES.items():
        blocks = blocks_of(kind, count, f16_fields, rng)
        with np.errstate(over="ignore"):
            values = gguf.quants.dequantize(blocks, kind).astype(np.float32)
        assert values.shape == (count, gguf.GGML_QUANT_SIZES[kind][0]) and not np.isnan(values).any()
        tensors[f"{kind.name.lower()}.blocks"] = blocks
        tensors[f"{kind.name.lower()}.values"] = values
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out)
    print(f"{out}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
