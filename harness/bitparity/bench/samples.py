"""What the repetitions of one measurement say: a median, and how well it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import median

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Samples:
    """One measurement, in the order of its repetitions."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Samples:
        return cls(tuple(values))

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def min(self) -> float:
        return min(self.values)

    @property
    def max(self) -> float:
        return max(self.values)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where the median of all repetitions that there could be lies, at CONFIDENCE.

        None for fewer than six values.  Nothing is assumed of how they scatter: the number of them below that
        median is binomial, so it lies between the k-th smallest and the k-th largest, unless fewer than k of
        them are on one side of it (Conover, Practical Nonparametric Statistics, 3.2).
        """
        rank = _rank(len(self.values))
        ordered = sorted(self.values)
        return None if rank == 0 else (ordered[rank - 1], ordered[-rank])

    def over(self, other: Samples) -> Samples:
        """The quotients of what was measured in the same round, in which the machine was equally busy."""
        return Samples(tuple(a / b for a, b in zip(self.values, other.values, strict=True)))

    def as_dict(self) -> dict[str, object]:
        return {
            "median": self.median,
            "min": self.min,
            "max": self.max,
            "interval": self.interval,
            "values": self.values,
        }


def _rank(n: int) -> int:
    """The largest k for which fewer than k of n values lie on one side of the median too seldom to matter."""
    rank, below = 0, 0.0
    for k in range(n // 2):
        below += comb(n, k) / 2**n
        if 2 * below > 1 - CONFIDENCE:
            break
        rank = k + 1
    return rank
