"""The noise floor as data: what measure_noise found, read by verdicts and reports."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

import numpy as np

from bitparity.compare.metrics import PositionMetrics
from bitparity.noise.criterion import EXACTNESS, MULTIPLE, SUSPECT_RELATIVE_L2
from bitparity.output import with_nan, without_nan

Kind = Literal["self", "rounding"]


@dataclass(frozen=True, slots=True)
class Levels:
    """Distances as in metrics.PositionMetrics; NaN as soon as one of those pooled is NaN."""

    relative_l2: float = 0.0
    one_minus_cosine: float = 0.0
    kl: float = 0.0
    max_abs: float = 0.0

    @classmethod
    def of(cls, metrics: PositionMetrics) -> Levels:
        return cls(**{level.name: getattr(metrics, level.name) for level in fields(cls)})

    def or_larger(self, other: Levels) -> Levels:
        """The larger of each."""
        others = other.as_dict()
        return Levels(**{name: float(np.maximum(own, others[name])) for name, own in self.as_dict().items()})

    def as_dict(self) -> dict[str, float]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, float | None]) -> Levels:
        return cls(**with_nan(data))


@dataclass(frozen=True, slots=True)
class SelfComparison:
    """One run of the reference against another.

    positions  distances, position by position
    flips      position -> lead of the best token, where the other run had another one: noise overturned it
    stages     largest relative L2 of a stage over layers and positions; empty unless traced
    """

    kind: Kind
    name: str
    positions: tuple[Levels, ...]
    flips: dict[int, float]
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def levels(self) -> Levels:
        return largest(self.positions)

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name,
            "positions": [levels.as_dict() for levels in self.positions],
            "flips": {str(position): lead for position, lead in self.flips.items()},
            "stages": self.stages,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SelfComparison:
        return cls(
            data["kind"],
            data["name"],
            tuple(Levels.from_dict(levels) for levels in data["positions"]),
            {int(position): lead for position, lead in with_nan(data["flips"]).items()},
            with_nan(data["stages"]),
        )


@dataclass(frozen=True)
class NoiseFloor:
    """What was measured; relative_l2, one_minus_cosine, kl and max_abs are the pooled floor."""

    engine: str
    comparisons: tuple[SelfComparison, ...]

    @cached_property
    def levels(self) -> Levels:
        """The largest over all comparisons, which every position is judged by."""
        return largest(c.levels for c in self.comparisons)

    @property
    def relative_l2(self) -> float:
        return self.levels.relative_l2

    @property
    def one_minus_cosine(self) -> float:
        return self.levels.one_minus_cosine

    @property
    def kl(self) -> float:
        return self.levels.kl

    @property
    def max_abs(self) -> float:
        return self.levels.max_abs

    def component(self, kind: Kind) -> Levels:
        """The floor from one kind of comparison only."""
        return largest(c.levels for c in self.comparisons if c.kind == kind)

    def at(self, position: int) -> Levels:
        """The largest at one position: for reports; verdicts use the pooled floor."""
        return largest(c.positions[position] for c in self.comparisons if position < len(c.positions))

    @property
    def stages(self) -> dict[str, float]:
        """Largest relative L2 of each stage that was traced."""
        names = {name for c in self.comparisons for name in c.stages}
        return {name: max(c.stages.get(name, 0.0) for c in self.comparisons) for name in names}

    @property
    def suspect(self) -> str | None:
        """Why nothing can be judged against this reference, in a clause; None when it can.

        It is judged as a candidate would be: beyond MULTIPLE times what rounding explains, its own runs
        contradict each other, and one of them is wrong.  A floor that is too high lets every fault pass.
        """
        worst = max((c for c in self.comparisons if c.kind == "self"), key=_by_relative_l2, default=None)
        own, rounding = self.component("self").relative_l2, self.component("rounding").relative_l2
        if not all(math.isfinite(v) for v in self.levels.as_dict().values()):
            return f"{self.engine} returned NaN or infinity"
        if worst is not None and not (own <= max(MULTIPLE * rounding, EXACTNESS)):
            return (
                f"{self.engine} differs from itself ({worst.name}) by relative L2 {own:.2g}, "
                f"of which rounding explains {rounding:.2g}"
            )
        if not (self.relative_l2 <= SUSPECT_RELATIVE_L2):
            return f"rounding alone moves the logits of {self.engine} by relative L2 {self.relative_l2:.2g}"
        return None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what is not finite is None, which from_dict reads as NaN."""
        data = {
            **self.levels.as_dict(),
            "engine": self.engine,
            "self": self.component("self").as_dict(),
            "rounding": self.component("rounding").as_dict(),
            "suspect": self.suspect,
            "stages": self.stages,
            "comparisons": [c.as_dict() for c in self.comparisons],
        }
        plain: dict[str, Any] = without_nan(data)
        return plain

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> NoiseFloor:
        return cls(data["engine"], tuple(SelfComparison.from_dict(c) for c in data["comparisons"]))


def largest(levels: Iterable[Levels]) -> Levels:
    """The largest of each distance; zero if there are none."""
    result = Levels()
    for one in levels:
        result = result.or_larger(one)
    return result


def pool(floors: Sequence[NoiseFloor]) -> NoiseFloor:
    """One floor for the prompts of a run: largest over all of them."""
    return NoiseFloor(floors[0].engine, tuple(c for floor in floors for c in floor.comparisons))


def _by_relative_l2(comparison: SelfComparison) -> float:
    value = comparison.levels.relative_l2
    return value if math.isfinite(value) else math.inf
