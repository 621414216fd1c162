"""Compare two traces row by row: a row is one position of one stage, whatever the chunking.

Rows are aligned by position, layer, stage, and occurrence where a run computed a position again.  They are
equal when their digests are.  Otherwise the difference is measured on values if both traces hold them, and on
the RMS if not.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bitparity.compare.metrics import relative, relative_l2
from bitparity.engine import Floats
from bitparity.errors import NotCompared
from bitparity.output import without_nan
from bitparity.trace.record import TraceRecord, digest_of
from bitparity.trace.trace import RowKey, Trace, order_in_graph, stage_order

# Tracers print six digits or more, so a number is off by 5e-6 at most; and they add up in float32, where
# 7,000 roundings of 6e-8, a random walk, make another 5e-6.
PRINTED = 1e-5
Kind = Literal["equal", "differs", "shape", "missing", "extra"]
Rows = dict[RowKey, TraceRecord]


@dataclass(frozen=True, slots=True)
class RowDiff:
    """What was found at one row.

    kind         missing: only in expected; extra: only in actual; shape: the two cannot be compared, having
                 different shapes, or one known as a whole and the other by position and without values
    relative_l2  |actual - expected| / |expected|, and
    max_abs      the largest difference, where both traces hold values, else None
    statistics   how far (relative) what a tracer printed is from what the other trace has, where one did
    rms_expected, rms_actual   None where the trace does not say
    """

    key: RowKey
    kind: Kind
    relative_l2: float | None = None
    max_abs: float | None = None
    rms_expected: float | None = None
    rms_actual: float | None = None
    statistics: float | None = None

    @property
    def size(self) -> float | None:
        """Relative L2, or without values the relative difference of the RMS, which is at most that."""
        if self.statistics is not None:
            return self.statistics
        if self.relative_l2 is not None or self.rms_expected is None or self.rms_actual is None:
            return self.relative_l2
        return relative(abs(self.rms_actual - self.rms_expected), self.rms_expected)

    def as_dict(self) -> dict[str, Any]:
        names = ("relative_l2", "max_abs", "rms_expected", "rms_actual", "statistics")
        sizes = {name: getattr(self, name) for name in names}
        return {**self.key._asdict(), "kind": self.kind, **sizes}


@dataclass(frozen=True, slots=True)
class StageDiff:
    """One stage over all layers and positions; `first` is the first row that is not equal."""

    stage: str
    rows: int
    differing: int
    missing: int
    extra: int
    worst: RowDiff | None
    first: RowKey | None

    def as_dict(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "rows": self.rows,
            "differing": self.differing,
            "missing": self.missing,
            "extra": self.extra,
            "worst": None if self.worst is None else self.worst.as_dict(),
            "first": None if self.first is None else self.first._asdict(),
        }


@dataclass(frozen=True)
class TraceDiff:
    """The outcome.

    compared   rows that both traces have
    unequal    all rows that are not equal, in graph order, then by position; the inputs of the first one that
               differs are equal, as far as they were recorded
    only_expected, only_actual   stages that the other trace does not have at all; not in `unequal`
    damage     what the traces' files lack
    """

    expected: Trace
    actual: Trace
    compared: int
    unequal: tuple[RowDiff, ...]
    stages: tuple[StageDiff, ...]
    only_expected: tuple[str, ...]
    only_actual: tuple[str, ...]
    damage: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Whether every row of every stage that both engines have is equal, and neither trace is damaged."""
        return self.compared > 0 and not self.unequal and not self.damage

    @property
    def first_divergence(self) -> RowDiff | None:
        """The first row in graph order that both have and that differs."""
        return next((d for d in self.unequal if d.kind in ("differs", "shape")), None)

    @property
    def exit_code(self) -> int:
        """0 equal; 1 rows differ, are missing or extra; 4 damaged traces that are equal as far as they go."""
        if self.unequal:
            return 1
        return 0 if self.is_equal else NotCompared.exit_code

    def counts(self) -> dict[str, int]:
        kinds = Counter(d.kind for d in self.unequal)
        return {"compared": self.compared} | {k: kinds[k] for k in ("differs", "shape", "missing", "extra")}

    def as_dict(self) -> dict[str, Any]:
        first = self.first_divergence
        data = {
            "expected": str(self.expected.path),
            "actual": str(self.actual.path),
            "exit_code": self.exit_code,
            "counts": self.counts(),
            "first_divergence": None if first is None else first.as_dict(),
            "stages": [s.as_dict() for s in self.stages],
            "only_expected": list(self.only_expected),
            "only_actual": list(self.only_actual),
            "damage": list(self.damage),
            "unequal": [d.as_dict() for d in self.unequal],
        }
        plain: dict[str, Any] = without_nan(data)
        return plain


def diff_traces(expected: Trace, actual: Trace) -> TraceDiff:
    """Compare all rows of two traces.

    Raises NotCompared when they have no row in common.
    """
    rows_expected, rows_actual = _comparable_rows(expected, actual)
    common = rows_expected.keys() & rows_actual.keys()
    if not common:
        raise NotCompared(
            f"{expected.path} and {actual.path} have no stage of any position in common: "
            f"{_extent(expected)}, against {_extent(actual)}"
        )
    shared = {key.stage for key in rows_expected} & {key.stage for key in rows_actual}
    keys = sorted((k for k in rows_expected.keys() | rows_actual.keys() if k.stage in shared), key=_order)
    found = [_diff_row(key, rows_expected.get(key), rows_actual.get(key), expected, actual) for key in keys]
    return TraceDiff(
        expected,
        actual,
        len(common),
        tuple(diff for diff in found if diff.kind != "equal"),
        _stage_diffs(found),
        tuple(sorted({key.stage for key in rows_expected} - shared, key=stage_order)),
        tuple(sorted({key.stage for key in rows_actual} - shared, key=stage_order)),
        (*expected.damage, *actual.damage),
    )


def _comparable_rows(expected: Trace, actual: Trace) -> tuple[Rows, Rows]:
    """The rows of both traces; where one has several positions as one record, the other's are joined too."""
    rows_expected, rows_actual = dict(expected.rows), dict(actual.rows)
    _join_rows(rows_actual, actual, as_in=rows_expected)
    _join_rows(rows_expected, expected, as_in=rows_actual)
    return rows_expected, rows_actual


def _join_rows(fine: Rows, trace: Trace, *, as_in: Rows) -> None:
    """Join the rows that one record of another tool covers: it records a prefill as a whole."""
    for key, coarse in as_in.items():
        first = fine.get(key)
        if coarse.batch is not None or first is None or first.batch is None:
            continue
        keys = [key._replace(position=key.position + i) for i in range(first.batch)]
        rows = [fine[k] for k in keys if k in fine]
        if len(rows) == first.batch and sum(row.num_elements for row in rows) == coarse.num_elements:
            for k in keys:
                del fine[k]
            fine[key] = _joined(rows, trace)


def _joined(rows: list[TraceRecord], trace: Trace) -> TraceRecord:
    """One record of consecutive rows; its digest is "" (not known) without values."""
    known = all(trace.holds_values(row) for row in rows)
    digest = digest_of(np.stack([trace.kept_value(row) for row in rows])) if known else ""
    return rows[0]._replace(
        shape=(len(rows), *rows[0].shape),
        blake3=digest,
        num_elements=sum(row.num_elements for row in rows),
        rms=_joined_rms(rows),
        values_file=None,
    )


def _joined_rms(rows: list[TraceRecord]) -> float | None:
    counts = [row.num_elements - (row.non_finite or 0) for row in rows]
    squares = sum(count * row.rms**2 for count, row in zip(counts, rows, strict=True) if row.rms is not None)
    return math.sqrt(squares / sum(counts)) if sum(counts) else None


def _diff_row(
    key: RowKey, e: TraceRecord | None, a: TraceRecord | None, expected: Trace, actual: Trace
) -> RowDiff:
    if e is None or a is None:
        return RowDiff(key, "extra" if e is None else "missing")
    if e.is_printed or a.is_printed:
        error = _statistics(e, a, expected, actual)
        kind: Kind = "equal" if error <= PRINTED else "differs"
        return RowDiff(key, kind, None, None, e.rms, a.rms, error)
    if not (_have_one_shape(e, a) and e.blake3 and a.blake3):
        return RowDiff(key, "shape", None, None, e.rms, a.rms)
    if e.blake3 == a.blake3:
        return RowDiff(key, "equal", 0.0, 0.0, e.rms, a.rms)
    if expected.holds_values(e) and actual.holds_values(a):
        distance = _distance(expected.kept_value(e), actual.kept_value(a))
        return RowDiff(key, "differs", *distance, e.rms, a.rms)
    return RowDiff(key, "differs", None, None, e.rms, a.rms)


def _statistics(e: TraceRecord, a: TraceRecord, expected: Trace, actual: Trace) -> float:
    """The largest difference of what is known of both; infinite if nothing is.

    RMS, mean and extremes are taken relative to themselves or to the RMS; of the first values it is the
    relative L2.
    """
    rms = e.rms or a.rms or 0.0
    pairs = [(getattr(e, name), getattr(a, name)) for name in ("rms", "mean", "min", "max")]
    known = [(x, y) for x, y in pairs if x is not None and y is not None]
    errors = [relative(abs(y - x), max(rms, abs(x))) for x, y in known]
    firsts = [_first(record, trace) for record, trace in ((e, expected), (a, actual))]
    n = min(map(len, firsts))
    if n:
        errors.append(relative_l2(firsts[0][:n], firsts[1][:n]))
    return float(np.max(errors, initial=0.0)) if errors else math.inf


def _first(record: TraceRecord, trace: Trace) -> Floats:
    if record.first or not trace.holds_values(record):
        return np.array(record.first, np.float32)
    return trace.kept_value(record).reshape(-1)


def _have_one_shape(expected: TraceRecord, actual: TraceRecord) -> bool:
    """Whether shapes are equal; other tools add axes of length 1 for the batch and the queries of a step."""
    if (expected.batch is None) == (actual.batch is None):
        return expected.shape == actual.shape
    return [n for n in expected.shape if n != 1] == [n for n in actual.shape if n != 1]


def _distance(expected: Floats, actual: Floats) -> tuple[float, float]:
    """Relative L2 and largest difference, in float64; infinite when a value is not finite."""
    expected = expected.reshape(actual.shape)
    difference = actual.astype(np.float64) - expected
    if not np.isfinite(difference).all():
        return np.inf, np.inf
    return relative_l2(expected, actual), float(np.abs(difference).max(initial=0.0))


def _stage_diffs(found: list[RowDiff]) -> tuple[StageDiff, ...]:
    by_stage: dict[str, list[RowDiff]] = {}
    for diff in found:
        by_stage.setdefault(diff.key.stage, []).append(diff)
    return tuple(_stage_diff(stage, by_stage[stage]) for stage in sorted(by_stage, key=stage_order))


def _stage_diff(stage: str, diffs: list[RowDiff]) -> StageDiff:
    kinds = Counter(diff.kind for diff in diffs)
    differing = [diff for diff in diffs if diff.kind in ("differs", "shape")]
    return StageDiff(
        stage,
        len(diffs),
        len(differing),
        kinds["missing"],
        kinds["extra"],
        max(differing, key=lambda diff: np.inf if diff.size is None else diff.size, default=None),
        next((diff.key for diff in diffs if diff.kind != "equal"), None),
    )


def _order(key: RowKey) -> tuple[tuple[int, int, int, str], RowKey]:
    return order_in_graph(key.layer, key.stage), key


def _extent(trace: Trace) -> str:
    stages, positions = sorted({stage for _, stage in trace.stages()}, key=stage_order), trace.positions()
    return f"{', '.join(stages)} at positions {positions[0]} to {positions[-1]}"
