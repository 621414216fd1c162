"""One trace record: name, shape, digest and statistics of a stage's value at one position.

A call of n positions makes n records of a stage, so a prefill of 8 tokens compares with 8 decode steps
without any values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from blake3 import blake3

from bitparity.engine import Floats, StageValue


class TraceRecord(NamedTuple):
    """One line of trace.jsonl.  None is "not known", which only records of other tools have.

    name          unique within a run
    shape, dtype  of the value, the axes of the stage; dtype is "F32"
    blake3        of the value's little-endian float32 bytes, C order
    rms, min, max, mean   over its finite elements (float32 sums: six digits); None if there are none
    non_finite    number of NaN and infinite elements
    seq, layer, stage, position   as in engine.StageValue
    batch         positions that the call computed together; engines round differently for one
    values_file   safetensors file that holds the value under `name`
    first         the first elements, where a tracer printed them; blake3 is "" then
    Records of other tools may cover a whole prefill and know less.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    blake3: str
    rms: float | None
    num_elements: int
    seq: int | None = None
    layer: int | None = None
    stage: str | None = None
    position: int | None = None
    batch: int | None = None
    engine: str = ""
    run: str = ""
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    non_finite: int | None = None
    values_file: str | None = None
    first: tuple[float, ...] = ()

    @property
    def is_printed(self) -> bool:
        """Whether a tracer printed it (printed.py), so that only statistics and first values are known."""
        return not self.blake3 and self.batch is None

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> TraceRecord:
        """From parsed JSON; unknown keys are ignored.

        Raises KeyError, TypeError or ValueError if it is no record.
        """
        known = {key: data[key] for key in cls._fields if data.get(key) is not None}
        known["shape"] = tuple(int(n) for n in data["shape"])
        record = cls(**{"rms": None} | known)
        if not isinstance(record.blake3, str) or not isinstance(record.name, str):
            raise ValueError("name and blake3 must be strings")
        return record


def position_row(value: StageValue, index: int) -> Floats:
    """The value at the index-th position covered, C order; attention rows end at that position.

    attn_probs is recorded as (n, n_head, positions of the whole call); what lies beyond a row's own position
    depends on the chunking, so the row is (n_head, position + 1).
    """
    row = value.values[index]
    if value.stage == "attn_probs":
        row = row[:, : value.position + index + 1]
    return np.ascontiguousarray(row)


def digest_of(values: Floats) -> str:
    """BLAKE3 of the little-endian float32 bytes, hex; values are C-contiguous."""
    return blake3(values.astype("<f4", copy=False).data.cast("B")).hexdigest()


class Statistics(NamedTuple):
    """Sums and extremes of n rows, over the finite elements of a row."""

    sums: list[float]
    squares: list[float]
    minima: list[float]
    maxima: list[float]
    non_finite: list[int]

    @classmethod
    def of(cls, rows: Floats) -> Statistics:
        """rows (n, elements) float32.

        Four passes in float32.  A sum of squares that is not finite means a non-finite element or squares
        beyond float32 (|x| > 1.8e19); then it is taken in float64 over the finite elements.
        """
        with np.errstate(all="ignore"):
            squares = np.vecdot(rows, rows)
        if np.isfinite(squares).all():
            extremes = rows.min(axis=1).tolist(), rows.max(axis=1).tolist()
            return cls(rows.sum(axis=1).tolist(), squares.tolist(), *extremes, [0] * len(rows))
        finite = np.isfinite(rows)
        wide = np.where(finite, rows, 0).astype(np.float64)
        return cls(
            wide.sum(axis=1).tolist(),
            np.vecdot(wide, wide).tolist(),
            np.where(finite, rows, np.inf).min(axis=1).tolist(),
            np.where(finite, rows, -np.inf).max(axis=1).tolist(),
            (~finite).sum(axis=1).tolist(),
        )

    def row(self, index: int, elements: int) -> dict[str, Any]:
        """The fields of the record of one row, of which `elements` count."""
        count = elements - self.non_finite[index]
        return {
            "num_elements": elements,
            "non_finite": self.non_finite[index],
            "rms": math.sqrt(self.squares[index] / count) if count else None,
            "min": self.minima[index] if count else None,
            "max": self.maxima[index] if count else None,
            "mean": self.sums[index] / count if count else None,
        }


class RecordMaker:
    """Turns stage values into records, with names that never repeat."""

    def __init__(self, engine: str, run: str) -> None:
        self.engine, self.run = engine, run
        self._times_used: dict[str, int] = {}

    def records(self, values: Sequence[StageValue]) -> list[TraceRecord]:
        """Records in the order of the values, those of a value in the order of its positions.

        The statistics of one-position values of equal width are taken together: a decode step of a 30-layer
        model has 540 values, and a NumPy call costs as much as the arithmetic on one of them.
        """
        measures: dict[int, list[dict[str, Any]]] = {}
        by_width: dict[int, list[int]] = {}
        for index, value in enumerate(values):
            if len(value.values) == 1:
                by_width.setdefault(value.values.size, []).append(index)
            else:
                measures[index] = _measures(value)
        for width, indices in by_width.items():
            together = Statistics.of(np.concatenate([values[i].values.reshape(1, width) for i in indices]))
            measures.update({index: [together.row(row, width)] for row, index in enumerate(indices)})
        return [
            self._record(value, row, measured)
            for index, value in enumerate(values)
            for row, measured in enumerate(measures[index])
        ]

    def _record(self, value: StageValue, index: int, measured: dict[str, Any]) -> TraceRecord:
        row = position_row(value, index)
        return TraceRecord(
            name=self._name(value, value.position + index),
            shape=row.shape,
            dtype="F32",
            blake3=digest_of(row),
            seq=value.seq,
            layer=value.layer,
            stage=value.stage,
            position=value.position + index,
            batch=len(value.values),
            engine=self.engine,
            run=self.run,
            **measured,
        )

    def _name(self, value: StageValue, position: int) -> str:
        block = f"blk{value.layer}/" if value.layer >= 0 else ""
        name = f"seq{value.seq}/pos{position}/{block}{value.stage}"
        times = self._times_used[name] = self._times_used.get(name, 0) + 1
        return name if times == 1 else f"{name}~{times}"


def _measures(value: StageValue) -> list[dict[str, Any]]:
    """The statistics of each row."""
    n = len(value.values)
    if value.stage == "attn_probs":
        rows = [position_row(value, index) for index in range(n)]
        return [Statistics.of(row.reshape(1, -1)).row(0, row.size) for row in rows]
    flat = value.values.reshape(n, -1)
    statistics = Statistics.of(flat)
    return [statistics.row(index, flat.shape[1]) for index in range(n)]
