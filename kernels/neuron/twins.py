"""What the kernels beside this file compute, in numpy: the same tiles, the same order, the same roundings.

    python kernels/neuron/twins.py < request > reply

Tests hold it against the reference. A request is a line of JSON that names a kernel, its number arguments and the types and
shapes of its arrays, and behind it the bytes of these; the reply is the bytes of the f32 result.
"""

import json
import sys

import numpy as np

TILE = 128
BLOCK = 32
HIDDEN = np.float32(-1.0e30)


def bf16(x):
    """The nearest numbers with 8 bits of mantissa, ties to even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def paged_attention(q, keys, values, rows, lengths, scale):
    seqs, heads, width = q.shape
    kv_heads, positions = keys.shape[1], rows.shape[1]
    group = heads // kv_heads
    out = np.zeros((seqs, heads, width), np.float32)
    for b in range(seqs):
        slot = rows[b].reshape(-1, TILE)
        for k in range(kv_heads):
            own = q[b, k * group : (k + 1) * group]
            scores = np.concatenate([own @ keys[tile, k].T * np.float32(scale) for tile in slot], axis=1)
            scores = scores + (np.arange(positions) >= lengths[b]).astype(np.float32) * HIDDEN
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            summed = np.zeros((group, width), np.float32)
            for tile in range(len(slot)):
                summed += bf16(weights[:, tile * TILE : (tile + 1) * TILE]) @ values[slot[tile], k]
            out[b, k * group : (k + 1) * group] = summed * (1 / weights.sum(axis=1, keepdims=True))
    return out


def e2m1(packed):
    codes = np.concatenate([packed & 15, packed >> 4], axis=-1).astype(np.float32)
    sign = (codes >= 8).astype(np.float32) * np.float32(-8)
    codes, sign = codes + sign, sign * np.float32(0.25) + 1
    return np.maximum(np.maximum(codes / 2, codes - 2), 2 * (codes - 4)) * sign


def mxfp4_product(x, codes, scales, experts):
    pairs, rows = x.shape[0], codes.shape[1]
    out = np.zeros((pairs, rows), np.float32)
    for p in range(pairs):
        given = x[p].reshape(1, -1, BLOCK)
        for start in range(0, rows, TILE):
            chosen = slice(start, start + TILE)
            sums = (e2m1(codes[experts[p], chosen]) * given).sum(axis=2)
            out[p, chosen] = (sums * scales[experts[p], chosen]).sum(axis=1)
    return out


def main():
    source = sys.stdin.buffer
    request = json.loads(source.readline())
    arrays = []
    for dtype, shape in request["arrays"]:
        count = int(np.prod(shape))
        array = np.frombuffer(source.read(count * np.dtype(dtype).itemsize), dtype)
        arrays.append(array.reshape(shape))
    kernel = {"paged_attention": paged_attention, "mxfp4_product": mxfp4_product}[request["kernel"]]
    result = kernel(*arrays, *request["numbers"])
    sys.stdout.buffer.write(np.ascontiguousarray(result, np.float32).tobytes())


main()
