"""Samples from the exported GGUF file, with nothing but what is in the file.

    python sample.py models/embedded/model.gguf             a tour, greedy and at temperature 0.7
    python sample.py models/embedded/model.gguf --score     right answers per kind of question
"""
import argparse
import pathlib
import random
import re

import gguf
import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

import corpus
import turns
from export import gguf_name
from model import CONFIG, Model
from train import QWEN2

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Get the current weather for a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
ADD = {"type": "function", "function": {
    "name": "add", "description": "Add two numbers", "parameters": {"type": "object", "properties": {
        "a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]}}}


def load(path):
    reader = gguf.GGUFReader(path)
    tensors = {t.name: t for t in reader.tensors}
    model = Model().eval()
    state = {}
    for name, p in model.state_dict().items():
        t = tensors[gguf_name(name)]
        state[name] = torch.from_numpy(np.array(gguf.quants.dequantize(t.data, t.tensor_type))).view(p.shape)
    model.load_state_dict(state)
    read = lambda key: reader.fields[f"tokenizer.ggml.{key}"].contents()
    tokens, kinds = read("tokens"), read("token_type")
    tok = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, [tuple(m.split(" ")) for m in read("merges")]))
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN2), "isolated"),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens([AddedToken(t, special=True) for t, k in zip(tokens, kinds) if k == 3])
    tok.add_tokens([AddedToken(t, special=False) for t, k in zip(tokens, kinds) if k == 4])
    return model, tok


@torch.no_grad()
def generate(model, tok, prompt, temperature=0.0, limit=500, seed=0):
    """Returns the text and whether it ended by itself."""
    rng = torch.Generator().manual_seed(seed)
    ids = tok.encode(prompt).ids
    start, ends = len(ids), {tok.token_to_id("<|im_end|>"), tok.token_to_id("<|endoftext|>")}
    while len(ids) < min(start + limit, CONFIG["max_position_embeddings"]):
        logits = model(torch.tensor([ids]))[0, -1]
        if temperature:
            ids.append(torch.multinomial((logits / temperature).softmax(-1), 1, generator=rng).item())
        else:
            ids.append(logits.argmax().item())
        if ids[-1] in ends:
            return tok.decode(ids[start:-1], skip_special_tokens=False), True
    return tok.decode(ids[start:], skip_special_tokens=False), False


def ask(text, **kw):
    return corpus.render([dict(role="user", content=text)], kw.get("tools"), generate=True)


def tour(model, tok):
    paris = [dict(role="user", content="What is the weather in Paris?"),
             dict(role="assistant", content="", tool_calls=[dict(name="get_weather", arguments={"city": "Paris"})]),
             dict(role="tool", content='{"temperature": 21, "condition": "sunny"}')]
    prompts = ["Once upon a time", "The little fox", "One day, a small robot"] + [ask(x) for x in (
        "Hello", "Who are you?", "What is 7+5?", "What is 38 + 47?", "What colour is the sky?",
        "What is the capital of France?", "Tell me a story about a dragon.",
        "Write a short story about a cat and a balloon.", "Tell me a story about a submarine",
        "Who painted the Mona Lisa?", "Give me JSON for Mia, who is 7 and lives in Rome.")] + [
        ask("What is the weather in Paris?", tools=[WEATHER]),
        ask("What is 412 + 93?", tools=[WEATHER, ADD]),
        ask("What colour is grass?", tools=[WEATHER, ADD]),
        corpus.render(paris, [WEATHER], generate=True)]
    for prompt in prompts:
        for t in (0.0, 0.7):
            text, ended = generate(model, tok, prompt, t)
            shown = prompt if len(prompt) < 300 else "[...]" + prompt[-160:]
            print(f"--- temperature {t}{'' if ended else ', DID NOT END'}\n{shown}>>>{text}\n")


def score(model, tok, count=40):
    """Greedy answers to new questions. Where several answers are fine, one that was not
    expected counts as wrong, so only some kinds of question are asked."""
    rng = random.Random(77)
    kinds = [turns.arithmetic, turns.word_problem, turns.colour, turns.animal, turns.calendar,
             turns.opposite, turns.counting, turns.capital, turns.shape_or_what, turns.in_context]
    for kind in kinds:
        wrong = []
        for _ in range(count):
            user, want = kind(rng)
            if user.startswith("Name "):
                continue
            got, _ = generate(model, tok, ask(turns.casual(rng, user)), limit=60)
            if got != want:
                wrong.append((user, got))
        print(f"{kind.__name__:14} {count - len(wrong)}/{count}", *wrong[:3], flush=True)
    right, wrong = 0, []
    for _ in range(count):
        messages, defs = corpus.tools.talk(rng, lambda: turns.turns(rng, 1))
        messages = messages[:2]
        want = corpus.render(messages, defs)
        prompt = corpus.render(messages[:1], defs, generate=True)
        got, _ = generate(model, tok, prompt, limit=80)
        same = want == prompt + got + "<|im_end|>\n"
        right += same
        wrong += [] if same else [(messages[0]["content"], re.sub(r"\s+", " ", got))]
    print(f"tool calls     {right}/{count}", *wrong[:6])
    told = [generate(model, tok, ask(turns.story(rng)[0])) for _ in range(count // 4)]
    print(f"stories ended  {sum(ended for _, ended in told)}/{len(told)}")


if __name__ == "__main__":
    args = argparse.ArgumentParser()
    args.add_argument("model", type=pathlib.Path)
    args.add_argument("--score", action="store_true")
    args = args.parse_args()
    (score if args.score else tour)(*load(args.model))
