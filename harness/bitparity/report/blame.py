"""Blame on a terminal: the answer in one line, both engines' local errors by stage, and how rounding grew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bitparity.compare.blame import BlameReport, Difference, EngineBlame, StageSummary
from bitparity.report.console import standard_output
from bitparity.stages import STAGE_NAMES

WIDE = 110  # columns for a pipe or a log file
GROWTH_ROWS = (
    34  # embeddings, 32 layers and the logits; of a deeper model every second layer is shown, and so on
)


def print_blame(report: BlameReport, console: Console | None = None) -> None:
    console = console or standard_output(WIDE)
    console.print(render(report), soft_wrap=True)


def render(report: BlameReport) -> RenderableType:
    """The whole report."""
    style = "bold red" if report.is_guilty else "bold green"
    parts: list[RenderableType] = [Text(report.sentence, style=style), _stages(report)]
    for engine in (report.expected, report.actual):
        parts.extend(Text(line, style="dim") for line in _remarks(engine))
    if not report.is_guilty and report.growth():
        parts.append(_growth(report.growth()))
    return Group(*parts)


def _stages(report: BlameReport) -> Table:
    """A row a stage: the worst layer of each engine, and the worst difference between them."""
    table = Table(title="local error by stage, worst of all layers and positions", title_justify="left")
    table.add_column("stage")
    for engine in (report.expected, report.actual):
        table.add_column(f"{engine.engine}\nlocal error", justify="right")
        table.add_column("explained\nby rounding", justify="right")
        table.add_column("guilty\nlayers")
    table.add_column("difference\n(inherited too)", justify="right")
    for stage in STAGE_NAMES:
        both = [[s for s in e.stages if s.stage == stage] for e in (report.expected, report.actual)]
        if any(both):
            cells = [cell for summaries in both for cell in _cells(summaries)]
            table.add_row(stage, *cells, _worst_difference(report.differences, stage))
    return table


def _cells(summaries: Sequence[StageSummary]) -> tuple[Text | str, str, str]:
    if not summaries:
        return "-", "", ""
    worst = max(summaries, key=lambda s: s.excess if s.excess == s.excess else float("inf"))
    guilty = [s.layer for s in summaries if s.guilty_positions]
    error = Text(f"{worst.error:.1e}", style="red" if guilty else "")
    return error, f"{worst.bound:.1e}", _ranges(guilty)


def _worst_difference(differences: Iterable[Difference], stage: str) -> str:
    worst = [d.worst for d in differences if d.stage == stage]
    return f"{max(worst):.1e}" if worst else "-"


def _growth(differences: Sequence[Difference]) -> Table:
    table = Table(title="how the difference grew", title_justify="left")
    for name in ("layer", "stage"):
        table.add_column(name)
    for name in ("worst position", "typical"):
        table.add_column(name, justify="right")
    step = -(-len(differences) // GROWTH_ROWS)
    shown = [d for i, d in enumerate(differences) if i % step == 0 or d is differences[-1]]
    for d in shown:
        layer = str(d.layer) if d.layer >= 0 else ""
        table.add_row(layer, d.stage, f"{d.worst:.1e}", f"{d.typical:.1e}")
    return table


def _remarks(engine: EngineBlame) -> list[str]:
    lines = []
    if engine.absent:
        lines.append(f"{engine.engine} did not record {', '.join(engine.absent)}")
    if engine.not_judged:
        first = engine.not_judged[0]
        lines.append(
            f"{engine.engine}: {len(engine.not_judged)} recorded stages were not judged, "
            f"first layer {first.layer} {first.stage}: {first.reason}"
        )
    return lines


def _ranges(layers: Sequence[int]) -> str:
    """0, 1, 2, 5 as "0-2, 5"; layer -1 has no number."""
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][1] + 1 and layer > 0:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    return ", ".join("yes" if a < 0 else str(a) if a == b else f"{a}-{b}" for a, b in runs)
