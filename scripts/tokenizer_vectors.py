"""Makes crates/text/tests/vectors/tokenizers/*.json: tiny vocabularies as GGUF files hold them, texts, and the ids that
Hugging Face's tokenizers give for them.

    python scripts/tokenizer_vectors.py

Needs transformers 5, tokenizers and sentencepiece. Everything is trained here on the text below, so the files can be
made again from nothing; training is deterministic.
"""

import io
import json
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE
from transformers.integrations.gguf.gguf_tokenizer_mapping import (
    GGUF_PRE_TOKENIZER_SPLITS,
    add_gguf_special_tokens,
    sentencepiece_tokenizer,
)

OUT = Path(__file__).resolve().parent.parent / "crates/text/tests/vectors/tokenizers"

CORPUS = [
    "The miller's daughter counted 12 sacks of flour, then 340 more, and wrote 352 in the book.",
    "She said: \"We'll need a bigger cart!\" They'd heard it before; he's heard it twice.",
    "A hedgehog walks over the hill at 7:45 in the morning and doesn't stop until noon.",
    "for i in range(10):\n    total += values[i] * 2\n\nprint(total)\r\n",
    "Größe, Straße, Übermut und Äpfel: das Mädchen zählt die Bäume.",
    "Le garçon a mangé des crêpes près de la forêt où naît la rivière.",
    "Быстрая лиса прыгает через ленивую собаку.",
    "日本語の文章には空白がありません。東京は大きい都市です。",
    "\tTabs\tand   several   spaces ,  then a dot .",
    "CamelCaseWords and ALLCAPS and snake_case_words are cut in their own way.",
    "https://example.org/path?query=1&other=two#part",
]

TEXTS = CORPUS + [
    "",
    " ",
    "   ",
    "a",
    " a",
    "  a  b ",
    "\n\n\n",
    " \n \n x",
    "trailing space ",
    "1234567890 12345 1 22 333",
    "I'LL we'Ve can'T don't",
    "e\u0301 caf\u00e9 cafe\u0301",
    "\u00a0nbsp\u2003em",
    "emoji 🙂🧑‍🌾 and \U0001f1e8\U0001f1ed",
    "rare: ᚠᛇᚻ 𝔘𝔫𝔦 ﷽",
    "<s>[INST] hello [/INST]</s>",
    "<|im_start|>user\nhi<|im_end|>",
    "<think>maybe</think> <think",
    "▁already ▁marked",
    "<0x41> <0x0A>",
    "\u0000\u0001\u007f",
]

TEMPLATES = [
    "<|im_start|>user\nhello there<|im_end|>\n<|im_start|>assistant\n",
    "<s>The cart</s><s> The cart </s>",
    "<|im_start|><|im_end|>",
    "text before <|im_end|> text after",
    "<think>quiet</think><|im_end|>",
]

SPECIAL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
GPT2_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def byte_level(pre: str) -> dict:
    split = GGUF_PRE_TOKENIZER_SPLITS.get(pre, GPT2_SPLIT)
    steps = [pre_tokenizers.Digits(individual_digits=True)] if pre == "smollm" else []
    steps += [
        pre_tokenizers.Split(Regex(split), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    tokenizer = Tokenizer(BPE(ignore_merges=pre in ("llama-bpe", "tekken")))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    if pre == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(
        vocab_size=520,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    tokens = [token for token, _ in tokens]
    vocabulary = {
        "model": "gpt2",
        "pre": pre,
        "tokens": tokens,
        "types": [3 if t in SPECIAL else 4 if "think" in t and t.startswith("<") else 1 for t in tokens],
        "merges": [" ".join(merge) for merge in model["merges"]],
        "bos": 1,
        "eos": 2,
        "add_bos": True,
    }
    return vectors(vocabulary, tokenizer)


def sentencepieces() -> dict:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=model,
        model_type="bpe",
        vocab_size=600,
        byte_fallback=True,
        control_symbols=["<|im_start|>", "<|im_end|>"],
        user_defined_symbols=["<think>", "</think>"],
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        character_coverage=0.98,
        minloglevel=2,
    )
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
    vocabulary = {
        "model": "llama",
        "tokens": [piece.piece for piece in proto.pieces],
        "scores": [piece.score for piece in proto.pieces],
        "types": [piece.type for piece in proto.pieces],
        "unk": 0,
        "bos": 1,
        "eos": 2,
    }
    gguf = {
        "tokenizer_type": "llama",
        "tokens": vocabulary["tokens"],
        "scores": vocabulary["scores"],
        "token_type": vocabulary["types"],
    }
    tokenizer = add_gguf_special_tokens(sentencepiece_tokenizer(gguf), gguf).backend_tokenizer
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])

    # The library the vocabulary comes from must agree, where both mean the same: it puts a space before every text, and
    # Hugging Face only before text that has none.
    original = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    tokenizer.encode_special_tokens = True
    for text in TEXTS:
        if text and not text.startswith((" ", "▁", "<think>")):
            assert original.encode(text) == tokenizer.encode(text, add_special_tokens=False).ids, text
    return vectors(vocabulary, tokenizer)


def vectors(vocabulary: dict, tokenizer: Tokenizer) -> dict:
    tokenizer.encode_special_tokens = False
    templates = [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids} for text in TEMPLATES]
    serialized = tokenizer.to_str()
    tokenizer.encode_special_tokens = True
    texts = []
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=True).ids
        texts.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)})
    return {
        "vocabulary": vocabulary,
        "texts": texts,
        "templates": templates,
        "tokenizer_json": json.loads(serialized),
    }


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    made = {"sentencepiece": sentencepieces()}
    for pre in ["gpt-2", "llama-bpe", "qwen2", "gpt-4o", "tekken", "smollm"]:
        made[pre] = byte_level(pre)
        if pre != "llama-bpe":
            del made[pre]["tokenizer_json"]  # One byte-level file of that kind is enough.
    for name, content in made.items():
        path = OUT / f"{name}.json"
        path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n")
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
