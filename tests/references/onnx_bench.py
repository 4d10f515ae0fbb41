"""Throughput of ONNX models in ONNX Runtime on the processor, beside ragtune's own, on one thread and on two.

Run by hand, on a quiet machine:

    python tests/references/onnx_check.py FOLDER ONNX texts.txt vectors.jsonl
    optimum-cli export onnx --model FOLDER --task feature-extraction --library-name transformers BODY
    python tests/references/onnx_bench.py ENCODER ONNX BODY

ONNX is a whole encoder, as ragtune's ENCODER is, and BODY has no head; any number of such folders can be named. Needs
what onnx_check.py needs, and `ragtune` on the PATH or at RAGTUNE_BIN. The texts have 128 tokens each. ragtune's figure is
the difference of two lengths, which leaves out reading its model. Prints a line of JSON for each figure, the median of
three rounds, in which all take turns.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

ROUNDS, BATCHES, TOKENS = 3, (8, 32), 128
FEW, MANY = 32, 96


def texts(tokenizer):
    """Texts of words that are one token each, between the two that a text begins and ends with."""
    words = sorted(word for word in tokenizer.get_vocab() if word.isascii() and word.isalpha() and word.islower())
    draw = random.Random(0)
    return [" ".join(draw.choices(words, k=TOKENS - 2)) for _ in range(MANY)]


def in_ragtune(encoder, file, threads):
    command = [os.environ.get("RAGTUNE_BIN", "ragtune"), "encode", "--encoder", encoder, "--texts", file]
    command += ["--form", "s", "--top-k", "8", "--device", "cpu", "--quiet"]
    environment = os.environ | {"RAYON_NUM_THREADS": str(threads)}
    started = time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def in_onnxruntime(folder, threads, ids):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"])
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    inputs = {one.name: given[one.name] for one in session.get_inputs()}
    session.run(None, inputs)
    started = time.perf_counter()
    session.run(None, inputs)
    return time.perf_counter() - started


def main(encoder, *folders):
    tokenizer = Tokenizer.from_file(f"{folders[0]}/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    lines = texts(tokenizer)
    ids = np.array([tokenizer.encode(line).ids for line in lines], dtype=np.int64)
    assert ids.shape == (MANY, TOKENS), ids.shape
    rates = {}
    with tempfile.TemporaryDirectory() as work:
        few, many = Path(work, "few.txt"), Path(work, "many.txt")
        few.write_text("\n".join(lines[:FEW]) + "\n")
        many.write_text("\n".join(lines) + "\n")
        for _ in range(ROUNDS):
            for threads in (1, 2):
                seconds = in_ragtune(encoder, many, threads) - in_ragtune(encoder, few, threads)
                rates.setdefault(("ragtune", threads), []).append((MANY - FEW) * TOKENS / seconds)
                for folder, batch in product(folders, BATCHES):
                    seconds = in_onnxruntime(folder, threads, ids[:batch])
                    what = f"ONNX Runtime, {Path(folder).name}, batch {batch}"
                    rates.setdefault((what, threads), []).append(batch * TOKENS / seconds)
    for (what, threads), values in rates.items():
        print(json.dumps({"figure": what, "threads": threads, "tokens_per_second": round(statistics.median(values))}))


if __name__ == "__main__":
    main(*sys.argv[1:])
