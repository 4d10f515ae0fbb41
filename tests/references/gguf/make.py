"""Blocks of GGML's formats with what they stand for, and tiny models in GGUF files, made from the checkpoints beside.

    python tests/references/gguf/make.py

The files have the keys and the tensors that llama.cpp's convert_hf_to_gguf.py gives them, without a tokenizer. `from`
names the checkpoint. Where a file cannot say all that the checkpoint's config does, `unlike` names the settings that it
stands for instead. There, and where the weights are not the checkpoint's, the numbers are computed anew, in f32, from
the weights as the file holds them; else they are those of the checkpoint's own reference.
"""

import json
import math
import sys
from importlib.metadata import version
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as Type
from gguf import LlamaFileType
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from common import greedy, logits_of, rounded, write_json  # noqa: E402
from decoders.make import LEAST_GAP  # noqa: E402

# Where the blocks of each format have their half-precision fields.
FIELDS = {
    Type.F32: (),
    Type.F16: (),
    Type.BF16: (),
    Type.Q4_0: (0,),
    Type.Q4_1: (0, 2),
    Type.Q5_0: (0,),
    Type.Q5_1: (0, 2),
    Type.Q8_0: (0,),
    Type.Q4_K: (0, 2),
    Type.Q5_K: (0, 2),
    Type.Q6_K: (208,),
}
# A block of the plain formats is one number; so many are taken of them.
PLAIN = 32
ARCHITECTURES = {"mistral": "llama", "gemma3_text": "gemma3"}
FILE_TYPES = {
    Type.F32: LlamaFileType.ALL_F32,
    Type.BF16: LlamaFileType.MOSTLY_BF16,
    Type.Q8_0: LlamaFileType.MOSTLY_Q8_0,
}
# No file says what Gemma's queries are divided by the root of: it is head_dim, save in the largest models.
GEMMA = {"query_pre_attn_scalar": 16}
# Nor which layers of Gemma 3 slide, unless it has a key for it: all but each sixth.
SLIDING = {"layer_types": ["sliding_attention"] * 4}
# File: checkpoint, format of the matrices, settings that it stands for unlike the checkpoint's, Gemma 3's pattern.
CASES = {
    "llama": ("llama/scaled", Type.F32, {}, None),
    "llama-q8": ("llama/scaled", Type.Q8_0, {}, None),
    "mistral": ("decoders/mistral", Type.F32, {"sliding_window": None}, None),
    "qwen2": ("decoders/qwen2", Type.F32, {}, None),
    "qwen3": ("decoders/qwen3", Type.F32, {}, None),
    "phi3_long": ("decoders/phi3_long", Type.F32, {}, None),
    "gemma2": ("decoders/gemma2", Type.F32, GEMMA, None),
    "gemma3": ("decoders/gemma3", Type.F32, GEMMA | SLIDING, None),
    "gemma3-pattern": ("decoders/gemma3", Type.BF16, GEMMA, 3),
    "olmo2": ("decoders/olmo2", Type.F32, {}, None),
}
SEED = 5


def random_blocks(rng, kind):
    """Random bytes whose numbers are all finite: two blocks, with small scales, or a few plain numbers."""
    numbers, size = gguf.GGML_QUANT_SIZES[kind]
    if numbers == 1:
        blocks = rng.integers(0, 256, (2 * PLAIN, size), dtype=np.uint8)
        finite = np.isfinite(gguf.quants.dequantize(blocks, kind)).reshape(-1)
        return blocks[finite][:PLAIN]
    blocks = rng.integers(0, 256, (2, size), dtype=np.uint8)
    for at in FIELDS[kind]:
        scale = rng.uniform(0.01, 0.1, (2, 1)) * rng.choice([-1, 1], (2, 1))
        blocks[:, at : at + 2] = scale.astype("<f2").view(np.uint8)
    return blocks


def make_blocks():
    made = {}
    for kind in FIELDS:
        blocks = random_blocks(np.random.default_rng([SEED, kind]), kind)
        values = gguf.quants.dequantize(blocks, kind).reshape(-1)
        written = rounded(torch.from_numpy(values.copy()))
        assert np.isfinite(values).all() and np.array_equal(values, np.float32(written))
        made[kind.name] = {"hex": blocks.tobytes().hex(), "values": written}
    return made


def rope_factors(config):
    """Llama 3's: what each frequency is divided by."""
    rope, head = config["rope_scaling"], config["head_dim"]
    low, high, original = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    factors = []
    for frequency in 1 / config["rope_theta"] ** (torch.arange(0, head, 2, dtype=torch.float32) / head):
        turns = original * frequency.item() / (2 * math.pi)
        smooth = min(max((turns - low) / (high - low), 0), 1)
        factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return torch.tensor(factors)


def extra_tensors(config):
    """Tensors that are settings rather than weights."""
    rope = config.get("rope_scaling") or {}
    if rope.get("rope_type") == "llama3":
        yield "rope_freqs.weight", rope_factors(config)
    for which in ("long", "short"):
        if f"{which}_factor" in rope:
            yield f"rope_factors_{which}.weight", torch.tensor(rope[f"{which}_factor"], dtype=torch.float32)


def interleaved(weight, heads, back=False):
    """Llama's rows of a head, those that turn as a pair beside each other instead of half a head apart; or back."""
    pair = (-1, 2) if back else (2, -1)
    return weight.reshape(heads, *pair, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def laid_out(config, arch, name, weight, back=False):
    """A weight as the file has it; or back, which rounds Gemma's norms a little: the file has them around one."""
    if arch == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
        which = "num_attention_heads" if name.endswith("q_proj.weight") else "num_key_value_heads"
        return interleaved(weight, config[which], back)
    if arch.startswith("gemma") and name.endswith("norm.weight"):
        return weight - 1 if back else weight + 1
    return weight


def add_tensors(writer, config, folder, kind):
    """Writes the weights, and gives them as they can be read back, under the checkpoint's names."""
    for name, value in extra_tensors(config):
        writer.add_tensor(name, value.numpy())
    arch = writer.arch
    number = next(number for number, name in gguf.MODEL_ARCH_NAMES.items() if name == arch)
    names = gguf.get_tensor_name_map(number, config["num_hidden_layers"])
    stored = {}
    for name, weight in load_file(folder / "model.safetensors").items():
        new_name = names.get_name(name, try_suffixes=(".weight", ".bias"))
        data = laid_out(config, arch, name, weight).contiguous().numpy()
        own = Type.F32 if data.ndim == 1 else kind
        if data.shape[-1] % gguf.GGML_QUANT_SIZES[own][0]:
            # Rows that are no whole blocks.
            own = Type.F16
        data = gguf.quants.quantize(data, own)
        writer.add_tensor(new_name, data, raw_dtype=own)
        read = torch.from_numpy(gguf.quants.dequantize(data, own).copy())
        stored[name] = laid_out(config, arch, name, read, back=True)
    return stored


def add_keys(writer, config, kind, pattern):
    """The settings. Which are written, and how, differs from family to family as in the converter."""
    arch, rope = writer.arch, config.get("rope_scaling") or {}
    window, head, heads = config.get("sliding_window"), config.get("head_dim"), config["num_attention_heads"]
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_file_type(FILE_TYPES[kind])
    if arch == "phi3":
        original, whole = config["original_max_position_embeddings"], config["max_position_embeddings"]
        writer.add_rope_dimension_count(int(config["partial_rotary_factor"] * config["hidden_size"]) // heads)
        writer.add_rope_freq_base(config["rope_theta"])
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_sliding_window(window or 0)
        if "long_factor" in rope:
            writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(whole / original) / math.log(original)))
        return
    if head is not None:
        writer.add_key_length(head)
        writer.add_value_length(head)
    if arch == "gemma2":
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])
        writer.add_sliding_window(window)
        return
    if rope.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    writer.add_rope_freq_base(config["rope_theta"])
    if arch == "gemma3":
        writer.add_rope_freq_base_swa(config["rope_local_base_freq"])
        writer.add_sliding_window(window)
        if pattern:
            writer.add_sliding_window_pattern(pattern)
    if arch == "llama":
        writer.add_vocab_size(config["vocab_size"])
        writer.add_rope_dimension_count(head or config["hidden_size"] // heads)


def write(path, config, folder, kind, pattern):
    arch = ARCHITECTURES.get(config["model_type"], config["model_type"])
    writer = gguf.GGUFWriter(path, arch)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(folder.name)
    stored = add_tensors(writer, config, folder, kind)
    writer.add_size_label(gguf.size_label(*writer.get_total_parameter_count()))
    add_keys(writer, config, kind, pattern)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return stored


def numbers_of(folder, unlike, stored, texts):
    """Logits and greedy tokens of the weights and settings that the file stands for."""
    config = AutoConfig.from_pretrained(folder, **unlike)
    options = dict(config=config, dtype=torch.float32, attn_implementation="eager")
    model = AutoModelForCausalLM.from_pretrained(folder, **options).eval()
    with torch.no_grad():
        for name, value in stored.items():
            model.get_parameter(name).copy_(value)
    made = {}
    for text, field in (("short", "logits"), ("long", "last_logits")):
        ids = texts[text]["ids"]
        logits = logits_of(model, ids)
        tokens, gap = greedy(model, ids)
        assert gap >= LEAST_GAP, f"{folder.name}: {text}: {gap}"
        made[text] = {
            "ids": ids,
            field: rounded(logits if text == "short" else logits[-1], 7),
            "greedy": tokens,
            "smallest_gap": rounded(gap, 3),
        }
    return made


def make_model(name, source, kind, unlike, pattern):
    folder = HERE.parent / source
    config = json.loads((folder / "config.json").read_text())
    stored = write(HERE / f"{name}.gguf", config, folder, kind, pattern)
    made = {"from": source}
    same = all(torch.equal(stored[key], weight) for key, weight in load_file(folder / "model.safetensors").items())
    if same and not unlike:
        return made
    texts = json.loads((folder.parent / "reference.json").read_text())[folder.name]
    if unlike:
        made["unlike"] = unlike
    return made | numbers_of(folder, unlike, stored, texts)


def main():
    torch.set_num_threads(1)
    models = {name: make_model(name, *case) for name, case in CASES.items()}
    made = {
        "gguf": version("gguf"),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "dtype": "f32",
    }
    write_json(HERE / "reference.json", {"made_with": made, "blocks": make_blocks(), "models": models})


if __name__ == "__main__":
    main()
