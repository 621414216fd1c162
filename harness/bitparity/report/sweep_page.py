"""The page of a sweep: what changed, the matrix of verdicts, the history of every cell, links to its runs.

The page is one file that fetches nothing; the pages of the runs lie in a folder beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bitparity.compare.result import parse_result
from bitparity.output import make_folder, write_text
from bitparity.records.columns import AXES
from bitparity.records.history import CellHistory, Change, History
from bitparity.records.store import open_records, select_records
from bitparity.report.history import groups_of, title_of, verdict_of
from bitparity.report.html import render, write_page

COLUMN_AXES = ("candidate", "build")  # the others make the rows of the matrix

# outcome -> class of the style sheet that colours it; a cell that has another outcome compared nothing
_HUES = {
    "agree": "agree",
    "explained": "explained",
    "noise": "noise",
    "diverged": "diverged",
    "engine failed": "crashed",
    "hung": "hung",
}


@dataclass(frozen=True)
class Shown:
    """A cell as the page shows it; `page` is the address of its run's page, None where it has no result."""

    history: CellHistory
    title: str
    page: str | None

    @property
    def outcome(self) -> str:
        """How it ended in the run; "missing" where only earlier runs have it."""
        return "missing" if self.history.change is Change.MISSING else self.history.last.outcome

    @property
    def hue(self) -> str:
        return hue_of(self.outcome)


@dataclass(frozen=True)
class Matrix:
    """Rows and columns are texts made of axes; a place has a cell, or None where it was skipped."""

    heads: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], tuple[Shown | None, ...]], ...]


def hue_of(outcome: str) -> str:
    return _HUES.get(outcome, "suspect")


def write_sweep_page(history: History, path: Path) -> None:
    """Write the page, and a page for every cell of the run that has a result.

    Raises BadInput when that fails.
    """
    folder = path.with_name(f"{path.stem}-runs")
    pages = {cell: f"{folder.name}/{cell}.html" for cell in _write_runs(history, folder)}
    shown = [
        Shown(cell, title_of(cell) or cell.change.value, pages.get(cell.last.cell)) for cell in history.cells
    ]
    write_text(path, render_sweep(history, shown))


def _write_runs(history: History, folder: Path) -> list[str]:
    """Write the page of every result of the run; returns the cells that have one."""
    with open_records(history.folder) as database:
        query = "SELECT cell FROM records WHERE run = ? AND result IS NOT NULL"
        cells = [str(cell) for (cell,) in database.execute(query, [history.run]).fetchall()]
        if cells:
            make_folder(folder, exist_ok=True)
        for cell in cells:  # one at a time: a result is large
            (record,) = select_records(database, "run = ? AND cell = ?", history.run, cell, results=True)
            result = parse_result(record.result or "", f"the record of cell {cell}")
            write_page(result, folder / f"{cell}.html")
    return cells


def render_sweep(history: History, shown: list[Shown]) -> str:
    word, sentence = verdict_of(history)
    axes = [name for name in AXES if _varies(history, name)]
    same = {name: getattr(history.cells[0].last, name) for name in AXES if name not in axes}
    return render(
        "sweep.html",
        history=history,
        word=word,
        sentence=sentence,
        hue="agree" if history.exit_code == 0 else "diverged" if history.regressions else "suspect",
        groups=groups_of(history),
        matrix=make_matrix(shown, axes),
        same=[(AXES[name], value) for name, value in same.items() if value not in (None, "")],
        cells=shown,
        axes=[(AXES[name], name) for name in axes],
        hue_of=hue_of,
    )


def make_matrix(shown: list[Shown], axes: Sequence[str]) -> Matrix:
    """The cells by their axes; `axes` are those in which they differ."""
    row_axes = [name for name in axes if name not in COLUMN_AXES]
    heads = tuple(AXES[name] for name in row_axes)
    places = {(_row(cell, row_axes), _column(cell)): cell for cell in shown}
    columns = tuple(sorted({column for _, column in places}))
    rows = sorted({row for row, _ in places})
    return Matrix(
        heads,
        columns,
        tuple((row, tuple(places.get((row, column)) for column in columns)) for row in rows),
    )


def _row(cell: Shown, axes: Sequence[str]) -> tuple[str, ...]:
    values = (getattr(cell.history.last, name) for name in axes)
    return tuple("" if value is None else str(value) for value in values)


def _column(cell: Shown) -> str:
    return " ".join(filter(None, (getattr(cell.history.last, name) for name in COLUMN_AXES)))


def _varies(history: History, axis: str) -> bool:
    return len({getattr(cell.last, axis) for cell in history.cells}) > 1
