"""Makes an ONNX encoder of an exported one and holds it against ragtune's own vectors; run by hand.

    ragtune models export --encoder ENCODER --out FOLDER
    ragtune encode --encoder ENCODER --texts texts.txt --kind passage --form s+ >vectors.jsonl
    python tests/references/onnx_check.py FOLDER ONNX texts.txt vectors.jsonl

Needs optimum-onnx[onnxruntime] and sentence-transformers. Writes ONNX, a new folder, and reads it without torch. Prints
the largest difference of a weight, relative above 1, and fails above 1e-4.
"""

import json
import sys

import numpy as np


def export(folder, onnx):
    from optimum.exporters.onnx import onnx_export_from_model
    from sentence_transformers import SparseEncoder

    model = SparseEncoder(folder, trust_remote_code=True, device="cpu")
    onnx_export_from_model(model, onnx, task="feature-extraction")


def encode(onnx, texts, batch=8):
    import onnxruntime
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(onnx)
    session = onnxruntime.InferenceSession(f"{onnx}/model.onnx", providers=["CPUExecutionProvider"])
    for at in range(0, len(texts), batch):
        tokens = tokenizer(texts[at : at + batch], padding=True, truncation=True, return_tensors="np")
        inputs = {name: tokens[name] for name in ("input_ids", "attention_mask")}
        yield from session.run(["sentence_embedding"], inputs)[0]


def main(folder, onnx, texts, vectors):
    with open(texts) as file:
        texts = [line.rstrip("\n") for line in file]
    with open(vectors) as file:
        wanted = [json.loads(line) for line in file]
    export(folder, onnx)
    worst = 0.0
    for row, want in zip(encode(onnx, texts), wanted, strict=True):
        weights = np.zeros_like(row)
        weights[want["indices"]] = want["values"]
        worst = max(worst, float((np.abs(row - weights) / np.maximum(np.abs(weights), 1)).max()))
    print(f"{len(texts)} texts, largest difference {worst:.2g}")
    return 0 if worst <= 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
