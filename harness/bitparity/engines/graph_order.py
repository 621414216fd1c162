"""Values of stages, passed on in the order of the graph."""

from __future__ import annotations

from bitparity.engine import Sink, StageValue
from bitparity.stages import graph_order


class GraphOrder:
    """A sink that sorts within each block and passes on.

    Engines compute q_rope before k_proj or after it, but their blocks in turn.  Holds the values of one block
    until the next begins; `flush` passes on the last.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._block: list[StageValue] = []

    def __call__(self, value: StageValue) -> None:
        if self._block and _block_of(value) != _block_of(self._block[0]):
            self.flush()
        self._block.append(value)

    def flush(self) -> None:
        block, self._block = self._block, []
        for value in sorted(block, key=lambda value: graph_order(value.layer, value.stage)):
            self._sink(value)


def _block_of(value: StageValue) -> tuple[int, int, int]:
    return (value.position, *graph_order(value.layer, value.stage)[:2])
