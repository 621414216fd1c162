"""Traces: what a session recorded at its stages.

Recorded values are asked for through `TraceValues`, be they on disk (`Trace`) or in memory (`MemoryTrace`).
"""

from __future__ import annotations

from typing import Protocol

from bitparity.engine import Floats
from bitparity.trace.diff import RowDiff, StageDiff, TraceDiff, diff_traces
from bitparity.trace.memory import MemoryTrace
from bitparity.trace.reader import read_trace, trace_runs
from bitparity.trace.record import TraceRecord
from bitparity.trace.store import ALL_VALUES, TraceWriter, ValueWindow
from bitparity.trace.trace import RowKey, Trace

__all__ = [
    "ALL_VALUES",
    "MemoryTrace",
    "RowDiff",
    "RowKey",
    "StageDiff",
    "Trace",
    "TraceDiff",
    "TraceRecord",
    "TraceValues",
    "TraceWriter",
    "ValueWindow",
    "diff_traces",
    "read_trace",
    "trace_runs",
]


class TraceValues(Protocol):
    """Whatever holds recorded values."""

    @property
    def engine(self) -> str: ...
    def stages(self) -> list[tuple[int, str]]: ...
    def positions(self) -> list[int]: ...
    def has_value(self, layer: int, stage: str, position: int) -> bool: ...
    def value(self, layer: int, stage: str, position: int) -> Floats: ...
    def seq(self, layer: int, stage: str, position: int) -> int | None: ...
    def batch_rows(self, layer: int, stage: str, position: int) -> int | None: ...
