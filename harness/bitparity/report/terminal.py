"""The report on a terminal: a table of positions, the verdict in one sentence, and how to repeat it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from bitparity.compare.result import ComparisonResult, PositionResult
from bitparity.noise.verdict import Verdict
from bitparity.report import words
from bitparity.report.console import fits, labelled, plain_table, standard_output

ROWS = 24  # that a table shows; of a longer run the first ones and the worst ones are shown
FIRST_ROWS = 8
_LEFT_OUT = (
    "max abs",
    "top 10",
    "margin",
    "KL",
)  # in this order, of a table that a terminal is too narrow for
_STYLES = {
    Verdict.AGREE: "green",
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
    verdict = Text(result.verdict.value.upper(), style=f"bold {_STYLES[result.verdict]}")
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
    if result.candidate_model != result.model:
        lines.insert(1, ("candidate's model", result.candidate_model.path))
    return Text("\n".join(labelled(*line, width) for line in lines) + "\n")


def _table(result: ComparisonResult, rows: Sequence[PositionResult], console: Console) -> Table:
    """With all columns, or with as many as fit the console."""
    for count in range(len(_LEFT_OUT)):
        table = _table_without(_LEFT_OUT[:count], result, rows)
        if fits(table, console):
            return table
    return _table_without(_LEFT_OUT, result, rows)


def _table_without(
    left_out: Sequence[str], result: ComparisonResult, rows: Sequence[PositionResult]
) -> Table:
    table = plain_table()
    columns = [name for name in _CELLS if name not in left_out]
    if len(result.prompts) < 2:
        columns.remove("prompt")
    for name in columns:
        table.add_column(name, justify="left" if name in ("best", "verdict") else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(_CELLS[name](row) for name in columns))
    return table


def _best(row: PositionResult) -> str:
    m = row.metrics
    return f"{m.argmax_expected}" if m.argmax_equal else f"{m.argmax_expected} / {m.argmax_actual}"


def _overlap(row: PositionResult) -> str:
    m = row.metrics
    return f"{m.top_k_overlap:.0%}" if m.expected_is_finite and m.actual_is_finite else "-"


def _verdict(row: PositionResult) -> Text:
    verdict = row.judged.verdict.value + (", near tie" if row.judged.is_near_tie else "")
    return Text(verdict, style=_STYLES[row.judged.verdict])


def _short(value: float) -> str:
    return "0" if value == 0 else f"{value:.1e}"


# column -> what it shows of a row
_CELLS: dict[str, Callable[[PositionResult], RenderableType]] = {
    "prompt": lambda row: str(row.prompt),
    "pos": lambda row: str(row.position),
    "token": lambda row: str(row.token),
    "1-cosine": lambda row: _short(row.metrics.one_minus_cosine),
    "rel. L2": lambda row: _short(row.metrics.relative_l2),
    "max abs": lambda row: _short(row.metrics.max_abs),
    "KL": lambda row: _short(row.metrics.kl),
    "margin": lambda row: f"{row.metrics.margin_expected:.3g}",
    "top 10": _overlap,
    "best": _best,
    "verdict": _verdict,
}
