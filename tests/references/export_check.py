"""Holds an exported encoder, opened by sentence-transformers, against ragtune's own vectors; run by hand.

    ragtune models export --encoder ENCODER --out FOLDER
    ragtune encode --encoder ENCODER --texts texts.txt --kind passage --form s+ >vectors.jsonl
    python tests/references/export_check.py FOLDER texts.txt vectors.jsonl

Needs sentence-transformers. Prints the largest difference of a weight, relative above 1, and fails above 1e-4.
"""

import json
import sys

import torch
from sentence_transformers import SparseEncoder


def main(folder, texts, vectors):
    torch.set_num_threads(2)
    with open(texts) as file:
        texts = [line.rstrip("\n") for line in file]
    with open(vectors) as file:
        wanted = [json.loads(line) for line in file]
    model = SparseEncoder(folder, trust_remote_code=True, device="cpu")
    found = model.encode(texts, convert_to_sparse_tensor=False)
    worst = 0.0
    for row, want in zip(found, wanted, strict=True):
        weights = torch.zeros_like(row)
        weights[want["indices"]] = torch.tensor(want["values"])
        worst = max(worst, ((row - weights).abs() / weights.abs().clamp(min=1)).max().item())
    print(f"{len(texts)} texts, largest difference {worst:.2g}")
    return 0 if worst <= 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
