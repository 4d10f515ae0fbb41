"""What the generator scripts share: the SiDR head in torch, greedy writing, and compact JSON with rounded numbers."""

import json
from pathlib import Path

import torch

PAD = 0
# Tokens that a language model writes.
GREEDY = 20


def sidr(hidden, mask, ln_weight, ln_bias, eps, rows):
    """V(x) of method section 2: [B, L, H], [B, L] bool -> [B, V]. PAD positions never take part in the max."""
    h = torch.nn.functional.layer_norm(hidden, hidden.shape[-1:], ln_weight, ln_bias, eps)
    z = h @ rows.T
    top = z.masked_fill(~mask[:, :, None], float("-inf")).amax(dim=1)
    return elu1p(top)


def elu1p(a):
    """a + 1 where a >= 0, else exp(a). The clamp keeps the unused branch finite, so that gradients stay finite too."""
    return torch.where(a >= 0, a + 1, torch.exp(a.clamp(max=0)))


def logits_of(model, ids):
    """[length, vocabulary] of one text."""
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0]


def greedy(model, ids):
    """Argmax tokens, each from a pass over the whole prefix, and the smallest gap between best and second best."""
    ids, out, gap = list(ids), [], float("inf")
    for _ in range(GREEDY):
        best = logits_of(model, ids)[-1].topk(2)
        gap = min(gap, (best.values[0] - best.values[1]).item())
        out.append(best.indices[0].item())
        ids.append(out[-1])
    return out, gap


def rounded(value, digits=9):
    """Nested lists of a tensor, or a number, to `digits` significant digits."""
    if isinstance(value, torch.Tensor):
        return rounded(value.detach().double().tolist(), digits)
    if isinstance(value, list):
        return [rounded(v, digits) for v in value]
    return float(f"{value:.{digits}g}")


def tensor_json(t, digits=8):
    """{"shape": [...], "data": [row-major values]}."""
    return {"shape": list(t.shape), "data": rounded(t.flatten(), digits)}


def write_json(path, value):
    """One top-level field per line: small files that still diff."""
    fields = [f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items()]
    Path(path).write_text("{\n" + ",\n".join(fields) + "\n}\n", encoding="utf-8")
