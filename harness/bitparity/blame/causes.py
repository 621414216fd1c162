"""What made stages guilty: each is explained, what one mistake explains is put together, the worst leads."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bitparity.blame.explain import explain
from bitparity.blame.judge import Judge, LocalError
from bitparity.oracle.definition import Place
from bitparity.stages import graph_order

POSITIONS_EXPLAINED = 8  # guilty positions of a stage that an explanation is tried on
A_FEW_ROUNDINGS = 4.0  # times what is explained: an unexplained error below is no cause to lead with


@dataclass(frozen=True)
class Cause:
    """Guilty stages and what they have in common.

    words       what the engine does there, a clause
    is_rounding it is another arithmetic, and no other function
    local       the error where it shows first, by position and then by the order of the graph
    beyond      how many times its bound the worst error of a stage is
    stages      (layer, stage) of all that are guilty of it
    """

    words: str
    is_rounding: bool
    local: LocalError
    beyond: float
    stages: tuple[tuple[int, str], ...]

    @property
    def place(self) -> str:
        return place_of(self.local.layer, self.local.stage)

    def measure(self) -> str:
        """The error where it shows first, and the number that makes it guilty."""
        local = self.local
        if not math.isfinite(local.excess):
            return f"local error {local.error:.2g}, where rounding explains none"
        return f"local error {local.error:.2g}, {local.excess:.2g} times what rounding explains"

    def elsewhere(self) -> str:
        """Where else it shows: other layers of the stage, and other stages."""
        layers = [layer for layer, stage in self.stages if stage == self.local.stage]
        others = sorted({s for _, s in self.stages} - {self.local.stage}, key=lambda s: graph_order(0, s))
        said = [f"in {len(layers)} layers"] if len(layers) > 1 else []
        return "; ".join(said + ([f"in {', '.join(others)} too"] if others else []))


def place_of(layer: int, stage: str) -> str:
    return f"layer {layer}, {stage}" if layer >= 0 else stage


def find_causes(judge: Judge, errors: Iterable[LocalError]) -> tuple[Cause, ...]:
    """Explain every guilty stage in the layer where it is worst; put together what has the same words."""
    guilty: dict[str, list[LocalError]] = defaultdict(list)
    for error in errors:
        if error.is_guilty:
            guilty[error.stage].append(error)
    return in_order(_cause(judge, stage, group) for stage, group in guilty.items())


def in_order(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """Causes of equal words become one; what is furthest beyond its bound leads, rounding comes last."""
    merged: dict[str, Cause] = {}
    for cause in causes:
        before = merged.get(cause.words)
        merged[cause.words] = cause if before is None else _together(before, cause)
    return tuple(sorted(merged.values(), key=_order))


def guilt_order(guilt: LocalError) -> tuple[int, tuple[int, int, int]]:
    """Sort key: the earliest position, there the first stage of the graph."""
    return guilt.position, graph_order(guilt.layer, guilt.stage)


def _order(cause: Cause) -> tuple[bool, float, tuple[int, tuple[int, int, int]]]:
    is_small = cause.is_rounding or cause.beyond < A_FEW_ROUNDINGS
    return is_small, -cause.beyond, guilt_order(cause.local)


def _together(cause: Cause, other: Cause) -> Cause:
    return replace(
        cause,
        local=min(cause.local, other.local, key=guilt_order),
        beyond=max(cause.beyond, other.beyond),
        stages=tuple(sorted({*cause.stages, *other.stages}, key=lambda pair: graph_order(*pair))),
    )


def _cause(judge: Judge, stage: str, guilty: Sequence[LocalError]) -> Cause:
    worst = max(guilty, key=lambda e: e.beyond)
    alike = [e for e in guilty if (e.layer, e.rows) == (worst.layer, worst.rows)]
    positions = sorted(e.position for e in _chosen(alike, worst))
    found = judge.evaluate(stage, Place(worst.layer, np.array(positions), worst.rows))
    explained = explain(judge, stage, found)
    layers = sorted({e.layer for e in guilty})
    return Cause(
        words=explained.words,
        is_rounding=explained.is_rounding,
        local=min(guilty, key=guilt_order),
        beyond=worst.beyond,
        stages=tuple((layer, stage) for layer in layers),
    )


def _chosen(guilty: Sequence[LocalError], worst: LocalError) -> list[LocalError]:
    """The worst position, and others spread evenly over the guilty ones."""
    others = [e for e in guilty if e is not worst]
    count = min(len(others), POSITIONS_EXPLAINED - 1)
    return [worst, *(others[i * len(others) // count] for i in range(count))]
