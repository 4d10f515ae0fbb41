"""Writes reference.json: retrieval figures computed by trec_eval's own code, for the tests of ragtune-eval.

    pip install pytrec_eval-terrier==0.5.11
    python make.py

`recip_rank` has no cut in trec_eval, so MRR@10 comes from runs that were cut to their first ten documents, in
trec_eval's order: score as a 32-bit float, descending, then document id, descending.
"""

import csv
import json
import pathlib
import random
import struct

import pytrec_eval

HERE = pathlib.Path(__file__).resolve().parent
SCIFACT = HERE.parents[3] / "shared" / "data" / "scifact" / "qrels" / "test.tsv"
MEASURES = {"ndcg_cut.10", "recall.1,5,20,100"}
KEYS = {"ndcg_cut_10": "ndcg@10", "recall_1": "recall@1", "recall_5": "recall@5", "recall_20": "recall@20",
        "recall_100": "recall@100", "recip_rank": "mrr@10"}


def single(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def first_ten(docs):
    order = sorted(docs, key=lambda doc: (single(docs[doc]), doc.encode()), reverse=True)
    return {doc: docs[doc] for doc in order[:10]}


def figures(qrels, run):
    scores = pytrec_eval.RelevanceEvaluator(qrels, MEASURES).evaluate(run)
    cut = {query: first_ten(docs) for query, docs in run.items()}
    for query, found in pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(cut).items():
        scores[query].update(found)
    return {query: {KEYS[key]: value for key, value in found.items()} for query, found in sorted(scores.items())}


def mean(per_query):
    return {key: sum(found[key] for found in per_query.values()) / len(per_query) for key in KEYS.values()}


def synthetic():
    """Random runs with ties, near ties, graded and negative judgements, unjudged documents and missing queries."""
    rng = random.Random(20250311)
    qrels, run = {}, {}
    for n in range(40):
        query = f"q{n}"
        docs = [f"d{doc}" for doc in range(160 if n % 10 == 0 else 24)] + ["é", "z", "A"]
        grades = [-1, 0, 1, 2, 3] if n % 2 else [0, 1]
        judged = rng.sample(docs, rng.randint(1, len(docs) // 2))
        qrels[query] = {doc: 0 if n % 9 == 8 else rng.choice(grades) for doc in judged}
        retrieved = rng.sample(docs, rng.randint(1, len(docs)))
        levels = rng.choice([2, 5, 1000])
        run[query] = {doc: rng.randrange(levels) / 7 for doc in retrieved}
    run["q3"] = {"d1": 1.0 + 1e-12, "d2": 1.0, "d3": 1.0 - 1e-12, "d4": 1.00001}  # equal as 32-bit floats but for d4
    qrels["q3"] = {"d1": 1, "d2": 0, "d3": 2}
    run["q4"] = {}  # nothing was found
    del run["q5"]  # judged, never run
    del qrels["q6"]  # run, never judged
    qrels["q7"] = {}
    return qrels, run


def scifact():
    """The test judgements with scores made from the positions of query and document; many of them tie."""
    if not SCIFACT.exists():
        return None
    qrels = {}
    with SCIFACT.open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    docs = sorted({doc for judged in qrels.values() for doc in judged})
    run = {}
    for i, query in enumerate(sorted(qrels)):
        run[query] = {doc: float((i * 7919 + j * 104729) % 211 + (30 * (i % 7) if doc in qrels[query] else 0))
                      for j, doc in enumerate(docs)}
    return {"queries": len(qrels), "documents": len(docs), "mean": mean(figures(qrels, run))}


def main():
    qrels, run = synthetic()
    per_query = figures(qrels, run)
    reference = {"qrels": qrels, "run": run, "per_query": per_query, "mean": mean(per_query), "scifact": scifact()}
    parts = []
    for key, value in reference.items():
        if key in ("qrels", "run", "per_query"):
            lines = ",\n".join(f"{json.dumps(q)}: {json.dumps(found)}" for q, found in value.items())
            parts.append(f"{json.dumps(key)}: {{\n{lines}\n}}")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    (HERE / "reference.json").write_text("{\n" + ",\n".join(parts) + "\n}\n")


main()
