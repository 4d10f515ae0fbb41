"""Throughput of PyTorch, to hold ragtune's own figures against.

Run by hand, on a quiet machine:

    python tests/references/torch_bench.py ../shared/models/all-MiniLM-L6-v2 [--device cuda] [--llm DIR]

Texts of random tokens. `forward`: body only. `forward_sidr`: body and SiDR head. `train`: body, SiDR head, the in-batch loss of
the questions with two passages each, backward and AdamW. `head_naive`: the head alone over 32 texts, forward and backward.
`llm`: a language model reading prompts. On a GPU the same under autocast in 16 bits (`..._half`), `product` and `copy`: what it
reaches. A folder without weights gets random ones. Prints JSON, which `ragtune bench --peers FILE` puts beside its own; medians
of the repeats.
"""

import argparse
import json
import os
import statistics
import time

import torch
import transformers

from common import sidr
from minilm_loader import lexical_ids, load_model

HEAD_BATCH = 32


def model_of(folder):
    if os.path.exists(f"{folder}/model.safetensors"):
        return load_model(folder)
    config = transformers.BertConfig.from_pretrained(folder)
    return config, transformers.BertModel(config, add_pooling_layer=False).float().eval()


class Bench:
    def __init__(self, args):
        self.args, self.cuda = args, args.device != "cpu"

    def median(self, work, half=False):
        """Median seconds after two rounds that warm up."""
        seconds = []
        for _ in range(self.args.repeats + 2):
            self.wait()
            started = time.perf_counter()
            with torch.autocast("cuda", torch.float16, enabled=half):
                work()
            self.wait()
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds[2:])

    def wait(self):
        if self.cuda:
            torch.cuda.synchronize()

    def rate(self, tokens, work, half=False):
        seconds = self.median(work, half)
        return {"tokens_per_second": round(tokens / seconds), "median_seconds": round(seconds, 5)}

    def ceilings(self):
        def product(dtype):
            a = torch.rand(4096, 4096, device="cuda", dtype=dtype) - 0.5
            seconds = self.median(lambda: [a @ a for _ in range(20)]) / 20
            return {"gflops": round(2 * 4096**3 / seconds / 1e9)}

        long = torch.ones(1 << 26, device="cuda")
        copy = self.median(lambda: [long + 1 for _ in range(20)]) / 20
        return {
            "product": product(torch.float32),
            "product_half": product(torch.float16),
            "copy": {"gb_per_second": round(2 * 4 * (1 << 26) / copy / 1e9)},
        }

    def encoder(self):
        args, device = self.args, self.args.device
        config, model = model_of(args.model)
        model = model.to(device)
        lexical = torch.tensor(lexical_ids(args.model), device=device)
        weight = torch.nn.Parameter(torch.ones(config.hidden_size, device=device))
        bias = torch.nn.Parameter(torch.zeros(config.hidden_size, device=device))
        optimiser = torch.optim.AdamW([*model.parameters(), weight, bias], lr=2e-5, weight_decay=0.0)

        def draw(texts):
            return torch.randint(999, config.vocab_size, (texts, args.tokens), device=device)

        def body(ids):
            mask = torch.ones_like(ids)
            return model(ids, attention_mask=mask, token_type_ids=torch.zeros_like(ids)).last_hidden_state

        def vectors(ids):
            rows = model.embeddings.word_embeddings.weight[lexical]
            mask = torch.ones_like(ids, dtype=torch.bool)
            return sidr(body(ids), mask, weight, bias, config.layer_norm_eps, rows)

        questions, passages = draw(args.questions), draw(2 * args.questions)
        scalers = {half: torch.amp.GradScaler("cuda", enabled=half) for half in (False, True)[: 2 if self.cuda else 1]}

        def train(half):
            scale = scalers[half]
            scores = vectors(questions).float() @ vectors(passages).float().T / 300
            loss = torch.nn.functional.cross_entropy(scores, 2 * torch.arange(args.questions, device=device))
            optimiser.zero_grad()
            scale.scale(loss).backward()
            scale.unscale_(optimiser)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
            scale.step(optimiser)
            scale.update()

        def head_naive():
            states = torch.rand(HEAD_BATCH, args.tokens, config.hidden_size, device=device, requires_grad=True)
            rows = model.embeddings.word_embeddings.weight.detach()[lexical].requires_grad_()
            products = states @ rows.T
            torch.where(products >= 0, products + 1, products.exp()).amax(1).sum().backward()

        read, learnt = args.texts * args.tokens, 3 * args.questions * args.tokens
        texts = draw(args.texts)
        result = {}
        for name, half in [("", False), ("_half", True)][: 2 if self.cuda else 1]:
            with torch.no_grad():
                result[f"forward{name}"] = self.rate(read, lambda: body(texts), half)
                result[f"forward_sidr{name}"] = self.rate(read, lambda: vectors(texts), half)
            if self.cuda:
                torch.cuda.reset_peak_memory_stats()
            result[f"train{name}"] = self.rate(learnt, lambda: train(half), half)
            if self.cuda:
                result[f"train{name}"]["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
        result["head_naive"] = {"ms": round(1e3 * self.median(head_naive), 2)}
        return result

    def llm(self):
        args = self.args
        config = transformers.AutoConfig.from_pretrained(args.llm)
        model = transformers.AutoModelForCausalLM.from_config(config).float().eval().to(args.device)
        ids = torch.randint(config.vocab_size, (args.texts, args.tokens - 1), device=args.device)
        result = {}
        with torch.no_grad():
            for name, half in [("llm", False), ("llm_half", True)][: 2 if self.cuda else 1]:
                model = model.half() if half else model
                read = lambda: model(ids, use_cache=False, logits_to_keep=1)
                result[name] = self.rate(ids.numel(), read)
        return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--llm", help="folder of a language model, of which the config.json counts")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--texts", type=int, default=8)
    parser.add_argument("--questions", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=128)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    bench = Bench(args)
    result = bench.ceilings() if bench.cuda else {}
    result |= bench.encoder()
    if args.llm:
        result |= bench.llm()
    of = torch.cuda.get_device_name() if bench.cuda else f"{args.threads} threads"
    sizes = {"texts": args.texts, "questions": args.questions, "tokens": args.tokens}
    print(json.dumps({"torch": torch.__version__, "device": of, **sizes, **result}))


if __name__ == "__main__":
    main()
