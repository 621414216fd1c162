"""Blame on a terminal: the answer in one line, both engines' local errors by stage, and how rounding grew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bitparity.blame.engines import BlameReport, Difference, EngineBlame, StageSummary
from bitparity.report.console import plain_table, standard_output
from bitparity.stages import STAGE_NAMES

_NUMBER = len("1.2e-07")  # columns
GROWTH_ROWS = (
    34  # embeddings, 32 layers and the logits; of a deeper model every second layer is shown, and so on
)


def print_blame(report: BlameReport, console: Console | None = None) -> None:
    """Print the whole report to standard output."""
    console = console or standard_output()
    console.print(Text(report.sentence, style="bold red" if report.is_guilty else "bold green"))
    console.print()
    if report.expected.stages or report.actual.stages:
        console.print(_stages(report))
        console.print()
    for engine in (report.expected, report.actual):
        for line in _remarks(engine):
            console.print(Text(line, style="dim"))
    if not report.is_guilty and report.growth():
        console.print(_growth(report.growth()))
        console.print()


def _stages(report: BlameReport) -> Table:
    """A row a stage: the worst layer of each engine that records any, and their worst difference."""
    table = plain_table("local error by stage, worst of all layers and positions")
    table.add_column("stage", no_wrap=True)
    engines = [engine for engine in (report.expected, report.actual) if engine.stages]
    for engine in engines:
        error = f"{engine.engine}\nlocal\nerror"
        table.add_column(error, justify="right", min_width=_NUMBER, overflow="fold")
        table.add_column("times\nwhat is\nrounding", justify="right", no_wrap=True)
        table.add_column("guilty\nlayers", min_width=len("guilty"), overflow="fold")
    if len(engines) > 1:
        table.add_column("difference\n(inherited\ntoo)", justify="right", no_wrap=True)
    for stage in STAGE_NAMES:
        summaries = [[s for s in engine.stages if s.stage == stage] for engine in engines]
        if any(summaries):
            cells = [cell for each in summaries for cell in _cells(each)]
            between = [_worst_difference(report.differences, stage)] * (len(engines) > 1)
            table.add_row(stage, *cells, *between)
    return table


def _cells(summaries: Sequence[StageSummary]) -> tuple[Text | str, str, str]:
    if not summaries:
        return "-", "", ""
    worst = max(summaries, key=lambda s: s.excess if s.excess == s.excess else float("inf"))
    guilty = [s.layer for s in summaries if s.guilty_positions]
    error = Text(f"{worst.error:.1e}", style="red" if guilty else "")
    return error, f"{worst.excess:.2g}", layer_ranges(guilty)


def _worst_difference(differences: Iterable[Difference], stage: str) -> str:
    worst = [d.worst for d in differences if d.stage == stage]
    return f"{max(worst):.1e}" if worst else "-"


def _growth(differences: Sequence[Difference]) -> Table:
    table = plain_table("how the difference grew")
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
    lines = [f"{engine.engine} was judged by the arithmetic {engine.arithmetic}"] if engine.stages else []
    if engine.absent and engine.stages:
        lines.append(f"{engine.engine} did not record {', '.join(engine.absent)}")
    if engine.not_judged:
        first = engine.not_judged[0]
        lines.append(
            f"{engine.engine}: {len(engine.not_judged)} recorded stages were not judged, "
            f"first layer {first.layer} {first.stage}: {first.reason}"
        )
    return lines


def layer_ranges(layers: Sequence[int]) -> str:
    """0, 1, 2, 5 as "0-2, 5"; layer -1 has no number."""
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][1] + 1 and layer > 0:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    return ", ".join("yes" if a < 0 else str(a) if a == b else f"{a}-{b}" for a, b in runs)
