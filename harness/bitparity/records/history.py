"""What the records of a folder say together: what changed since the last run, since when, and which build.

DuckDB finds, for every cell, the runs that matter; their records are then compared in Python.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitparity.errors import BadInput
from bitparity.noise.verdict import PASSES
from bitparity.records.columns import Record
from bitparity.records.store import MATRIX, open_records, select_records

if TYPE_CHECKING:
    import duckdb

SHOWN_RUNS = 30  # of a cell's history, the latest
_RANKS = {verdict.value: rank for rank, verdict in enumerate(PASSES)}

# For every cell of the runs up to this one: the run before, the last one that passed, and the first failure
# after that.  `first_bad` is null where the cell passes now, `last_good` where it never passed.
_MOMENTS = """
WITH upto AS (SELECT cell, run, exit_code FROM ended WHERE run <= $1),
     good AS (SELECT cell, max(run) AS last_good FROM upto WHERE exit_code = 0 GROUP BY cell)
SELECT cell,
       max(run) AS last,
       max(run) FILTER (WHERE run < $1) AS previous,
       any_value(last_good) AS last_good,
       min(run) FILTER (WHERE run > coalesce(last_good, '')) AS first_bad
FROM upto LEFT JOIN good USING (cell) GROUP BY cell ORDER BY cell
"""
_OUTCOMES = """
SELECT cell, list(run ORDER BY run), list(outcome ORDER BY run), list(exit_code ORDER BY run)
FROM ended WHERE run <= $1 AND run >= $2 GROUP BY cell
"""


class Change(Enum):
    """What became of a cell since the last run before that had it."""

    REGRESSED = "regressed"  # it passed before, and fails now
    FAILS_AT_FIRST = "fails at first"  # it fails in its first run
    FAILS_OTHERWISE = "fails otherwise"  # it failed before, and does now in another way
    STILL_FAILS = "still fails"
    NOT_COMPARED_AT_FIRST = "not compared at first"  # nothing could be compared in its first run
    WEAKER = "weaker"  # it passes, with a lesser verdict: noise where it agreed
    STRONGER = "stronger"  # it passes, with a better verdict
    FIXED = "fixed"  # it failed before, and passes now
    PASSES_AT_FIRST = "passes at first"  # it passes in its first run
    STILL_PASSES = "still passes"
    MISSING = "missing"  # an earlier run had it, this one has not


@dataclass(frozen=True)
class Outcome:
    """How a cell ended in one run."""

    run: str
    outcome: str
    exit_code: int


@dataclass(frozen=True)
class CellHistory:
    """One cell, up to the run that is reported.

    last       its record in that run; in the last run that had it, where that one has not
    previous   its record in the last run before that had it
    last_good  its last record that passed; None if it never did
    first_bad  where it fails now: the first of the failures that last until now
    outcomes   how it ended in the last SHOWN_RUNS runs that had it, the oldest first
    """

    last: Record
    previous: Record | None
    last_good: Record | None
    first_bad: Record | None
    outcomes: tuple[Outcome, ...]
    change: Change

    @property
    def is_regression(self) -> bool:
        """Whether it fails though it once passed, or fails in its first run.

        So a cell stays a regression until it passes again, and one that never passed is one only once.
        """
        if self.change is Change.MISSING or self.last.passed:
            return False
        return self.last_good is not None or self.change is Change.FAILS_AT_FIRST

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: records by their columns, without whole results."""
        moments = {name: getattr(self, name) for name in ("last", "previous", "last_good", "first_bad")}
        return {
            "change": self.change.value,
            "is_regression": self.is_regression,
            "differences": self.differences,
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
            **{name: None if record is None else asdict(record) for name, record in moments.items()},
        }

    @property
    def differences(self) -> list[str]:
        """What had changed from the last pass to the first failure, a clause each: builds, files, machine."""
        if self.first_bad is None or self.last_good is None:
            return []
        return differences(self.last_good, self.first_bad)


@dataclass(frozen=True)
class History:
    """A folder of records up to one run.

    run     the one that is reported; `runs` are all up to it, the oldest first
    wanted  cells that the run was to have; None where its matrix is not there
    cells   those of the run in the order of its matrix, then those that an earlier run had and it has not
    """

    folder: Path
    run: str
    runs: tuple[str, ...]
    wanted: int | None
    cells: tuple[CellHistory, ...]

    def of(self, *changes: Change) -> list[CellHistory]:
        return [cell for cell in self.cells if cell.change in changes]

    @property
    def ran(self) -> list[CellHistory]:
        """The cells that have a record in this run."""
        return [cell for cell in self.cells if cell.change is not Change.MISSING]

    @property
    def regressions(self) -> list[CellHistory]:
        return [cell for cell in self.cells if cell.is_regression]

    @property
    def is_whole(self) -> bool:
        """Whether every cell that was to run has a record."""
        return self.wanted is None or len(self.ran) >= self.wanted

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "run": self.run,
            "runs": list(self.runs),
            "wanted": self.wanted,
            "exit_code": self.exit_code,
            "cells": [cell.as_dict() for cell in self.cells],
        }

    @property
    def exit_code(self) -> int:
        """1 for a regression; 4 where cells are missing or no cell compared anything; else 0."""
        if self.regressions:
            return 1
        compared = any(cell.last.compared for cell in self.ran)
        return 0 if compared and self.is_whole else 4


def read_history(folder: Path, run: str | None = None) -> History:
    """The history up to a run, which is the latest unless it is named.

    Raises BadInput for a folder without records, and for a run that it has not.
    """
    with open_records(folder) as database:
        database.execute("CREATE TEMP TABLE ended AS SELECT run, cell, outcome, exit_code FROM records")
        names = [name for (name,) in database.sql("SELECT DISTINCT run FROM ended ORDER BY run").fetchall()]
        if run is None:
            run = names[-1]
        if run not in names:
            raise BadInput(f"{folder} has no run {run!r}; there are {', '.join(names[-5:])}")
        runs = tuple(name for name in names if name <= run)
        wanted = wanted_cells(folder, run)
        place = {cell: index for index, cell in enumerate(wanted or ())}
        cells = sorted(_cells(database, run, runs), key=lambda cell: place.get(cell.last.cell, len(place)))
    return History(folder, run, runs, None if wanted is None else len(wanted), tuple(cells))


def wanted_cells(folder: Path, run: str) -> list[str] | None:
    """The cells that a run was to have, in the order of its matrix; None where that is not there."""
    path = folder / run / MATRIX
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["cells"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _cells(database: duckdb.DuckDBPyConnection, run: str, runs: tuple[str, ...]) -> Iterator[CellHistory]:
    moments = database.execute(_MOMENTS, [run]).fetchall()
    wanted = sorted({(cell, at) for cell, *times in moments for at in times if at is not None})
    database.execute("CREATE TEMP TABLE wanted (cell VARCHAR, run VARCHAR)")
    database.executemany("INSERT INTO wanted VALUES (?, ?)", wanted)
    found = select_records(database, "(cell, run) IN (SELECT (cell, run) FROM wanted)")
    records = {(record.cell, record.run): record for record in found}
    outcomes = {
        cell: tuple(map(Outcome, *ended))
        for cell, *ended in database.execute(_OUTCOMES, [run, runs[-SHOWN_RUNS:][0]]).fetchall()
    }
    for cell, last, previous, good, bad in moments:
        now, before = records[cell, last], records.get((cell, previous))
        change = Change.MISSING if last != run else change_of(now, before)
        good_record, bad_record = records.get((cell, good)), records.get((cell, bad))
        yield CellHistory(now, before, good_record, bad_record, outcomes.get(cell, ()), change)


def change_of(now: Record, before: Record | None) -> Change:
    """What became of a cell that had the record `before` in the last run that had it."""
    if before is None:
        if now.passed:
            return Change.PASSES_AT_FIRST
        return Change.NOT_COMPARED_AT_FIRST if now.outcome == "not compared" else Change.FAILS_AT_FIRST
    if now.passed != before.passed:
        return Change.FIXED if now.passed else Change.REGRESSED
    if not now.passed:
        same = (now.outcome, now.first_position) == (before.outcome, before.first_position)
        return Change.STILL_FAILS if same else Change.FAILS_OTHERWISE
    rank, earlier = _RANKS[now.outcome], _RANKS[before.outcome]
    if rank == earlier:
        return Change.STILL_PASSES
    return Change.WEAKER if rank > earlier else Change.STRONGER


# What may change between two runs: columns, and what is said of them.
_CAUSES = (
    ("candidate_digest", "the candidate's libraries"),
    ("candidate_version", "the candidate's version"),
    ("candidate_compiler", "the candidate's compiler"),
    ("candidate_isa", "the candidate's instruction sets"),
    ("candidate_kernels", "the candidate's kernel set"),
    ("candidate_arithmetic", "the candidate's arithmetic"),
    ("reference_digest", "the reference's libraries"),
    ("reference_version", "the reference's version"),
    ("reference_compiler", "the reference's compiler"),
    ("reference_isa", "the reference's instruction sets"),
    ("reference_kernels", "the reference's kernel set"),
    ("reference_arithmetic", "the reference's arithmetic"),
    ("model_blake3", "the reference's model file"),
    ("candidate_model_blake3", "the candidate's model file"),
    ("bitparity_version", "bitparity's version"),
    ("bitparity_commit", "bitparity's commit"),
    ("cpu", "the processor"),
    ("system", "the system"),
    ("host", "the machine"),
    ("python", "Python"),
)


def differences(before: Record, now: Record) -> list[str]:
    """What had changed from one record to the next, a clause each, as far as both records know it."""
    changed = (
        (words, *_parts_that_differ(old, new))
        for name, words in _CAUSES
        if (old := getattr(before, name)) and (new := getattr(now, name)) and old != new
    )
    return [f"{words}: {_short(old)} -> {_short(new)}" for words, old, new in changed]


def _parts_that_differ(before: str, now: str) -> tuple[str, str]:
    """Of two lists of libraries, those that are not in both; the whole list where none would be left."""
    old, new = before.split(", "), now.split(", ")
    only_old, only_new = [x for x in old if x not in new], [x for x in new if x not in old]
    return ", ".join(only_old or old), ", ".join(only_new or new)


def _short(value: str) -> str:
    """A digest by its first digits."""
    is_digest = len(value) >= 40 and all(digit in "0123456789abcdef" for digit in value[:40])
    return value[:12] + value[64 if len(value) >= 64 else 40 :] if is_digest else value
