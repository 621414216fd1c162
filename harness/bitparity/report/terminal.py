"""The report on a terminal: a table of positions, the verdict in one sentence, and how to repeat it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bitparity.compare.result import ComparisonResult, PositionResult
from bitparity.compare.verdict import Verdict
from bitparity.report import words
from bitparity.report.console import standard_output

ROWS = 24  # that a table shows; of a longer run the first ones and the worst ones are shown
FIRST_ROWS = 8
WIDE = 100  # columns that the whole table needs
_LEFT_OUT = ("max abs",)  # on a narrower terminal
_NUMBERS = ("pos", "token", "1-cosine", "rel. L2", "max abs", "KL", "margin", "top 10")
_STYLES = {
    Verdict.AGREE: "green",
    Verdict.NOISE: "yellow",
    Verdict.DIVERGED: "red",
    Verdict.NOT_COMPARED: "magenta",
    Verdict.REFERENCE_SUSPECT: "magenta",
    Verdict.ENGINE_FAILED: "red",
}


def print_result(result: ComparisonResult, console: Console | None = None) -> None:
    """Print to standard output; a pipe or a log file gets all columns whatever it is taken for."""
    console = console or standard_output(WIDE)
    console.print(render(result, wide=console.width >= WIDE), soft_wrap=True)


def render(result: ComparisonResult, *, wide: bool = True) -> RenderableType:
    """The whole report; without `wide` the table fits 80 columns."""
    parts: list[RenderableType] = [_heading(result)]
    shown = choose_rows(result.positions)
    if shown:
        parts.append(_table(result, shown, wide=wide))
    if len(shown) < len(result.positions):
        parts.append(
            Text(f"{len(shown)} of {len(result.positions)} positions: the first and the worst", style="dim")
        )
    remarks = words.remarks(result)
    parts.extend(Text(line) for line in remarks)
    verdict = Text(result.verdict.value.upper(), style=f"bold {_STYLES[result.verdict]}")
    parts.append(verdict + Text(f"  {words.headline(result)}", style="default"))
    if result.command:
        parts.append(Text(f"repeat: {result.command}", style="dim"))
    return Group(*parts)


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


def _heading(result: ComparisonResult) -> Text:
    lines = [
        f"model      {result.model.path}",
        f"reference  {words.describe_fingerprint(result.reference)}",
        f"candidate  {words.describe_fingerprint(result.candidate)}",
        f"tokens     {result.asked} in {words.plural(len(result.prompts), 'prompt')}, {result.chunks}",
        f"criterion  {result.criterion}",
    ]
    if result.candidate_model != result.model:
        lines.insert(1, f"candidate's model  {result.candidate_model.path}")
    return Text("\n".join(lines) + "\n")


def _table(result: ComparisonResult, rows: Sequence[PositionResult], *, wide: bool) -> Table:
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    several = len(result.prompts) > 1
    numbers = [name for name in _NUMBERS if wide or name not in _LEFT_OUT]
    for name in (*(["prompt"] if several else []), *numbers):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("best", "verdict"):
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*([str(row.prompt)] if several else []), *_cells(row, wide=wide))
    return table


def _cells(row: PositionResult, *, wide: bool) -> list[RenderableType]:
    m = row.metrics
    distances = (m.one_minus_cosine, m.relative_l2, *((m.max_abs,) if wide else ()), m.kl)
    best = f"{m.argmax_expected}" if m.argmax_equal else f"{m.argmax_expected} / {m.argmax_actual}"
    verdict = row.judged.verdict.value + (", near tie" if row.judged.is_near_tie else "")
    return [
        str(row.position),
        str(row.token),
        *(_short(value) for value in distances),
        f"{m.margin_expected:.3g}",
        f"{m.top_k_overlap:.0%}" if m.expected_is_finite and m.actual_is_finite else "-",
        best,
        Text(verdict, style=_STYLES[row.judged.verdict]),
    ]


def _short(value: float) -> str:
    return "0" if value == 0 else f"{value:.1e}"
