"""How far one position's logits are from another's: pure functions, float64 sums, no verdict.

`measure_position` is the definition, in NumPy.  At a vocabulary of 128,256 it takes some 10 ms a position, as
long as an engine does, so a package may announce a faster one, which the native engine's does:

    [project.entry-points."bitparity.metrics"]
    my-metrics = "my_package.metrics:compare_logits"

It takes two float32 vectors of equal length, C-contiguous and not empty, and returns PositionMetrics.
What it selects (argmax, top k, largest difference, margins) equals the definition, and its sums do up to
rounding; tests/native/test_metrics.py derives by how much.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitparity.errors import ShapeError

ENTRY_POINT_GROUP = "bitparity.metrics"
TOP_K = 10
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PositionMetrics:
    """Distances between the expected and the actual logits of one position.

    Every distance is NaN when either side holds a value that is not finite, so that no limit accepts it.

    cosine, one_minus_cosine   the second is computed by itself, without cancellation
    l2, relative_l2            |actual - expected|, and that over |expected|
    max_abs                    largest |actual - expected|
    kl                         KL(softmax(expected) || softmax(actual)) in nats
    argmax_*, margin_*         best token, and its lead over the second best; the lead is inf for one token
    contested                  expected[argmax_expected] - expected[argmax_actual]; 0 when they are equal
    top_k_overlap              share of the TOP_K best tokens that both have
    rms_expected               root mean square of the expected logits
    """

    cosine: float
    one_minus_cosine: float
    l2: float
    relative_l2: float
    max_abs: float
    kl: float
    argmax_expected: int
    argmax_actual: int
    margin_expected: float
    margin_actual: float
    contested: float
    top_k_overlap: float
    rms_expected: float
    expected_is_finite: bool
    actual_is_finite: bool

    @property
    def argmax_equal(self) -> bool:
        return (
            self.argmax_expected == self.argmax_actual and self.expected_is_finite and self.actual_is_finite
        )


def compare_logits(expected: NDArray[Any], actual: NDArray[Any]) -> PositionMetrics:
    """Measure one position; both arrays are (n_vocab,).

    float32 is measured by what a package announces, if any loads here; all else by the definition.
    Raises ShapeError when they are empty, not vectors, or of unequal length.
    """
    if expected.ndim != 1 or expected.size == 0 or expected.shape != actual.shape:
        raise ShapeError(
            f"compare_logits needs two vectors of equal length; expected is {expected.shape}, "
            f"actual is {actual.shape}"
        )
    faster = announced_metrics()
    if faster is not None and _is_plain(expected) and _is_plain(actual):
        return faster(expected, actual)
    return measure_position(expected, actual)


@cache
def announced_metrics() -> Callable[[NDArray[np.float32], NDArray[np.float32]], PositionMetrics] | None:
    """The first announced function, by name, whose package loads here."""
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda e: e.name):
        try:
            loaded: Callable[[NDArray[np.float32], NDArray[np.float32]], PositionMetrics] = entry.load()
        except ImportError:  # its compiled part is missing
            continue
        return loaded
    return None


def _is_plain(values: NDArray[Any]) -> bool:
    return values.dtype == np.float32 and values.flags.c_contiguous


def measure_position(expected: NDArray[Any], actual: NDArray[Any]) -> PositionMetrics:
    """The definition; both arrays are (n_vocab,), of equal length and not empty."""
    e, a = expected.astype(np.float64), actual.astype(np.float64)
    squared_e, squared_a = float(e @ e), float(a @ a)
    finite_e, finite_a = _is_finite(squared_e, e), _is_finite(squared_a, a)
    if not (finite_e and finite_a):
        return _unmeasurable(expected_is_finite=finite_e, actual_is_finite=finite_a)
    norm_e, norm_a = math.sqrt(squared_e), math.sqrt(squared_a)
    delta = a - e
    l2 = math.sqrt(float(delta @ delta))
    apart = _one_minus_cosine(e, a, norm_e, norm_a)
    top_e, top_a = _best(e), _best(a)
    return PositionMetrics(
        cosine=1.0 - apart,
        one_minus_cosine=apart,
        l2=l2,
        relative_l2=l2 / norm_e if norm_e else (math.inf if l2 else 0.0),
        max_abs=max(float(delta.max()), -float(delta.min())),
        kl=_kl(e, delta, float(e[top_e[0]])),
        argmax_expected=int(top_e[0]),
        argmax_actual=int(top_a[0]),
        margin_expected=_lead(e, top_e),
        margin_actual=_lead(a, top_a),
        contested=float(e[top_e[0]] - e[top_a[0]]),
        top_k_overlap=len(set(top_e.tolist()) & set(top_a.tolist())) / len(top_e),
        rms_expected=norm_e / math.sqrt(e.size),
        expected_is_finite=True,
        actual_is_finite=True,
    )


def _is_finite(squared_norm: float, values: Doubles) -> bool:
    # float32 values cannot overflow a float64 sum of squares, so a finite sum proves finite values.
    return math.isfinite(squared_norm) or bool(np.isfinite(values).all())


def _one_minus_cosine(e: Doubles, a: Doubles, norm_e: float, norm_a: float) -> float:
    """1 - cos = |e/|e| - a/|a||^2 / 2: 1 - 0.99999... would lose all digits below 1e-16.

    Two zero vectors are equal, so 0; a zero vector against another has no direction in common, so 1.
    """
    if norm_e == 0.0 or norm_a == 0.0:
        return 0.0 if norm_e == norm_a else 1.0
    apart = e * (1.0 / norm_e)
    apart -= a * (1.0 / norm_a)
    return 0.5 * float(apart @ apart)


def _kl(e: Doubles, delta: Doubles, highest: float) -> float:
    """KL(p || q) for p = softmax(e), q = softmax(e + delta), in nats.

    With x = delta - E_p[delta] it equals log E_p[exp x], and E_p[x] = 0 allows log1p(E_p[expm1(x) - x]):
    every term is of second order and none is negative, so nearly equal distributions keep their digits.
    For |x| > 1 there is nothing to cancel, and the plain difference of two log-softmaxes cannot overflow.
    """
    p = np.exp(e - highest)
    p *= 1.0 / float(p.sum())
    x = delta - float(p @ delta)
    largest = float(x.max())
    if largest <= 1.0 and float(x.min()) >= -1.0:
        return math.log1p(max(0.0, float(p @ (np.expm1(x) - x))))
    log_p = e - highest - math.log(float(np.exp(e - highest).sum()))
    a = e + delta
    log_q = a - float(a.max()) - math.log(float(np.exp(a - float(a.max())).sum()))
    return max(0.0, float(p @ (log_p - log_q)))


def _best(values: Doubles) -> NDArray[np.int64]:
    """Indices of the TOP_K largest, the largest first; among equals the lowest index comes first."""
    k = min(TOP_K, values.size)
    least = np.partition(values, values.size - k)[values.size - k]
    top = np.flatnonzero(values >= least)  # more than TOP_K when several equal the least of them
    return top[np.argsort(-values[top], kind="stable")][:k].astype(np.int64)


def _lead(values: Doubles, best: NDArray[np.int64]) -> float:
    return float(values[best[0]] - values[best[1]]) if len(best) > 1 else math.inf


def _unmeasurable(*, expected_is_finite: bool, actual_is_finite: bool) -> PositionMetrics:
    nan = math.nan
    return PositionMetrics(
        *(nan,) * 6,
        -1,
        -1,
        *(nan,) * 5,
        expected_is_finite=expected_is_finite,
        actual_is_finite=actual_is_finite,
    )
