"""A tiny random BERT with a SiDR head: hidden states, gradients and three AdamW steps, computed in f64.

    python tests/references/bert/make.py

The weights are stored in f32 (model/model.safetensors) and widened. Training starts from them and from the head's
LayerNorm in reference.json. Step s minimises scale[s] * sum(w * V(x)) over the padded batch, after clipping the
gradient's norm, over all parameters of body and head, to 2.0; the scales make one step clip and another not.
"""

import shutil
import sys
from pathlib import Path

import torch
import transformers
from transformers import BertConfig, BertModel

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from common import PAD, rounded, sidr, tensor_json, write_json  # noqa: E402

LEXICAL_START = 20
BATCH = [[1, 45, 33, 78, 99, 2], [1, 2], [1, 20, 119, 64, 64, 51, 2, 87, 30, 45, 2], [1, 70, 2]]
SCALES = [1.0, 0.004, 1.0]
CLIP, LR = 2.0, 1e-3
WATCHED = [
    "embeddings.word_embeddings.weight",
    "embeddings.position_embeddings.weight",
    "embeddings.LayerNorm.bias",
    "encoder.layer.0.attention.self.query.weight",
    "encoder.layer.0.output.LayerNorm.weight",
    "encoder.layer.1.attention.self.value.bias",
    "encoder.layer.1.intermediate.dense.bias",
    "head.LayerNorm.weight",
    "head.LayerNorm.bias",
]


def randomise(model):
    """Wider than BERT's own start, so that attention is not flat; norms and biases are not left at 1 and 0."""
    for name, value in model.named_parameters():
        if "LayerNorm.weight" in name:
            value.copy_(1 + 0.2 * torch.randn_like(value))
        elif value.dim() == 1:
            value.copy_(0.1 * torch.randn_like(value))
        elif "embeddings" in name:
            value.copy_(0.3 * torch.randn_like(value))
        else:
            value.copy_(0.25 * torch.randn_like(value))


def padded():
    width = max(map(len, BATCH))
    ids = torch.tensor([row + [PAD] * (width - len(row)) for row in BATCH])
    mask = torch.tensor([[i < len(row) for i in range(width)] for row in BATCH])
    return ids, mask


def main():
    torch.set_num_threads(1)
    # Chosen for its smallest gradient: where that is near rounding, the first step has no certain sign in f32.
    torch.manual_seed(56)
    config = BertConfig(
        vocab_size=120,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=16,
        layer_norm_eps=1e-12,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
    )
    model = BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        randomise(model)
    folder = HERE / "model"
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "model.safetensors").chmod(0o644)
    model = model.double()

    # f32 numbers, so that the JSON's start is the exact start.
    ln_weight = (1 + 0.1 * torch.randn(32)).double().requires_grad_()
    ln_bias = (0.1 * torch.randn(32)).double().requires_grad_()
    w = (torch.randn(len(BATCH), config.vocab_size - LEXICAL_START) * 4).round() / 4
    w = w.double()
    parameters = dict(model.named_parameters()) | {"head.LayerNorm.weight": ln_weight, "head.LayerNorm.bias": ln_bias}
    start = {name: rounded(parameters[name]) for name in ("head.LayerNorm.weight", "head.LayerNorm.bias")}

    def body(ids, mask):
        return model(ids, attention_mask=mask, token_type_ids=torch.zeros_like(ids)).last_hidden_state

    def vectors(ids, mask):
        rows = model.embeddings.word_embeddings.weight[LEXICAL_START:]
        return sidr(body(ids, mask), mask, ln_weight, ln_bias, config.layer_norm_eps, rows)

    ids, mask = padded()
    with torch.no_grad():
        together = body(ids, mask)
        alone = [body(torch.tensor([row]), torch.ones(1, len(row), dtype=torch.bool))[0] for row in BATCH]
        v = vectors(ids, mask)
    for row, states, single in zip(BATCH, together, alone):
        assert torch.allclose(states[: len(row)], single, atol=1e-12), "a text depends on its batch"

    optimiser = torch.optim.AdamW(parameters.values(), lr=LR, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    steps, gradients = [], {}
    for step, scale in enumerate(SCALES):
        optimiser.zero_grad()
        loss = scale * (w * vectors(ids, mask)).sum()
        loss.backward()
        if step == 0:
            gradients = {name: tensor_json(parameters[name].grad) for name in WATCHED}
            live = torch.cat([parameters[name].grad.flatten().abs() for name in WATCHED])
            smallest = live[live > 0].min().item()
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), CLIP).item()
        optimiser.step()
        record = {"scale": scale, "loss": rounded(loss.item(), 12), "grad_norm": rounded(norm, 12)}
        # The middle step is held by its loss and norm and by the last values.
        if step != 1:
            record["values"] = {name: tensor_json(parameters[name]) for name in WATCHED}
        steps.append(record)
    clipped = [record["grad_norm"] > CLIP for record in steps]
    assert clipped == [True, False, True], steps

    write_json(
        HERE / "reference.json",
        {
            "made_with": {"torch": torch.__version__, "transformers": transformers.__version__, "dtype": "f64"},
            "lexical_start": LEXICAL_START,
            "optimiser": {"lr": LR, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0, "clip": CLIP},
            "batch": BATCH,
            "hidden": [tensor_json(states) for states in alone],
            "head": start,
            "w": tensor_json(w),
            "vectors": tensor_json(v),
            "smallest_nonzero_gradient": rounded(smallest, 3),
            "gradients": gradients,
            "steps": steps,
        },
    )


if __name__ == "__main__":
    main()
