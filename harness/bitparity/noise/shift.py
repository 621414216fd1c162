"""A difference of all positions together, which none of them shows alone.

A position is judged by the largest noise of the reference; a small mistake everywhere stays below that and
moves the median.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bitparity.noise.criterion import EXACTNESS, MULTIPLE
from bitparity.noise.floor import NoiseFloor
from bitparity.noise.measure import MIN_SAMPLE

# Medians of sound runs differ by less: 0.6 to 1.4 times between the first 128 positions and the 1,400 or more
# that follow (llama.cpp and bitnet.cpp, perturbed), 0.76 times between two orders of sums at 2B-4T's shape.
SHIFT = 2.0


@dataclass(frozen=True)
class Shift:
    """The median relative L2 of a run's positions, and that of the reference's own runs.

    positions  how many those of the run are
    """

    actual: float
    own: float
    positions: int

    @property
    def is_a_divergence(self) -> bool:
        """Whether it is as far beyond the reference's own as no position may be."""
        return self.actual > MULTIPLE * self.own

    @property
    def sentence(self) -> str:
        return (
            f"the median difference of {self.positions} positions is {self.actual:.2g}, the reference's own "
            f"{self.own:.2g}"
        )


def find_shift(distances: Sequence[float], floor: NoiseFloor) -> Shift | None:
    """The shift of a run with these relative L2; None where there is none, or too few positions to tell."""
    if len(distances) < MIN_SAMPLE:
        return None
    actual = median(distances)
    own = max(median(levels.relative_l2 for levels in c.positions) for c in floor.comparisons)
    return Shift(actual, own, len(distances)) if actual > max(SHIFT * own, EXACTNESS) else None
