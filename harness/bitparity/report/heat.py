"""The heat maps of a run, as data: the error of every stage at every position.

Three maps share rows, columns and scale: the local error of either engine, and the difference between the
two, which has everything in it that was inherited from earlier stages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitparity.compare.result import ComparisonResult
from bitparity.stages import graph_order

COLUMNS = 240  # of a map, at most; a longer run shows the worst of neighbouring positions in one column

Cells = list[list[float | None]]


@dataclass(frozen=True)
class HeatMap:
    """One map.

    errors  a row a stage of a layer, a column one or several positions; None where nothing is known
    guilty  (row, column) of cells in which the stage is wrong
    """

    title: str
    errors: Cells
    guilty: list[tuple[int, int]]


@dataclass(frozen=True)
class Heat:
    """rows      (layer, stage) in graph order; layer is -1 outside the blocks
    columns   (first position, last position, text of the tokens there)
    """

    rows: list[tuple[int, str]]
    columns: list[tuple[int, int, str]]
    maps: list[HeatMap]


def make_heat(result: ComparisonResult) -> Heat | None:
    """The maps of the prompt whose stages were judged; None where none were."""
    if result.blame is None:
        return None
    sides = [
        (f"{role} {result.blame[side]['engine']}: local error", result.blame[side])
        for role, side in (("reference", "expected"), ("candidate", "actual"))
    ]
    positions: list[int] = sides[0][1].get("positions") or sides[1][1].get("positions") or []
    stages = [side["stages"] for _, side in sides] + [result.blame["differences"]]
    rows = sorted({_place(s) for group in stages for s in group}, key=lambda place: graph_order(*place))
    if not positions or not rows:
        return None
    columns = list(_columns(positions))
    maps = [_map(title, side["stages"], rows, columns, side["positions"]) for title, side in sides]
    maps.append(
        _map("difference of the two, inherited too", result.blame["differences"], rows, columns, positions)
    )
    pieces = _pieces(result)
    named = [(c[0], c[-1], "".join(pieces.get(p, "") for p in c)) for c in columns]
    return Heat(rows, named, maps)


def _map(
    title: str,
    stages: Iterable[Mapping[str, Any]],
    rows: Sequence[tuple[int, str]],
    columns: Sequence[Sequence[int]],
    positions: Sequence[int],
) -> HeatMap:
    by_place = {_place(stage): stage for stage in stages}
    errors: Cells = []
    guilty: list[tuple[int, int]] = []
    for index, place in enumerate(rows):
        stage = by_place.get(place, {})
        at = dict(zip(positions, stage.get("errors", ()), strict=False))
        errors.append([_worst(at.get(p) for p in column) for column in columns])
        wrong = set(stage.get("guilty_at", ()))
        guilty += [(index, number) for number, column in enumerate(columns) if wrong.intersection(column)]
    return HeatMap(title, errors, guilty)


def _place(stage: Mapping[str, Any]) -> tuple[int, str]:
    return stage["layer"], stage["stage"]


def _columns(positions: Sequence[int]) -> Iterable[Sequence[int]]:
    width = -(-len(positions) // COLUMNS)
    return (positions[first : first + width] for first in range(0, len(positions), width))


def _worst(errors: Iterable[float | None]) -> float | None:
    return max((error for error in errors if error is not None), default=None)


def _pieces(result: ComparisonResult) -> dict[int, str]:
    """Position -> the text of its token, in the prompt that was judged."""
    rows = (row for row in result.positions if row.prompt == result.judged_prompt)
    return {row.position: result.pieces.get(str(row.token), "") for row in rows}
