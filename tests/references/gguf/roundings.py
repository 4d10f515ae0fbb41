"""Numbers and what becomes of them in some of GGML's formats, by GGML's Python package.

    python tests/references/gguf/roundings.py
"""

import json
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

SEED = 11
BLOCKS = 6


def main():
    rng = np.random.default_rng(SEED)
    values = rng.normal(0, 0.05, (BLOCKS, 32)).astype(np.float32)
    # A block with one large number, one of equal numbers, and one in which the largest is negative.
    values[1, 7] = 3.0
    values[2, :] = 0.25
    values[3, 3] = -1.5
    reference = {"values": values.reshape(-1).tolist()}
    for kind in (Type.F16, Type.BF16, Type.Q8_0, Type.Q4_0):
        back = gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind)
        reference[kind.name] = back.astype(np.float32).reshape(-1).tolist()
    path = Path(__file__).with_name("roundings.json")
    path.write_text(json.dumps(reference, indent=1) + "\n")


if __name__ == "__main__":
    main()
