"""The oracle's arithmetic against hand-made numbers and against other ways to say the same."""

from __future__ import annotations

import numpy as np
import pytest

from bitparity.model.rope_scaling import RopeScaling
from bitparity.oracle import ops


def test_quantise_per_token_scales_the_largest_to_127() -> None:
    codes, s = ops.quantise_per_token(np.array([[-2.0, 1.0, 0.0]], np.float32))
    assert codes.tolist() == [[-127, 64, 0]]  # 63.5 is a tie; 64 is even
    assert s.tolist() == [[63.5]]


def test_quantise_per_token_rounds_ties_to_even() -> None:
    codes, _ = ops.quantise_per_token(np.array([[127, 0.5, 1.5, 2.5, -0.5, -1.5]], np.float32))
    assert codes.tolist() == [[127, 0, 2, 2, 0, -2]]


def test_quantise_per_token_of_zeros_has_a_finite_scale() -> None:
    codes, s = ops.quantise_per_token(np.zeros((1, 4), np.float32))
    assert not codes.any()
    assert s[0, 0] == np.float32(127 / 1e-5)


def test_quantise_rounds_the_float32_product_unless_fused() -> None:
    s = np.float32(127) / np.float32(3)
    x = np.nextafter(np.float32(0.5) / s, np.float32(1), dtype=np.float32)
    while not float(x) * float(s) > 0.5:
        x = np.nextafter(x, np.float32(1), dtype=np.float32)
    assert np.float32(x * s) == np.float32(0.5)  # the product rounds onto the tie, from above
    row = np.array([[3.0, x]], np.float32)
    assert ops.quantise_per_token(row)[0].tolist() == [[127, 0]]
    assert ops.quantise_per_token(row, fused=True)[0].tolist() == [[127, 1]]


def test_quantise_q8_k_makes_the_largest_minus_127_whatever_its_sign() -> None:
    x = np.zeros((2, 256), np.float32)
    x[0, :3], x[1, :3] = (4, -4, 2), (-4, 4, 2)
    codes, d = ops.quantise_q8_k(x)
    assert codes[0, :3].tolist() == [-127, 127, -64]  # -63.5 rounds to the even -64
    assert codes[1, :3].tolist() == [-127, 127, 64]
    np.testing.assert_allclose(codes[:, :2] * d, x[:, :2], rtol=2**-23)


def test_quantise_q8_k_of_a_zero_block_is_zero() -> None:
    x = np.zeros((1, 512), np.float32)
    x[0, 256] = 1
    codes, d = ops.quantise_q8_k(x)
    assert not codes[0, :256].any()
    assert d[0, 0] == 0
    assert d[0, 1] != 0


@pytest.mark.parametrize("cols", [1, 127, 256, 6912, 1 << 17])
def test_ternary_dot_is_exact(cols: int) -> None:
    rng = np.random.default_rng(cols)
    v = rng.integers(-128, 128, (2, cols)).astype(np.int8)
    codes = rng.integers(-1, 2, (3, cols)).astype(np.int8)
    v[0], codes[0] = 127, 1  # the largest sum there is
    expected = v.astype(np.int64) @ codes.astype(np.int64).T
    assert (ops.ternary_dot(v, codes) == expected).all()


def test_ternary_matmuls_of_both_kinds_approach_the_float_product() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 512)).astype(np.float32)
    codes = rng.integers(-1, 2, (40, 512)).astype(np.int8)
    exact = x.astype(np.float64) @ codes.T * 0.5
    # int8 rounding is uniform in half a step of max|x| / 127, about 0.03 / sqrt(12) a value of size 1
    limit = 0.02 * np.abs(exact).max()
    per_token = ops.ternary_matmul_per_token(x, codes, np.full((1, 1), 0.5, np.float32))
    q8_k = ops.ternary_matmul_q8_k(x, codes, np.full((40, 2), 0.5, np.float32))
    assert 0 < np.abs(per_token - exact).max() < limit
    assert 0 < np.abs(q8_k - exact).max() < limit


def test_ternary_matmul_q8_k_uses_every_blocks_own_scale() -> None:
    x = np.ones((1, 512), np.float32)
    codes = np.ones((1, 512), np.int8)
    out = ops.ternary_matmul_q8_k(x, codes, np.array([[1, 10]], np.float32))
    np.testing.assert_allclose(out, [[256 + 2560]], rtol=1e-7)


def test_to_bf16_rounds_half_to_even_and_keeps_nan() -> None:
    x = np.array([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, np.nan])
    assert ops.to_bf16(x)[:3].tolist() == [1.0, 1 + 2**-6, 1 + 2**-7]
    assert np.isnan(ops.to_bf16(x)[3])


def test_rotate_norm_pairs_is_multiplication_by_a_unit_complex_number() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 8))
    angles = ops.rope_angles(np.array([0, 7]), 8, 10000.0, None)
    expected = x[..., 0::2] + 1j * x[..., 1::2]
    expected = expected * np.exp(1j * angles)[:, None, :]
    out = ops.rotate(x, angles, "norm")
    np.testing.assert_allclose(out[..., 0::2] + 1j * out[..., 1::2], expected, atol=1e-14)


def test_rotate_neox_is_norm_with_dimensions_reordered() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 8))
    angles = ops.rope_angles(np.array([3, 4]), 8, 10000.0, None)
    interleave = np.arange(8).reshape(2, 4).T.reshape(-1)
    expected = np.empty_like(x)
    expected[..., interleave] = ops.rotate(x[..., interleave], angles, "norm")
    np.testing.assert_allclose(ops.rotate(x, angles, "neox"), expected)


def test_rotate_leaves_dimensions_beyond_rope_dim() -> None:
    x = np.ones((1, 1, 8))
    out = ops.rotate(x, ops.rope_angles(np.array([5]), 4, 10000.0, None), "neox")
    assert (out[..., 4:] == 1).all()
    assert (out[..., :4] != 1).all()


@pytest.mark.parametrize("factors", [None, np.linspace(1, 8, 32)])
def test_rope_recurrence_drifts_by_no_more_than_float32_explains(factors: np.ndarray | None) -> None:
    positions = np.array([0, 1, 100, 4095])
    exact = ops.rope_angles(positions, 64, 500000.0, factors)
    drift = np.abs(ops.rope_angles_by_recurrence(positions, 64, 500000.0, factors) - exact)
    # each step multiplies by a float32 step and rounds: 2 roundings of 2^-24 a pair index
    assert (drift <= (2 * np.arange(32) + 1) * 2**-24 * exact + 1e-300).all()


def test_share_heads_gives_neighbouring_query_heads_the_same_kv_head() -> None:
    kv = np.arange(2.0).reshape(1, 2, 1)
    assert ops.share_heads(kv, 6)[0, :, 0].tolist() == [0, 0, 0, 1, 1, 1]


def test_causal_softmax_sums_to_one_and_sees_nothing_later() -> None:
    scores = np.random.default_rng(0).normal(size=(3, 2, 6)) * 50
    probs = ops.causal_softmax(scores, np.array([3, 4, 5]))
    np.testing.assert_allclose(probs.sum(axis=-1), 1)
    assert (probs[0, :, 4:] == 0).all()
    assert (probs[1, :, 5:] == 0).all()
    expected = np.exp(scores[2] - scores[2].max(-1, keepdims=True))
    np.testing.assert_allclose(probs[2], expected / expected.sum(-1, keepdims=True))


def test_rms_norm_by_hand() -> None:
    out = ops.rms_norm(np.array([[3.0, 4.0]]), np.array([1.0, 2.0]), 12.5)
    np.testing.assert_allclose(out, [[3 / 5, 8 / 5]])


def test_activations_by_hand() -> None:
    x = np.array([-2.0, 0.0, 3.0])
    assert ops.relu2(x).tolist() == [0, 0, 9]
    np.testing.assert_allclose(ops.silu(x), [-2 / (1 + np.e**2), 0, 3 / (1 + np.e**-3)])
    assert ops.silu(np.array([-1e4])).tolist() == [0]


def test_yarn_leaves_fast_pairs_alone_and_divides_slow_ones() -> None:
    scaling = RopeScaling("yarn", 4.0, original_context=4096)
    angles = ops.rope_angles(np.array([100]), 128, 10000.0, None)
    scaled = ops.scale_angles(angles, scaling, 128, 10000.0)
    turns = 4096 * angles[0] / 100 / (2 * np.pi)  # within the original context
    ratio = scaled[0] / angles[0]
    assert (ratio[turns > 40] == 1).all()
    assert (turns > 40).sum() > 10
    np.testing.assert_allclose(ratio[turns < 0.8], 1 / 4, rtol=1e-15)
    assert (turns < 0.8).sum() > 10
    assert (np.diff(ratio) <= 0).all()


def test_linear_scaling_divides_every_angle() -> None:
    angles = ops.rope_angles(np.array([3]), 8, 10000.0, None)
    scaled = ops.scale_angles(angles, RopeScaling("linear", 8.0, 0), 8, 10000.0)
    np.testing.assert_array_equal(scaled, angles / 8)


def test_window_hides_what_lies_further_back() -> None:
    probs = ops.causal_softmax(np.zeros((3, 1, 6)), np.array([3, 4, 5]), window=2)
    expected = [[0, 0, 0.5, 0.5, 0, 0], [0, 0, 0, 0.5, 0.5, 0], [0, 0, 0, 0, 0.5, 0.5]]
    np.testing.assert_array_equal(probs[:, 0], expected)


def test_gelu_by_table_is_gelu_to_the_precision_of_f16() -> None:
    x = np.linspace(-12, 12, 4001)
    np.testing.assert_allclose(ops.gelu_by_table(x), ops.gelu(x), rtol=2e-3, atol=5e-3)
    assert (ops.gelu_by_table(np.array([-10.0, 10.0])) == [0, 10]).all()
