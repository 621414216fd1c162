"""A run of a matrix: every cell that has no record yet is run, and its record kept as soon as it is there.

A run that was interrupted is gone on with, as long as what it runs has not changed: the cells, the files that
they name, and bitparity itself.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

from bitparity.errors import BadInput
from bitparity.output import make_folder, writing
from bitparity.provenance import Provenance
from bitparity.records.columns import Record
from bitparity.records.of_result import with_provenance
from bitparity.records.store import MATRIX, finished_cells, write_record
from bitparity.runs import file_digest
from bitparity.sweep.cell import Cell
from bitparity.sweep.cluster import ATTEMPTS, Lost, run_tasks
from bitparity.sweep.matrix import Matrix
from bitparity.sweep.task import ended, run_cell

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class SweepRun:
    """A run in its folder of records.

    name     of the run, and of its folder
    cells    all that it is to have
    todo     those without a record
    """

    folder: Path
    name: str
    cells: tuple[Cell, ...]
    todo: tuple[Cell, ...]

    @property
    def goes_on(self) -> bool:
        """Whether it was begun before."""
        return len(self.todo) < len(self.cells)


def begin_or_go_on(matrix: Matrix, folder: Path) -> SweepRun:
    """The last run of the folder if it is one of this matrix and not whole, else a new one.

    Raises BadInput when two cells of the matrix have the same names, and when the folder cannot be written.
    """
    _check_names(matrix)
    digest = _digest(matrix)
    for path in sorted(folder.glob(f"*/{MATRIX}"), reverse=True)[:1]:
        run = path.parent.name
        todo = tuple(cell for cell in matrix.cells if cell.key not in finished_cells(folder, run))
        if todo and _read_digest(path) == digest:
            return SweepRun(folder, run, matrix.cells, todo)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    _write_matrix(folder / name / MATRIX, matrix, digest)
    return SweepRun(folder, name, matrix.cells, matrix.cells)


def run_sweep(
    sweep: SweepRun, client: Client, on_record: Callable[[Record], None] = lambda record: None
) -> None:
    """Run what is left of it on a cluster; `on_record` gets every record after it was kept.

    Raises BadInput when a record cannot be written, and NotCompared when the scheduler is lost.
    """
    for cell, record in run_tasks(client, partial(run_cell, run=sweep.name), sweep.todo):
        if isinstance(record, Lost):
            record = _lost(cell, sweep.name, record)
        write_record(record, sweep.folder)
        on_record(record)


def _lost(cell: Cell, run: str, lost: Lost) -> Record:
    record = with_provenance(replace(cell.record(run), attempts=ATTEMPTS), Provenance.now())
    return ended(record, "worker lost", f"the workers that had the cell were lost: {lost.why}")


def _check_names(matrix: Matrix) -> None:
    named: dict[str, Cell] = {}
    for cell in matrix.cells:
        if cell.key in named:
            raise BadInput(f"{matrix.path} has two cells with the same names: {cell.record('').name}")
        named[cell.key] = cell


def _digest(matrix: Matrix) -> str:
    """Of all that decides what a run computes, as far as this machine knows it."""
    files = sorted({path for cell in matrix.cells for path in cell.files()})
    made = Provenance.now()
    what = {
        "cells": [cell.as_dict() for cell in matrix.cells],
        "files": [file_digest(path) for path in files],
        "bitparity": [made.version, made.commit],
    }
    return blake3(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _write_matrix(path: Path, matrix: Matrix, digest: str) -> None:
    what = {
        "matrix": str(matrix.path.absolute()),
        "digest": digest,
        "cells": [cell.key for cell in matrix.cells],
    }
    make_folder(path.parent, exist_ok=True)
    with writing(path):
        path.write_text(json.dumps(what, indent=1) + "\n", encoding="utf-8")


def _read_digest(path: Path) -> str | None:
    try:
        digest = json.loads(path.read_text(encoding="utf-8"))["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(digest)
