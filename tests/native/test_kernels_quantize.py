"""The kernels that quantise activations, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from bitparity_native._core import kernels
from native.guarded import Guarded
from native.kernel_cases import INPUTS, draw


@pytest.mark.parametrize("n", [1, 7, 31, 32, 33, 128, 2560])
@pytest.mark.parametrize("kind", INPUTS)
def test_quantize_i8_rounds_half_to_even_at_the_scale_of_the_row(
    kernel_set: str, guarded: Guarded, n: int, kind: str
) -> None:
    x = guarded.copy(draw(kind, n), 4)
    codes = guarded.empty(n, np.int8, 3)
    scale, total = kernels.quantize_i8(kernel_set, x, codes)
    assert scale == np.float32(127.0 / max(float(np.abs(x).max()), 1e-5))
    expected = np.clip(np.rint(x * np.float32(scale)), -128, 127).astype(np.int8)
    assert np.array_equal(codes, expected)
    assert total == expected.sum(dtype=np.int64)
    guarded.check()


def test_quantize_i8_rounds_ties_to_even(kernel_set: str) -> None:
    x = np.array([127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 63.5], dtype=np.float32)
    codes = np.empty(8, dtype=np.int8)
    kernels.quantize_i8(kernel_set, x, codes)
    assert codes.tolist() == [127, 0, 2, 2, 0, -2, -2, 64]


def test_quantize_i8_gives_zero_for_nan(kernel_set: str) -> None:
    x = np.array([np.nan] * 40 + [1.0] * 3, dtype=np.float32)
    codes = np.empty(43, dtype=np.int8)
    _, total = kernels.quantize_i8(kernel_set, x, codes)
    assert codes.tolist() == [0] * 40 + [127] * 3
    assert total == 381


@pytest.mark.parametrize("n", [256, 512, 2560])
@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("fused", [False, True])
def test_quantize_q8_k_makes_the_largest_value_minus_127(
    kernel_set: str, guarded: Guarded, fused: bool, n: int, kind: str
) -> None:
    x = guarded.copy(draw(kind, n), 4)
    codes = guarded.empty(n, np.int8, 5)
    scales, sums = guarded.empty(n // 256, np.float32), guarded.empty(n // 16, np.int16, 2)
    kernels.quantize_q8_k(kernel_set, fused, x, codes, scales, sums)
    for block, values in enumerate(x.reshape(-1, 256)):
        part = codes.reshape(-1, 256)[block]
        largest = values[np.abs(values).argmax()]
        if largest == 0:
            assert scales[block] == 0
            assert not part.any()
            continue
        with np.errstate(over="ignore"):
            inverse = np.float32(-127) / largest
        assert scales[block] == np.float32(1) / inverse
        factor = inverse if np.isfinite(inverse) else np.float32(0)
        scaled = values.astype(np.float64) * factor if fused else values * factor  # float64: exact
        assert np.array_equal(part, np.minimum(np.rint(scaled), 127).astype(np.int8))
    assert np.array_equal(sums, codes.reshape(-1, 16).sum(axis=1, dtype=np.int16))
    guarded.check()
