"""BM25 on SciFact with bm25s: nDCG@10 and recall@100 of the test claims; run by hand.

    python tests/references/scifact_bm25.py SCIFACT

SCIFACT is a folder in BEIR's layout; each title stands before its text, k1 0.9 and b 0.4 as Anserini has them, English stop
words left out, Snowball stems. Needs bm25s and PyStemmer.
"""

import csv
import gzip
import json
import math
import sys

import bm25s
import Stemmer


def lines(path):
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def main(folder):
    corpus = lines(f"{folder}/corpus.jsonl.gz")
    relevant = {}
    with open(f"{folder}/qrels/test.tsv") as file:
        for query, passage, grade in list(csv.reader(file, delimiter="\t"))[1:]:
            if int(grade) > 0:
                relevant.setdefault(query, set()).add(passage)
    queries = [query for query in lines(f"{folder}/queries.jsonl.gz") if query["_id"] in relevant]
    stemmer = Stemmer.Stemmer("english")
    index = bm25s.BM25(method="lucene", k1=0.9, b=0.4)
    texts = [f"{passage.get('title', '')} {passage['text']}".strip() for passage in corpus]
    index.index(bm25s.tokenize(texts, stopwords="en", stemmer=stemmer), show_progress=False)
    asked = bm25s.tokenize([query["text"] for query in queries], stopwords="en", stemmer=stemmer)
    best, _ = index.retrieve(asked, k=100, show_progress=False)
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
