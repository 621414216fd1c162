"""A comparison on a corpus on a terminal: the figures with their errors, the worst positions, the verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bitparity.corpus.estimate import Estimate
from bitparity.corpus.figures import FIGURES
from bitparity.corpus.layers import LayerDifference, grows_most
from bitparity.corpus.result import CorpusResult, WorstPosition
from bitparity.noise.shift import SHIFT
from bitparity.noise.verdict import Verdict
from bitparity.report.console import labelled, plain_table, standard_output
from bitparity.report.terminal import STYLES
from bitparity.report.words import describe_fingerprint, plural

MANY_ERRORS = 3.0  # standard errors by which a mean must exceed what noise explains
FEW_BLOCKS = 8  # of which a standard error is itself too uncertain to say much


def print_corpus(result: CorpusResult, console: Console | None = None) -> None:
    """Print to standard output."""
    console = console or standard_output()
    console.print(_heading(result, console.width), soft_wrap=True)
    if result.figures:
        console.print(_figures(result.figures))
        console.print()
        if differ := [row for row in result.worst if row.kl != 0 or row.verdict != "agree"]:
            console.print(_worst(differ))
            console.print()
    for line in corpus_remarks(result):
        console.print(Text(line))
    verdict = Text(result.verdict.value.upper(), style=f"bold {STYLES[result.verdict]}")
    console.print(verdict + Text(f"  {corpus_headline(result)}", style="default"))
    if result.command:
        console.print(Text(f"repeat: {result.command}", style="dim"), soft_wrap=True)


def corpus_headline(result: CorpusResult) -> str:
    """The verdict in one sentence."""
    counts = result.counts
    names = f"{result.candidate['engine']} and {result.reference['engine']}"
    positions = f"{counts['compared']:,} position" + ("" if counts["compared"] == 1 else "s")
    verdicts = ("agree", "explained", "noise")
    said = ", ".join(f"{counts[name]:,} {name}" for name in verdicts if counts[name])
    match result.verdict:
        case Verdict.AGREE:
            return f"{names} agree at all {positions}"
        case Verdict.EXPLAINED:
            return f"{(result.explanation or {}).get('sentence')} ({said})"
        case Verdict.NOISE:
            return f"{names} differ by no more than the reference's own noise at all {positions} ({said})"
        case Verdict.DIVERGED:
            first = result.first_divergence
            if first is None:
                return f"{names} differ by no more than noise at all {positions}, but one of them is wrong"
            return (
                f"{names} diverged at {counts['diverged']:,} of {positions}; the first is position "
                f"{first.position} of window {first.window}: {first.reason}"
            )
        case Verdict.REFERENCE_SUSPECT:
            return f"nothing can be judged: {(result.noise_floor or {}).get('suspect')}"
        case Verdict.ENGINE_FAILED:
            return f"{result.failure}; {counts['compared']:,} of {counts['asked']:,} positions were compared"
        case Verdict.NOT_COMPARED:
            why = f": {result.unfinished}" if result.unfinished else ""
            judged = counts["compared"] - counts["not_compared"]
            return f"{judged:,} of {counts['asked']:,} positions have a verdict{why}"


def corpus_remarks(result: CorpusResult) -> list[str]:
    """What else is told, a sentence each."""
    said = [str(finding["sentence"]) for finding in result.findings]
    if result.figures and result.corpus.windows < FEW_BLOCKS:
        blocks = plural(result.corpus.windows, "block")
        said.append(f"the errors are of {blocks} only: take a longer corpus, or a smaller window")
    if result.layers:
        said.append(layers_line(result.layers, result.worst[0].window))
    if shift := noise_line(result):
        said.append(shift)
    if result.counts.get("near_ties"):
        said.append(f"{plural(result.counts['near_ties'], 'near tie')} of the best token, not counted")
    if result.explanation is not None and result.verdict is not Verdict.EXPLAINED:
        said.append(str(result.explanation["sentence"]))
    if result.blame is not None:
        said.append(str(result.blame["sentence"]))
    if result.failure is not None or result.counts["compared"] < result.counts["asked"]:
        said.append("what was compared is kept: the same command goes on where it was")
    return said


def noise_line(result: CorpusResult) -> str | None:
    """How the mean KL compares with that of the reference's own noise, which no single position shows."""
    if result.noise_floor is None:
        return None
    along = result.noise_floor["comparisons"][-1]["positions"]
    own = sum(levels["kl"] or 0.0 for levels in along) / len(along)
    kl = result.figures["kl_mean"]
    engine = result.reference["engine"]
    told = f"rounding alone moves {engine} by a mean KL of {own:.1e} at {len(along):,} positions"
    if not kl.value - MANY_ERRORS * kl.error > SHIFT**2 * own:
        return told
    found = f"far less than {kl.value:.1e}: noise makes no such shift"
    return f"{told}, {found}, look for a small mistake everywhere with --blame"


def layers_line(layers: Sequence[LayerDifference], window: int) -> str:
    """In which layers the engines part."""
    last, grows = layers[-1], grows_most(layers)
    worst = max(layers, key=lambda layer: layer.worst)
    told = (
        f"layers of window {window}: blocks end {layers[0].median:.1e} apart in layer {layers[0].layer}, "
        f"{last.median:.1e} in layer {last.layer} (medians of relative L2); the worst is {worst.worst:.1e}, "
        f"layer {worst.layer}, position {worst.position}"
    )
    return told if grows is None else f"{told}; it grows most in layer {grows.layer}"


def with_error(estimate: Estimate, *, is_share: bool = False) -> tuple[str, str]:
    """A value and its error as text, the error with two digits and the value with as many decimals."""
    estimate = estimate.times(100) if is_share else estimate
    unit = " %" if is_share else ""
    value, error = estimate.value, estimate.error
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return f"{value:.6g}{unit}", "" if math.isnan(error) else f"± {error:.2g}{unit}"
    size = math.floor(math.log10(max(abs(value), error)))
    scale, power = (0, "") if -3 <= size < 6 else (size, f"e{size:+03d}")
    value, error = value / 10**scale, error / 10**scale
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{decimals}f}{power}{unit}", f"± {error:.{decimals}f}{power}{unit}"


def _heading(result: CorpusResult, width: int) -> Text:
    corpus = result.corpus
    cut = f"{plural(corpus.windows, 'window')} of {corpus.window}, stride {corpus.stride}, {result.chunks}"
    lines = [
        ("model", result.model.path),
        ("reference", describe_fingerprint(result.reference, short=True)),
        ("candidate", describe_fingerprint(result.candidate, short=True)),
        ("corpus", f"{corpus.path}: {corpus.tokens:,} tokens, {cut}"),
        ("criterion", result.criterion),
    ]
    if result.candidate_model != result.model:
        lines.insert(1, ("candidate's model", result.candidate_model.path))
    return Text("\n".join(labelled(*line, width) for line in lines) + "\n")


def _figures(figures: Mapping[str, Estimate]) -> Table:
    table = plain_table()
    for heading, justify in (("", "left"), ("value", "right"), ("standard error", "left")):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for group, of_group in groupby(FIGURES, lambda figure: figure.group):
        shown = list(of_group)
        if all(figures[figure.name].value == 0 for figure in shown):
            table.add_row(Text(group, "bold"), "0")
            continue
        table.add_row(Text(group, "bold"))
        for figure in shown:
            table.add_row(f"  {figure.title}", *with_error(figures[figure.name], is_share=figure.is_share))
    return table


def _worst(positions: Sequence[WorstPosition]) -> Table:
    table = plain_table("worst positions")
    for heading in ("window", "pos", "token", "next", "KL", "rel. L2", "Δp"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in positions:
        place = map(str, (row.window, row.position, row.token, row.target))
        table.add_row(
            *place, f"{row.kl:.1e}", f"{row.relative_l2:.1e}", f"{100 * row.delta_p:+.2g} %", row.verdict
        )
    return table
