"""Trains the tokenizer and the model from scratch and exports both.

    python train.py                    the whole run (about 25 minutes on two cores)
    python train.py --steps 150        a first look
"""
import argparse
import csv
import math
import os
import pathlib
import re
import time

# Spinning threads lose against other work on a shared machine: sleep instead.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import corpus
from model import CONFIG, Model

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parents[1]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TAGS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
# The split of Qwen2's pre-tokenizer: digits one by one, a leading space with its word.
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
SEED, HELD_OUT_SEED, TOKENIZER_SEED = 1, 2, 3
TOKENS_PER_STEP = 2048  # small steps, many of them: that learns most per minute on a CPU


def train_tokenizer(docs):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    # Merges are learned from the text between the special tokens, never across one.
    marks = re.compile("|".join(map(re.escape, SPECIAL + TAGS)))
    texts = (part for _, d in zip(range(docs), corpus.documents(TOKENIZER_SEED)) for part in marks.split(d))
    tok.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=CONFIG["vocab_size"] - len(SPECIAL + TAGS), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    # As with Qwen, the tags of a tool call are tokens that stay visible in the text.
    tok.add_tokens([AddedToken(t, special=False, normalized=False) for t in TAGS])
    assert tok.get_vocab_size() == CONFIG["vocab_size"], tok.get_vocab_size()
    return tok


class Rows:
    """Whole documents packed into rows of `length` + 1 tokens.

    A row starts with the start of a document, as every prompt does later. Its
    end is filled with the longest waiting document that fits, so that few
    documents lose their own end.
    """

    def __init__(self, tok, seed):
        self.late = False  # whether the run is in its second half
        self.tok, self.docs, self.pool = tok, corpus.documents(seed, lambda: self.late), []

    def row(self, length):
        row = []
        while len(row) <= length:
            if len(self.pool) < 64:
                texts = [next(self.docs) for _ in range(64)]
                self.pool += [e.ids for e in self.tok.encode_batch(texts)]
            room = length + 1 - len(row)
            fits = [i for i, d in enumerate(self.pool) if len(d) <= room]
            # In turn while there is room for any; only the end of a row is picky.
            i = max(fits, key=lambda i: len(self.pool[i])) if fits and room < 300 else 0
            row += self.pool.pop(i)[:room]
        return row

    def batch(self, length, count):
        t = torch.tensor([self.row(length) for _ in range(count)])
        return t[:, :-1].contiguous(), t[:, 1:].contiguous()


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--steps", type=int, default=3600)
    args.add_argument("--minutes", type=float, help="let the schedule follow the clock instead of the steps")
    args.add_argument("--resume", type=int, default=0, metavar="STEP",
                      help="go on from the weights in the scratch folder, saved at this step")
    args.add_argument("--lr", type=float, default=2e-3)
    args.add_argument("--work", type=pathlib.Path, default=REPO / "target/embedded", help="scratch folder")
    args.add_argument("--out", type=pathlib.Path, default=REPO / "models/embedded/model.gguf")
    args = args.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)

    path = args.work / "tokenizer.json"
    if not path.exists():
        train_tokenizer(12000).save(str(path))
    tok = Tokenizer.from_file(str(path))
    print("tokenizer ready", flush=True)

    model = Model()
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)

    def loss_of(x, y):
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(x)
        return F.cross_entropy(logits.float().flatten(0, 1), y.flatten())

    if args.resume:
        model.load_state_dict(load_file(args.work / "model.safetensors"))
    fast_loss = torch.compile(loss_of, dynamic=False)
    matrices = [p for p in model.parameters() if p.dim() == 2]
    norms = [p for p in model.parameters() if p.dim() == 1]
    opt = torch.optim.AdamW([dict(params=matrices, weight_decay=0.1), dict(params=norms, weight_decay=0.0)],
                            lr=args.lr, betas=(0.9, 0.98), fused=True)
    train, held_out = Rows(tok, SEED + args.resume), Rows(tok, HELD_OUT_SEED)
    held_out.late = True
    test = held_out.batch(1024, 8)

    log = csv.writer(open(HERE / "loss.csv", "a" if args.resume else "w", newline="", buffering=1))
    if not args.resume:
        log.writerow(["step", "tokens", "minutes", "train", "held_out"])
    start, step, recent = time.time(), args.resume, []
    before = args.resume / args.steps  # the part of the schedule that is over already
    while True:
        minutes = (time.time() - start) / 60
        done = min(1.0, before + (1 - before) * minutes / args.minutes if args.minutes else step / args.steps)
        if step % 100 == 0 or done >= 1:
            with torch.no_grad():
                held = sum(loss_of(x[None], y[None]).item() for x, y in zip(*test)) / len(test[0])
            mean = sum(recent) / max(1, len(recent))
            recent = []
            log.writerow([step, step * TOKENS_PER_STEP, f"{minutes:.2f}", f"{mean:.4f}", f"{held:.4f}"])
            print(f"step {step}  {minutes:.1f} min  {100 * done:.0f}%  train {mean:.4f}  held-out {held:.4f}", flush=True)
            save_file({k: v.contiguous() for k, v in model.state_dict().items()},
                      args.work / "model.safetensors")
        if done >= 1:
            break
        train.late = done >= 0.5
        # Short rows are cheaper; the last part of the run reaches every position.
        length = 512 if done < 0.6 else 1024
        x, y = train.batch(length, TOKENS_PER_STEP // length)
        rate = args.lr * min(1, (step - args.resume + 1) / 150) * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)
        for group in opt.param_groups:
            group["lr"] = rate
        loss = fast_loss(x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        opt.zero_grad()
        if done < 0.5:
            model.hold()
        recent.append(loss.item())
        step += 1

    import export
    export.export(args.work, args.out)


if __name__ == "__main__":
    main()
