"""Trace records made in the worker, where the values are, so that values need not cross to the parent."""

from __future__ import annotations

import numpy as np

from bitparity.engine import StageValue
from bitparity_native import _core


class WorkerRecorder:
    """Hashes and measures stages, a call's at a time."""

    def __init__(self, engine: str, run: str) -> None:
        self._recorder = _core.Recorder(engine=engine, run=run, threads=1)
        self._seq: int | None = None  # of what the recorder holds

    def add(self, value: StageValue) -> None:
        self._recorder.add(value.layer, value.stage, value.position, np.ascontiguousarray(value.values))
        self._seq = value.seq

    def take(self) -> bytes | None:
        """The lines of what was added since the last time, as engine.RecordSink gets them."""
        seq, self._seq = self._seq, None
        return None if seq is None else self._recorder.take(seq)
