"""How much difference a position is allowed: a fixed limit, or a multiple of the reference's own noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from bitparity.compare.metrics import PositionMetrics

DEFAULT_LIMIT = 1e-4  # on 1 - cosine; the customary one, as BitNet.rs has it

# Relative L2 that another order of float32 sums explains: a stage adds at most 1.7e-7 (measured on
# bitnet.cpp; RoPE is the worst), 30 layers of 20 stages add up like a random walk: 1.7e-7 * sqrt(600) = 4e-6;
# doubled.
EXACTNESS = 1e-5

# Reference and candidate round independently, and so do the two runs of the reference whose distance is the
# floor: both distances have the same standard deviation.  Three of them is the usual three sigma.
MULTIPLE = 3.0
# 1 - cosine and KL are quadratic in the difference of the logits, so the same multiple counts twice.
SQUARED_MULTIPLE = MULTIPLE**2

# With a floor above this, 3 floors let a difference of half the logits pass, and nothing can be judged;
# used where NoiseLevels.suspect is found.
SUSPECT_RELATIVE_L2 = 0.5 / MULTIPLE

# sqrt(2) because a near tie is a difference of two logits; three sigma as above.
_TIE_SIGMAS = 3.0 * math.sqrt(2.0)


class Distances(Protocol):
    """The largest of each distance over some positions."""

    @property
    def one_minus_cosine(self) -> float: ...
    @property
    def relative_l2(self) -> float: ...
    @property
    def kl(self) -> float: ...
    @property
    def max_abs(self) -> float: ...

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        ...


class NoiseLevels(Distances, Protocol):
    """The largest distance of the reference from itself over the positions of a run (noise/measure.py)."""

    @property
    def suspect(self) -> str | None:
        """Why nothing can be judged against the reference, None when it can."""
        ...


class Criterion(Protocol):
    """Judges the distances of one position, and says which flips of the best token are near ties."""

    def agrees(self, metrics: PositionMetrics) -> bool: ...

    def is_noise(self, metrics: PositionMetrics) -> bool: ...

    def tie_gap(self, metrics: PositionMetrics) -> float:
        """Two logits closer than this may change places without meaning."""
        ...

    def describe(self) -> str:
        """One clause for reports, with numbers."""
        ...

    def as_dict(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class FixedLimit:
    """1 - cosine <= limit, whatever the reference does with itself."""

    limit: float = DEFAULT_LIMIT

    def agrees(self, metrics: PositionMetrics) -> bool:
        return metrics.one_minus_cosine <= self.limit

    def is_noise(self, metrics: PositionMetrics) -> bool:
        return False

    def tie_gap(self, metrics: PositionMetrics) -> float:
        """Vectors at the limit differ by sqrt(2 limit) of their length, that is sqrt(2 limit) rms a logit."""
        return _TIE_SIGMAS * math.sqrt(2.0 * self.limit) * metrics.rms_expected

    def describe(self) -> str:
        return f"1 - cosine <= {self.limit:g} and the same best token"

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "fixed limit", "one_minus_cosine": self.limit}


@dataclass(frozen=True)
class Exactness:
    """Agreement to the rounding of float32 sums; whatever passes needs no noise floor."""

    limit: float = EXACTNESS

    def agrees(self, metrics: PositionMetrics) -> bool:
        return metrics.relative_l2 <= self.limit

    def is_noise(self, metrics: PositionMetrics) -> bool:
        return False

    def tie_gap(self, metrics: PositionMetrics) -> float:
        return _TIE_SIGMAS * self.limit * metrics.rms_expected

    def describe(self) -> str:
        return f"relative L2 <= {self.limit:g}, the rounding of float32 sums; no noise had to be measured"

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "exactness", "relative_l2": self.limit}


@dataclass(frozen=True)
class UnknownNoise(Exactness):
    """The same where noise had to be measured and could not be: what does not agree is not judged."""

    def describe(self) -> str:
        return f"relative L2 <= {self.limit:g} agrees; the reference's own noise is not known"

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "unknown noise", "relative_l2": self.limit}


@dataclass(frozen=True)
class MeasuredNoise:
    """Agreement to the rounding of float32 sums, or within MULTIPLE times the reference's own noise."""

    floor: NoiseLevels
    exactness: float = EXACTNESS

    def agrees(self, metrics: PositionMetrics) -> bool:
        return metrics.relative_l2 <= self.exactness

    def is_noise(self, metrics: PositionMetrics) -> bool:
        return _is_within(metrics, self.floor)

    def tie_gap(self, metrics: PositionMetrics) -> float:
        """Each of the two logits may move by its noise, in opposite directions."""
        rounding = _TIE_SIGMAS * self.exactness * metrics.rms_expected
        return max(2.0 * MULTIPLE * self.floor.max_abs, rounding)

    def describe(self) -> str:
        return (
            f"relative L2 <= {self.exactness:g} agrees; <= {MULTIPLE:g} x the reference's own "
            f"{self.floor.relative_l2:.2g} (KL and 1 - cosine <= {SQUARED_MULTIPLE:g} x) is noise"
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": "measured noise",
            "exactness": self.exactness,
            "multiple": MULTIPLE,
            "relative_l2": MULTIPLE * self.floor.relative_l2,
            "one_minus_cosine": SQUARED_MULTIPLE * self.floor.one_minus_cosine,
            "kl": SQUARED_MULTIPLE * self.floor.kl,
        }


@dataclass(frozen=True)
class ExplainedDifference(Exactness):
    """What does not agree is explained: two engines compute one function in two arithmetics.

    levels  distances at the positions of which the oracle showed it; others may be MULTIPLE times as far
    looked  how many positions those are
    """

    levels: Distances | None = None
    looked: int = 0

    def is_noise(self, metrics: PositionMetrics) -> bool:
        return self.levels is not None and _is_within(metrics, self.levels)

    def tie_gap(self, metrics: PositionMetrics) -> float:
        ahead = 2.0 * MULTIPLE * self.levels.max_abs if self.levels is not None else 0.0
        return max(ahead, super().tie_gap(metrics))

    def describe(self) -> str:
        return (
            f"relative L2 <= {self.limit:g} agrees; the oracle explains what is farther, "
            f"shown at {self.looked} positions"
        )

    def as_dict(self) -> dict[str, Any]:
        levels = None if self.levels is None else self.levels.as_dict()
        return {
            "kind": "explained difference",
            "relative_l2": self.limit,
            "looked": self.looked,
            "levels": levels,
        }


def _is_within(metrics: PositionMetrics, floor: Distances) -> bool:
    """Whether a position is no farther than MULTIPLE times what was measured elsewhere."""
    return (
        metrics.relative_l2 <= MULTIPLE * floor.relative_l2
        and metrics.one_minus_cosine <= SQUARED_MULTIPLE * floor.one_minus_cosine
        and metrics.kl <= SQUARED_MULTIPLE * floor.kl
    )
