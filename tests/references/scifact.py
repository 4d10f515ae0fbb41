"""SciFact in BEIR's layout, and the two figures of a ranking; for the scripts beside it."""

import csv
import gzip
import json
import math


def lines(path):
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def load(folder):
    """The corpus, its texts (each title before its text), the test claims, and what is relevant for each."""
    corpus = lines(f"{folder}/corpus.jsonl.gz")
    relevant = {}
    with open(f"{folder}/qrels/test.tsv") as file:
        for query, passage, grade in list(csv.reader(file, delimiter="\t"))[1:]:
            if int(grade) > 0:
                relevant.setdefault(query, set()).add(passage)
    texts = [f"{passage.get('title', '')} {passage['text']}".strip() for passage in corpus]
    queries = [query for query in lines(f"{folder}/queries.jsonl.gz") if query["_id"] in relevant]
    return corpus, texts, queries, relevant


def figures(corpus, queries, relevant, best):
    """nDCG@10 and recall@100 as a line of JSON; `best` has the places of 100 passages for each claim."""
    gain = recall = 0.0
    for query, found in zip(queries, best, strict=True):
        wanted = relevant[query["_id"]]
        hits = [corpus[at]["_id"] in wanted for at in found]
        ideal = sum(1 / math.log2(rank + 2) for rank in range(min(10, len(wanted))))
        gain += sum(1 / math.log2(rank + 2) for rank, hit in enumerate(hits[:10]) if hit) / ideal
        recall += sum(hits) / len(wanted)
    return json.dumps({"queries": len(queries), "ndcg@10": gain / len(queries), "recall@100": recall / len(queries)})
