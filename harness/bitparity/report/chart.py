"""The chart of a run: relative L2 of the logits at every position, as places in an SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bitparity.compare.result import ComparisonResult, PositionResult

WIDTH, HEIGHT = 900, 260  # of the chart, in its own units
LEFT, TOP, RIGHT, BOTTOM = 70, 12, 12, 34  # margins
FLOOR = 1e-9  # relative L2 that is drawn on the lowest line; equal logits have no logarithm
_CEILING = 10.0
_TICKS = 12  # labels under the chart, at most


@dataclass(frozen=True)
class Dot:
    """One position in the chart; `title` is what is shown over it."""

    x: float
    y: float
    verdict: str
    title: str


@dataclass(frozen=True)
class Chart:
    """Relative L2 by position on a logarithmic scale; `lines` and `ticks` are (place, label)."""

    dots: tuple[Dot, ...]
    lines: tuple[tuple[float, str], ...]
    ticks: tuple[tuple[float, str], ...]
    starts: tuple[float, ...]  # where each prompt but the first begins
    limit: float | None  # where noise ends
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def make_chart(result: ComparisonResult) -> Chart:
    """Place every position; one whose distance is not finite lies on the upper edge."""
    rows = result.positions
    finite = [r.metrics.relative_l2 for r in rows if math.isfinite(r.metrics.relative_l2)]
    limit = _finite(result.limits.get("relative_l2"))
    highest = min(max([*finite, limit or 0.0, 1e-6]), _CEILING)
    decades = range(round(math.log10(FLOOR)), math.ceil(math.log10(highest)) + 1)
    top_decade = decades[-1]

    def y(value: float) -> float:
        if not value <= 10.0**top_decade:
            return TOP
        share = (math.log10(max(value, FLOOR)) - decades[0]) / (top_decade - decades[0])
        return round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 1)

    places = [(_x(index, len(rows)), y(row.metrics.relative_l2)) for index, row in enumerate(rows)]
    return Chart(
        dots=tuple(_dot(result, row, *place) for row, place in zip(rows, places, strict=True)),
        lines=tuple((y(10.0**d), "0" if d == decades[0] else f"1e{d}") for d in decades),
        ticks=_ticks(rows),
        starts=tuple(_x(span.first - 0.5, len(rows)) for span in result.prompts[1:]),
        limit=None if limit is None else y(limit),
    )


def _finite(limit: float | None) -> float | None:
    return limit if limit is not None and math.isfinite(limit) else None


def _dot(result: ComparisonResult, row: PositionResult, x: float, y: float) -> Dot:
    piece = result.pieces.get(str(row.token))
    token = f"token {row.token}" if piece is None else f"token {row.token} {piece!r}"
    title = f"position {row.position}, {token}: relative L2 {row.metrics.relative_l2:.2e}"
    reason = f"; {row.judged.reason}" if row.judged.reason else ""
    return Dot(x, y, row.judged.verdict.value, title + reason)


def _x(index: float, count: int) -> float:
    return round(LEFT + (index + 0.5) / max(count, 1) * (WIDTH - LEFT - RIGHT), 1)


def _ticks(rows: Sequence[PositionResult]) -> tuple[tuple[float, str], ...]:
    step = max(1, -(-len(rows) // _TICKS))
    return tuple((_x(i, len(rows)), str(rows[i].position)) for i in range(0, len(rows), step))
