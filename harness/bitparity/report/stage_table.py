"""The table of stages that a page shows: what blame found of each, worst of all layers and positions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitparity.report.blame import layer_ranges
from bitparity.stages import STAGE_NAMES


@dataclass(frozen=True)
class EngineCell:
    """One engine at one stage; infinity stands for what is not finite.

    error   local error, relative L2
    excess  the largest error of an element, in multiples of what rounding explains
    guilty  the layers in which the stage is wrong, "0-2, 5"
    """

    error: float
    excess: float
    guilty: str


@dataclass(frozen=True)
class StageRow:
    """A side is None where the engine's stage was not judged, the difference where not both recorded it."""

    stage: str
    expected: EngineCell | None
    actual: EngineCell | None
    difference: float | None


def stage_rows(blame: Mapping[str, Any]) -> list[StageRow]:
    """A row for every stage that was judged in either engine or recorded by both, in graph order.

    blame   as it stands in a result
    """
    rows = [
        StageRow(
            stage,
            _cell([s for s in blame["expected"]["stages"] if s["stage"] == stage]),
            _cell([s for s in blame["actual"]["stages"] if s["stage"] == stage]),
            max((_number(d["worst"]) for d in blame["differences"] if d["stage"] == stage), default=None),
        )
        for stage in STAGE_NAMES
    ]
    return [row for row in rows if row.expected or row.actual or row.difference is not None]


def _cell(summaries: Sequence[Mapping[str, Any]]) -> EngineCell | None:
    if not summaries:
        return None
    worst = max(summaries, key=lambda s: _number(s["excess"]))
    guilty = [int(s["layer"]) for s in summaries if s["guilty_positions"]]
    return EngineCell(_number(worst["error"]), _number(worst["excess"]), layer_ranges(guilty))


def _number(value: float | None) -> float:
    return math.inf if value is None else value
