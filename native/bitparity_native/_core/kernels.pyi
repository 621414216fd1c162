"""Single kernels, as include/bitnet/kernels.hpp defines them; `set` is the name of a kernel set."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

def kernel_sets() -> list[tuple[str, str, bool]]:
    """(name, ISA it was compiled for, whether it runs on this CPU), best first."""

def weight_formats() -> list[str]:
    """The formats that matmuls multiply."""

def quantize_i8(set: str, x: Floats, codes: NDArray[np.int8]) -> tuple[float, int]:
    """Fills codes; returns (scale, sum of codes)."""

def quantize_q8_k(
    set: str, fused: bool, x: Floats, codes: NDArray[np.int8], scales: Floats, block_sums: NDArray[np.int16]
) -> None:
    """fused: x times the scale's inverse is not rounded to float32 before it is rounded to a code."""

def matmul_i2_s(
    set: str,
    packed: Bytes,
    weight_scale: float,
    codes: NDArray[np.int8],
    scales: Floats,
    sums: NDArray[np.int32],
    out: Floats,
) -> None:
    """packed (rows * cols / 4,) without the tail; codes (tokens, cols); out (tokens, rows)."""

def matmul_q8_k(
    set: str,
    format: str,
    sums: str,
    packed: Bytes,
    codes: NDArray[np.int8],
    scales: Floats,
    block_sums: NDArray[np.int16],
    out: Floats,
) -> None:
    """codes (tokens, cols), scales (tokens, cols / 256), block_sums (tokens, cols / 16), out (tokens, rows).

    sums  as include/bitnet/kernels.hpp names them
    """

def quantize_q8_0(set: str, x: Floats, codes: NDArray[np.int8], scales: Floats, value_sums: Floats) -> None:
    """scales and value_sums (n / 32,) are F16 numbers; a value sum is the scale times the sum of codes."""

def matmul_q8_0(
    set: str,
    format: str,
    sums: str,
    packed: Bytes,
    codes: NDArray[np.int8],
    scales: Floats,
    value_sums: Floats,
    out: Floats,
) -> None:
    """codes (tokens, cols), scales and value_sums (tokens, cols / 32), out (tokens, rows)."""

def sums_of(format: str) -> list[str]:
    """The ways to sum that a format has in some arithmetic, as include/bitnet/kernels.hpp names them."""

def orders() -> list[str]:
    """The orders of float sums: names of the instruction sets of the ggml builds that they are those of."""

def matmul_float(
    set: str,
    order: str,
    format: Literal["F32", "F16", "BF16"],
    sum: Literal["dot", "dot_gcc", "tile"],
    packed: Bytes,
    x: Floats,
    out: Floats,
) -> None:
    """x (tokens, cols), out (tokens, rows); GCC's dot product is one of its own for F32 only."""

def round_to(set: str, format: Literal["F16", "BF16"], x: Floats, out: Floats) -> None: ...
def to_f16(set: str, x: Floats, out: NDArray[np.uint16]) -> None: ...
def from_f16(set: str, x: NDArray[np.uint16], out: Floats) -> None: ...
def rms_norm(set: str, x: Floats, weight: Floats, eps: float, out: Floats) -> None: ...
def softmax(set: str, order: str, row: Floats, scale: float) -> None: ...
def silu_mul(set: str, order: str, gate: Floats, up: Floats, out: Floats) -> None: ...
def relu2_mul(set: str, gate: Floats, up: Floats, out: Floats) -> None: ...
def add(set: str, x: Floats, y: Floats, out: Floats) -> None: ...
def rotate(
    set: str, pairs: Literal["neox", "norm"], in_fours: bool, x: Floats, cos: Floats, sin: Floats
) -> None:
    """in_fours: in whole groups of four pairs the product with cos is rounded, not that with sin."""
