"""A trace in memory only, for small models and for values that are judged at once."""

from __future__ import annotations

from bitparity.engine import Floats, StageValue
from bitparity.errors import BadInput
from bitparity.stages import graph_order
from bitparity.trace.record import position_row


class MemoryTrace:
    """A sink that keeps every value as it came; answers like trace.Trace."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self._rows: dict[tuple[int, int, str], tuple[StageValue, int]] = {}

    def __call__(self, value: StageValue) -> None:
        for index in range(len(value.values)):
            self._rows[value.position + index, value.layer, value.stage] = value, index

    def clear(self) -> None:
        """Forget all values."""
        self._rows.clear()

    def stages(self) -> list[tuple[int, str]]:
        """(layer, stage) pairs that were recorded, in graph order."""
        return sorted({(layer, stage) for _, layer, stage in self._rows}, key=lambda pair: graph_order(*pair))

    def positions(self) -> list[int]:
        return sorted({position for position, _, _ in self._rows})

    def has_value(self, layer: int, stage: str, position: int) -> bool:
        return (position, layer, stage) in self._rows

    def value(self, layer: int, stage: str, position: int) -> Floats:
        """As trace.Trace.value."""
        if not self.has_value(layer, stage, position):
            raise BadInput(f"{self.engine}: layer {layer} {stage} was not recorded at position {position}")
        return position_row(*self._rows[position, layer, stage])

    def seq(self, layer: int, stage: str, position: int) -> int | None:
        """As trace.Trace.seq."""
        found = self._rows.get((position, layer, stage))
        return None if found is None else found[0].seq

    def batch_rows(self, layer: int, stage: str, position: int) -> int | None:
        """As trace.Trace.batch_rows."""
        found = self._rows.get((position, layer, stage))
        return None if found is None else len(found[0].values)
