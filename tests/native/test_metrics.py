"""The core's distances against their definition in the harness, within bounds derived here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from bitparity.compare import metrics
from bitparity.compare.metrics import PositionMetrics, compare_logits, measure_position
from bitparity.errors import ShapeError
from bitparity.noise.criterion import FixedLimit
from bitparity.noise.verdict import Verdict, judge_position
from bitparity_native import _core
from bitparity_native.metrics import compare_logits as compare_in_core

Vector = NDArray[np.float32]
U = 2.0**-53  # half the distance of 1 and the next double
SELECTED = ("max_abs", "margin_expected", "margin_actual", "contested", "top_k_overlap", "argmax_equal")
SELECTED += ("argmax_expected", "argmax_actual", "expected_is_finite", "actual_is_finite")

LENGTHS = array_shapes(min_dims=1, max_dims=1, max_side=300)
LOGITS = st.floats(-30, 30, width=32)
ANY = st.floats(width=32)
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
FEW = st.sampled_from([-1.0, -0.0, 0.0, 0.5, 2.0])  # ties everywhere


@st.composite
def pairs(draw: st.DrawFn, elements: st.SearchStrategy[float]) -> tuple[Vector, Vector]:
    """Two independent vectors, the same one twice, or one and itself moved a little."""
    expected = draw(arrays(np.float32, LENGTHS, elements=elements, fill=elements))
    actual = draw(arrays(np.float32, len(expected), elements=elements, fill=elements))
    step = draw(st.sampled_from([None, 0.0, 1e-7, 1e-3, 0.3]))
    if step is None:
        return expected, actual
    with np.errstate(all="ignore"):
        return expected, expected + np.float32(step) * np.clip(actual, -30, 30)


def check(expected: Vector, actual: Vector) -> None:
    want = measure_position(expected, actual)
    portable = _core.metrics.compare_logits_portably(expected, actual)
    for got in (compare_in_core(expected, actual), PositionMetrics(**portable)):
        check_against(want, got, expected, actual)


def check_against(want: PositionMetrics, got: PositionMetrics, expected: Vector, actual: Vector) -> None:
    for name in SELECTED:
        assert same(getattr(want, name), getattr(got, name)), name
    if not (want.expected_is_finite and want.actual_is_finite):
        assert all(same(value, asdict(got)[name]) for name, value in asdict(want).items())
        return
    for name, bound in bounds(expected, actual, want):
        error = abs(getattr(got, name) - getattr(want, name)) if math.isfinite(getattr(want, name)) else 0.0
        assert error <= bound, (name, error, bound)
        assert math.isfinite(getattr(want, name)) == math.isfinite(getattr(got, name)), name


def same(want: float, got: float) -> bool:
    return want == got or (math.isnan(want) and math.isnan(got))


def bounds(expected: Vector, actual: Vector, m: PositionMetrics) -> Iterator[tuple[str, float]]:
    """By how much two sums of n doubles in whatever order may differ, for each distance.

    A sum of n terms, each within k ulp, errs by (n + 2 k) U of the sum of their magnitudes; twice, for two.
    """
    n = len(expected)
    sum_error = 2 * (n + 8) * U
    yield "l2", sum_error * m.l2
    yield "rms_expected", sum_error * m.rms_expected
    yield "relative_l2", 2 * sum_error * m.relative_l2
    # Half of |t|^2, t the difference of two unit vectors; each is off by what its norm and two roundings are.
    unit_error = 2 * sum_error
    apart = m.one_minus_cosine
    cosine_error = math.sqrt(2 * apart) * unit_error + unit_error**2 / 2 + sum_error * apart
    yield "one_minus_cosine", cosine_error
    yield "cosine", cosine_error + U
    yield "kl", kl_error(expected.astype(np.float64), actual.astype(np.float64), m.kl)


def kl_error(e: NDArray[np.float64], a: NDArray[np.float64], kl: float) -> float:
    """The definition has two branches; at their border rounding chooses, so the second one adds."""
    p = np.exp(e - e.max())
    p /= p.sum()
    delta = a - e
    x = delta - p @ delta
    weight_error = 2 * (len(e) + 16) * U  # an exponential within 4 ulp, over their sum
    mean_error = weight_error * float(p @ np.abs(delta))
    spread = float(p @ np.abs(np.clip(x, -1, 1)))
    # log1p(E[expm1(x) - x]): its weights; expm1 within 4 ulp of at most 1.72 |x|, so 16 U |x|, on either
    # side; and in the mean its slope is -E[expm1(x)], at most 1.72 E|x|, its curvature E[e^x], at most 2.72.
    # The rounding of x itself moves a term by 1.72 U x^2, under 5 U of it: within the 3 times.
    mean = 1.72 * mean_error * spread + 2.72 / 2 * mean_error**2
    near = 3 * weight_error * math.expm1(min(kl, 1.0)) + 32 * U * spread + mean
    if np.abs(x).max() < 1 - 1e-6:
        return near
    # Differences of log-softmaxes: weights; logarithms of sums, each off by their relative error; and
    # e + (a - e), which the definition takes for a, is off by 2 U of the largest logit, in four places.
    size = float(np.abs(e).max() + np.abs(a).max())
    ratio = float(p @ np.abs(delta - (a.max() - e.max())))
    far = weight_error * (2 + ratio + math.log(len(e))) + 16 * U * size
    return near + far + 1e-250  # weights below e^-708 count as 0, times logits of at most 4e38


@given(pairs(LOGITS))
def test_distances_of_logits_equal_the_definition(pair: tuple[Vector, Vector]) -> None:
    check(*pair)


@given(pairs(FINITE))
def test_distances_of_any_finite_vectors_equal_the_definition(pair: tuple[Vector, Vector]) -> None:
    check(*pair)


@given(pairs(FEW))
def test_ties_are_broken_as_in_the_definition(pair: tuple[Vector, Vector]) -> None:
    check(*pair)


@given(pairs(ANY))
def test_nan_and_infinity_are_reported_as_in_the_definition(pair: tuple[Vector, Vector]) -> None:
    check(*pair)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 3, 8, 127, 128])
@pytest.mark.parametrize("side", [0, 1])
def test_one_bad_value_anywhere_makes_every_distance_nan(bad: float, at: int, side: int) -> None:
    pair = np.zeros((2, 129), np.float32)
    pair[side, at] = bad
    check(pair[0], pair[1])
    assert math.isnan(compare_in_core(pair[0], pair[1]).kl)


@pytest.mark.parametrize("noise", [0.0, 1e-6, 0.03, 1.0])
def test_distances_at_a_large_vocabulary_equal_the_definition(noise: float) -> None:
    rng = np.random.default_rng(7)
    expected = rng.normal(0, 3, 128_256).astype(np.float32)
    check(expected, (expected + noise * rng.normal(0, 1, len(expected))).astype(np.float32))


def test_misaligned_vectors_are_measured_alike() -> None:
    rng = np.random.default_rng(8)
    both = rng.normal(0, 3, (2, 1001)).astype(np.float32)
    for offset in range(8):
        check(both[0, offset:], both[1, offset:])


def test_first_divergence_is_the_same_position() -> None:
    rng = np.random.default_rng(9)
    rows = rng.normal(0, 3, (60, 4096)).astype(np.float32)
    moved = rows + np.geomspace(1e-6, 0.3, 60, dtype=np.float32)[:, None] * rng.normal(0, 3, rows.shape)

    def first(measure: Any) -> int:
        measured = [measure(e, a) for e, a in zip(rows, moved.astype(np.float32), strict=True)]
        verdicts = [judge_position(m, FixedLimit(1e-4)).verdict for m in measured]
        return verdicts.index(Verdict.DIVERGED)

    assert 0 < first(compare_in_core) == first(measure_position)


def test_the_core_measures_what_sessions_return() -> None:
    metrics.announced_metrics.cache_clear()
    assert metrics.announced_metrics() is compare_in_core


@pytest.mark.parametrize("other", [lambda x: x.astype(np.float64), lambda x: np.repeat(x, 2)[::2]])
def test_other_dtypes_and_strides_are_measured_by_the_definition(other: Any) -> None:
    rng = np.random.default_rng(10)
    e, a = rng.normal(0, 3, (2, 100)).astype(np.float32)
    assert compare_logits(other(e), other(a)) == measure_position(e, a)


def test_a_package_that_does_not_load_leaves_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = EntryPoint("absent", "no_such_package:compare_logits", metrics.ENTRY_POINT_GROUP)
    monkeypatch.setattr(metrics, "entry_points", lambda group: [absent])
    metrics.announced_metrics.cache_clear()
    try:
        assert metrics.announced_metrics() is None
        e = np.arange(20, dtype=np.float32)
        assert compare_logits(e, e[::-1].copy()) == measure_position(e, e[::-1])
    finally:
        metrics.announced_metrics.cache_clear()


def test_vectors_that_do_not_fit_are_refused() -> None:
    e = np.zeros(4, np.float32)
    with pytest.raises(ShapeError):
        compare_logits(e, e[:3])
    with pytest.raises(ValueError, match="equal length"):
        _core.metrics.compare_logits(e, e[:3])
    with pytest.raises(TypeError):
        _core.metrics.compare_logits(e.astype(np.float64), e)
