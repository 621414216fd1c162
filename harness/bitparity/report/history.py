"""What the records of a sweep say, on a terminal: what changed, since when, and which build did it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from bitparity.records.columns import OUTCOMES
from bitparity.records.history import CellHistory, Change, History
from bitparity.report.console import labelled, standard_output
from bitparity.report.words import plural

NAMED_CELLS = 5  # of a group; the others are counted
# What is told of a group of cells, the gravest first, and its colour.
_STYLES = {
    "regressed": "red",
    "fails at first": "red",
    "missing": "magenta",
    "weaker": "yellow",
    "never passed": "magenta",
    "fixed": "green",
    "stronger": "green",
}
_TITLES = tuple(_STYLES)
FAILING = _TITLES[:2]  # what makes `report` exit with 1


@dataclass(frozen=True)
class Group:
    """Cells of which the same is to be told.

    title        what became of them, one of _STYLES
    since        the run in which they began to fail; None where they pass, or are missing
    differences  what had changed when they began to fail, see CellHistory
    """

    title: str
    candidate: str
    outcome: str
    since: str | None
    differences: tuple[str, ...]
    cells: tuple[CellHistory, ...]

    @property
    def first(self) -> CellHistory:
        return self.cells[0]

    def when(self, history: History) -> str:
        """Since when it is so, and how it was before, in a clause."""
        if self.title == "missing":
            return f"not in this run; last in {self.first.last.run}"
        if self.since is None:
            return "" if self.first.previous is None else f"{self.first.previous.outcome} before"
        runs = sum(run >= self.since for run in history.runs)
        good = self.first.last_good
        since = f"since {self.since} ({plural(runs, 'run')})"
        return since if good is None else f"{since}; passed last in {good.run}"


def groups_of(history: History) -> list[Group]:
    """What has to be told, the gravest and the newest first; cells that pass as before are left out."""
    grouped: dict[tuple[str, str, str, str | None, tuple[str, ...]], list[CellHistory]] = {}
    for cell in history.cells:
        title = title_of(cell)
        if title is not None:
            since = None if cell.last.passed or cell.first_bad is None else cell.first_bad.run
            candidate = " ".join(part for part in (cell.last.candidate, cell.last.build) if part)
            key = (title, candidate, cell.last.outcome, since, tuple(cell.differences))
            grouped.setdefault(key, []).append(cell)
    groups = [Group(*key, tuple(cells)) for key, cells in grouped.items()]
    newest_first = sorted(groups, key=lambda group: group.since or "", reverse=True)
    return sorted(newest_first, key=lambda group: _TITLES.index(group.title))


def title_of(cell: CellHistory) -> str | None:
    """What became of a cell, in a word or two; None for one that passes as before."""
    if cell.change is Change.MISSING:
        return "missing"
    if not cell.last.passed:
        if not cell.is_regression:
            return "never passed"
        return "regressed" if cell.last_good is not None else "fails at first"
    return cell.change.value if cell.change.value in _TITLES else None


def print_history(history: History, console: Console | None = None) -> None:
    """Print to standard output."""
    console = console or standard_output()
    console.print(_heading(history, console.width), soft_wrap=True)
    for group in groups_of(history):
        console.print(_group(group, history), soft_wrap=True)
    word, sentence = verdict_of(history)
    style = "bold green" if history.exit_code == 0 else "bold red"
    console.print(Text(word, style) + Text(f"  {sentence}", ""))


def verdict_of(history: History) -> tuple[str, str]:
    """The answer in a word and a sentence."""
    regressed = [cell for cell in history.regressions if cell.last_good is not None]
    at_first = len(history.regressions) - len(regressed)
    if regressed:
        new = sum(cell.change is Change.REGRESSED for cell in regressed)
        more = f"; {plural(at_first, 'cell')} more in the first run" if at_first else ""
        return "REGRESSED", f"{plural(len(regressed), 'cell')}, {new} of them in this run{more}"
    if at_first:
        return "FAILS", f"{plural(at_first, 'cell')} in the first run"
    if not history.is_whole:
        missing = (history.wanted or 0) - len(history.ran)
        return "UNFINISHED", f"{plural(missing, 'cell')} of the run without a record; sweep again to go on"
    if history.exit_code:
        return "NOT COMPARED", "no cell compared anything"
    passing = sum(cell.last.passed for cell in history.ran)
    return "NO REGRESSION", f"{passing} of {plural(len(history.ran), 'cell')} pass"


def _heading(history: History, width: int) -> Text:
    before = plural(len(history.runs) - 1, "run") if len(history.runs) > 1 else "no run"
    outcomes = Counter(cell.last.outcome for cell in history.ran)
    said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items(), key=_by_gravity))
    wanted = "" if history.is_whole else f" of {history.wanted}"
    lines = [
        ("records", str(history.folder)),
        ("run", f"{history.run}, {before} before it"),
        ("cells", f"{len(history.ran)}{wanted}: {said}"),
    ]
    return Text("\n".join(labelled(*line, width) for line in lines) + "\n")


def _by_gravity(counted: tuple[str, int]) -> tuple[bool, str]:
    return counted[0] in OUTCOMES, counted[0]


def _group(group: Group, history: History) -> Text:
    text = Text(f"{group.title.upper()}  ", style=f"bold {_STYLES[group.title]}")
    text += Text(f"{plural(len(group.cells), 'cell')} of {group.candidate}: {group.outcome}\n", "")
    last = group.first.last
    said = [*_names(group.cells), group.when(history), "" if last.passed else last.sentence]
    text += Text("".join(f"  {line}\n" for line in said if line), "")
    for number, difference in enumerate(group.differences):
        text += Text(f"  {'changed then' if number == 0 else '            '}  {difference}\n", "yellow")
    if group.title in FAILING:
        text += Text(f"  repeat: {last.command}\n", "dim")
    return text


def _names(cells: Sequence[CellHistory]) -> list[str]:
    names = [cell.last.name for cell in cells[:NAMED_CELLS]]
    more = len(cells) - len(names)
    return [*names, f"and {more} more"] if more else names
