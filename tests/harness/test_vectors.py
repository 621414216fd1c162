"""Our definitions give the answers that the defining programs gave (tests/vectors/README.md)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitparity.fuzz.cases import DEFINITIONS
from bitparity.fuzz.own import numpy_implementation

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "vectors.json").read_text()
)["vectors"]


def _draws(seed: int, count: int) -> Any:
    values = []
    for _ in range(count):
        seed = (1664525 * seed + 1013904223) % 2**32
        values.append(seed >> 16)
    return np.array(values)


def _weights(vector: dict[str, Any], scale: float) -> Any:
    rows, cols = vector["rows"], vector["cols"]
    numbers = _draws(vector["seed"], rows * cols).reshape(rows, cols)
    values = (numbers - 32768) / 32768 if vector.get("input") == "real" else (numbers % 3 - 1) * scale
    return values.astype(np.float32)


def _name(vector: dict[str, Any]) -> str:
    shape = f"{vector['rows']}x{vector['cols']}"
    return "-".join([vector["operation"], vector["format"], vector.get("input", ""), shape])


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["operation"] == "pack"], ids=_name)
def test_packing_gives_the_recorded_bytes(vector: dict[str, Any]) -> None:
    data = DEFINITIONS[vector["format"]].pack(_weights(vector, 0.25))[: vector["bytes"]]
    assert data[:16].tobytes().hex() == vector["head"]
    assert hashlib.sha256(data.tobytes()).hexdigest() == vector["sha256"]


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["operation"] == "multiply"], ids=_name)
def test_multiplying_gives_the_recorded_sums(vector: dict[str, Any]) -> None:
    rows, cols, tokens = vector["rows"], vector["cols"], vector["tokens"]
    x = (_draws(vector["seed"] + 1, tokens * cols).reshape(tokens, cols) % 256 - 128).astype(np.int8)
    packed = DEFINITIONS["I2_S"].pack(_weights(vector, 1.0))
    sums = numpy_implementation().run("multiply", "I2_S", packed, rows, cols, x)
    assert sums.tolist() == vector["sums"]


def test_every_format_with_a_defining_program_has_vectors() -> None:
    recorded = {vector["format"] for vector in VECTORS}
    assert recorded == {"F16", "BF16", "I2_S", "I8_S", "TQ1_0", "TQ2_0", "Q8_0", "Q8_K", "TL1", "TL2"}
