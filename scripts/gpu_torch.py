#!/usr/bin/env python3
"""Times PyTorch on one GPU on the shapes that gpu_session.sh benches: cuBLAS products and attention of llama-3.1-8b.

    gpu_torch.py OUT.json
"""
import json
import sys

import torch
import torch.nn.functional as F

# Features and width of the products of a layer, and of the head.
PRODUCTS = {"qkv": (6144, 4096), "o": (4096, 4096), "gate_up": (28672, 4096), "down": (4096, 14336), "head": (128256, 4096)}
ROWS = [1, 8, 32, 128, 2048]
HEADS, KV_HEADS, WIDTH = 32, 8, 128


def seconds(work, rounds=20):
    """The median time of one call, by events."""
    for _ in range(3):
        work()
    times = []
    for _ in range(rounds):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return sorted(times)[rounds // 2]


def random(*shape):
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def copy_bandwidth():
    """Bytes a second that a copy within the device moves, read and written."""
    a = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    b = torch.empty_like(a)
    return 2 * a.numel() / seconds(lambda: b.copy_(a))


def matrix_rate():
    """Operations a second of a large product, which is what prefill is held against."""
    x, w = random(8192, 8192), random(8192, 8192)
    return 2 * 8192**3 / seconds(lambda: F.linear(x, w))


def products():
    for name, (features, width) in PRODUCTS.items():
        w = random(features, width)
        for rows in ROWS:
            x = random(rows, width)
            time = seconds(lambda: F.linear(x, w))
            work = {"operations": 2 * rows * features * width, "bytes": 2 * features * width}
            yield {"what": f"linear {name}", "rows": rows, "seconds": time, **work}


def attention():
    for what, queries, context, seqs in [("decode", 1, 1024, 8), ("decode", 1, 8192, 1), ("prefill", 2048, 2048, 1)]:
        q = random(seqs, HEADS, queries, WIDTH)
        k, v = random(seqs, KV_HEADS, context, WIDTH), random(seqs, KV_HEADS, context, WIDTH)
        time = seconds(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=queries > 1, enable_gqa=True))
        yield {"what": f"attention {what}", "context": context, "sequences": seqs, "seconds": time}


def main():
    report = {"torch": torch.__version__, "gpu": torch.cuda.get_device_name(), "copy_bytes_per_s": copy_bandwidth()}
    report["matrix_operations_per_s"] = matrix_rate()
    report["figures"] = [*products(), *attention()]
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        json.dump(report, out)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
