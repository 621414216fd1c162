"""One trace record: what is kept of a stage's value when the value itself is not.

A record covers consecutive positions of one stage of one call.  Every position has a digest and an RMS of its
own, so that a prefill of 8 tokens compares with 8 decode steps without any values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from blake3 import blake3

from bitparity.engine import Floats, StageValue

DIGEST_LENGTH = 16  # hex digits of a position's digest: 64 bits, the beginning of its BLAKE3


class TraceRecord(NamedTuple):
    """One line of trace.jsonl.  None is "not known", which only records of other tools have.

    name             unique within a run
    shape, dtype     of the value; dtype is "F32"
    blake3           of the little-endian float32 bytes of the whole value
    rms, min, max, mean   over its finite elements (float32 sums: six digits); None if there are none
    non_finite       number of NaN and infinite elements
    seq, layer, stage, position   as in engine.StageValue
    position_blake3  a digest of each position covered; empty when the record's own serves for its only one
    position_rms     likewise
    values_file      safetensors file that holds the value under `name`, from position `values_position` on
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
    engine: str = ""
    run: str = ""
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    non_finite: int | None = None
    position_blake3: tuple[str, ...] = ()
    position_rms: tuple[float | None, ...] = ()
    values_file: str | None = None
    values_position: int | None = None

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> TraceRecord:
        """From parsed JSON; unknown keys are ignored.

        Raises KeyError, TypeError or ValueError if it is no record.
        """
        known = {key: data[key] for key in cls._fields if data.get(key) is not None}
        known["shape"] = tuple(int(n) for n in data["shape"])
        for key in ("position_blake3", "position_rms"):
            if key in known:
                known[key] = tuple(known[key])
        record = cls(**{"rms": None} | known)
        if not isinstance(record.blake3, str) or not isinstance(record.name, str):
            raise ValueError("name and blake3 must be strings")
        return record

    @property
    def n_positions(self) -> int:
        """Positions that have a digest of their own; 1 for a record that is only known as a whole."""
        return len(self.position_blake3) or 1

    def digest(self, index: int) -> str:
        """Digest of the index-th position covered."""
        return self.position_blake3[index] if self.position_blake3 else self.blake3[:DIGEST_LENGTH]

    def rms_at(self, index: int) -> float | None:
        return self.position_rms[index] if self.position_rms else self.rms


def position_row(value: StageValue, index: int) -> Floats:
    """The value at the index-th position covered, C order; attention rows end at that position.

    attn_probs is recorded as (n, n_head, positions of the whole call); what lies beyond a row's own position
    depends on the chunking, so the row is (n_head, position + 1).
    """
    row = value.values[index]
    if value.stage == "attn_probs":
        row = row[:, : value.position + index + 1]
    return np.ascontiguousarray(row)


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

    def row(self, index: int) -> Statistics:
        """Those of one row alone."""
        sums, squares, minima, maxima, non_finite = self
        return Statistics(
            [sums[index]], [squares[index]], [minima[index]], [maxima[index]], [non_finite[index]]
        )


class RecordMaker:
    """Turns stage values into records, with names that never repeat."""

    def __init__(self, engine: str, run: str) -> None:
        self.engine, self.run = engine, run
        self._times_used: dict[str, int] = {}

    def records(self, values: Sequence[StageValue]) -> list[TraceRecord]:
        """Records in the order of the values.

        The statistics of one-position values of equal width are taken together: a decode step of a 30-layer
        model has 540 values, and a NumPy call costs as much as the arithmetic on one of them.
        """
        statistics: dict[int, Statistics] = {}
        by_width: dict[int, list[int]] = {}
        for index, value in enumerate(values):
            if len(value.values) == 1:
                by_width.setdefault(value.values.size, []).append(index)
            else:
                statistics[index] = Statistics.of(value.values.reshape(len(value.values), -1))
        for width, indices in by_width.items():
            together = Statistics.of(np.concatenate([values[i].values.reshape(1, width) for i in indices]))
            statistics.update({index: together.row(row) for row, index in enumerate(indices)})
        return [self._record(value, statistics[index]) for index, value in enumerate(values)]

    def _record(self, value: StageValue, statistics: Statistics) -> TraceRecord:
        non_finite = sum(statistics.non_finite)
        count = value.values.size - non_finite
        digests, position_rms = _by_position(value, statistics) if len(value.values) > 1 else ((), ())
        return TraceRecord(
            name=self._name(value),
            shape=value.values.shape,
            dtype="F32",
            blake3=_hash(value.values).hexdigest(),
            rms=_rms(sum(statistics.squares), count),
            num_elements=value.values.size,
            seq=value.seq,
            layer=value.layer,
            stage=value.stage,
            position=value.position,
            engine=self.engine,
            run=self.run,
            min=min(statistics.minima) if count else None,
            max=max(statistics.maxima) if count else None,
            mean=sum(statistics.sums) / count if count else None,
            non_finite=non_finite,
            position_blake3=digests,
            position_rms=position_rms,
        )

    def _name(self, value: StageValue) -> str:
        block = f"blk{value.layer}/" if value.layer >= 0 else ""
        name = f"seq{value.seq}/pos{value.position}/{block}{value.stage}"
        times = self._times_used[name] = self._times_used.get(name, 0) + 1
        return name if times == 1 else f"{name}~{times}"


def _by_position(
    value: StageValue, statistics: Statistics
) -> tuple[tuple[str, ...], tuple[float | None, ...]]:
    rows = [position_row(value, index) for index in range(len(value.values))]
    digests = tuple(_hash(row).hexdigest(length=DIGEST_LENGTH // 2) for row in rows)
    sums = zip(statistics.squares, rows, statistics.non_finite, strict=True)
    return digests, tuple(_rms(squares, row.size - non_finite) for squares, row, non_finite in sums)


def _hash(values: Floats) -> blake3:
    """BLAKE3 over the little-endian float32 bytes, C order."""
    little_endian = np.ascontiguousarray(values, dtype="<f4")
    return blake3(little_endian.data.cast("B"))


def _rms(sum_of_squares: float, count: int) -> float | None:
    return math.sqrt(sum_of_squares / count) if count > 0 else None
