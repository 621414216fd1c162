"""Record tests/vectors/vectors.json from the programs that define the formats (see tests/vectors/README.md).

Needs BITNET_CPP_DIR and llama-cpp-python.  Never asks this project's own packers or kernels.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitparity.fuzz.cases import SMALL_TL1, SMALL_TL2
from bitparity.fuzz.implementations import Implementation, find_implementations, pick
from bitparity.settings import read_settings

TARGET = Path(__file__).parents[1] / "tests" / "vectors" / "vectors.json"
SHAPES = {
    "I2_S": [(1, 128), (3, 256), (16, 2048)],
    "TQ1_0": [(1, 256), (3, 512)],
    "TQ2_0": [(1, 256), (3, 512)],
    "Q8_0": [(1, 32), (3, 96)],
    "Q8_K": [(1, 256), (2, 512)],
    "I8_S": [(1, 128), (4, 384)],
    "BF16": [(1, 7), (3, 33)],
    "F16": [(1, 7), (3, 33)],
}
SOURCES = {
    "I2_S": ("bitnet.cpp", "quantize_i2_s"),
    "I8_S": ("bitnet.cpp", "quantize_row_i8_s"),
    "TQ1_0": ("llama.cpp", "quantize_row_tq1_0_ref"),
    "TQ2_0": ("llama.cpp", "quantize_row_tq2_0_ref"),
    "Q8_0": ("llama.cpp", "quantize_row_q8_0_ref"),
    "Q8_K": ("llama.cpp", "quantize_row_q8_K_ref"),
    "BF16": ("llama.cpp", "ggml_quantize_chunk"),
    "F16": ("llama.cpp", "ggml_quantize_chunk"),
    "TL1": ("bitnet.cpp converter", "transform_to_tl1"),
    "TL2": ("bitnet.cpp converter", "transform_to_tl2"),
}
UNREAD = {"I2_S": 28, "TL1": 32, "TL2": 32}  # bytes at the end that are not part of the answer
REAL = ("I2_S", "TQ1_0", "TQ2_0", "Q8_0", "Q8_K", "I8_S", "BF16", "F16")


def draws(seed: int, count: int) -> NDArray[np.int64]:
    state, values = seed, []
    for _ in range(count):
        state = (1664525 * state + 1013904223) % 2**32
        values.append(state >> 16)
    return np.array(values, dtype=np.int64)


def weights(kind: str, rows: int, cols: int, seed: int) -> NDArray[np.float32]:
    numbers = draws(seed, rows * cols).reshape(rows, cols)
    values = (numbers % 3 - 1) * 0.25 if kind == "ternary" else (numbers - 32768) / 32768
    return values.astype(np.float32)


def activations(tokens: int, cols: int, seed: int) -> NDArray[np.int8]:
    return (draws(seed + 1, tokens * cols).reshape(tokens, cols) % 256 - 128).astype(np.int8)


def packed(source: Implementation, name: str, kind: str, rows: int, cols: int, seed: int) -> dict[str, Any]:
    data = source.run("pack", name, weights(kind, rows, cols, seed))
    data = data[: data.size - UNREAD.get(name, 0)]
    return {
        "format": name,
        "operation": "pack",
        "input": kind,
        "rows": rows,
        "cols": cols,
        "seed": seed,
        "source": " ".join(SOURCES[name]),
        "bytes": int(data.size),
        "sha256": hashlib.sha256(data.tobytes()).hexdigest(),
        "head": data[:16].tobytes().hex(),
    }


def multiplied(found: list[Implementation], rows: int, cols: int, tokens: int, seed: int) -> dict[str, Any]:
    bitnet = pick(found, "bitnet.cpp")
    data = bitnet.run("pack", "I2_S", weights("ternary", rows, cols, seed) * 4)
    sums = bitnet.run("multiply", "I2_S", data, rows, cols, activations(tokens, cols, seed))
    return {
        "format": "I2_S",
        "operation": "multiply",
        "rows": rows,
        "cols": cols,
        "tokens": tokens,
        "seed": seed,
        "source": "bitnet.cpp ggml_gemv_i2_i8_s, ggml_gemm_i2_i8_s",
        "sums": sums.tolist(),
    }


def main() -> None:
    found, _ = find_implementations(read_settings())
    vectors: list[dict[str, Any]] = []
    for name, shapes in SHAPES.items():
        source = pick(found, SOURCES[name][0])
        kinds = ("ternary", "real") if name in REAL else ("ternary",)
        vectors += [packed(source, name, kind, *shape, 1) for shape in shapes for kind in kinds]
    for name, tilings in (("TL1", SMALL_TL1), ("TL2", SMALL_TL2)):
        source = pick(found, SOURCES[name][0])
        for (rows, cols), tiling in tilings.items():
            vector = packed(source, name, "ternary", rows, cols, 1)
            vectors.append(vector | {"tiling": [tiling.rows, tiling.cols, tiling.step]})
    vectors += [
        multiplied(found, *shape, 1) for shape in ((1, 128, 1), (5, 256, 3), (4, 2048, 4), (3, 4096, 5))
    ]
    for implementation in found:
        implementation.close()
    lines = ",\n".join(json.dumps(vector) for vector in vectors)
    TARGET.write_text(f'{{"version": 1, "vectors": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
