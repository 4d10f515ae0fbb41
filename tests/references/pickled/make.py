"""Checkpoints of `encoders` and `decoders` as PyTorch pickles them, with what real ones have beside plain tensors.

    python tests/references/pickled/make.py

`bert` is one file: a buffer of whole numbers, a transposed view, numbers of 16 bits. `qwen3` lies in two parts with an
index; its tied head is a second name of the word embeddings' storage. Needs torch and safetensors.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent
torch.manual_seed(0)


def write(name, source):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes((source / "config.json").read_bytes())
    return folder, load_file(source / "model.safetensors")


folder, tensors = write("bert", HERE.parent / "encoders" / "bert")
tensors["embeddings.position_ids" if "embeddings.word_embeddings.weight" in tensors else "bert.embeddings.position_ids"] = torch.arange(40)[None]
for name, tensor in tensors.items():
    if name.endswith("intermediate.dense.weight"):
        # The same numbers, held column by column.
        tensors[name] = tensor.t().contiguous().t()
    if name.endswith("attention.output.dense.weight"):
        tensors[name] = tensor.half()
torch.save(tensors, folder / "pytorch_model.bin")

folder, tensors = write("qwen3", HERE.parent / "decoders" / "qwen3")
if "lm_head.weight" not in tensors:
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
names = sorted(tensors)
parts = [names[: len(names) // 2], names[len(names) // 2 :]]
files = [f"pytorch_model-{i + 1:05}-of-00002.bin" for i in range(2)]
for file, part in zip(files, parts):
    torch.save({name: tensors[name] for name in part}, folder / file)
index = {"metadata": {}, "weight_map": {name: file for file, part in zip(files, parts) for name in part}}
(folder / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=1) + "\n")
