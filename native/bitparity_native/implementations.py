"""The native core as implementations under test, one for each kernel set of this CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitparity.formats import ROWS, TERNARY
from bitparity.formats.base import Bytes, Floats
from bitparity.formats.i2_s import I2_S
from bitparity.fuzz.implementations import Function, Implementation, Operation
from bitparity.fuzz.memory import PLAIN, Arena, Placement
from bitparity.settings import Settings
from bitparity_native import _core

Kernels = Any  # the module bitparity_native._core.kernels, or a mutant of it


def implementations(settings: Settings) -> list[Implementation]:
    kernels = _core.kernels
    return [implementation(kernels, name) for name, _, runs_here in kernels.kernel_sets() if runs_here]


def implementation(kernels: Kernels, kernel_set: str) -> Implementation:
    bound: dict[tuple[Operation, str], Callable[..., NDArray[Any]]] = {
        ("pack", "I8_S"): _pack_i8_s,
        ("pack", "Q8_K"): _pack_q8_k,
        ("pack", "F16"): _pack_f16,
        ("unpack", "F16"): _unpack_f16,
        ("multiply", "I2_S"): _multiply_i2_s,
    }
    by_q8_k = [name for name in TERNARY if ROWS[name].activations == "Q8_K"]
    bound |= {("multiply", name): _multiplier_q8_k(name) for name in by_q8_k}
    functions = {what: _bind(function, kernels, kernel_set) for what, function in bound.items()}
    return Implementation(f"native/{kernel_set}", functions, writes_memory=True)


def _bind(function: Callable[..., NDArray[Any]], kernels: Kernels, kernel_set: str) -> Function:
    def run(*arguments: Any, placement: Placement = PLAIN) -> NDArray[Any]:
        arena = Arena(placement)
        result = function(kernels, kernel_set, arena, *arguments)
        arena.check()
        return result

    return run


def _pack_i8_s(kernels: Kernels, kernel_set: str, arena: Arena, values: Floats) -> Bytes:
    x, codes = arena.place(values), arena.output(values.shape, np.int8)
    measures = [kernels.quantize_i8(kernel_set, row, out) for row, out in zip(x, codes, strict=True)]
    scales = np.array([scale for scale, _ in measures], dtype="<f4")
    sums = np.array([total for _, total in measures], dtype="<i4")
    return np.concatenate([part.reshape(-1).view(np.uint8) for part in (codes, scales, sums)])


def _pack_q8_k(kernels: Kernels, kernel_set: str, arena: Arena, values: Floats) -> Bytes:
    blocks = values.size // 256
    x, codes = arena.place(values.reshape(-1)), arena.output(values.size, np.int8)
    scales, sums = arena.output(blocks, np.float32), arena.output(blocks * 16, np.int16)
    kernels.quantize_q8_k(kernel_set, False, x, codes, scales, sums)
    parts = [codes.reshape(blocks, -1), scales.reshape(blocks, -1), sums.reshape(blocks, -1)]
    whole = np.concatenate([parts[i].view(np.uint8) for i in (1, 0, 2)], axis=1)
    return whole.reshape(-1)


def _pack_f16(kernels: Kernels, kernel_set: str, arena: Arena, values: Floats) -> Bytes:
    out = arena.output(values.size, np.uint16)
    kernels.to_f16(kernel_set, arena.place(values.reshape(-1)), out)
    return out.copy().view(np.uint8)


def _unpack_f16(
    kernels: Kernels, kernel_set: str, arena: Arena, packed: Bytes, rows: int, cols: int
) -> Floats:
    out = arena.output(rows * cols, np.float32)
    kernels.from_f16(kernel_set, arena.place(packed.view(np.uint16)), out)
    return out.copy().reshape(rows, cols)


def _multiply_i2_s(
    kernels: Kernels, kernel_set: str, arena: Arena, packed: Bytes, rows: int, cols: int, x: NDArray[np.int8]
) -> NDArray[np.int64]:
    out = arena.output((len(x), rows), np.float32)
    ones, sums = np.ones(len(x), dtype=np.float32), x.sum(axis=1, dtype=np.int32)
    data = arena.place(packed[: -I2_S.tail_bytes])
    kernels.matmul_i2_s(kernel_set, data, 1.0, arena.place(x), ones, sums, out)
    return out.astype(np.int64)


def _multiplier_q8_k(weight_format: str) -> Callable[..., NDArray[np.int64]]:
    def multiply(
        kernels: Kernels,
        kernel_set: str,
        arena: Arena,
        packed: Bytes,
        rows: int,
        cols: int,
        x: NDArray[np.int8],
    ) -> NDArray[np.int64]:
        out = arena.output((len(x), rows), np.float32)
        scales = np.ones((len(x), cols // 256), dtype=np.float32)
        sums = x.reshape(len(x), -1, 16).sum(axis=2, dtype=np.int16)
        data, codes = arena.place(packed), arena.place(x)
        kernels.matmul_q8_k(kernel_set, weight_format, "lanes", data, codes, scales, sums, out)
        return out.astype(np.int64)

    return multiply
