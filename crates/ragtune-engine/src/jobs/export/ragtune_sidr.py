"""The head of a SiDR encoder for sentence-transformers, which knows only relu(x) and log(1 + relu(x)).

A text's weight for a word is elu(x) + 1 of the largest product x of any of its states, normed, with the word's embedding.
Kept are the `kept` largest weights and those of the text's own tokens; every other dimension is 0, and so are those of
tokens that are no words. Written by ragtune beside the model; open it with

    from sentence_transformers import SparseEncoder
    model = SparseEncoder(folder, trust_remote_code=True)
"""

import json
import os

import torch
from safetensors import safe_open

try:
    from sentence_transformers.models import Module
except ImportError:
    from sentence_transformers.base.modules.module import Module

GAIN, SHIFT = "head.LayerNorm.weight", "head.LayerNorm.bias"


class SidrPooling(Module):
    """States of tokens [batch, length, hidden] to lexical vectors [batch, dimension]."""

    config_keys = ["words", "dimension", "lexical", "kept", "eps"]

    def __init__(self, words, dimension, lexical, kept, eps):
        super().__init__()
        self.words, self.dimension, self.lexical, self.kept, self.eps = words, dimension, lexical, kept, eps
        ids = [id for first, count in lexical for id in range(first, first + count)]
        self.register_buffer("ids", torch.tensor(ids), persistent=False)

    def give(self, gain, shift, words):
        self.width = gain.shape
        self.register_buffer("gain", gain.float(), persistent=False)
        self.register_buffer("shift", shift.float(), persistent=False)
        self.register_buffer("rows", words.float()[self.ids], persistent=False)

    def forward(self, features):
        states = features["token_embeddings"].float()
        mask = features["attention_mask"].bool()
        normed = torch.nn.functional.layer_norm(states, self.width, self.gain, self.shift, self.eps)
        products = (normed @ self.rows.T).masked_fill(~mask.unsqueeze(-1), float("-inf"))
        weights = torch.nn.functional.elu(products.max(dim=1).values) + 1
        # Out of place and in numbers, which torch.onnx can follow.
        none = states.new_zeros((states.shape[0], self.dimension))
        vectors = none.index_copy(1, self.ids, weights)
        keep = none.scatter(1, vectors.topk(min(self.kept, len(self.ids)), dim=1).indices, 1.0)
        own = none.scatter(1, features["input_ids"] * mask, mask.float())
        features["sentence_embedding"] = vectors * torch.maximum(keep, own)
        return features

    def get_sentence_embedding_dimension(self):
        return self.dimension

    get_embedding_dimension = get_sentence_embedding_dimension

    def save(self, output_path, *args, **kwargs):
        with open(os.path.join(output_path, "config.json"), "w") as file:
            json.dump({key: getattr(self, key) for key in self.config_keys}, file, indent=2)

    @classmethod
    def load(cls, model_name_or_path, subfolder="", token=None, cache_folder=None, revision=None, local_files_only=False, **_):
        hub = dict(token=token, cache_folder=cache_folder, revision=revision, local_files_only=local_files_only)
        module = cls(**cls.load_config(model_name_or_path, subfolder=subfolder, **hub))
        path = cls.load_file_path(model_name_or_path, "model.safetensors", **hub)
        with safe_open(path, "pt") as file:
            module.give(file.get_tensor(GAIN), file.get_tensor(SHIFT), file.get_tensor(module.words))
        return module
