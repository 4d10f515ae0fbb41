"""Loads a BERT-family sentence encoder folder: body in f32, tokenizer, lexical ids."""

import re

import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer


def load_model(folder):
    """The body in f32, without pooler."""
    config = transformers.BertConfig.from_pretrained(folder)
    model = transformers.BertModel(config, add_pooling_layer=False).float().eval()
    weights = {k: v.float() for k, v in load_file(f"{folder}/model.safetensors").items() if v.is_floating_point()}
    weights = {k: v for k, v in weights.items() if not k.startswith("pooler.")}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected and not [m for m in missing if "position_ids" not in m], (missing, unexpected)
    return config, model


def load_tokenizer(folder, max_tokens):
    """tokenizer.json without its padding; a title is never cut, only the text is."""
    single = Tokenizer.from_file(f"{folder}/tokenizer.json")
    single.no_padding()
    single.enable_truncation(max_tokens)
    pair = Tokenizer.from_file(f"{folder}/tokenizer.json")
    pair.no_padding()
    pair.enable_truncation(max_tokens, strategy="only_second")
    return lambda title, text: (pair.encode(title, text) if title else single.encode(text)).ids


def lexical_ids(folder):
    """Ids that are neither special, added nor `[unusedN]`, ascending (method section 1)."""
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    added = set(tokenizer.get_added_tokens_decoder())
    unused = re.compile(r"\[unused\d+\]")
    return sorted(i for t, i in tokenizer.get_vocab().items() if i not in added and not unused.fullmatch(t))
