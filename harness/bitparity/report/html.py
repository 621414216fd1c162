"""The report of a run as one self-contained page, which needs no other file and no network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from bitparity.compare.metrics import METRICS, decimal, scientific
from bitparity.compare.result import ComparisonResult
from bitparity.output import without_nan, write_text
from bitparity.report import words
from bitparity.report.chart import make_chart
from bitparity.report.heat import make_heat
from bitparity.report.stage_table import stage_rows


def write_page(result: ComparisonResult, path: Path) -> None:
    """Write the page.  Raises BadInput when that fails."""
    write_text(path, render_page(result))


def render_page(result: ComparisonResult) -> str:
    heat = make_heat(result)
    return render(
        "run.html",
        result=result,
        counts=result.counts(),
        headline=words.headline(result),
        reference=words.describe_fingerprint(result.reference),
        candidate=words.describe_fingerprint(result.candidate),
        remarks=words.remarks(result),
        decimal=decimal,
        metrics=[metric for metric in METRICS if metric.title],
        best_tokens=words.best_tokens,
        chart=make_chart(result),
        stages=[] if result.blame is None else stage_rows(result.blame),
        heat=None if heat is None else without_nan(asdict(heat)),
    )


def render(template: str, **values: Any) -> str:
    """One of the templates beside this file, with what they share."""
    environment = Environment(
        loader=PackageLoader("bitparity.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"visible": visible, "number": _number}
    return environment.get_template(template).render(**values)


def visible(piece: str) -> str:
    """A token's text with its line ends and spaces at the edges to be seen."""
    text = piece.replace("\n", "⏎").replace("\t", "⇥")
    stripped = text.strip(" ")
    before = len(text) - len(text.lstrip(" "))
    return "␣" * before + stripped + "␣" * (len(text) - before - len(stripped))


def _number(value: float, text: Callable[[float], str] = scientific) -> str:
    return text(value) if math.isfinite(value) else "not finite"
