"""The report on a terminal: a table of positions, the verdict in one sentence, and how to repeat it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bitparity.compare.metrics import METRICS, Metric
from bitparity.compare.result import ComparisonResult, PositionResult
from bitparity.noise.verdict import Verdict
from bitparity.report import words
from bitparity.report.console import fits, labelled, plain_table, standard_output

ROWS = 24  # of a table; a longer run shows its first positions and its worst ones
FIRST_ROWS = 8
STYLES = {
    Verdict.AGREE: "green",
    Verdict.EXPLAINED: "green",
    Verdict.NOISE: "yellow",
    Verdict.DIVERGED: "red",
    Verdict.NOT_COMPARED: "magenta",
    Verdict.REFERENCE_SUSPECT: "magenta",
    Verdict.ENGINE_FAILED: "red",
}


def print_result(result: ComparisonResult, console: Console | None = None) -> None:
    """Print to standard output."""
    console = console or standard_output()
    console.print(_heading(result, console.width), soft_wrap=True)
    shown = choose_rows(result.positions)
    if shown:
        console.print(_table(result, shown, console))
    if len(shown) < len(result.positions):
        count = f"{len(shown)} of {len(result.positions)} positions: the first and the worst"
        console.print(Text(count, style="dim"))
    for line in words.remarks(result):
        console.print(Text(line))
    verdict = Text(result.verdict.value.upper(), style=f"bold {STYLES[result.verdict]}")
    console.print(verdict + Text(f"  {words.headline(result)}", style="default"))
    if result.command:
        console.print(Text(f"repeat: {result.command}", style="dim"), soft_wrap=True)  # whole, to be copied


def choose_rows(rows: Sequence[PositionResult]) -> list[PositionResult]:
    """All rows of a short run; of a long one the first rows, the first divergence and the worst, in order."""
    if len(rows) <= ROWS:
        return list(rows)
    chosen = list(range(FIRST_ROWS))
    chosen += [i for i, row in enumerate(rows) if row.has_diverged][:1]
    worst = sorted(range(len(rows)), key=lambda i: _badness(rows[i]), reverse=True)
    for i in worst:
        if len(set(chosen)) == ROWS:
            break
        chosen.append(i)
    return [rows[i] for i in sorted(set(chosen))]


def _badness(row: PositionResult) -> tuple[bool, bool, float]:
    """Divergences first, then what is not finite, then by relative L2."""
    finite = row.metrics.expected_is_finite and row.metrics.actual_is_finite
    return row.has_diverged, not finite, row.metrics.relative_l2 if finite else 0.0


def _heading(result: ComparisonResult, width: int) -> Text:
    lines = [
        ("model", result.model.path),
        ("reference", words.describe_fingerprint(result.reference, short=True)),
        ("candidate", words.describe_fingerprint(result.candidate, short=True)),
        ("tokens", f"{result.asked} in {words.plural(len(result.prompts), 'prompt')}, {result.chunks}"),
        ("criterion", result.criterion),
    ]
    if result.compared:
        lines.insert(-1, ("compared", result.compared))
    if result.candidate_model != result.model:
        lines.insert(1, ("candidate's model", result.candidate_model.path))
    return Text("\n".join(labelled(*line, width) for line in lines) + "\n")


def _table(result: ComparisonResult, rows: Sequence[PositionResult], console: Console) -> Table:
    """A table with all metrics that have a heading, or with as many as fit the console."""
    shown = [metric for metric in METRICS if metric.heading]
    while True:
        table = _table_of(shown, result, rows)
        least = max(shown, key=lambda metric: metric.dispensable)
        if fits(table, console) or not least.dispensable:
            return table
        shown.remove(least)


def _table_of(metrics: Sequence[Metric], result: ComparisonResult, rows: Sequence[PositionResult]) -> Table:
    table = plain_table()
    for heading in (*(["prompt"] if len(result.prompts) > 1 else []), "pos", "token"):
        table.add_column(heading, justify="right", no_wrap=True)
    for metric in metrics:
        table.add_column(metric.heading, justify="right", no_wrap=True)
    for heading in ("best", "verdict"):
        table.add_column(heading, justify="left", no_wrap=True)
    for row in rows:
        place = (row.prompt, row.position, row.token)[len(result.prompts) < 2 :]
        distances = (metric.printed(row.metrics) for metric in metrics)
        table.add_row(*map(str, place), *distances, words.best_tokens(row.metrics), _verdict(row))
    return table


def _verdict(row: PositionResult) -> Text:
    verdict = row.judged.verdict.value + (", near tie" if row.judged.is_near_tie else "")
    return Text(verdict, style=STYLES[row.judged.verdict])
