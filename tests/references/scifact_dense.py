"""Dense retrieval on SciFact by sentence-transformers: nDCG@10 and recall@100 of the test claims; run by hand.

    python tests/references/scifact_dense.py MODEL SCIFACT [merged.jsonl]

MODEL is a folder such as all-MiniLM-L6-v2, SCIFACT one in BEIR's layout. A third argument writes the corpus as it is read
here, titles before their texts, so that ragtune can index the same: `ragtune index build --corpus merged.jsonl --encoder
MODEL --head dense --parametric`, then `ragtune eval --mode full --head dense`. Needs sentence-transformers.
"""

import csv
import gzip
import json
import math
import sys

import torch
from sentence_transformers import SentenceTransformer


def lines(path):
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def main(model, folder, merged=None):
    torch.set_num_threads(1)
    corpus = lines(f"{folder}/corpus.jsonl.gz")
    texts = [f"{passage.get('title', '')} {passage['text']}".strip() for passage in corpus]
    if merged:
        with open(merged, "w") as file:
            for passage, text in zip(corpus, texts, strict=True):
                file.write(json.dumps({"_id": passage["_id"], "title": "", "text": text}) + "\n")
    with open(f"{folder}/qrels/test.tsv") as file:
        rows = list(csv.reader(file, delimiter="\t"))[1:]
    relevant = {}
    for query, passage, grade in rows:
        if int(grade) > 0:
            relevant.setdefault(query, set()).add(passage)
    queries = [query for query in lines(f"{folder}/queries.jsonl.gz") if query["_id"] in relevant]
    encoder = SentenceTransformer(model, device="cpu")
    passages = encoder.encode(texts, normalize_embeddings=True, convert_to_tensor=True, show_progress_bar=True)
    claims = encoder.encode([query["text"] for query in queries], normalize_embeddings=True, convert_to_tensor=True)
    best = (claims @ passages.T).topk(100).indices.tolist()
    gain = recall = 0.0
    for query, found in zip(queries, best, strict=True):
        wanted = relevant[query["_id"]]
        hits = [corpus[at]["_id"] in wanted for at in found]
        ideal = sum(1 / math.log2(rank + 2) for rank in range(min(10, len(wanted))))
        gain += sum(1 / math.log2(rank + 2) for rank, hit in enumerate(hits[:10]) if hit) / ideal
        recall += sum(hits) / len(wanted)
    print(json.dumps({"queries": len(queries), "ndcg@10": gain / len(queries), "recall@100": recall / len(queries)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
