"""The ternary matmuls: sums of integers, so they are compared exactly."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from bitparity.formats.base import TernaryFormat
from bitparity.formats.i2_s import I2_S
from bitparity.formats.tq1_0 import TQ1_0
from bitparity.formats.tq2_0 import TQ2_0
from bitparity_native._core import kernels
from native.guarded import Guarded
from native.kernel_cases import EPS, MATMUL_SHAPES, same_bits

Sums = Literal["lanes", "lanes_rounded", "one"]


def ternary_case(rows: int, cols: int, tokens: int, kind: str) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    rng = np.random.default_rng(rows * cols + tokens)
    weights = rng.integers(-1, 2, (rows, cols)).astype(np.int8)
    codes = rng.integers(-127, 128, (tokens, cols)).astype(np.int8)
    if kind == "extreme":  # the largest sums there are: would overflow 16 bits if widened too late
        weights[:] = 1
        weights[rows // 2 :] = -1
        codes[:] = -128
        codes[tokens // 2 :] = 127
    if kind == "lowest":  # as far down as 16 bits go
        weights[:], codes[:] = 1, -128
    if kind == "late":  # small at first, so that many blocks fit in 16 bits, and then as low as it goes
        weights[:], codes[:, : cols // 2], codes[:, cols // 2 :] = 1, 1, -128
    if kind == "odd groups":  # of 32 columns, whose codes a kernel may weigh otherwise than those of the even
        weights[:], codes[:] = 1, -128
        codes.reshape(tokens, -1, 32)[:, ::2] = 0
    if kind == "zero":
        weights[:] = 0
    return weights, codes


# where tables of sums replace products: at least 32 tokens, and 256 rows with AVX2 or 512 with AVX-512;
# in passes of 1280 rows and 128 tokens
TABLE_SHAPES = [(255, 32), (256, 31), (256, 32), (257, 33), (263, 129)]
TABLE_SHAPES += [(511, 32), (512, 31), (513, 33), (520, 64), (1283, 161)]


def assert_i2_s_matmul_is_exact(
    kernel_set: str, guarded: Guarded, rows: int, tokens: int, cols: int, kind: str
) -> None:
    """Integers are, and the floats that are made of them have one rounding after the other."""
    weights, codes = ternary_case(rows, cols, tokens, kind)
    packed = I2_S.pack_codes(weights, 1.0)[: rows * cols // 4]
    scales = np.random.default_rng(1).uniform(5, 90, tokens).astype(np.float32)
    sums = codes.sum(axis=1, dtype=np.int32)
    out = guarded.empty((tokens, rows), np.float32, 4)
    kernels.matmul_i2_s(kernel_set, guarded.copy(packed, 1), 0.07, guarded.copy(codes, 3), scales, sums, out)
    raw = codes.astype(np.int64) @ (weights.T + 1).astype(np.int64)
    expected = (
        (raw.astype(np.float32) - sums[:, None].astype(np.float32)) / scales[:, None] * np.float32(0.07)
    )
    assert same_bits(out, expected)
    guarded.check()


@pytest.mark.parametrize("kind", ["random", "extreme", "lowest", "late", "odd groups", "zero"])
@pytest.mark.parametrize("cols", [128, 256, 1920, 2048, 6912])
@pytest.mark.parametrize(("rows", "tokens"), MATMUL_SHAPES)
def test_i2_s_matmul_is_exact(
    kernel_set: str, guarded: Guarded, rows: int, tokens: int, cols: int, kind: str
) -> None:
    assert_i2_s_matmul_is_exact(kernel_set, guarded, rows, tokens, cols, kind)


@pytest.mark.parametrize("kind", ["random", "extreme", "lowest"])
@pytest.mark.parametrize("cols", [128, 384, 1024])
@pytest.mark.parametrize(("rows", "tokens"), TABLE_SHAPES)
def test_i2_s_matmul_of_many_tokens_is_exact(
    kernel_set: str, guarded: Guarded, rows: int, tokens: int, cols: int, kind: str
) -> None:
    assert_i2_s_matmul_is_exact(kernel_set, guarded, rows, tokens, cols, kind)


@pytest.mark.parametrize("kind", ["random", "extreme", "zero"])
@pytest.mark.parametrize("cols", [256, 512, 2560])
@pytest.mark.parametrize(("rows", "tokens"), MATMUL_SHAPES)
@pytest.mark.parametrize("kept", ["lanes", "lanes_rounded", "one"])
@pytest.mark.parametrize("form", [TQ1_0, TQ2_0], ids=lambda f: f.name)
def test_q8_k_matmul_is_exact_with_scales_of_one(
    kernel_set: str,
    guarded: Guarded,
    form: TernaryFormat,
    kept: Sums,
    rows: int,
    tokens: int,
    cols: int,
    kind: str,
) -> None:
    weights, codes = ternary_case(rows, cols, tokens, kind)
    packed = guarded.copy(form.pack_codes(weights, 1.0), 2)
    sums = codes.reshape(tokens, -1, 16).sum(axis=2, dtype=np.int16)
    ones = np.ones((tokens, cols // 256), np.float32)
    out = guarded.empty((tokens, rows), np.float32, 4)
    kernels.matmul_q8_k(kernel_set, form.name, kept, packed, guarded.copy(codes, 1), ones, sums, out)
    exact = codes.astype(np.int64) @ weights.T.astype(np.int64)
    assert np.array_equal(out, exact)  # below 2^24: a float32 holds it
    guarded.check()


@pytest.mark.parametrize("kept", ["lanes", "lanes_rounded", "one"])
@pytest.mark.parametrize("form", [TQ1_0, TQ2_0], ids=lambda f: f.name)
def test_q8_k_matmul_applies_both_scales_of_a_block(kernel_set: str, form: TernaryFormat, kept: Sums) -> None:
    rng = np.random.default_rng(5)
    rows, tokens, cols = 6, 7, 1024
    weights, codes = ternary_case(rows, cols, tokens, "random")
    scales = rng.uniform(-0.1, 0.1, (tokens, cols // 256)).astype(np.float32)
    packed = form.pack_codes(weights, 0.375)
    sums = codes.reshape(tokens, -1, 16).sum(axis=2, dtype=np.int16)
    out, portable = np.empty((2, tokens, rows), np.float32)
    kernels.matmul_q8_k(kernel_set, form.name, kept, packed, codes, scales, sums, out)
    kernels.matmul_q8_k("portable", form.name, kept, packed, codes, scales, sums, portable)
    x = codes * scales.astype(np.float64).repeat(256, axis=1)
    terms = np.abs(x) @ np.abs(weights.T * 0.375)
    # a block's integers are exact; its scales and its lane's sum round once each, then three levels of lanes
    limit = (2 + cols // 256 + 3) * EPS * terms
    assert (np.abs(out - x @ (weights.T * 0.375)) <= limit).all()
    assert same_bits(out, portable)
