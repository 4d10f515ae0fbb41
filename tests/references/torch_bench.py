"""Throughput of MiniLM in PyTorch on two CPU threads, to hold ragtune's own figures against.

Run by hand, on a quiet machine:

    python tests/references/torch_bench.py ../shared/models/all-MiniLM-L6-v2 [repeats]

Batch 8 x 128 random tokens, f32. `forward`: body only. `forward_sidr`: body and SiDR head. `train`: body, SiDR head, the
in-batch loss of four questions with one passage each, backward and AdamW. `head_naive`: the head alone over 32 x 128
tokens, forward and backward. Prints JSON, which `ragtune bench --peers FILE` puts beside its own; medians of the repeats.
"""

import json
import statistics
import sys
import time

import torch

from common import sidr
from minilm_loader import lexical_ids, load_model

BATCH, TOKENS, THREADS = 8, 128, 2
HEAD_BATCH = 32


def median_rate(work, repeats):
    work()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return {
        "tokens_per_second": round(BATCH * TOKENS / statistics.median(seconds)),
        "median_seconds": round(statistics.median(seconds), 4),
        "best_seconds": round(min(seconds), 4),
    }


def main(folder, repeats):
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    config, model = load_model(folder)
    lexical = torch.tensor(lexical_ids(folder))
    weight = torch.nn.Parameter(torch.ones(config.hidden_size))
    bias = torch.nn.Parameter(torch.zeros(config.hidden_size))
    ids = torch.randint(999, config.vocab_size, (BATCH, TOKENS))
    mask = torch.ones_like(ids, dtype=torch.bool)
    optimiser = torch.optim.AdamW([*model.parameters(), weight, bias], lr=2e-5, weight_decay=0.0)

    def body():
        return model(ids, attention_mask=mask, token_type_ids=torch.zeros_like(ids)).last_hidden_state

    def vectors():
        rows = model.embeddings.word_embeddings.weight[lexical]
        return sidr(body(), mask, weight, bias, config.layer_norm_eps, rows)

    def train():
        v = vectors()
        half = BATCH // 2
        scores = v[:half] @ v[half:].T / 300
        loss = torch.nn.functional.cross_entropy(scores, torch.arange(half))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimiser.step()

    def head_naive():
        states = torch.rand(HEAD_BATCH, TOKENS, config.hidden_size, requires_grad=True)
        rows = model.embeddings.word_embeddings.weight.detach()[lexical].requires_grad_()
        products = states @ rows.T
        torch.where(products >= 0, products + 1, products.exp()).amax(1).sum().backward()

    with torch.no_grad():
        result = {"forward": median_rate(body, repeats), "forward_sidr": median_rate(vectors, repeats)}
    result["train"] = median_rate(train, repeats)
    result["head_naive"] = {"ms": round(1e3 * median_rate(head_naive, repeats)["median_seconds"], 1)}
    print(json.dumps({"torch": torch.__version__, "threads": THREADS, "batch": BATCH, "tokens": TOKENS, **result}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5)
