"""Tiny random causal models of several families in Hugging Face layout, with reference logits and greedy tokens.

    python tests/references/decoders/make.py

One folder per case, each with config.json and model.safetensors (f32). Norm weights and biases are not left at one and
zero. Logits are computed in f32 from the stored weights with eager attention; each greedy token comes from a pass over
the whole prefix, without a cache. The long text runs past every sliding window (16) and every original length (32).
`phi3_long` takes its long factors when a pass has more than 32 ids; the short text's longest pass has 31, so that no
pass of it does, and all passes of the long text do.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
import transformers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
)

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from common import greedy, logits_of, rounded, write_json  # noqa: E402

TOKENS = dict(vocab_size=96, initializer_range=0.25, bos_token_id=1, eos_token_id=2)
SHARED = TOKENS | dict(
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=256,
)
RMS = SHARED | dict(rms_norm_eps=1e-5, num_key_value_heads=2, rope_theta=10000.0)
GEMMA = RMS | dict(rms_norm_eps=1e-6, num_key_value_heads=1, head_dim=16)
NEOX = SHARED | dict(rotary_emb_base=10000)
WINDOW = 16
# With theta 100 and head_dim 16 the eight frequencies are: kept, two blended, five divided.
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
# One factor for each of the four pairs that turn: half of head_dim 16.
LONG = {"type": "longrope", "short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [1.0, 1.5, 2.5, 4.0]}
# Name: seed, config class, options. The seeds keep the best logit clear of the second best all the way.
CASES = {
    "mistral": (10, MistralConfig, RMS | dict(sliding_window=WINDOW)),
    "qwen2": (27, Qwen2Config, RMS | dict(tie_word_embeddings=True)),
    "qwen2_window": (
        24,
        Qwen2Config,
        RMS | dict(num_hidden_layers=3, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1),
    ),
    "qwen3": (28, Qwen3Config, RMS | dict(num_key_value_heads=1, head_dim=16)),
    "phi3": (24, Phi3Config, RMS | dict(pad_token_id=0)),
    "phi3_long": (
        37,
        Phi3Config,
        RMS
        | dict(
            pad_token_id=0,
            num_attention_heads=2,
            num_key_value_heads=1,
            partial_rotary_factor=0.5,
            rope_scaling=LONG,
            original_max_position_embeddings=32,
            max_position_embeddings=128,
        ),
    ),
    "gemma": (25, GemmaConfig, GEMMA),
    "gemma2": (
        10,
        Gemma2Config,
        GEMMA
        | dict(
            num_hidden_layers=4,
            query_pre_attn_scalar=24,
            sliding_window=WINDOW,
            attn_logit_softcapping=2.0,
            final_logit_softcapping=4.0,
        ),
    ),
    # Layers 0, 1 and 3 slide and use the local base; layer 2 sees everything and uses rope_theta with its scaling.
    "gemma3": (
        28,
        Gemma3TextConfig,
        GEMMA
        | dict(
            num_hidden_layers=4,
            query_pre_attn_scalar=24,
            sliding_window=WINDOW,
            sliding_window_pattern=3,
            rope_theta=10000.0,
            rope_local_base_freq=100.0,
            rope_scaling={"rope_type": "linear", "factor": 4.0},
        ),
    ),
    "olmo2": (22, Olmo2Config, RMS | dict(pad_token_id=0)),
    "gpt2": (27, GPT2Config, TOKENS | dict(n_embd=32, n_inner=48, n_layer=2, n_head=4, n_positions=256)),
    "gpt_neox": (12, GPTNeoXConfig, NEOX | dict(num_attention_heads=2, rotary_pct=0.25, use_parallel_residual=True)),
    "gpt_neox_serial": (34, GPTNeoXConfig, NEOX | dict(rotary_pct=1.0, use_parallel_residual=False)),
    "llama_linear": (
        3,
        LlamaConfig,
        RMS | dict(attention_bias=True, mlp_bias=True, rope_scaling={"rope_type": "linear", "factor": 4.0}),
    ),
    "llama_yarn": (
        15,
        LlamaConfig,
        RMS | dict(head_dim=16, rope_theta=100.0, rope_scaling=YARN, max_position_embeddings=128),
    ),
}
LEAST_GAP = 2e-3


def perturb(model):
    """Random norms (around one, or around zero where the model adds one itself) and biases; no row left at zero.

    Gemma's embedding, which the model multiplies by sqrt(hidden), is halved: else each token is followed by itself.
    """
    gemma = model.config.model_type.startswith("gemma")
    with torch.no_grad():
        for key, value in model.named_parameters():
            if key.endswith("bias"):
                value.copy_(0.1 * torch.randn_like(value))
            elif value.dim() == 1:
                value.copy_((0 if gemma else 1) + 0.3 * torch.randn_like(value))
            else:
                empty = (value == 0).all(dim=1)
                value[empty] = 0.25 * torch.randn_like(value[empty])
        if gemma:
            model.get_input_embeddings().weight.mul_(0.5)


def frequencies(model):
    """What the rotary embedding works with, where there is one. To be asked after a pass over the long text."""
    found = {}
    for name, module in model.named_modules():
        if not hasattr(module, "original_inv_freq"):
            continue
        local = "local_" if name.endswith("_local") else ""
        found[local + "inv_freq"] = rounded(module.original_inv_freq, 8)
        if hasattr(module, "long_inv_freq"):
            found["long_inv_freq"] = rounded(module.long_inv_freq, 8)
        if module.attention_scaling != 1:
            found["attention_factor"] = rounded(module.attention_scaling, 8)
    return found


def save(model, folder):
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "generation_config.json").unlink()
    for path in folder.iterdir():
        path.chmod(0o644)
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()), indent=2, sort_keys=True) + "\n")


def make(folder, seed, config, options):
    torch.manual_seed(seed)
    fresh = AutoModelForCausalLM.from_config(config(**options), attn_implementation="eager").eval()
    perturb(fresh)
    save(fresh, folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    short = torch.randint(3, 96, (12,)).tolist()
    long = torch.randint(3, 96, (64,)).tolist()
    logits, last = logits_of(model, short), logits_of(model, long)[-1]
    assert torch.equal(last, logits_of(fresh, long)[-1]), f"{folder.name}: the files do not hold the whole model"
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
        **frequencies(model),
    }


def main():
    torch.set_num_threads(1)
    cases = {name: make(HERE / name, *case) for name, case in CASES.items()}
    for name, case in cases.items():
        assert min(case[text]["smallest_gap"] for text in ("short", "long")) >= LEAST_GAP, f"{name}: another seed"
    made = {"torch": torch.__version__, "transformers": transformers.__version__, "dtype": "f32"}
    write_json(HERE / "reference.json", {"made_with": made, **cases})


if __name__ == "__main__":
    main()
