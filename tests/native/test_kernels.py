"""Every kernel of every kernel set that runs here, on sizes around its block, misaligned, guarded, poisoned.

Integers are compared exactly with NumPy's; floats with a float64 sum, within the rounding errors of a float32
sum of that length; and every set with `portable`, bit for bit, because that is promised.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bitparity.formats import get_format
from bitparity_native._core import kernels

EPS = 2.0**-24  # half a unit in the last place of a float32 of size one
HALF_EPS = 2.0**-11  # the same of an F16
OFFSETS = (0, 4, 12)  # bytes; none but 0 is aligned for a vector
INPUTS = ("normal", "zeros", "largest", "one value", "denormal")


def draw(name: str, n: int, seed: int = 0) -> NDArray[np.float32]:
    x = np.random.default_rng(seed).standard_normal(n).astype(np.float32)
    if name == "zeros":
        x[:] = 0
    if name == "largest":  # every code 127 or -127
        x = np.sign(x) * np.float32(3)
    if name == "one value":
        x[:] = 0
        x[n // 2] = -7
    if name == "denormal":
        x *= np.float32(1e-39)
    return x


def same_bits(actual: NDArray[Any], expected: NDArray[Any]) -> bool:
    return actual.shape == expected.shape and actual.tobytes() == expected.tobytes()


# Quantisation of activations


@pytest.mark.parametrize("n", [1, 7, 31, 32, 33, 128, 2560])
@pytest.mark.parametrize("kind", INPUTS)
def test_quantize_i8_rounds_half_to_even_at_the_scale_of_the_row(kernel_set, guarded, n, kind):
    x = guarded.copy(draw(kind, n), 4)
    codes = guarded.empty(n, np.int8, 3)
    scale, total = kernels.quantize_i8(kernel_set, x, codes)
    assert scale == np.float32(127.0 / max(float(np.abs(x).max()), 1e-5))
    expected = np.clip(np.rint(x * np.float32(scale)), -128, 127).astype(np.int8)
    assert np.array_equal(codes, expected)
    assert total == expected.sum(dtype=np.int64)
    guarded.check()


def test_quantize_i8_rounds_ties_to_even(kernel_set):
    x = np.array([127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 63.5], dtype=np.float32)
    codes = np.empty(8, dtype=np.int8)
    kernels.quantize_i8(kernel_set, x, codes)
    assert codes.tolist() == [127, 0, 2, 2, 0, -2, -2, 64]


def test_quantize_i8_gives_zero_for_nan(kernel_set):
    x = np.array([np.nan] * 40 + [1.0] * 3, dtype=np.float32)
    codes = np.empty(43, dtype=np.int8)
    _, total = kernels.quantize_i8(kernel_set, x, codes)
    assert codes.tolist() == [0] * 40 + [127] * 3
    assert total == 381


@pytest.mark.parametrize("n", [256, 512, 2560])
@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("fused", [False, True])
def test_quantize_q8_k_makes_the_largest_value_minus_127(kernel_set, guarded, fused, n, kind):
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


# 16-bit floats


def test_f16_conversions_of_every_bit_pattern_equal_numpy(kernel_set):
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
def test_rounding_to_f16_equals_numpy(kernel_set, guarded, n):
    bits = np.random.default_rng(n).integers(0, 2**32, n, dtype=np.uint32)
    ties = np.float32(1 + (2 * np.arange(n) + 1) * 2.0**-11)  # halfway between two F16 values
    for x in (bits.view(np.float32), ties, np.float32(65519.996) * np.ones(n, np.float32)):
        out = guarded.empty(n, np.float32)
        kernels.round_to(kernel_set, "F16", guarded.copy(x, 4), out)
        with np.errstate(over="ignore"):
            expected = x.astype(np.float16).astype(np.float32)
        assert np.array_equal(out, expected, equal_nan=True)
    guarded.check()


@pytest.mark.parametrize("n", [1, 8, 9, 4096])
def test_rounding_to_bf16_is_to_nearest_even(kernel_set, guarded, n):
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


# Ternary matmuls


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


# rows, tokens; rows of one token are read in up to four streams of equal length, and what is left one by one
TERNARY_SHAPES = [(1, 1), (2, 1), (3, 2), (4, 1), (11, 1), (20, 1), (5, 4), (7, 5), (9, 13), (16, 3)]
# where tables of sums replace products: at least 256 rows and 32 tokens, in passes of 1280 and 128
TABLE_SHAPES = [(255, 32), (256, 31), (256, 32), (257, 33), (300, 64), (263, 129), (1283, 161)]


@pytest.mark.parametrize("kind", ["random", "extreme", "lowest", "late", "odd groups", "zero"])
@pytest.mark.parametrize("cols", [128, 256, 1920, 2048, 6912])
@pytest.mark.parametrize(("rows", "tokens"), TERNARY_SHAPES)
def test_i2_s_matmul_is_exact(kernel_set, guarded, rows, tokens, cols, kind):
    weights, codes = ternary_case(rows, cols, tokens, kind)
    packed = get_format("I2_S").pack_codes(weights, 1.0)[: rows * cols // 4]
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


@pytest.mark.parametrize("kind", ["random", "extreme", "lowest"])
@pytest.mark.parametrize("cols", [128, 384, 1024])
@pytest.mark.parametrize(("rows", "tokens"), TABLE_SHAPES)
def test_i2_s_matmul_of_many_tokens_is_exact(kernel_set, guarded, rows, tokens, cols, kind):
    test_i2_s_matmul_is_exact(kernel_set, guarded, rows, tokens, cols, kind)


@pytest.mark.parametrize("kind", ["random", "extreme", "zero"])
@pytest.mark.parametrize("cols", [256, 512, 2560])
@pytest.mark.parametrize(("rows", "tokens"), TERNARY_SHAPES)
@pytest.mark.parametrize("kept", ["fused", "apart", "one"])
@pytest.mark.parametrize("name", ["TQ1_0", "TQ2_0"])
def test_q8_k_matmul_is_exact_with_scales_of_one(kernel_set, guarded, name, kept, rows, tokens, cols, kind):
    weights, codes = ternary_case(rows, cols, tokens, kind)
    packed = guarded.copy(get_format(name).pack_codes(weights, 1.0), 2)
    sums = codes.reshape(tokens, -1, 16).sum(axis=2, dtype=np.int16)
    ones = np.ones((tokens, cols // 256), np.float32)
    out = guarded.empty((tokens, rows), np.float32, 4)
    kernels.matmul_q8_k(kernel_set, name, kept, packed, guarded.copy(codes, 1), ones, sums, out)
    exact = codes.astype(np.int64) @ weights.T.astype(np.int64)
    assert np.array_equal(out, exact)  # below 2^24: a float32 holds it
    guarded.check()


@pytest.mark.parametrize("kept", ["fused", "apart", "one"])
@pytest.mark.parametrize("name", ["TQ1_0", "TQ2_0"])
def test_q8_k_matmul_applies_both_scales_of_a_block(kernel_set, name, kept):
    rng = np.random.default_rng(5)
    rows, tokens, cols = 6, 7, 1024
    weights, codes = ternary_case(rows, cols, tokens, "random")
    scales = rng.uniform(-0.1, 0.1, (tokens, cols // 256)).astype(np.float32)
    packed = get_format(name).pack_codes(weights, 0.375)
    sums = codes.reshape(tokens, -1, 16).sum(axis=2, dtype=np.int16)
    out, portable = np.empty((2, tokens, rows), np.float32)
    kernels.matmul_q8_k(kernel_set, name, kept, packed, codes, scales, sums, out)
    kernels.matmul_q8_k("portable", name, kept, packed, codes, scales, sums, portable)
    x = codes * scales.astype(np.float64).repeat(256, axis=1)
    terms = np.abs(x) @ np.abs(weights.T * 0.375)
    # a block's integers are exact; its scales and its lane's sum round once each, then three levels of lanes
    limit = (2 + cols // 256 + 3) * EPS * terms
    assert (np.abs(out - x @ (weights.T * 0.375)) <= limit).all()
    assert same_bits(out, portable)


# Float matmuls


def float_bytes(name: str, weights: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    if name == "F32":
        return weights.reshape(-1).view(np.uint8), weights
    if name == "F16":
        half = weights.astype(np.float16)
        return half.reshape(-1).view(np.uint8), half.astype(np.float32)
    bits = weights.view(np.uint32) >> 16
    return bits.astype(np.uint16).reshape(-1).view(np.uint8), (bits << 16).view(np.float32)


def check_float_matmul(
    kernel_set: str, order: str, name: str, sum: Any, shape: tuple[int, int, int], guarded: Any
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
@pytest.mark.parametrize(("rows", "tokens"), [*TERNARY_SHAPES, (5, 13)])
@pytest.mark.parametrize("sum", ["dot", "tile"])
@pytest.mark.parametrize("name", ["F32", "F16", "BF16"])
def test_float_matmul_keeps_its_order_in_every_set(kernel_set, order, guarded, name, sum, rows, tokens, cols):
    check_float_matmul(kernel_set, order, name, sum, (rows, tokens, cols), guarded)


@pytest.mark.parametrize("cols", [8, 40])
@pytest.mark.parametrize("order", ["avx2", "neon", "neon_fp16"])
@pytest.mark.parametrize("name", ["F32", "F16", "BF16"])
def test_float_tile_of_short_lanes_takes_eight_columns(kernel_set, order, guarded, name, cols):
    check_float_matmul(kernel_set, order, name, "tile", (5, 3, cols), guarded)


@pytest.mark.parametrize("cols", [1, 5, 33, 63, 95, 127])
@pytest.mark.parametrize("sum", ["dot", "dot of gcc"])
@pytest.mark.parametrize("name", ["F32", "F16", "BF16"])
def test_float_dot_adds_what_is_left_after_the_last_whole_step(kernel_set, order, guarded, name, sum, cols):
    check_float_matmul(kernel_set, order, name, sum, (3, 2, cols), guarded)


@pytest.mark.parametrize(("order", "group"), [("avx2", 4), ("avx512", 8)])
def test_dot_of_gcc_rounds_the_products_of_whole_groups(kernel_set, order, group):
    """-(1 + 2^-22) + (1 + 2^-23)^2 is 0 when the product is rounded first, and 2^-46 by an fma."""
    value, square = np.float32(1 + 2**-23), np.float32(1 + 2**-22)
    for cols, expected in ((group, 0.0), (group - 1, 2.0**-46)):
        x, weights = np.zeros((1, cols), np.float32), np.zeros((1, cols), np.float32)
        x[0, :2], weights[0, :2] = (-1, value), (square, value)
        out = np.empty((1, 1), np.float32)
        packed = weights.view(np.uint8).ravel()
        kernels.matmul_float(kernel_set, order, "F32", "dot of gcc", packed, x, out)
        assert out[0, 0] == expected


@pytest.mark.parametrize("spread", [1e-3, 1.0, 30.0])  # sums that are subnormal, ordinary, and beyond F16
def test_f16_tile_of_neon_fp16_rounds_every_sum_to_f16(kernel_set, spread):
    rng = np.random.default_rng(3)
    weights, x = (rng.standard_normal((2, 64, 256)) * spread).astype(np.float16)
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


def test_orders_of_float_sums_differ(order):
    """A test that takes one order for another would see it: no two give the same bits on 256 columns."""
    rng = np.random.default_rng(0)
    weights, x = rng.standard_normal((16, 256)).astype(np.float32), rng.standard_normal((1, 256))
    results = {}
    for other in kernels.orders():
        results[other] = np.empty((2, 1, 16), np.float32)
        for name, out in zip(("F16", "BF16"), results[other], strict=True):
            packed, _ = float_bytes(name, weights)
            kernels.matmul_float("portable", other, name, "dot", packed, x.astype(np.float32), out)
    assert [other for other in results if same_bits(results[other], results[order])] == [order]


@pytest.mark.parametrize("sum", ["dot", "tile"])
def test_bf16_by_pairs_takes_subnormal_numbers_for_zero(kernel_set, sum):
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


# Element-wise


@pytest.mark.parametrize("n", [1, 7, 8, 9, 256, 6912])
@pytest.mark.parametrize("kind", INPUTS)
def test_rms_norm_is_within_rounding_of_float64(kernel_set, guarded, n, kind):
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


def test_rms_norm_adds_one_by_one_where_the_order_decides(kernel_set):
    # One by one the eight small squares vanish, and the mean is 0.5 + 2^-25, halfway between two floats;
    # added to each other first, they take it beyond.
    x = np.float32([1] * 7 + [1 + 2**-22] + [2**-26] * 8)
    out, portable = np.empty_like(x), np.empty_like(x)
    kernels.rms_norm(kernel_set, x, np.ones_like(x), 0.0, out)
    kernels.rms_norm("portable", x, np.ones_like(x), 0.0, portable)
    assert portable[0] == np.float32(1) / np.sqrt(np.float32(0.5))
    assert same_bits(out, portable)


@pytest.mark.parametrize("n", [16, 32, 48, 256, 4096])
@pytest.mark.parametrize("spread", [0.1, 10.0, 300.0])
def test_softmax_is_within_rounding_of_float64(kernel_set, order, guarded, n, spread):
    x = draw("normal", n) * np.float32(spread)
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
@pytest.mark.parametrize("spread", [1.0, 50.0, 1000.0])
def test_silu_times_up_is_within_rounding_of_float64(kernel_set, order, guarded, n, spread):
    gate, up = draw("normal", n) * np.float32(spread), draw("normal", n, 1)
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
def test_squared_relu_times_up_is_within_rounding_of_float64(kernel_set, guarded, n):
    gate, up = draw("normal", n) * np.float32(50), draw("normal", n, 1)
    out, portable = guarded.empty(n, np.float32, 4), np.empty(n, np.float32)
    kernels.relu2_mul(kernel_set, guarded.copy(gate, 4), guarded.copy(up, 12), out)
    kernels.relu2_mul("portable", gate, up, portable)
    assert np.allclose(out, np.maximum(gate.astype(np.float64), 0) ** 2 * up, rtol=2 * EPS, atol=2.0**-126)
    assert same_bits(out, portable)
    guarded.check()


def test_silu_may_write_over_its_gate(kernel_set, order):
    gate, up = draw("normal", 67), draw("normal", 67, 1)
    apart = np.empty(67, np.float32)
    kernels.silu_mul(kernel_set, order, gate, up, apart)
    kernels.silu_mul(kernel_set, order, gate, up, gate)
    assert same_bits(gate, apart)


def test_squared_relu_may_write_over_its_gate(kernel_set):
    gate, up = draw("normal", 67), draw("normal", 67, 1)
    apart = np.empty(67, np.float32)
    kernels.relu2_mul(kernel_set, gate, up, apart)
    kernels.relu2_mul(kernel_set, gate, up, gate)
    assert same_bits(gate, apart)


@pytest.mark.parametrize("n", [1, 8, 13, 2560])
def test_add_is_exactly_rounded(kernel_set, guarded, n):
    x, y, out = draw("normal", n), draw("normal", n, 1), guarded.empty(n, np.float32, 4)
    kernels.add(kernel_set, guarded.copy(x, 4), guarded.copy(y, 12), out)
    assert same_bits(out, x + y)
    guarded.check()


@pytest.mark.parametrize("n_pairs", [1, 7, 8, 9, 32, 64])
@pytest.mark.parametrize("pairs", ["neox", "norm"])
@pytest.mark.parametrize("in_fours", [False, True])
def test_rotate_turns_the_pairs_of_its_convention(kernel_set, guarded, in_fours, pairs, n_pairs):
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
def test_rotate_rounds_the_product_that_its_order_says(kernel_set, in_fours):
    """Five pairs: a group of four, and one that is left."""
    value = np.float32(1 + 2**-13)  # its square needs more than 24 bits
    x, angles = np.full(10, value), np.full(5, value)
    kernels.rotate(kernel_set, "norm", in_fours, x, angles, angles)
    lost = 2.0**-26  # of the square when it is rounded; the other product is exact within the fma
    expected = np.full(5, lost)
    if in_fours:
        expected[:4] = -lost
    assert np.array_equal(x[::2], expected)


@pytest.mark.parametrize("order", ["neon", "neon_fp16"])
def test_f32_dot_of_neon_rounds_the_products_of_whole_groups_of_eight(kernel_set, order):
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
