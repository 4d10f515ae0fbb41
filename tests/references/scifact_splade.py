"""nDCG@10 and recall@100 of a SPLADE encoder on SciFact in sentence-transformers, beside `ragtune eval --mode full`.

    ragtune models export --encoder ENCODER --out FOLDER
    python tests/references/scifact_splade.py FOLDER SCIFACT

Titles before their texts; `scifact_dense.py` writes the corpus in that form for ragtune. The first line is of the whole vectors,
the second of the 768 largest weights of each, which is what ragtune searches with. Needs sentence-transformers.
"""

import sys

import torch
from sentence_transformers import SparseEncoder

from scifact import figures, load

KEPT = 768
BATCH = 8


def largest(vectors):
    """The same with all but the largest weights of each row 0."""
    top = vectors.topk(KEPT)
    return torch.zeros_like(vectors).scatter(1, top.indices, top.values)


def main(folder, scifact):
    torch.set_num_threads(2)
    corpus, texts, queries, relevant = load(scifact)
    encoder = SparseEncoder(folder, device="cpu")
    claims = encoder.encode([query["text"] for query in queries], convert_to_sparse_tensor=False)
    sparse_claims = largest(claims)
    whole, sparse = [], []
    for first in range(0, len(texts), 64):
        vectors = encoder.encode(texts[first : first + 64], batch_size=BATCH, convert_to_sparse_tensor=False)
        whole.append(claims @ vectors.T)
        sparse.append(sparse_claims @ largest(vectors).T)
    for scores in (whole, sparse):
        print(figures(corpus, queries, relevant, torch.cat(scores, 1).topk(100).indices.tolist()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
