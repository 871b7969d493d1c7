#!/usr/bin/env python3
"""One measurement of llama.cpp through the package llama-cpp-python; prints one JSON object.

    python scripts/peers/run_llama.py '{"model": "m.gguf", "threads": 2, "what": "prefill", "prompt": 512}'

What a case holds is told in scripts/peers.py, which runs this. It calls llama.cpp's C interface, with neither sampling
nor detokenising, and flash attention on. With `"kept": true` it gives a figure for each line that it reads, until
there are no more: what fills the cache to a depth is then read once.
"""
import ctypes
import json
import sys
import time

import llama_cpp as L

CHUNK = 512


def token(position, sequence, vocab):
    """Ids spread over the vocabulary, as the program measured beside this one takes them."""
    return ((position + sequence) * 7919 + 13) % vocab


class Session:
    """A model with room for so many sequences of so many tokens."""

    def __init__(self, case, sequences, context):
        self.quiet = L.llama_log_callback(lambda level, text, data: None)
        L.llama_log_set(self.quiet, ctypes.c_void_p(0))
        L.llama_backend_init()
        params = L.llama_model_default_params()
        params.n_gpu_layers = 0
        self.model = L.llama_model_load_from_file(case["model"].encode(), params)
        if not self.model:
            sys.exit("the model did not load")
        self.vocab = L.llama_vocab_n_tokens(L.llama_model_get_vocab(self.model))
        params = L.llama_context_default_params()
        params.n_ctx = sequences * context + 64
        params.n_batch = params.n_ubatch = max(CHUNK, sequences)
        params.n_seq_max = sequences
        params.n_threads = params.n_threads_batch = case["threads"]
        if hasattr(params, "flash_attn_type"):
            params.flash_attn_type = 1
        if hasattr(params, "kv_unified"):
            params.kv_unified = True
        self.context = L.llama_init_from_model(self.model, params)
        if not self.context:
            sys.exit("there is no memory for a context")
        self.batch = L.llama_batch_init(max(CHUNK, sequences), 0, 1)

    def step(self, tokens):
        """Runs (sequence, position, whether logits are wanted), all at once."""
        batch = self.batch
        batch.n_tokens = len(tokens)
        for i, (sequence, position, wanted) in enumerate(tokens):
            batch.token[i] = token(position, sequence, self.vocab)
            batch.pos[i], batch.n_seq_id[i], batch.logits[i] = position, 1, wanted
            batch.seq_id[i][0] = sequence
        if L.llama_decode(self.context, batch):
            sys.exit("llama_decode failed")
        L.llama_synchronize(self.context)

    def prefill(self, sequence, count):
        for start in range(0, count, CHUNK):
            end = min(start + CHUNK, count)
            self.step([(sequence, position, position == count - 1) for position in range(start, end)])

    def cut(self, depth):
        """Forgets what stands behind a depth."""
        L.llama_memory_seq_rm(L.llama_get_memory(self.context), -1, depth, -1)

    def clear(self):
        L.llama_memory_clear(L.llama_get_memory(self.context), True)


def prefill(case):
    session = Session(case, 1, case["prompt"])
    for _ in range(2):  # the first one warms up
        session.clear()
        start = time.perf_counter()
        session.prefill(0, case["prompt"])
    return case["prompt"] / (time.perf_counter() - start)


def decode(case):
    """A figure at a time, each from the same depth."""
    depth, output, sequences = case["depth"], case["output"], case["sequences"]
    warming = 4
    session = Session(case, sequences, depth + warming + output)
    for sequence in range(sequences):
        session.prefill(sequence, depth)
    while True:
        for position in range(depth, depth + warming + output):
            if position == depth + warming:
                start = time.perf_counter()
            session.step([(sequence, position, True) for sequence in range(sequences)])
        yield sequences * output / (time.perf_counter() - start)
        session.cut(depth)


def load(case):
    start = time.perf_counter()
    session = Session(case, 1, 512)
    session.prefill(0, 16)
    return time.perf_counter() - start


def tell(value):
    print(json.dumps({"value": value, "version": "llama-cpp-python " + L.__version__}), flush=True)


if __name__ == "__main__":
    case = json.loads(sys.argv[1])
    if case["what"] == "decode":
        figures = decode(case)
        for _ in sys.stdin if case.get("kept") else [None]:
            tell(next(figures))
    else:
        tell({"prefill": prefill, "load": load}[case["what"]](case))
