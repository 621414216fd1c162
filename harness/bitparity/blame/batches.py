"""How many rows an engine multiplied together at a position, as its trace tells: some roundings follow it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby

import numpy as np

from bitparity.architectures.graph import LAST_OF_ATTENTION
from bitparity.oracle.definition import Place
from bitparity.stages import STAGE_NAMES
from bitparity.trace import TraceValues

# In the last layer engines may go on from here with nothing but the rows whose logits are asked for.
REDUCED_FROM = STAGE_NAMES.index(LAST_OF_ATTENTION) + 1


class Batches:
    """The batches of one trace."""

    def __init__(self, trace: TraceValues) -> None:
        self._trace = trace
        self._recorded = [pair for pair in trace.stages() if pair[1] in STAGE_NAMES]
        self._largest = cache(self._find_largest)
        self._others = cache(self._find_others)

    def places(self, layer: int, stage: str, positions: Sequence[int]) -> Iterator[Place]:
        """Where a stage was computed, in runs of consecutive `positions` that were rounded alike."""
        for (rows, reduced), run in groupby(positions, key=lambda p: self._batch(layer, stage, p)):
            yield Place(layer, np.fromiter(run, np.int64), rows, reduced)

    def _batch(self, layer: int, stage: str, position: int) -> tuple[int, bool]:
        """Number of rows, and whether others were dropped before; 1 row where a trace does not tell."""
        rows = self._rows(layer, stage, position)
        return rows, rows < self._largest(position)

    def _rows(self, layer: int, stage: str, position: int) -> int:
        """Rows recorded of the stage, else of a stage with the same rows, else of any stage of the layer."""
        if rows := self._trace.batch_rows(layer, stage, position):
            return rows
        found = (self._trace.batch_rows(layer, name, position) for name in self._others(layer, stage))
        return next((rows for rows in found if rows), 1)

    def _find_others(self, layer: int, stage: str) -> list[str]:
        """The stages recorded in the layer, first those with the same rows."""
        return sorted(
            (name for at, name in self._recorded if at == layer),
            key=lambda name: _is_late(name) != _is_late(stage),
        )

    def _find_largest(self, position: int) -> int:
        return max((self._trace.batch_rows(*pair, position) or 1 for pair in self._recorded), default=1)


def _is_late(stage: str) -> bool:
    return STAGE_NAMES.index(stage) >= REDUCED_FROM
