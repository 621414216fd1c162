"""Estimates over a corpus, each with its standard error.

Positions of one text are not independent: what is odd at one is odd at its neighbours.  So the unit is a
block of consecutive positions, here what one window scores, and an error says how much the estimate would
change with other blocks of such text.  A mean over blocks of unequal length is a ratio of two sums, with the
error of a ratio estimator (Cochran 1977, Sampling Techniques, 6.4); the error of a percentile follows from
that of the share of positions below it (Woodruff 1952, JASA 47, 635).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value and its standard error, which is NaN where it is not known: of one block, or of a maximum."""

    value: float
    error: float = math.nan

    def times(self, factor: float) -> Estimate:
        return Estimate(self.value * factor, self.error * abs(factor))

    @property
    def root(self) -> Estimate:
        """The square root, to first order."""
        root = math.sqrt(self.value)
        return Estimate(root, self.error / (2 * root) if root else 0.0 * self.error)

    @property
    def exponential(self) -> Estimate:
        """The exponential, to first order."""
        value = math.exp(self.value) if self.value < 700 else math.inf
        return Estimate(value, value * self.error)


@dataclass(frozen=True)
class Blocks:
    """Which positions are of one block: the first of each, and how many there are in all."""

    starts: NDArray[np.intp]
    positions: int

    @classmethod
    def of(cls, numbers: NDArray[np.int32]) -> Blocks:
        """Consecutive positions of the same number are a block; there is a position at least."""
        starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
        return cls(starts, len(numbers))

    @property
    def lengths(self) -> NDArray[np.intp]:
        return np.diff(self.starts, append=self.positions)

    def mean(self, values: Values) -> Estimate:
        """The mean of one value a position."""
        mean = float(values.mean())
        count = len(self.starts)
        if count < 2:
            return Estimate(mean)
        residuals = np.add.reduceat(values, self.starts) - mean * self.lengths
        variance = count / (count - 1) * float(np.square(residuals).sum()) / self.positions**2
        return Estimate(mean, math.sqrt(variance))

    def percentile(self, values: Values, share: float) -> Estimate:
        """The value below which this share of the positions lies, by linear interpolation."""
        value = float(np.quantile(values, share))
        error = self.mean((values <= value).astype(np.float64)).error
        if math.isnan(error) or share in (0.0, 1.0):
            return Estimate(value)
        low, high = np.quantile(values, np.clip([share - error, share + error], 0.0, 1.0))
        return Estimate(value, float(high - low) / 2)
