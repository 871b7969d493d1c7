#!/usr/bin/env python3
"""One measurement of mistral.rs through its Python package; prints one JSON object.

    python scripts/peers/run_mistralrs.py '{"model": "m.gguf", "threads": 2, "what": "prefill", "prompt": 512}'

What a case holds is told in scripts/peers.py, which runs this. It takes text and no ids, so a prompt is as near to the
length asked for as words make it; speeds are those that the package reports for the tokens it counted.
"""
import importlib.metadata
import json
import os
import sys
import time

CASE = json.loads(sys.argv[1])
os.environ["RAYON_NUM_THREADS"] = str(CASE["threads"])  # read when the package is loaded

from mistralrs import CompletionRequest, Runner, Which  # noqa: E402


def open_runner():
    folder, name = os.path.split(os.path.abspath(CASE["model"]))
    return Runner(which=Which.GGUF(tok_model_id=None, quantized_model_id=folder, quantized_filename=name))


def complete(runner, words, output, word=" a"):
    request = CompletionRequest(model="default", prompt=word * words, max_tokens=output, temperature=0.0)
    return runner.send_completion_request(request).usage


def prefill():
    runner = open_runner()
    complete(runner, 8, 1, " e")  # other words than those measured: it remembers what it has seen
    return complete(runner, CASE["prompt"], 1).avg_prompt_tok_per_sec


def decode():
    if CASE["sequences"] > 1:
        sys.exit("several sequences at once are not measured through this package")
    runner = open_runner()
    complete(runner, 8, 1, " e")  # other words than those measured: it remembers what it has seen
    return complete(runner, max(CASE["depth"], 1), CASE["output"]).avg_compl_tok_per_sec


def load():
    start = time.perf_counter()
    complete(open_runner(), 16, 1)
    return time.perf_counter() - start


if __name__ == "__main__":
    value = {"prefill": prefill, "decode": decode, "load": load}[CASE["what"]]()
    print(json.dumps({"value": value, "version": "mistralrs " + importlib.metadata.version("mistralrs")}))
