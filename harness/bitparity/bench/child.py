"""A stopwatch in a process of its own.

So an engine that runs inside its caller is measured with nothing else in memory, and its crash ends
nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from bitparity.bench.lane import Lane
from bitparity.bench.stopwatch import Stopwatch
from bitparity.engine import Engine
from bitparity.model import open_model
from bitparity.settings import Settings
from bitparity.worker.worker import Worker

PATIENCE = (
    1.5  # times the time limit of a call: an engine's own worker tells more of its end, so it must end first
)


class ChildTimer:
    """A Timer whose session, or the handle of the session, lives in a child process.

    Every method may raise EngineFailed.  The engine must be picklable, by the module that defines it.
    """

    def __init__(
        self, lane: Lane, *, context: int, settings: Settings, threads: int | None, time_limit: float
    ) -> None:
        arguments = {
            "engine": lane.engine,
            "path": lane.model.path,
            "read_from": lane.read_from or lane.model.path,
            "context": context,
            "settings": settings,
            "threads": threads,
        }
        self.worker = Worker(lane.label, _stopwatch, arguments, time_limit=PATIENCE * time_limit)

    def load(self) -> float:
        return cast(float, self.worker.call("load"))

    def fingerprint(self) -> dict[str, Any]:
        return cast(dict[str, Any], self.worker.call("fingerprint"))

    def prefill(self, tokens: Sequence[int]) -> float:
        return cast(float, self.worker.call("prefill", tokens))

    def decode(self, tokens: Sequence[int], depth: int) -> float:
        return cast(float, self.worker.call("decode", tokens, depth))

    def peak_memory(self) -> int | None:
        return cast("int | None", self.worker.call("peak_memory"))

    def close(self) -> None:
        self.worker.close()


def _stopwatch(
    *, engine: Engine, path: Path, read_from: Path, context: int, settings: Settings, threads: int | None
) -> Stopwatch:
    model = open_model(read_from)
    if path != read_from:
        model = replace(model, path=path, tensors={})
    return Stopwatch(engine, model, context=context, settings=settings, threads=threads)
