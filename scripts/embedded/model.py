"""A Qwen3-shaped decoder, just large enough to tell a story.

Parameter names are those of transformers' `Qwen3ForCausalLM`, so the state
dict loads there unchanged.
"""
import torch
import torch.nn.functional as F
from torch import nn

CONFIG = dict(vocab_size=2048, hidden_size=256, num_hidden_layers=4, num_attention_heads=4,
              num_key_value_heads=2, head_dim=64, intermediate_size=768, rope_theta=10000.0,
              rms_norm_eps=1e-6, max_position_embeddings=1024, tie_word_embeddings=True,
              attention_bias=False)
C = CONFIG
HEADS, KV, DIM = C["num_attention_heads"], C["num_key_value_heads"], C["head_dim"]

NOTES = 32  # dimensions of the residual stream that start_copying() keeps for itself


class Norm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        x32 = x.float()
        x32 = x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + C["rms_norm_eps"])
        return (x32 * self.weight).to(x.dtype)


def linear(n_in, n_out):
    return nn.Linear(n_in, n_out, bias=False)


def rope_table(length):
    """Cosines and sines for the half-rotated layout: each angle stands twice."""
    freq = C["rope_theta"] ** (-torch.arange(0, DIM, 2).float() / DIM)
    angle = torch.outer(torch.arange(length).float(), freq)
    return angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return (x * cos + torch.cat((-b, a), -1) * sin).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.q_proj, self.o_proj = linear(size, HEADS * DIM), linear(HEADS * DIM, size)
        self.k_proj, self.v_proj = linear(size, KV * DIM), linear(size, KV * DIM)
        self.q_norm, self.k_norm = Norm(DIM), Norm(DIM)

    def forward(self, x, cos, sin):
        batch, length, _ = x.shape
        split = lambda y: y.view(batch, length, -1, DIM).transpose(1, 2)
        q = rotate(self.q_norm(split(self.q_proj(x))), cos, sin)
        k = rotate(self.k_norm(split(self.k_proj(x))), cos, sin)
        v = split(self.v_proj(x))
        k, v = (y.repeat_interleave(HEADS // KV, 1) for y in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(batch, length, -1))


class MLP(nn.Module):
    def __init__(self, size, inner):
        super().__init__()
        self.gate_proj, self.up_proj = linear(size, inner), linear(size, inner)
        self.down_proj = linear(inner, size)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.self_attn, self.mlp = Attention(size), MLP(size, C["intermediate_size"])
        self.input_layernorm, self.post_attention_layernorm = Norm(size), Norm(size)

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        size = C["hidden_size"]
        self.model = nn.ModuleDict(dict(
            embed_tokens=nn.Embedding(C["vocab_size"], size),
            layers=nn.ModuleList(Layer(size) for _ in range(C["num_hidden_layers"])),
            norm=Norm(size)))
        cos, sin = rope_table(C["max_position_embeddings"])
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                # What writes into the residual stream starts smaller, as it is summed up.
                last = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(p, std=0.02 / (2 * C["num_hidden_layers"]) ** 0.5 if last else 0.02)
        self.start_copying()

    def forward(self, ids):
        x = self.model["embed_tokens"](ids)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for layer in self.model["layers"]:
            x = layer(x, cos, sin)
        return F.linear(self.model["norm"](x), self.model["embed_tokens"].weight)

    @torch.no_grad()
    def start_copying(self):
        """Starts two heads as a pair that looks up what followed the last time.

        A name in a story or an argument of a tool call is found by looking back: "this
        word stood there before, and after it came that one". From plain random
        weights such a pair had not come about after 3400 steps. So head 0
        of the first layer starts by attending to the token just before and noting it
        in dimensions that are kept free for this; head 0 of the second layer starts by
        attending to where the note is the present token, and by copying what stands
        there. The pair is held in place until the rest of the model has settled around
        it (see `hold`), and trained like the rest from then on.
        """
        first, second = (layer.self_attn for layer in self.model["layers"][:2])
        head = slice(DIM)
        embed, size, half = self.model["embed_tokens"].weight, C["hidden_size"], DIM // 2
        embed[:, 0] = 4 * embed.std()  # the same for every token: a constant to build on
        for layer in (first, second):
            layer.q_norm.weight.fill_(2)
            layer.k_norm.weight.fill_(2)
            for proj in (layer.q_proj, layer.k_proj):
                proj.weight[:DIM] *= 0.1
        # Quickly turning pairs of the rotation tell neighbours apart: look one back.
        cos, sin = rope_table(2)
        fast = torch.zeros(DIM)
        fast[:5] = fast[half:half + 5] = 1
        first.k_proj.weight[:DIM, 0] = fast
        first.q_proj.weight[:DIM, 0] = rotate(fast, cos[1], -sin[1])
        # Slowly turning pairs compare tokens at any distance.
        slow = torch.cat((torch.arange(half - NOTES // 2, half), torch.arange(DIM - NOTES // 2, DIM)))
        note, word = torch.randn(NOTES, size) / 4, torch.randn(DIM, size) / 4
        for reader in (note, word):
            reader[:, 0] = reader[:, -NOTES:] = 0
        first.v_proj.weight[:NOTES] = note
        # Head 1 has the same values (two heads share them) and starts silent.
        first.o_proj.weight[:, :2 * DIM] = second.o_proj.weight[:, :2 * DIM] = 0
        first.o_proj.weight[-NOTES:, :NOTES] = 0.02 * torch.eye(NOTES)
        second.q_proj.weight[slow] = note
        second.k_proj.weight[slow, -NOTES:] = torch.eye(NOTES)
        second.v_proj.weight[:DIM] = word
        second.o_proj.weight[:, :DIM] = word.T * 0.03
        self.fixed = [(w, at, w[at].clone()) for w, at in (
            (first.q_proj.weight, head), (first.k_proj.weight, head), (first.v_proj.weight, slice(NOTES)),
            (first.o_proj.weight, (slice(None), head)), (second.q_proj.weight, head), (second.k_proj.weight, head),
            (first.q_norm.weight, head), (first.k_norm.weight, head),
            (second.q_norm.weight, head), (second.k_norm.weight, head))]
        self.hold()

    @torch.no_grad()
    def hold(self):
        """Keeps the pair as it started, and its notes clean, against the first rough steps."""
        for weight, at, value in self.fixed:
            weight[at] = value
        first = self.model["layers"][0]
        self.model["embed_tokens"].weight[:, -NOTES:] = 0
        first.self_attn.o_proj.weight[-NOTES:, DIM:] = 0
        first.mlp.down_proj.weight[-NOTES:] = 0
