"""What made stages guilty: each is explained, what one mistake explains is put together, the worst leads."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bitparity.blame.explain import explain
from bitparity.blame.judge import Judge, LocalError
from bitparity.oracle.definition import Place
from bitparity.stages import graph_order

POSITIONS_EXPLAINED = 8  # guilty positions of a stage that an explanation is tried on
ROWS_EXPLAINED = 16  # first rows of a call that it is tried on
A_FEW_ROUNDINGS = 4.0  # times what is explained: an unexplained error below is no cause to lead with


@dataclass(frozen=True)
class Cause:
    """Guilty stages and what they have in common.

    words       what the engine does there, a clause
    is_rounding it is another arithmetic, and no other function
    local       the error where it shows first, by position and then by the order of the graph
    beyond      how many times its bound the worst error of a stage is
    stages      (layer, stage) of all that are guilty of it
    at          how many positions the words hold at, of how many that were looked at
    """

    words: str
    is_rounding: bool
    local: LocalError
    beyond: float
    stages: tuple[tuple[int, str], ...]
    at: tuple[int, int]

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
        said += [f"in {', '.join(others)} too"] if others else []
        held, asked = self.at
        said += [f"so at {held} of {asked} positions that were looked at"] if held < asked else []
        return "; ".join(said)


def place_of(layer: int, stage: str) -> str:
    return f"layer {layer}, {stage}" if layer >= 0 else stage


def find_causes(judge: Judge, errors: Iterable[LocalError]) -> tuple[Cause, ...]:
    """Explain every guilty stage in the layer where it is worst; put together what has the same words."""
    by_stage: dict[str, list[LocalError]] = defaultdict(list)
    for error in errors:
        by_stage[error.stage].append(error)
    return in_order(_cause(judge, e) for e in by_stage.values() if any(error.is_guilty for error in e))


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
        at=(cause.at[0] + other.at[0], cause.at[1] + other.at[1]),
    )


def _cause(judge: Judge, errors: Sequence[LocalError]) -> Cause:
    """What made one stage guilty; errors in all layers, at all positions."""
    guilty = [error for error in errors if error.is_guilty]
    worst = max(guilty, key=lambda e: e.beyond)
    in_layer = [error for error in errors if error.layer == worst.layer]
    found = [judge.evaluate(worst.stage, place) for place in _samples(in_layer, worst)]
    explained = explain(judge, worst.stage, found)
    layers = sorted({error.layer for error in guilty})
    return Cause(
        words=explained.words,
        is_rounding=explained.is_rounding,
        local=min(guilty, key=guilt_order),
        beyond=worst.beyond,
        stages=tuple((layer, worst.stage) for layer in layers),
        at=explained.at,
    )


def _samples(errors: Sequence[LocalError], worst: LocalError) -> list[Place]:
    """Where a stage of one layer is looked at: at guilty positions, then in the calls that they belong to.

    The guilty positions are the worst one and others of its kind, spread evenly.  A mistake may mix up the
    rows of a call, so calls are looked at from their first row on, sound rows included; two of them, as in
    the first one of all much comes out alike.
    """
    alike = [e for e in errors if e.is_guilty and e.rows == worst.rows and e is not worst]
    count = min(len(alike), POSITIONS_EXPLAINED - 1)
    chosen = [worst, *(alike[i * len(alike) // count] for i in range(count))]
    calls = [call for call in _calls(errors) if any(error.is_guilty for error in call)]
    of_worst = [call for call in calls if worst in call]
    others = [call for call in calls if call not in of_worst]
    return [_place(sorted(chosen, key=lambda e: e.position)), *map(_place, [*of_worst, *others[-1:]])]


def _calls(errors: Sequence[LocalError]) -> Iterator[list[LocalError]]:
    """The first ROWS_EXPLAINED errors of each call, as far as the rows that were run together tell it."""
    call: list[LocalError] = []
    for error in sorted(errors, key=lambda e: e.position):
        first = call[0] if call else error
        if error.rows != first.rows or error.position - first.position >= first.rows:
            yield call[:ROWS_EXPLAINED]
            call = []
        call.append(error)
    if call:
        yield call[:ROWS_EXPLAINED]


def _place(errors: Sequence[LocalError]) -> Place:
    return Place(errors[0].layer, np.array([error.position for error in errors]), errors[0].rows)
