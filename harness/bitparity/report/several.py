"""Several engines on a terminal: a table of positions, one of stages, and a verdict for every two of them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bitparity.blame.engines import EngineBlame, StageSummary
from bitparity.compare.result import PositionResult
from bitparity.compare.several import SeveralResult
from bitparity.report import words
from bitparity.report.blame import layer_ranges
from bitparity.report.console import fits, labelled, plain_table, standard_output
from bitparity.report.terminal import STYLES, choose_rows
from bitparity.stages import STAGE_NAMES

_Place = tuple[int, int]  # prompt and position


def print_several(result: SeveralResult, console: Console | None = None) -> None:
    """Print to standard output."""
    console = console or standard_output()
    console.print(_heading(result, console.width), soft_wrap=True)
    places = _places(result)
    if places:
        console.print(_positions(result, places, console))
    if result.blames:
        console.print()
        console.print(_stages(result.blames))
        console.print()
    for line in _remarks(result):
        console.print(Text(line))
    for pair in result.pairs:
        verdict = Text(pair.verdict.value.upper(), style=f"bold {STYLES[pair.verdict]}")
        console.print(verdict + Text(f"  {words.headline(pair)}", style="default"))
    if result.command:
        console.print(Text(f"repeat: {result.command}", style="dim"), soft_wrap=True)  # whole, to be copied


def _heading(result: SeveralResult, width: int) -> Text:
    first = result.pairs[0]
    roles = ["reference", *(["also"] * (len(result.fingerprints) - 2)), "candidate"]
    lines = [("model", path) for path in _files(result)]
    lines += [
        (role, words.describe_fingerprint(fingerprint, short=True))
        for role, fingerprint in zip(roles, result.fingerprints.values(), strict=True)
    ]
    lines.append(("tokens", f"{first.asked} in {words.plural(len(first.prompts), 'prompt')}, {first.chunks}"))
    return Text("\n".join(labelled(*line, width) for line in lines) + "\n")


def _files(result: SeveralResult) -> list[str]:
    """Every file that was run; with the engines that ran it where there are several."""
    ran: dict[str, dict[str, None]] = {}
    for pair in result.pairs:
        for file, fingerprint in ((pair.model, pair.reference), (pair.candidate_model, pair.candidate)):
            ran.setdefault(file.path, {})[str(fingerprint["engine"])] = None
    if len(ran) == 1:
        return list(ran)
    return [f"{path} ({', '.join(engines)})" for path, engines in ran.items()]


def _places(result: SeveralResult) -> list[_Place]:
    """The positions to show, by the worst pair at each of them."""
    worst: dict[_Place, PositionResult] = {}
    for pair in result.pairs:
        for row in pair.positions:
            place = row.prompt, row.position
            if place not in worst or (row.has_diverged, row.metrics.relative_l2) > (
                worst[place].has_diverged,
                worst[place].metrics.relative_l2,
            ):
                worst[place] = row
    shown = choose_rows([worst[place] for place in sorted(worst)])
    return [(row.prompt, row.position) for row in shown]


def _positions(result: SeveralResult, places: Sequence[_Place], console: Console) -> Table:
    """A column for every two engines: relative L2 and the verdict, or, where there is no room, its color."""
    whole = _positions_with(result, places, with_verdict=True)
    return whole if fits(whole, console) else _positions_with(result, places, with_verdict=False)


def _positions_with(result: SeveralResult, places: Sequence[_Place], *, with_verdict: bool) -> Table:
    rows = [{(row.prompt, row.position): row for row in pair.positions} for pair in result.pairs]
    has_prompts = len(result.pairs[0].prompts) > 1
    table = plain_table("relative L2 of every two engines")
    for heading in (*(["prompt"] if has_prompts else []), "pos", "token"):
        table.add_column(heading, justify="right", no_wrap=True)
    for pair in result.pairs:
        table.add_column(f"{pair.candidate['engine']}\nfrom {pair.reference['engine']}", no_wrap=True)
    for place in places:
        token = next(of_pair[place].token for of_pair in rows if place in of_pair)
        cells = [_cell(of_pair.get(place), with_verdict) for of_pair in rows]
        table.add_row(*map(str, place[0 if has_prompts else 1 :]), str(token), *cells)
    return table


def _cell(row: PositionResult | None, with_verdict: bool) -> Text:
    if row is None:
        return Text("-")
    verdict, distance = row.judged.verdict, f"{row.metrics.relative_l2:.1e}"
    if row.metrics.relative_l2 == 0:
        distance = f"{'0':>7}"
    return Text(f"{distance} {verdict.value}" if with_verdict else distance, style=STYLES[verdict])


def _stages(blames: Sequence[EngineBlame]) -> Table:
    """A row a stage: of each engine the worst layer's error, in multiples of what rounding explains."""
    table = plain_table("worst local error, times rounding")
    table.add_column("stage", no_wrap=True)
    for blame in blames:
        table.add_column(blame.engine, justify="right")
    for stage in STAGE_NAMES:
        of_each = [[s for s in blame.stages if s.stage == stage] for blame in blames]
        if any(of_each):
            table.add_row(stage, *map(_worst, of_each))
    return table


def _worst(summaries: Sequence[StageSummary]) -> Text:
    if not summaries:
        return Text("-")
    worst = max(summaries, key=lambda s: s.excess if s.excess == s.excess else float("inf"))
    guilty = [s.layer for s in summaries if s.guilty_positions]
    where = f" in {layer_ranges(guilty)}" if guilty and min(guilty) >= 0 else ""
    return Text(f"{worst.excess:.2g}{where}", style="red" if guilty else "")


def _remarks(result: SeveralResult) -> list[str]:
    """Whatever else there is to tell, each sentence once."""
    said: dict[str, None] = {}
    for pair in result.pairs:
        said |= dict.fromkeys(line for line in words.remarks(pair) if line != words.blame_line(pair))
    said |= dict.fromkeys(result.left_out)
    for blame in result.blames:
        said[blame.sentence() or blame.acquittal] = None
        if blame.stages:
            said[f"{blame.engine} was judged by the arithmetic {blame.arithmetic}"] = None
    if result.unjudged:
        said[result.unjudged] = None
    return list(said)
