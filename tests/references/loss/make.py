"""The training loss of method section 7 with its gradients, in f64, on small random vectors.

    python tests/references/loss/make.py

Passages are ordered: the N positives (passage i answers question i), then the N negatives. No passage is masked.
S+ keeps the k largest dimensions and the text's own tokens; which ones is constant in the backward pass.
"""

import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from common import elu1p, rounded, write_json  # noqa: E402

N, V = 3, 12
CASES = [(4, 1.0), (2, 2.5), (V, 1.0)]


def s_plus(v, bag, k):
    keep = bag.bool().clone()
    keep.scatter_(1, v.detach().topk(k, dim=1).indices, True)
    return v * keep


def side(q, d, temperature):
    """l(Q, D): each question finds its positive among 2N passages, each positive its question among N."""
    scores = q @ d.T / temperature
    own = torch.arange(N)
    to_passage = scores.log_softmax(dim=1)[own, own]
    to_question = scores[:, :N].log_softmax(dim=0)[own, own]
    return -(to_passage + to_question).mean()


def loss(vq, vd, bq, bd, k, temperature):
    sq, sd = s_plus(vq, bq, k), s_plus(vd, bd, k)
    para = (side(sq, vd, temperature) + side(vq, sd, temperature)) / 2
    semi = (side(vq, bd, temperature) + side(bq, vd, temperature)) / 2
    return para, semi


def main():
    torch.manual_seed(9)
    # Rounded first, so that the JSON's inputs are the exact inputs.
    vq = (elu1p(0.6 * torch.randn(N, V, dtype=torch.float64)) * 1000).round() / 1000
    vd = (elu1p(0.6 * torch.randn(2 * N, V, dtype=torch.float64)) * 1000).round() / 1000
    bq = (torch.rand(N, V) < 0.2).double()
    bd = (torch.rand(2 * N, V) < 0.35).double()
    cases = []
    for k, temperature in CASES:
        q, d = vq.clone().requires_grad_(), vd.clone().requires_grad_()
        para, semi = loss(q, d, bq, bd, k, temperature)
        (para + semi).backward()
        cases.append(
            {
                "k": k,
                "temperature": temperature,
                "l_para": rounded(para.item(), 12),
                "l_semi": rounded(semi.item(), 12),
                "loss": rounded((para + semi).item(), 12),
                "s_plus_q": rounded(s_plus(vq, bq, k)),
                "s_plus_d": rounded(s_plus(vd, bd, k)),
                "grad_v_q": rounded(q.grad),
                "grad_v_d": rounded(d.grad),
            }
        )
    write_json(
        HERE / "reference.json",
        {
            "made_with": {"torch": torch.__version__, "dtype": "f64"},
            "n": N,
            "dims": V,
            "v_q": rounded(vq),
            "v_d": rounded(vd),
            "bot_q": [[int(x) for x in row] for row in bq.tolist()],
            "bot_d": [[int(x) for x in row] for row in bd.tolist()],
            "cases": cases,
        },
    )


if __name__ == "__main__":
    main()
