"""In which layers two engines part, on one window: how far apart their blocks end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bitparity.compare.chunking import Chunking
from bitparity.compare.metrics import relative_l2
from bitparity.compare.positions import logits_by_chunk
from bitparity.engine import Session
from bitparity.stages import StageFilter
from bitparity.trace import MemoryTrace

STAGE = "layer_out"


@dataclass(frozen=True)
class LayerDifference:
    """Relative L2 of what a layer gives, over the positions of a window: the median and the largest."""

    layer: int
    median: float
    worst: float
    position: int  # of the largest


def layer_differences(
    expected: Session, actual: Session, tokens: Sequence[int], chunking: Chunking
) -> list[LayerDifference]:
    """One for every layer, in order; none where an engine records no stages.

    The values of one call are in memory, of both engines.
    """
    stages = StageFilter.parse(f"*:{STAGE}")
    traces = MemoryTrace("reference"), MemoryTrace("candidate")
    found: dict[int, list[tuple[float, int]]] = {}
    with ExitStack() as stack:
        for session, trace in zip((expected, actual), traces, strict=True):
            stack.enter_context(session.tap(stages, trace))
        runs = [logits_by_chunk(session, list(tokens), chunking) for session in (expected, actual)]
        for _ in zip(*runs, strict=True):
            _take(*traces, found)
    return [_difference(layer, apart) for layer, apart in sorted(found.items())]


def _take(expected: MemoryTrace, actual: MemoryTrace, found: dict[int, list[tuple[float, int]]]) -> None:
    """Compare what both traces have, and forget it."""
    for layer, stage in expected.stages():
        for position in expected.positions():
            if expected.has_value(layer, stage, position) and actual.has_value(layer, stage, position):
                values = (side.value(layer, stage, position) for side in (expected, actual))
                found.setdefault(layer, []).append((relative_l2(*values), position))
    expected.clear()
    actual.clear()


def _difference(layer: int, apart: list[tuple[float, int]]) -> LayerDifference:
    distances = np.array([distance for distance, _ in apart])
    worst = int(np.argmax(distances))
    return LayerDifference(layer, float(np.median(distances)), float(distances[worst]), apart[worst][1])


def grows_most(layers: Sequence[LayerDifference]) -> LayerDifference | None:
    """The first layer that differs, if some before it are exact; else the one with the largest step.

    A step is the ratio of the median to that of the layer before.  None where nothing differs.
    """
    differ = [layer for layer in layers if layer.median]
    if not differ or differ[0] is not layers[0]:
        return differ[0] if differ else None
    steps = [(now.median / before.median, now) for before, now in pairwise(differ)]
    return max(steps, key=lambda step: step[0])[1] if steps else None
