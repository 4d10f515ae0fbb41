"""Greedy text of the stories260K model, from its llama2.c files, in numpy alone.

    python tests/references/stories260K/make.py ../shared/models/stories260K

File format (llama2.c, version 0): seven little-endian int32 (dim, hidden, layers, heads, kv heads, vocabulary,
sequence), then float32 weights. The vocabulary's sign says whether the head is shared with the embedding (positive:
shared).
"""

import json
import re
import struct
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
BOS, STEPS = 1, 256
# The beginning of the text that doc/stories260K.md of github.com/karpathy/llama2.c prints.
KNOWN = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a "
    "big, red ball. She wanted to play with it, but it was too high.\nLily's mom said, \"Lily, let's go to the park.\" "
    "Lily was sad and didn't know what to do. She said, \"I want to play with your ball, but I can't find it.\"\n"
)


class Weights:
    def __init__(self, path):
        data = Path(path).read_bytes()
        self.dim, hidden, layers, self.heads, self.kv, vocab, seq = struct.unpack("<7i", data[:28])
        flat, at = np.frombuffer(data, "<f4", offset=28), 0
        head = self.dim // self.heads
        self.head, self.layers = head, layers

        def take(*shape):
            nonlocal at
            size = int(np.prod(shape))
            at += size
            return flat[at - size : at].reshape(shape)

        self.embedding = take(abs(vocab), self.dim)
        self.attention_norm = take(layers, self.dim)
        self.wq = take(layers, self.dim, self.dim)
        self.wk = take(layers, self.kv * head, self.dim)
        self.wv = take(layers, self.kv * head, self.dim)
        self.wo = take(layers, self.dim, self.dim)
        self.mlp_norm = take(layers, self.dim)
        self.w1 = take(layers, hidden, self.dim)
        self.w2 = take(layers, self.dim, hidden)
        self.w3 = take(layers, hidden, self.dim)
        self.norm = take(self.dim)
        take(seq, head // 2), take(seq, head // 2)  # rotary tables, recomputed below
        self.out = self.embedding if vocab > 0 else take(-vocab, self.dim)
        assert at == flat.size, (at, flat.size)


def rms(x, weight):
    return x / np.sqrt((x * x).mean() + np.float32(1e-5)) * weight


def rotate(x, position):
    """Rotary positions over neighbouring pairs (2i, 2i + 1); x is [heads, head size]."""
    half = x.shape[1] // 2
    angle = position * 10000.0 ** (-np.arange(half) / half)
    cos, sin = np.cos(angle).astype("f4"), np.sin(angle).astype("f4")
    a, b = x[:, 0::2], x[:, 1::2]
    return np.stack([a * cos - b * sin, a * sin + b * cos], axis=2).reshape(x.shape)


def step(w, cache, token, position):
    x = w.embedding[token]
    for layer in range(w.layers):
        h = rms(x, w.attention_norm[layer])
        q = rotate((w.wq[layer] @ h).reshape(w.heads, w.head), position)
        k = rotate((w.wk[layer] @ h).reshape(w.kv, w.head), position)
        v = (w.wv[layer] @ h).reshape(w.kv, w.head)
        cache[layer].append((k, v))
        keys, values = (np.stack([pair[i] for pair in cache[layer]]) for i in (0, 1))
        group = w.heads // w.kv
        mixed = []
        for head in range(w.heads):
            scores = keys[:, head // group] @ q[head] / np.sqrt(np.float32(w.head))
            p = np.exp(scores - scores.max())
            mixed.append((p / p.sum()) @ values[:, head // group])
        x = x + w.wo[layer] @ np.concatenate(mixed)
        h = rms(x, w.mlp_norm[layer])
        gate = w.w1[layer] @ h
        x = x + w.w2[layer] @ (gate / (1 + np.exp(-gate)) * (w.w3[layer] @ h))
    return w.out @ rms(x, w.norm)


def read_tokens(path, count):
    data, at, tokens = Path(path).read_bytes(), 4, []
    for _ in range(count):
        (size,) = struct.unpack_from("<i", data, at + 4)
        tokens.append(data[at + 8 : at + 8 + size])
        at += 8 + size
    assert at == len(data)
    return tokens


def piece(tokens, previous, token):
    """As llama2.c prints: no leading space after BOS; `<0xNN>` is a byte."""
    text = tokens[token]
    if previous == BOS and text.startswith(b" "):
        text = text[1:]
    byte = re.fullmatch(rb"<0x([0-9A-F]{2})>", text)
    return bytes([int(byte[1], 16)]) if byte else text


def main(folder):
    w = Weights(f"{folder}/stories260K.bin")
    tokens = read_tokens(f"{folder}/tok512.bin", w.embedding.shape[0])
    cache = [[] for _ in range(w.layers)]
    token, ids, text, gap, first = BOS, [], b"", np.inf, None
    stopped = False
    for position in range(STEPS):
        logits = step(w, cache, token, position)
        first = logits if first is None else first
        second, best = np.sort(logits)[-2:]
        gap = min(gap, float(best - second))
        following = int(logits.argmax())
        if following == BOS:  # llama2.c ends a story here
            stopped = True
            break
        text += piece(tokens, token, following)
        ids.append(following)
        token = following
    text = text.decode("utf-8")
    assert text.startswith(KNOWN), text
    reference = {
        "made_with": {"numpy": np.__version__, "dtype": "f32"},
        "bos": BOS,
        "stopped_at_bos": stopped,
        "smallest_gap": float(f"{gap:.3g}"),
        "first_logits": [float(f"{x:.7g}") for x in first],
        "ids": ids,
        "text": text,
    }
    lines = [f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in reference.items()]
    (HERE / "reference.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
