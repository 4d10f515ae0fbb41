"""Tiny random encoders of several families with their masked-token heads: last hidden states and SPLADE vectors.

    python tests/references/encoders/make.py

One folder per case, each with config.json and model.safetensors (f32), saved as ...ForMaskedLM. Norm weights and biases
are not left at one and zero. Everything is computed in f32 from the stored weights with eager attention, in one batch
of three texts padded on the right; segment ids are 0. `splade` is, per text and vocabulary entry, the maximum over the
text's own positions of log(1 + relu(logit)).
"""

import json
import shutil
import sys
from pathlib import Path

import torch
import transformers
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    DistilBertConfig,
    ModernBertConfig,
    MPNetConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
from common import rounded, tensor_json, write_json  # noqa: E402
from new_model import NewConfig  # noqa: E402

SHARED = dict(
    vocab_size=96,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
    initializer_range=0.25,
)
# Positions count from pad + 1 here, so that 66 rows serve 64 positions.
ROBERTA = SHARED | dict(max_position_embeddings=66, pad_token_id=1, bos_token_id=0, eos_token_id=2, layer_norm_eps=1e-5)
CASES = {
    "bert": (1, BertConfig, SHARED | dict(pad_token_id=0)),
    "distilbert": (
        2,
        DistilBertConfig,
        dict(
            vocab_size=96,
            dim=32,
            hidden_dim=48,
            n_layers=2,
            n_heads=4,
            max_position_embeddings=64,
            initializer_range=0.25,
            pad_token_id=0,
        ),
    ),
    "roberta": (3, RobertaConfig, ROBERTA | dict(type_vocab_size=1)),
    "xlm_roberta": (4, XLMRobertaConfig, ROBERTA | dict(type_vocab_size=1)),
    "mpnet": (5, MPNetConfig, ROBERTA),
    # Layers 0 and 3 see everything; 1 and 2 see four positions to either side.
    "modernbert": (
        6,
        ModernBertConfig,
        SHARED
        | dict(
            num_hidden_layers=4,
            global_attn_every_n_layers=3,
            local_attention=8,
            global_rope_theta=1000.0,
            local_rope_theta=100.0,
            pad_token_id=0,
            bos_token_id=1,
            cls_token_id=1,
            eos_token_id=2,
            sep_token_id=2,
            reference_compile=False,
        ),
    ),
    "new": (7, NewConfig, SHARED | dict(pad_token_id=0, rope_scaling={"type": "ntk", "factor": 2.0}, rope_theta=1000.0)),
    "new_without_segments": (8, NewConfig, SHARED | dict(pad_token_id=0, type_vocab_size=0)),
}
LENGTHS = [5, 24, 60]


def perturb(model):
    """Random norms and biases; no row left at zero."""
    with torch.no_grad():
        for key, value in model.named_parameters():
            if key.endswith("bias"):
                value.copy_(0.1 * torch.randn_like(value))
            elif value.dim() == 1:
                value.copy_(1 + 0.3 * torch.randn_like(value))
            else:
                empty = (value == 0).all(dim=1)
                value[empty] = 0.25 * torch.randn_like(value[empty])


def save(model, folder):
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, safe_serialization=True)
    for path in folder.iterdir():
        path.chmod(0o644)
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()), indent=2, sort_keys=True) + "\n")


def outputs(model, texts):
    """Each text's last hidden states and its logits, both without padding."""
    width = max(map(len, texts))
    ids = torch.tensor([text + [model.config.pad_token_id] * (width - len(text)) for text in texts])
    mask = torch.tensor([[int(i < len(text)) for i in range(width)] for text in texts])
    with torch.no_grad():
        hidden = model.base_model(ids, attention_mask=mask).last_hidden_state
        logits = model(ids, attention_mask=mask).logits
    return [(hidden[i, : len(text)], logits[i, : len(text)]) for i, text in enumerate(texts)]


def make(folder, seed, config, options):
    torch.manual_seed(seed)
    fresh = AutoModelForMaskedLM.from_config(config(**options), attn_implementation="eager").eval()
    perturb(fresh)
    save(fresh, folder)
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    texts = [torch.randint(3, 96, (length,)).tolist() for length in LENGTHS]
    together = outputs(model, texts)
    for text, (hidden, logits), (_, before) in zip(texts, together, outputs(fresh, texts)):
        assert torch.equal(logits, before), f"{folder.name}: the files do not hold the whole model"
        alone, _ = outputs(model, [text])[0]
        assert torch.allclose(hidden, alone, atol=1e-4), f"{folder.name}: a text depends on its batch"
    return {
        "texts": texts,
        "hidden": [tensor_json(hidden, 7) for hidden, _ in together],
        "splade": [rounded(logits.relu().log1p().amax(dim=0), 7) for _, logits in together],
    }


def main():
    torch.set_num_threads(1)
    cases = {name: make(HERE / name, *case) for name, case in CASES.items()}
    made = {"torch": torch.__version__, "transformers": transformers.__version__, "dtype": "f32"}
    write_json(HERE / "reference.json", {"made_with": made, **cases})


if __name__ == "__main__":
    main()
