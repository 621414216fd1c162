"""A row a scored position, appended to a file window by window.

The file is the state of the run: what is killed loses the window that it was at, and goes on after the last
whole one.  Memory does not grow with the corpus.  Beside the rows stands what run they are of.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitparity.compare.metrics import METRICS, PositionMetrics
from bitparity.output import make_folder, to_json, writing

Rows = NDArray[np.void]
_INTEGERS = ("argmax_expected", "argmax_actual")
ROW = np.dtype(
    [
        ("window", np.int32),
        ("position", np.int32),  # in the window
        ("token", np.int32),  # that was fed there
        ("target", np.int32),  # that follows
        ("nll_expected", np.float64),  # of the target, in nats
        ("nll_actual", np.float64),
        ("expected_is_finite", np.bool_),
        ("actual_is_finite", np.bool_),
        *((m.name, np.int32 if m.name in _INTEGERS else np.float64) for m in METRICS),
    ]
)
_METRICS = tuple(f.name for f in fields(PositionMetrics))


class RowFile:
    """The rows of one run in a folder of its own.

    identity  of the run, plain data: rows of another run are dropped
    counts    how many rows each window has
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], counts: list[int]) -> None:
        self.folder = folder
        self._rows, self._identity = folder / "rows", folder / "run.json"
        make_folder(folder, exist_ok=True)
        if self._read_identity() != json.loads(to_json(identity)):
            self._rows.unlink(missing_ok=True)
            with writing(self._identity):
                self._identity.write_text(to_json(identity), encoding="utf-8")
        self._ends = np.cumsum([0, *counts])

    def begin(self) -> int:
        """How many windows are whole; what was written of the next one is cut off."""
        with writing(self._rows):
            self._rows.touch()
            rows = self._rows.stat().st_size // ROW.itemsize
            whole = int(np.searchsorted(self._ends, rows, side="right")) - 1
            os.truncate(self._rows, int(self._ends[whole]) * ROW.itemsize)
        return whole

    def append(self, rows: Rows) -> None:
        """Keep the rows of the next window, on the disk."""
        with writing(self._rows), self._rows.open("ab") as file:
            file.write(rows.tobytes())
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> Rows:
        """All rows, mapped and not read."""
        if not self._rows.stat().st_size:
            return np.empty(0, ROW)
        return np.memmap(self._rows, ROW, "r")

    def remove(self) -> None:
        """Forget the run, which has been told."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read_identity(self) -> Any:
        try:
            return json.loads(self._identity.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None


def metrics_of(row: Any) -> PositionMetrics:
    """The metrics of one row."""
    return PositionMetrics(**{name: row[name].item() for name in _METRICS})


def row_values(metrics: PositionMetrics) -> Iterator[Any]:
    """The last fields of a row."""
    yield from (metrics.expected_is_finite, metrics.actual_is_finite)
    yield from (metric.of(metrics) for metric in METRICS)
