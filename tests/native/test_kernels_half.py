"""The kernels that convert and round 16-bit floats, against NumPy, for every bit pattern or many."""

from __future__ import annotations

import numpy as np
import pytest

from bitparity_native._core import kernels
from native.guarded import Guarded


def test_f16_conversions_of_every_bit_pattern_equal_numpy(kernel_set: str) -> None:
    halves = np.arange(65536, dtype=np.uint16)
    floats = np.empty(65536, dtype=np.float32)
    kernels.from_f16(kernel_set, halves, floats)
    expected = halves.view(np.float16).astype(np.float32)
    assert np.array_equal(floats, expected, equal_nan=True)
    back = np.empty(65536, dtype=np.uint16)
    kernels.to_f16(kernel_set, floats, back)
    is_number = ~np.isnan(expected)
    assert np.array_equal(back[is_number], halves[is_number])
    assert np.isnan(back.view(np.float16)[~is_number]).all()


@pytest.mark.parametrize("n", [1, 7, 8, 9, 4096])
def test_rounding_to_f16_equals_numpy(kernel_set: str, guarded: Guarded, n: int) -> None:
    bits = np.random.default_rng(n).integers(0, 2**32, n, dtype=np.uint32)
    ties = (1 + (2 * np.arange(n) + 1) * 2.0**-11).astype(np.float32)  # halfway between two F16 values
    for x in (bits.view(np.float32), ties, np.full(n, 65519.996, np.float32)):
        out = guarded.empty(n, np.float32)
        kernels.round_to(kernel_set, "F16", guarded.copy(x, 4), out)
        with np.errstate(over="ignore"):
            expected = x.astype(np.float16).astype(np.float32)
        assert np.array_equal(out, expected, equal_nan=True)
    guarded.check()


@pytest.mark.parametrize("n", [1, 8, 9, 4096])
def test_rounding_to_bf16_is_to_nearest_even(kernel_set: str, guarded: Guarded, n: int) -> None:
    bits = np.random.default_rng(n).integers(0, 2**32, n, dtype=np.uint32)
    bits[::3] = (bits[::3] & 0xFFFF0000) | 0x8000  # ties
    out = guarded.empty(n, np.float32)
    kernels.round_to(kernel_set, "BF16", guarded.copy(bits.view(np.float32)), out)
    is_nan = np.isnan(bits.view(np.float32))
    wide = bits.astype(np.uint64)
    expected = ((wide + 0x7FFF + ((wide >> 16) & 1)) & 0xFFFF0000).astype(np.uint32)
    assert np.array_equal(out.view(np.uint32)[~is_nan], expected[~is_nan])
    assert np.isnan(out[is_nan]).all()
    guarded.check()
