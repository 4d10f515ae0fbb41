"""Dense retrieval on SciFact by sentence-transformers: nDCG@10 and recall@100 of the test claims; run by hand.

    python tests/references/scifact_dense.py MODEL SCIFACT [merged.jsonl]

MODEL is a folder such as all-MiniLM-L6-v2, SCIFACT one in BEIR's layout. A third argument writes the corpus as it is read
here, titles before their texts, so that ragtune can index the same: `ragtune index build --corpus merged.jsonl --encoder
MODEL --head dense --parametric`, then `ragtune eval --mode full --head dense`. Needs sentence-transformers.
"""

import json
import sys

import torch
from sentence_transformers import SentenceTransformer

from scifact import figures, load


def main(model, folder, merged=None):
    torch.set_num_threads(1)
    corpus, texts, queries, relevant = load(folder)
    if merged:
        with open(merged, "w") as file:
            for passage, text in zip(corpus, texts, strict=True):
                file.write(json.dumps({"_id": passage["_id"], "title": "", "text": text}) + "\n")
    encoder = SentenceTransformer(model, device="cpu")
    passages = encoder.encode(texts, normalize_embeddings=True, convert_to_tensor=True, show_progress_bar=True)
    claims = encoder.encode([query["text"] for query in queries], normalize_embeddings=True, convert_to_tensor=True)
    best = (claims @ passages.T).topk(100).indices.tolist()
    print(figures(corpus, queries, relevant, best))


if __name__ == "__main__":
    main(*sys.argv[1:])
