"""Each distance against an independent definition, and the inputs that must never pass."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bitparity.compare.metrics import METRICS, TOP_K, compare_logits, relative_l2
from bitparity.errors import ShapeError

LOGITS = arrays(np.float32, 24, elements=st.floats(-30, 30, width=32))


def noisy(seed: int, size: float, n: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    expected = rng.normal(0, 3, n)
    return expected, expected + size * rng.normal(0, 1, n)


def test_equal_logits_have_no_distance() -> None:
    expected, _ = noisy(0, 0)
    m = compare_logits(expected, expected)
    assert (m.one_minus_cosine, m.l2, m.relative_l2, m.max_abs, m.kl) == (0, 0, 0, 0, 0)
    assert m.cosine == 1
    assert m.argmax_equal
    assert m.top_k_overlap == 1
    assert m.contested == 0


def test_distances_equal_their_textbook_definitions() -> None:
    e, a = noisy(1, 0.3)
    m = compare_logits(e, a)
    p, q = np.exp(e) / np.exp(e).sum(), np.exp(a) / np.exp(a).sum()
    assert m.cosine == pytest.approx(e @ a / np.linalg.norm(e) / np.linalg.norm(a), rel=1e-12)
    assert m.one_minus_cosine == pytest.approx(1 - m.cosine, abs=1e-15)
    assert m.l2 == pytest.approx(np.linalg.norm(a - e), rel=1e-12)
    assert m.relative_l2 == pytest.approx(np.linalg.norm(a - e) / np.linalg.norm(e), rel=1e-12)
    assert m.max_abs == np.abs(a - e).max()
    assert m.kl == pytest.approx((p * np.log(p / q)).sum(), rel=1e-9)
    assert m.margin_expected == np.sort(e)[-1] - np.sort(e)[-2]
    assert m.margin_actual == np.sort(a)[-1] - np.sort(a)[-2]
    assert m.rms_expected == pytest.approx(math.sqrt((e**2).mean()), rel=1e-12)


def test_kl_is_the_same_on_both_sides_of_its_switch() -> None:
    """Differences below 1 take the series without cancellation, above 1 the plain log-softmax."""
    e = np.zeros(8)
    for step in (0.999, 1.001):
        a = np.array([step, -step, 0, 0, 0, 0, 0, 0])
        q = np.exp(a) / np.exp(a).sum()
        assert compare_logits(e, a).kl == pytest.approx((np.log(1 / 8 / q) / 8).sum(), rel=1e-12)


def test_small_distances_keep_their_digits() -> None:
    """A change of 1e-9 gives 1 - cosine and KL near 1e-19, which 1 - 0.999... and plain sums cannot show."""
    e, a = noisy(2, 1e-9)
    m = compare_logits(e, a)
    d = (a - e).astype(np.longdouble)
    parallel = (d @ e) / (e @ e) * e
    assert m.one_minus_cosine == pytest.approx(
        float(((d - parallel) @ (d - parallel)) / (e @ e) / 2), rel=1e-4
    )
    p = np.exp(e) / np.exp(e).sum()
    variance = float(p @ (d - p @ d) ** 2)
    assert m.kl == pytest.approx(variance / 2, rel=1e-4)  # second-order expansion, the third is 1e-9 smaller


def test_constant_added_changes_no_probability() -> None:
    e, _ = noisy(3, 0)
    m = compare_logits(e, e + 3)
    assert m.kl == pytest.approx(0, abs=1e-15)
    assert m.argmax_equal
    assert m.one_minus_cosine > 0.01


def test_swapped_best_tokens_are_a_flip() -> None:
    e = np.array([1.0, 5.0, 4.9, 0.0])
    m = compare_logits(e, e[[0, 2, 1, 3]])
    assert not m.argmax_equal
    assert (m.argmax_expected, m.argmax_actual) == (1, 2)
    assert m.contested == pytest.approx(0.1)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("sides", ["expected", "actual", "both"])
def test_not_finite_has_no_distance_that_a_limit_accepts(bad: float, sides: str) -> None:
    e, a = noisy(4, 0.0, 16)
    a = a.copy()
    if sides in ("expected", "both"):
        e[3] = bad
    if sides in ("actual", "both"):
        a[3] = bad
    m = compare_logits(e, a)
    assert m.expected_is_finite == (sides == "actual")
    assert m.actual_is_finite == (sides == "expected")
    assert not m.argmax_equal
    for value in (m.one_minus_cosine, m.cosine, m.l2, m.relative_l2, m.max_abs, m.kl, m.top_k_overlap):
        assert not value <= 1e30


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 3, 127, 128])
@pytest.mark.parametrize("side", [0, 1])
def test_one_bad_value_anywhere_gives_every_metric_what_its_row_says(bad: float, at: int, side: int) -> None:
    pair = np.zeros((2, 129), np.float32)
    pair[side, at] = bad
    m = compare_logits(pair[0], pair[1])
    assert (m.expected_is_finite, m.actual_is_finite) == (side == 1, side == 0)
    for metric in METRICS:
        np.testing.assert_equal(metric.of(m), metric.not_finite)


def test_zero_vectors_are_defined() -> None:
    zero, one = np.zeros(4), np.ones(4)
    both = compare_logits(zero, zero)
    assert (both.one_minus_cosine, both.relative_l2) == (0, 0)
    assert (compare_logits(one, zero).one_minus_cosine, compare_logits(one, zero).relative_l2) == (1, 1)
    assert (compare_logits(zero, one).one_minus_cosine, compare_logits(zero, one).relative_l2) == (
        1,
        math.inf,
    )


@pytest.mark.parametrize(("expected", "actual"), [((0,), (0,)), ((3,), (4,)), ((2, 3), (2, 3)), ((1,), (3,))])
def test_shapes_that_do_not_fit_are_refused(expected: tuple[int, ...], actual: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="equal length"):
        compare_logits(np.ones(expected), np.ones(actual))


def test_one_token_has_an_unlimited_margin() -> None:
    m = compare_logits(np.array([2.0]), np.array([1.0]))
    assert m.margin_expected == math.inf
    assert m.argmax_equal
    assert m.top_k_overlap == 1


def test_equal_best_tokens_give_the_first() -> None:
    """More equal best values than TOP_K: the partition may drop the first, argmax must not."""
    m = compare_logits(np.zeros(100, np.float32), np.zeros(100, np.float32))
    assert m.argmax_expected == m.argmax_actual == 0
    assert m.margin_expected == 0


def test_top_k_counts_shared_tokens() -> None:
    e = np.arange(100.0)
    a = e.copy()
    a[99] = -1  # one of the best leaves
    assert compare_logits(e, a).top_k_overlap == (TOP_K - 1) / TOP_K


def test_float32_values_are_summed_in_float64() -> None:
    """Squares of 1e25 overflow float32."""
    e = np.full(8, 1e25, np.float32)
    assert compare_logits(e, e * 2).relative_l2 == 1
    assert compare_logits(e, e * 2).one_minus_cosine == pytest.approx(0, abs=1e-30)


@given(arrays(np.float32, st.integers(1, 700), elements=st.sampled_from([-1.0, -0.0, 0.0, 0.5, 2.0])))
def test_ties_go_to_the_lowest_index(values: np.ndarray) -> None:
    best = np.lexsort((np.arange(values.size), -values))[:TOP_K]
    m = compare_logits(values, np.where(np.isin(np.arange(values.size), best), values, np.float32(-9)))
    assert m.argmax_expected == m.argmax_actual == best[0]
    assert m.top_k_overlap == 1
    assert m.margin_expected == (values[best[0]] - values[best[1]] if values.size > 1 else math.inf)


@pytest.mark.parametrize("n", [1, 9, 10, 11, 639, 640, 641, 128_256])
def test_best_tokens_are_found_in_every_length(n: int) -> None:
    rng = np.random.default_rng(n)
    e, a = rng.normal(0, 3, (2, n)).astype(np.float32)
    m = compare_logits(e, a)
    top = [set(np.argsort(-side, kind="stable")[:TOP_K].tolist()) for side in (e, a)]
    assert m.argmax_expected == int(np.argmax(e))
    assert m.top_k_overlap == len(top[0] & top[1]) / min(TOP_K, n)


def test_strides_and_wider_types_change_nothing() -> None:
    e, a = np.random.default_rng(10).normal(0, 3, (2, 100)).astype(np.float32)
    assert compare_logits(np.repeat(e, 2)[::2], a.astype(np.float64)) == compare_logits(e, a)


def test_relative_l2_is_that_of_the_metric_in_any_shape() -> None:
    e, a = noisy(5, 0.1, 24)
    assert relative_l2(e.reshape(2, 12), a.reshape(2, 12)) == compare_logits(e, a).relative_l2
    zero, one = np.zeros((1, 2), np.float32), np.ones((1, 2), np.float32)
    assert [relative_l2(zero, zero), relative_l2(one, zero), relative_l2(zero, one)] == [0, 1, math.inf]
    for bad in (math.nan, math.inf):
        assert math.isnan(relative_l2(one, one * np.float32(bad)))
        assert math.isnan(relative_l2(one * np.float32(bad), one))


@given(LOGITS, LOGITS)
def test_distances_are_never_negative(e: np.ndarray, a: np.ndarray) -> None:
    m = compare_logits(e, a)
    assert m.kl >= 0
    assert m.one_minus_cosine >= 0
    assert m.max_abs >= 0
    assert m.contested >= 0
    assert m.cosine + 1 >= -1e-12
    assert 0 <= m.top_k_overlap <= 1
    assert m.argmax_expected == int(np.argmax(e))
    assert m.argmax_actual == int(np.argmax(a))
