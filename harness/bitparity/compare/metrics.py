"""How far one position's logits are from another's: pure functions, float64 sums, no verdict.

`PositionMetrics` is the table of metrics: a field is a metric, and its row says how it is computed, what
reports call it, how they print it, and its value where a logit is NaN.  Results, reports and data frames
iterate over the table, so a new metric is a new row and nothing else.

All of it is NumPy in float64: the engine that is judged has no part in it.  There is one implementation only,
so a distance near a limit needs no second measurement.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitparity.errors import ShapeError

TOP_K = 10
Doubles = NDArray[np.float64]


class Pair:
    """The expected and the actual logits of one position, all finite, and what several metrics share.

    Vectors are (n_vocab,).
    """

    def __init__(self, expected: NDArray[Any], actual: NDArray[Any]) -> None:
        self._raw_expected, self._raw_actual = (
            expected,
            actual,
        )  # half as large, for metrics that only compare elements
        self.expected, self.actual = expected.astype(np.float64), actual.astype(np.float64)

    @cached_property
    def delta(self) -> Doubles:
        return self.actual - self.expected

    @cached_property
    def norm_expected(self) -> float:
        return _norm(self.expected)

    @cached_property
    def norm_actual(self) -> float:
        return _norm(self.actual)

    @cached_property
    def l2(self) -> float:
        return _norm(self.delta)

    @cached_property
    def best_expected(self) -> NDArray[np.int64]:
        """Indices of the TOP_K largest logits, as in best_of."""
        return best_of(self._raw_expected)

    @cached_property
    def best_actual(self) -> NDArray[np.int64]:
        return best_of(self._raw_actual)

    @cached_property
    def probabilities(self) -> Doubles:
        """softmax(expected)"""
        p: Doubles = self.expected - self.expected[self.best_expected[0]]
        np.exp(p, out=p)
        p *= 1.0 / float(p.sum())
        return p

    @cached_property
    def one_minus_cosine(self) -> float:
        """1 - cos = |e/|e| - a/|a||^2 / 2: 1 - 0.99999... would lose all digits below 1e-16.

        Two zero vectors are equal, so 0; a zero vector against another has no direction in common, so 1.
        """
        if self.norm_expected == 0.0 or self.norm_actual == 0.0:
            return 0.0 if self.norm_expected == self.norm_actual else 1.0
        difference = self.expected * (1.0 / self.norm_expected)
        difference -= self.actual * (1.0 / self.norm_actual)
        return 0.5 * _dot(difference, difference)


def _norm(values: Doubles) -> float:
    return math.sqrt(_dot(values, values))


def _dot(x: Doubles, y: Doubles) -> float:
    """The sum of products of two vectors, on this thread.

    `x @ y` wakes the threads of BLAS at this length, which spin for tens of milliseconds on a busy machine.
    """
    return float(np.einsum("i,i->", x, y))


def _kl(pair: Pair) -> float:
    """KL(p || q) for p = softmax(e), q = softmax(e + delta), in nats.

    With x = delta - E_p[delta] it equals log E_p[exp x], and E_p[x] = 0 allows log1p(E_p[expm1(x) - x]):
    every term is of second order and none is negative, so nearly equal distributions keep their digits.
    For |x| > 1 there is nothing to cancel, and the plain difference of two log-softmaxes cannot overflow.
    """
    if pair.l2 == 0.0:
        return 0.0
    p = pair.probabilities
    x = pair.delta - _dot(p, pair.delta)
    if float(x.max()) <= 1.0 and float(x.min()) >= -1.0:
        second_order = np.expm1(x)
        second_order -= x
        return math.log1p(max(0.0, _dot(p, second_order)))
    return max(0.0, _dot(p, log_softmax(pair.expected) - log_softmax(pair.actual)))


def log_softmax(values: Doubles) -> Doubles:
    """Log-probabilities of finite logits."""
    shifted = values - float(values.max())
    shifted -= math.log(float(np.exp(shifted).sum()))
    return shifted


def best_of(values: NDArray[Any]) -> NDArray[np.int64]:
    """Indices of the TOP_K largest, the largest first; among equals the lowest index comes first."""
    k = min(TOP_K, values.size)
    # The largest of each block are values, too, so the k-th largest of them is a lower bound of the best k.
    block = min(64, values.size // k)
    largest = np.maximum.reduceat(values, np.arange(0, values.size, block))
    top = np.flatnonzero(values >= np.partition(largest, largest.size - k)[largest.size - k])
    return top[np.argsort(-values[top], kind="stable")][:k].astype(np.int64)


def _lead(values: Doubles, best: NDArray[np.int64]) -> float:
    return float(values[best[0]] - values[best[1]]) if len(best) > 1 else math.inf


def scientific(value: float) -> str:
    return "0" if value == 0 else f"{value:.1e}"


def decimal(value: float) -> str:
    return f"{value:.3g}"


def percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0%}"


@dataclass(frozen=True)
class Metric:
    """A row of the table.

    name          of the field; the key in JSON and the column of a data frame
    formula       computes it from a Pair
    not_finite    its value when a logit is NaN or infinite, which no limit accepts
    title         what reports call it; those without a title are in the data only
    heading       of its column on a terminal, which is narrower than a page; without one it has none there
    text          how reports print it
    dispensable   a terminal that is too narrow leaves out the column with the largest number first, and never
                  one with 0
    in_reasons    whether the reason of a divergence states it
    """

    name: str
    formula: Callable[[Pair], float]
    not_finite: float = math.nan
    title: str = ""
    heading: str = ""
    text: Callable[[float], str] = scientific
    dispensable: int = 0
    in_reasons: bool = False

    def of(self, metrics: PositionMetrics) -> float:
        value: float = getattr(metrics, self.name)
        return value

    def printed(self, metrics: PositionMetrics) -> str:
        return self.text(self.of(metrics))


def row(formula: Callable[[Pair], float], **columns: Any) -> Any:
    """A field of PositionMetrics that is a metric; its columns are those of Metric."""
    return field(metadata={"formula": formula, **columns})


@dataclass(frozen=True, slots=True)
class PositionMetrics:
    """Distances between the expected and the actual logits of one position.

    cosine, one_minus_cosine   the second is computed by itself, without cancellation
    l2, relative_l2            |actual - expected|, and that over |expected|
    max_abs                    largest |actual - expected|
    kl                         KL(softmax(expected) || softmax(actual)) in nats
    argmax_*, margin_*         best token, and its lead over the second best; the lead is inf for one token
    contested                  expected[argmax_expected] - expected[argmax_actual]; 0 when they are equal
    top_k_overlap              share of the TOP_K best tokens that both have
    rms_expected               root mean square of the expected logits
    """

    expected_is_finite: bool
    actual_is_finite: bool
    cosine: float = row(lambda p: 1.0 - p.one_minus_cosine)
    one_minus_cosine: float = row(
        lambda p: p.one_minus_cosine, title="1 - cosine", heading="1-cosine", in_reasons=True
    )
    l2: float = row(lambda p: p.l2, title="L2")
    relative_l2: float = row(
        lambda p: relative(p.l2, p.norm_expected), title="relative L2", heading="rel. L2", in_reasons=True
    )
    max_abs: float = row(
        lambda p: max(float(p.delta.max()), -float(p.delta.min())),
        title="max abs",
        heading="max abs",
        dispensable=4,
    )
    kl: float = row(_kl, title="KL", heading="KL", dispensable=1, in_reasons=True)
    argmax_expected: int = row(lambda p: int(p.best_expected[0]), not_finite=-1)
    argmax_actual: int = row(lambda p: int(p.best_actual[0]), not_finite=-1)
    margin_expected: float = row(
        lambda p: _lead(p.expected, p.best_expected),
        title="margin",
        heading="margin",
        text=decimal,
        dispensable=2,
    )
    margin_actual: float = row(lambda p: _lead(p.actual, p.best_actual))
    contested: float = row(lambda p: float(p.expected[p.best_expected[0]] - p.expected[p.best_actual[0]]))
    top_k_overlap: float = row(
        lambda p: np.intersect1d(p.best_expected, p.best_actual).size / p.best_expected.size,
        title=f"top {TOP_K}",
        heading=f"top {TOP_K}",
        text=percent,
        dispensable=3,
    )
    rms_expected: float = row(lambda p: p.norm_expected / math.sqrt(p.expected.size))

    @property
    def argmax_equal(self) -> bool:
        return (
            self.argmax_expected == self.argmax_actual and self.expected_is_finite and self.actual_is_finite
        )


Measure = Callable[[NDArray[Any], NDArray[Any]], PositionMetrics]
METRICS = tuple(Metric(f.name, **f.metadata) for f in fields(PositionMetrics) if f.metadata)


def compare_logits(expected: NDArray[Any], actual: NDArray[Any]) -> PositionMetrics:
    """Measure one position; both arrays are (n_vocab,).

    Raises ShapeError when they are empty, not vectors, or of unequal length.
    """
    if expected.ndim != 1 or expected.size == 0 or expected.shape != actual.shape:
        raise ShapeError(
            f"compare_logits needs two vectors of equal length; expected is {expected.shape}, "
            f"actual is {actual.shape}"
        )
    finite = [bool(np.isfinite(side).all()) for side in (expected, actual)]
    if all(finite):
        pair = Pair(expected, actual)
        values = [metric.formula(pair) for metric in METRICS]
    else:
        values = [metric.not_finite for metric in METRICS]
    named: dict[str, Any] = {metric.name: value for metric, value in zip(METRICS, values, strict=True)}
    return PositionMetrics(**named, expected_is_finite=finite[0], actual_is_finite=finite[1])


def relative_l2(expected: NDArray[Any], actual: NDArray[Any]) -> float:
    """|actual - expected| / |expected| of two arrays of one shape, in float64; NaN unless all is finite."""
    if not (np.isfinite(expected).all() and np.isfinite(actual).all()):
        return math.nan
    e, a = expected.astype(np.float64).reshape(-1), actual.astype(np.float64).reshape(-1)
    return relative(_norm(a - e), _norm(e))


def relative(distance: float, size: float) -> float:
    """distance / size; where size is 0, a distance of 0 gives 0 and any other infinity."""
    if size == 0.0:
        return math.inf if distance else 0.0
    return distance / size
