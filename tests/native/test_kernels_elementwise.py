"""The kernels between matmuls: within the rounding of float64, and equal to `portable` to the bit."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from bitparity_native._core import kernels
from native.guarded import Guarded
from native.kernel_cases import EPS, INPUTS, draw, same_bits

Pairs = Literal["neox", "norm"]


@pytest.mark.parametrize("n", [1, 7, 8, 9, 256, 6912])
@pytest.mark.parametrize("kind", INPUTS)
def test_rms_norm_is_within_rounding_of_float64(kernel_set: str, guarded: Guarded, n: int, kind: str) -> None:
    x, weight = draw(kind, n), draw("normal", n, 1)
    out, portable = guarded.empty(n, np.float32, 4), np.empty(n, np.float32)
    kernels.rms_norm(kernel_set, guarded.copy(x, 4), guarded.copy(weight, 12), 1e-5, out)
    kernels.rms_norm("portable", x, weight, 1e-5, portable)
    wide = x.astype(np.float64)
    expected = wide / np.sqrt(np.mean(wide**2) + float(np.float32(1e-5))) * weight
    # rounded: the square (once in a mean), mean, sum with eps, root, reciprocal, two products
    assert np.allclose(out, expected, rtol=7 * EPS, atol=1e-44)
    assert same_bits(out, portable)
    guarded.check()


def test_rms_norm_adds_one_by_one_where_the_order_decides(kernel_set: str) -> None:
    # One by one the eight small squares vanish, and the mean is 0.5 + 2^-25, halfway between two floats;
    # added to each other first, they take it beyond.
    x = np.array([1] * 7 + [1 + 2**-22] + [2**-26] * 8, np.float32)
    out, portable = np.empty_like(x), np.empty_like(x)
    kernels.rms_norm(kernel_set, x, np.ones_like(x), 0.0, out)
    kernels.rms_norm("portable", x, np.ones_like(x), 0.0, portable)
    assert portable[0] == np.float32(1) / np.sqrt(np.float32(0.5))
    assert same_bits(out, portable)


@pytest.mark.parametrize("n", [16, 32, 48, 256, 4096])
@pytest.mark.parametrize("magnitude", [0.1, 10.0, 300.0])
def test_softmax_is_within_rounding_of_float64(
    kernel_set: str, order: str, guarded: Guarded, n: int, magnitude: float
) -> None:
    x = draw("normal", n) * np.float32(magnitude)
    x[-3:] = -np.inf  # positions that are not seen
    row, portable = guarded.copy(x, 4), x.copy()
    kernels.softmax(kernel_set, order, row, 0.125)
    kernels.softmax("portable", order, portable, 0.125)
    scaled = (x * np.float32(0.125)).astype(np.float64)
    shifted = np.float32(scaled) - np.float32(scaled).max()
    expected = np.exp(shifted.astype(np.float64))
    expected /= expected.sum()
    # the polynomial is within 2 units in the last place (4 EPS) above and below the fraction; results below
    # 2^-126 lose bits
    assert np.allclose(row, expected, rtol=(4 + 4 + 4) * EPS, atol=2.0**-126)
    assert (row[-3:] == 0).all()
    assert same_bits(row, portable)
    guarded.check()


@pytest.mark.parametrize("n", [1, 7, 8, 9, 15, 16, 17, 768])
@pytest.mark.parametrize("magnitude", [1.0, 50.0, 1000.0])
def test_silu_times_up_is_within_rounding_of_float64(
    kernel_set: str, order: str, guarded: Guarded, n: int, magnitude: float
) -> None:
    gate, up = draw("normal", n) * np.float32(magnitude), draw("normal", n, 1)
    out, portable = guarded.empty(n, np.float32, 4), np.empty(n, np.float32)
    kernels.silu_mul(kernel_set, order, guarded.copy(gate, 4), guarded.copy(up, 12), out)
    kernels.silu_mul("portable", order, gate, up, portable)
    wide = gate.astype(np.float64)
    with np.errstate(over="ignore"):
        activated = wide / (1 + np.exp(-wide))
    # exponential 4 EPS, then sum, quotient and product; below 2^-126 bits are lost, and times up
    assert np.allclose(out, activated * up, rtol=8 * EPS, atol=2.0**-124)
    assert same_bits(out, portable)
    guarded.check()


@pytest.mark.parametrize("n", [1, 7, 8, 9, 768])
def test_squared_relu_times_up_is_within_rounding_of_float64(
    kernel_set: str, guarded: Guarded, n: int
) -> None:
    gate, up = draw("normal", n) * np.float32(50), draw("normal", n, 1)
    out, portable = guarded.empty(n, np.float32, 4), np.empty(n, np.float32)
    kernels.relu2_mul(kernel_set, guarded.copy(gate, 4), guarded.copy(up, 12), out)
    kernels.relu2_mul("portable", gate, up, portable)
    assert np.allclose(out, np.maximum(gate.astype(np.float64), 0) ** 2 * up, rtol=2 * EPS, atol=2.0**-126)
    assert same_bits(out, portable)
    guarded.check()


def test_silu_may_write_over_its_gate(kernel_set: str, order: str) -> None:
    gate, up = draw("normal", 67), draw("normal", 67, 1)
    separate = np.empty(67, np.float32)
    kernels.silu_mul(kernel_set, order, gate, up, separate)
    kernels.silu_mul(kernel_set, order, gate, up, gate)
    assert same_bits(gate, separate)


def test_squared_relu_may_write_over_its_gate(kernel_set: str) -> None:
    gate, up = draw("normal", 67), draw("normal", 67, 1)
    separate = np.empty(67, np.float32)
    kernels.relu2_mul(kernel_set, gate, up, separate)
    kernels.relu2_mul(kernel_set, gate, up, gate)
    assert same_bits(gate, separate)


@pytest.mark.parametrize("n", [1, 8, 13, 2560])
def test_add_is_exactly_rounded(kernel_set: str, guarded: Guarded, n: int) -> None:
    x, y, out = draw("normal", n), draw("normal", n, 1), guarded.empty(n, np.float32, 4)
    kernels.add(kernel_set, guarded.copy(x, 4), guarded.copy(y, 12), out)
    assert same_bits(out, x + y)
    guarded.check()


@pytest.mark.parametrize("n_pairs", [1, 7, 8, 9, 32, 64])
@pytest.mark.parametrize("pairs", ["neox", "norm"])
@pytest.mark.parametrize("in_fours", [False, True])
def test_rotate_turns_the_pairs_of_its_convention(
    kernel_set: str, guarded: Guarded, in_fours: bool, pairs: Pairs, n_pairs: int
) -> None:
    x = draw("normal", 2 * n_pairs)
    angles = np.linspace(0, 3, n_pairs)
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    turned, portable = guarded.copy(x, 4), x.copy()
    kernels.rotate(kernel_set, pairs, in_fours, turned, guarded.copy(cos, 4), guarded.copy(sin, 12))
    kernels.rotate("portable", pairs, in_fours, portable, cos, sin)
    shape = (2, n_pairs) if pairs == "neox" else (n_pairs, 2)
    axis = 0 if pairs == "neox" else 1
    first, second = np.moveaxis(x.astype(np.float64).reshape(shape), axis, 0)
    expected = np.stack([first * cos - second * sin, first * sin + second * cos], axis=axis).reshape(-1)
    bound = np.stack([np.abs(first) + np.abs(second)] * 2, axis=axis).reshape(-1)
    assert (np.abs(turned - expected) <= 2 * EPS * bound).all()  # one product and one fma round
    assert same_bits(turned, portable)
    guarded.check()


@pytest.mark.parametrize("in_fours", [False, True])
def test_rotate_rounds_the_product_that_its_order_says(kernel_set: str, in_fours: bool) -> None:
    """Five pairs: a group of four, and one that is left."""
    value = np.float32(1 + 2**-13)  # its square needs more than 24 bits
    x, angles = np.full(10, value), np.full(5, value)
    kernels.rotate(kernel_set, "norm", in_fours, x, angles, angles)
    lost = 2.0**-26  # of the square when it is rounded; the other product is exact within the fma
    expected = np.full(5, lost)
    if in_fours:
        expected[:4] = -lost
    assert np.array_equal(x[::2], expected)
