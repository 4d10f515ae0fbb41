"""Reference outputs of all-MiniLM-L6-v2 (f32) and of a fresh SiDR head on it.

    python tests/references/minilm/make.py ../shared/models/all-MiniLM-L6-v2

The folder holds config.json, model.safetensors (any float type, computed in f32) and tokenizer.json.
"""

import sys
from pathlib import Path

import torch
import transformers

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from common import rounded, sidr, write_json  # noqa: E402
from minilm_loader import lexical_ids, load_model, load_tokenizer  # noqa: E402

MAX_TOKENS = 256
TOP = 20
LONG = " ".join(
    f"In year {1900 + i} the river port of Veldamark shipped {37 * i + 11} crates of copper, salt and amber to its "
    "neighbours."
    for i in range(40)
)
TEXTS = [
    ("question", "", "What caused the oil crisis of 1973?"),
    (
        "titled passage",
        "1973 oil crisis",
        "The crisis began when the members of OPEC proclaimed an oil embargo. By the end of the embargo, the price of "
        "oil had risen from US$3 per barrel to nearly $12 globally.",
    ),
    ("empty", "", ""),
    ("unicode", "", "Ångström's naïve café — 東京タワー, Ελλάδα, ½ 🙂 \u200bfin\u0301."),
    ("one word", "", "retriever"),
    ("long, cut", "", LONG),
    ("long with title, cut", "Trade of Veldamark", LONG),
]


def main(folder):
    torch.set_num_threads(1)
    config, model = load_model(folder)
    encode = load_tokenizer(folder, MAX_TOKENS)
    lexical = torch.tensor(lexical_ids(folder))
    rows = model.embeddings.word_embeddings.weight[lexical]
    one, zero = torch.ones(config.hidden_size), torch.zeros(config.hidden_size)
    texts = []
    for name, title, text in TEXTS:
        ids = torch.tensor([encode(title, text)])
        mask = torch.ones_like(ids, dtype=torch.bool)
        with torch.no_grad():
            h = model(ids, attention_mask=mask, token_type_ids=torch.zeros_like(ids)).last_hidden_state
            v = sidr(h, mask, one, zero, config.layer_norm_eps, rows)[0]
        n = ids.shape[1]
        values, dims = v.sort(descending=True, stable=True)
        texts.append(
            {
                "name": name,
                "title": title,
                "text": text,
                "ids": ids[0].tolist(),
                "hidden": {
                    "positions": [0, n // 2, n - 1],
                    "first8": rounded(h[0, [0, n // 2, n - 1], :8], 7),
                    "mean": rounded(h.double().mean().item()),
                    "l2": rounded(h.double().norm().item()),
                },
                "sidr": {
                    "top_ids": lexical[dims[:TOP]].tolist(),
                    "top_values": rounded(values[:TOP], 8),
                    "sum": rounded(v.double().sum().item()),
                    "l2": rounded(v.double().norm().item()),
                    "min": rounded(v.min().item(), 8),
                    "dims": v.numel(),
                    "at_least_one": int((v >= 1).sum()),
                },
            }
        )
    write_json(
        HERE / "reference.json",
        {
            "made_with": {"torch": torch.__version__, "transformers": transformers.__version__, "dtype": "f32"},
            "max_tokens": MAX_TOKENS,
            "layer_norm_eps": config.layer_norm_eps,
            "lexical": {"count": lexical.numel(), "first_id": int(lexical[0]), "last_id": int(lexical[-1])},
            "texts": texts,
        },
    )


if __name__ == "__main__":
    main(sys.argv[1])
