"""Products of weights in blocks with int8 activations in blocks, in every sum that their formats have."""

from __future__ import annotations

import numpy as np
import pytest

from bitparity.formats import DENSE, FLOATS, ROWS, get_format
from bitparity.formats.q4_1 import Q4_1
from bitparity_native._core import kernels
from native.guarded import Guarded
from native.kernel_cases import EPS, INPUTS, draw, same_bits

IN_BLOCKS = [*(name for name in DENSE if name not in FLOATS), "Q2_0"]
SHAPES = [(1, 1), (11, 1), (5, 4), (9, 7)]
SUMS = [(name, sums) for name in IN_BLOCKS for sums in kernels.sums_of(name)]


@pytest.mark.parametrize("n", [32, 64, 2560])
@pytest.mark.parametrize("kind", INPUTS)
def test_quantize_q8_0_rounds_to_127_parts_of_the_largest(
    kernel_set: str, guarded: Guarded, n: int, kind: str
) -> None:
    x = guarded.copy(draw(kind, n), 4)
    codes, scales = guarded.empty(n, np.int8, 5), guarded.empty(n // 32, np.float32)
    sums = guarded.empty(n // 32, np.float32, 4)
    kernels.quantize_q8_0(kernel_set, x, codes, scales, sums)
    for block, values in enumerate(x.reshape(-1, 32)):
        largest = np.abs(values).max()
        scale = largest / np.float32(127)
        with np.errstate(divide="ignore", over="ignore"):
            inverse = np.float32(127) / largest
        factor = inverse if np.isfinite(inverse) else np.float32(0)
        expected = np.rint(values * factor).astype(np.int8)
        assert np.array_equal(codes.reshape(-1, 32)[block], expected)
        assert scales[block] == np.float32(np.float16(scale))
        assert sums[block] == np.float32(np.float16(scale * np.float32(expected.sum(dtype=np.int64))))
    guarded.check()


@pytest.mark.parametrize("cols", [256, 1024])
@pytest.mark.parametrize(("rows", "tokens"), SHAPES)
@pytest.mark.parametrize(("name", "sums"), SUMS)
def test_matmul_of_blocks_is_the_product_to_rounding_and_portables_to_the_bit(
    kernel_set: str, guarded: Guarded, name: str, sums: str, rows: int, tokens: int, cols: int
) -> None:
    rng = np.random.default_rng(rows * cols + tokens)
    form = get_format(name)
    packed = form.pack(rng.standard_normal((rows, cols), dtype=np.float32))
    codes = rng.integers(-127, 128, (tokens, cols)).astype(np.int8)
    block = 256 if ROWS[name].activations == "Q8_K" else 32
    scales = rng.uniform(0.01, 0.1, (tokens, cols // block)).astype(np.float32)
    x = codes * scales.astype(np.float64).repeat(block, axis=1)
    value_sums = x.reshape(tokens, -1, 32).sum(axis=2).astype(np.float32)
    block_sums = codes.reshape(tokens, -1, 16).sum(axis=2, dtype=np.int16)
    out, portable = guarded.empty((tokens, rows), np.float32, 4), np.empty((tokens, rows), np.float32)
    for set_name, to in ((kernel_set, out), ("portable", portable)):
        data, values = guarded.copy(packed, 1), guarded.copy(codes, 3)
        if block == 256:
            kernels.matmul_q8_k(set_name, name, sums, data, values, scales, block_sums, to)
        else:
            kernels.matmul_q8_0(set_name, name, sums, data, values, scales, value_sums, to)
    weights = form.unpack(packed, rows, cols).astype(np.float64)
    exact = x @ weights.T
    if name == "Q4_1":
        exact += (value_sums - x.reshape(tokens, -1, 32).sum(axis=2)) @ Q4_1.leasts(packed, rows, cols).T
    # stored codes of Q6_K are up to 63 where the weight's is up to 32; every block rounds its scales and
    # its sum
    terms = 4 * np.abs(x) @ np.abs(weights.T) + np.abs(x).sum(axis=1, keepdims=True) * np.abs(weights).max()
    assert (np.abs(out - exact) <= (cols // 32 + 8) * EPS * terms).all()
    assert same_bits(out, portable)
    guarded.check()
