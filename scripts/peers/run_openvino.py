#!/usr/bin/env python3
"""One measurement of OpenVINO GenAI; prints one JSON object.

    python scripts/peers/run_openvino.py '{"model": "m.gguf", "threads": 2, "what": "prefill", "prompt": 512}'

What a case holds is told in scripts/peers.py, which runs this. Speeds are the pipeline's own: a prompt over the time to
its first token, and the mean time per token that follows.
"""
import importlib.metadata
import json
import sys
import time

import numpy as np
import openvino as ov
import openvino_genai as genai

VOCAB = 30000  # ids below this are in every vocabulary


def ids(count, shift=0):
    """A prompt; another one for each shift, since pipelines remember what they have seen."""
    return ov.Tensor(np.array([[((i + shift) * 7919 + 13) % VOCAB for i in range(count)]], dtype=np.int64))


def config(output):
    config = genai.GenerationConfig()
    config.max_new_tokens = config.min_new_tokens = output
    config.ignore_eos = True
    config.do_sample = False
    return config


def open_pipeline(case):
    return genai.LLMPipeline(case["model"], "CPU", INFERENCE_NUM_THREADS=case["threads"])


def prefill(case):
    pipeline = open_pipeline(case)
    for shift in range(2):  # the first one warms up
        metrics = pipeline.generate(ids(case["prompt"], shift), config(1)).perf_metrics
    return case["prompt"] / metrics.get_ttft().mean * 1000


def decode(case):
    depth, output, sequences = max(case["depth"], 1), case["output"], case["sequences"]
    if sequences == 1:
        pipeline = open_pipeline(case)
        pipeline.generate(ids(8, 1), config(4))
        return 1000 / pipeline.generate(ids(depth), config(output)).perf_metrics.get_tpot().mean
    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = 2
    threads = {"INFERENCE_NUM_THREADS": case["threads"]}
    pipeline = genai.ContinuousBatchingPipeline(case["model"], scheduler, "CPU", threads)
    pipeline.generate([ids(8, 1)], [config(4)])
    prompts = [ids(depth, shift) for shift in range(2, 2 + sequences)]
    results = pipeline.generate(prompts, [config(output)] * sequences)
    return sum(1000 / result.perf_metrics.get_tpot().mean for result in results)


def load(case):
    start = time.perf_counter()
    open_pipeline(case).generate(ids(16), config(1))
    return time.perf_counter() - start


if __name__ == "__main__":
    case = json.loads(sys.argv[1])
    value = {"prefill": prefill, "decode": decode, "load": load}[case["what"]](case)
    print(json.dumps({"value": value, "version": "openvino-genai " + importlib.metadata.version("openvino-genai")}))
