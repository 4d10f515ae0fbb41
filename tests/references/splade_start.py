"""Gives a plain sentence encoder the parts of a SPLADE model, to tune from; run by hand.

    python tests/references/splade_start.py ENCODER OUT

The transform before the word embeddings starts as the identity, and the bias of every word so low that one in twenty is not
zero on the texts of a few words here. A start, not a retriever: `ragtune tune --head splade` makes one of it.
"""

import sys

import torch
from transformers import AutoModel, AutoTokenizer, BertForMaskedLM

TEXTS = ["The bridge over the river was built by a mason.", "Cells of the immune system remember what they met."]
USED = 0.05


def main(folder, out):
    body, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    model = BertForMaskedLM(body.config)
    model.bert.load_state_dict(body.state_dict(), strict=False)
    model.tie_weights()
    transform, words = model.cls.predictions.transform, model.bert.embeddings.word_embeddings.weight
    with torch.no_grad():
        transform.dense.weight.copy_(torch.eye(body.config.hidden_size))
        transform.dense.bias.zero_()
        read = tokenizer(TEXTS, padding=True, return_tensors="pt")
        states = transform(model.bert(**read).last_hidden_state)
        weights = states @ words.T + torch.log(read.attention_mask[:, :, None].float())
        model.cls.predictions.bias.fill_(-weights.amax(1).quantile(1 - USED, dim=1).mean())
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
