"""Three tiny random Llama checkpoints in Hugging Face layout, with reference logits and greedy tokens.

    python tests/references/llama/make.py

`tied`: one key/value head, head tied to the embedding. `scaled`: two key/value heads, untied, llama3 rope scaling,
read past its original length. `sharded`: explicit head_dim, as many key/value heads as heads, bf16 in two shards with
an index. Logits are computed in f32 from the stored weights (for `sharded`: the bf16 weights widened to f32).
"""

import json
import shutil
import sys
from pathlib import Path

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from common import greedy, logits_of, rounded, write_json  # noqa: E402

SHARED = dict(
    vocab_size=96,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=256,
    rms_norm_eps=1e-5,
    initializer_range=0.25,
    bos_token_id=1,
    eos_token_id=2,
    attn_implementation="eager",
)
ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
# With theta 100 and head_dim 8 the four frequencies are: kept, blended, divided, divided.
CASES = {
    "tied": (11, dict(num_key_value_heads=1, tie_word_embeddings=True, rope_theta=10000.0), torch.float32, "5GB"),
    "scaled": (
        22,
        dict(num_key_value_heads=2, tie_word_embeddings=False, rope_theta=100.0, rope_scaling=ROPE),
        torch.float32,
        "5GB",
    ),
    "sharded": (
        33,
        dict(num_key_value_heads=4, head_dim=16, tie_word_embeddings=False, rope_theta=10000.0),
        torch.bfloat16,
        "40KB",
    ),
}


def make(name, seed, options, dtype, shard):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**SHARED, **options)).eval()
    with torch.no_grad():
        for key, value in model.named_parameters():
            if "norm" in key:
                value.copy_(1 + 0.3 * torch.randn_like(value))
    model.to(dtype).save_pretrained(folder, max_shard_size=shard, safe_serialization=True)
    (folder / "generation_config.json").unlink()
    for path in folder.iterdir():
        path.chmod(0o644)
    for path in folder.glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()), indent=2, sort_keys=True) + "\n")

    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    short = torch.randint(3, 96, (12,)).tolist()
    long = torch.randint(3, 96, (64,)).tolist()
    logits, last = logits_of(model, short), logits_of(model, long)[-1]
    tokens, gap = greedy(model, short)
    long_tokens, long_gap = greedy(model, long)
    return {
        "short": {"ids": short, "logits": rounded(logits, 7), "greedy": tokens, "smallest_gap": rounded(gap, 3)},
        "long": {
            "ids": long,
            "last_logits": rounded(last, 7),
            "greedy": long_tokens,
            "smallest_gap": rounded(long_gap, 3),
        },
        "inv_freq": rounded(model.model.rotary_emb.inv_freq, 8),
    }


def main():
    torch.set_num_threads(1)
    cases = {name: make(name, *case) for name, case in CASES.items()}
    made = {"torch": torch.__version__, "transformers": transformers.__version__, "dtype": "f32"}
    write_json(HERE / "reference.json", {"made_with": made, **cases})


if __name__ == "__main__":
    main()
