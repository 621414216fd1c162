"""The float matmuls: within the rounding of a float32 sum, and equal to `portable` to the bit."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from bitparity_native._core import kernels
from native.guarded import Guarded
from native.kernel_cases import EPS, MATMUL_SHAPES, same_bits

Format = Literal["F32", "F16", "BF16"]
Dot = Literal["dot", "dot_gcc", "tile"]
HALF_EPS = 2.0**-11  # half a unit in the last place of an F16 of size one


def float_bytes(name: Format, weights: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    if name == "F32":
        return weights.reshape(-1).view(np.uint8), weights
    if name == "F16":
        half = weights.astype(np.float16)
        return half.reshape(-1).view(np.uint8), half.astype(np.float32)
    bits = weights.view(np.uint32) >> 16
    return bits.astype(np.uint16).reshape(-1).view(np.uint8), (bits << 16).view(np.float32)


def check_float_matmul(
    kernel_set: str, order: str, name: Format, sum: Dot, shape: tuple[int, int, int], guarded: Guarded
) -> None:
    """Rows x tokens x cols, against float64 within rounding and against `portable` to the bit."""
    rows, tokens, cols = shape
    rng = np.random.default_rng(cols + rows)
    packed, weights = float_bytes(name, rng.standard_normal((rows, cols)).astype(np.float32))
    x = rng.standard_normal((tokens, cols)).astype(np.float32)
    out, portable = guarded.empty((tokens, rows), np.float32, 4), np.empty((tokens, rows), np.float32)
    kernels.matmul_float(kernel_set, order, name, sum, guarded.copy(packed, 2), guarded.copy(x, 4), out)
    kernels.matmul_float("portable", order, name, sum, packed, x, portable)
    terms = np.abs(x).astype(np.float64) @ np.abs(weights.T)
    eps = HALF_EPS if (order, name) == ("neon_fp16", "F16") else EPS  # the precision of its sums
    assert (np.abs(out - x.astype(np.float64) @ weights.T) <= (cols + 8) * eps * terms).all()
    assert same_bits(out, portable)
    guarded.check()


@pytest.mark.parametrize("cols", [32, 64, 96, 256, 2560])
@pytest.mark.parametrize(("rows", "tokens"), [*MATMUL_SHAPES, (5, 13)])
@pytest.mark.parametrize("sum", ["dot", "tile"])
@pytest.mark.parametrize("name", ["F32", "F16", "BF16"])
def test_float_matmul_keeps_its_order_in_every_set(
    kernel_set: str, order: str, guarded: Guarded, name: Format, sum: Dot, rows: int, tokens: int, cols: int
) -> None:
    check_float_matmul(kernel_set, order, name, sum, (rows, tokens, cols), guarded)


@pytest.mark.parametrize("cols", [8, 40])
@pytest.mark.parametrize("order", ["avx2", "neon", "neon_fp16"])
@pytest.mark.parametrize("name", ["F32", "F16", "BF16"])
def test_float_tile_of_short_lanes_takes_eight_columns(
    kernel_set: str, order: str, guarded: Guarded, name: Format, cols: int
) -> None:
    check_float_matmul(kernel_set, order, name, "tile", (5, 3, cols), guarded)


@pytest.mark.parametrize("cols", [1, 5, 33, 63, 95, 127])
@pytest.mark.parametrize(("rows", "tokens"), [(3, 2), (9, 7)])
@pytest.mark.parametrize(
    ("name", "sum"), [("F32", "dot"), ("F32", "dot_gcc"), ("F16", "dot"), ("BF16", "dot")]
)
def test_float_dot_adds_what_is_left_after_the_last_whole_step(
    kernel_set: str, order: str, guarded: Guarded, name: Format, sum: Dot, rows: int, tokens: int, cols: int
) -> None:
    check_float_matmul(kernel_set, order, name, sum, (rows, tokens, cols), guarded)


def test_zeros_beyond_the_last_whole_step_change_no_bit(kernel_set: str, order: str) -> None:
    """Attention leaves the padding of probabilities out there, beside values that are not zero."""
    step = {"avx2": 32, "avx512": 64, "avx512_bf16": 64, "neon": 16, "neon_fp16": 32}[order]
    rng = np.random.default_rng(step)
    packed, weights = float_bytes("F16", rng.standard_normal((9, 2 * step - 1)).astype(np.float32))
    x = rng.standard_normal((7, 2 * step - 1)).astype(np.float32)
    x[:, step + 3 :] = 0
    padded, cut = np.empty((7, 9), np.float32), np.empty((7, 9), np.float32)
    kernels.matmul_float(kernel_set, order, "F16", "dot", packed, x, padded)
    packed, _ = float_bytes("F16", np.ascontiguousarray(weights[:, : step + 3]))
    kernels.matmul_float(kernel_set, order, "F16", "dot", packed, x[:, : step + 3].copy(), cut)
    assert same_bits(cut, padded)


@pytest.mark.parametrize(("order", "group"), [("avx2", 4), ("avx512", 8)])
def test_dot_of_gcc_rounds_the_products_of_whole_groups(kernel_set: str, order: str, group: int) -> None:
    """-(1 + 2^-22) + (1 + 2^-23)^2 is 0 when the product is rounded first, and 2^-46 by an fma."""
    value, square = np.float32(1 + 2**-23), np.float32(1 + 2**-22)
    for cols, expected in ((group, 0.0), (group - 1, 2.0**-46)):
        x, weights = np.zeros((1, cols), np.float32), np.zeros((1, cols), np.float32)
        x[0, :2], weights[0, :2] = (-1, value), (square, value)
        out = np.empty((1, 1), np.float32)
        packed = weights.view(np.uint8).ravel()
        kernels.matmul_float(kernel_set, order, "F32", "dot_gcc", packed, x, out)
        assert out[0, 0] == expected


@pytest.mark.parametrize("magnitude", [1e-3, 1.0, 30.0])  # sums that are subnormal, ordinary, and beyond F16
def test_f16_tile_of_neon_fp16_rounds_every_sum_to_f16(kernel_set: str, magnitude: float) -> None:
    rng = np.random.default_rng(3)
    weights, x = (rng.standard_normal((2, 64, 256)) * magnitude).astype(np.float16)
    lanes = np.zeros((64, 8), np.float16)
    with np.errstate(over="ignore"):
        for step in range(0, 256, 8):
            exact = weights[:, step : step + 8].astype(np.float64) * x[:1, step : step + 8] + lanes
            lanes = exact.astype(np.float16)
    half = lanes[:, :4].astype(np.float32) + lanes[:, 4:]
    out = np.empty((1, 64), np.float32)
    packed = weights.reshape(-1).view(np.uint8)
    kernels.matmul_float(kernel_set, "neon_fp16", "F16", "tile", packed, x[:1].astype(np.float32), out)
    assert same_bits(out[0], (half[:, 0] + half[:, 1]) + (half[:, 2] + half[:, 3]))


def test_orders_of_float_sums_differ(order: str) -> None:
    """A test that takes one order for another would see it: no two give the same bits on 256 columns."""
    rng = np.random.default_rng(0)
    weights, x = rng.standard_normal((16, 256)).astype(np.float32), rng.standard_normal((1, 256))
    results: dict[str, NDArray[np.float32]] = {}
    names: tuple[Format, Format] = ("F16", "BF16")
    for other in kernels.orders():
        results[other] = np.empty((2, 1, 16), np.float32)
        for name, out in zip(names, results[other], strict=True):
            packed, _ = float_bytes(name, weights)
            kernels.matmul_float("portable", other, name, "dot", packed, x.astype(np.float32), out)
    assert [other for other in results if same_bits(results[other], results[order])] == [order]


@pytest.mark.parametrize("sum", ["dot", "tile"])
def test_bf16_by_pairs_takes_subnormal_numbers_for_zero(kernel_set: str, sum: Dot) -> None:
    """As the instruction vdpbf16ps does, which flushes its inputs and its results."""
    tiny, smallest = np.float32(2.0**-130), np.float32(2.0**-126)
    x = np.zeros((1, 64), np.float32)
    packed, _ = float_bytes("BF16", np.ones((4, 64), np.float32))
    out = np.empty((1, 4), np.float32)
    for value, expected in ((tiny, 0.0), (smallest, float(smallest))):
        x[0, 5] = value
        kernels.matmul_float(kernel_set, "avx512_bf16", "BF16", sum, packed, x, out)
        assert (out == expected).all()
    x[0, 5], x[0, 4] = np.float32(1.5 * 2.0**-126), -smallest  # their sum is subnormal
    kernels.matmul_float(kernel_set, "avx512_bf16", "BF16", sum, packed, x, out)
    assert (out == 0).all()
    halved = smallest * np.float32(0.5)
    assert halved.tobytes() != bytes(4), "subnormal numbers still count as zero after the kernel"


@pytest.mark.parametrize("order", ["neon", "neon_fp16"])
def test_f32_dot_of_neon_rounds_the_products_of_whole_groups_of_eight(kernel_set: str, order: str) -> None:
    """Of 28 columns 16 are a whole step, 8 a group, and 4 left, which are added by fma."""
    value = np.float32(1 + 2**-13)  # its square needs more than 24 bits
    square = np.float32(value * value)
    for column, left in ((17, 0.0), (26, 2.0**-26)):
        packed, x = np.zeros((1, 28), np.float32), np.zeros((1, 28), np.float32)
        packed[0, column - 1], x[0, column - 1] = -square, 1
        packed[0, column], x[0, column] = value, value
        out = np.empty((1, 1), np.float32)
        kernels.matmul_float(kernel_set, order, "F32", "dot", packed.reshape(-1).view(np.uint8), x, out)
        assert out[0, 0] == left
