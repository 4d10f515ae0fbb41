"""BM25 on SciFact with bm25s: nDCG@10 and recall@100 of the test claims; run by hand.

    python tests/references/scifact_bm25.py SCIFACT

SCIFACT is a folder in BEIR's layout; each title stands before its text, k1 0.9 and b 0.4 as Anserini has them, English stop
words left out, Snowball stems. Needs bm25s and PyStemmer.
"""

import sys

import bm25s
import Stemmer

from scifact import figures, load


def main(folder):
    corpus, texts, queries, relevant = load(folder)
    stemmer = Stemmer.Stemmer("english")
    index = bm25s.BM25(method="lucene", k1=0.9, b=0.4)
    index.index(bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)
    asked = [query["text"] for query in queries]
    asked = bm25s.tokenize(asked, stopwords="en", stemmer=stemmer, show_progress=False)
    best, _ = index.retrieve(asked, k=100, show_progress=False)
    print(figures(corpus, queries, relevant, best))


if __name__ == "__main__":
    main(*sys.argv[1:])
