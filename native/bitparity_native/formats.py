"""The weight formats of the native core as one implementation under test, `native`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitparity.errors import BadInput, ShapeError
from bitparity.formats.base import Bytes, Floats
from bitparity.formats.table_lookup import TL1_TILINGS, TL2_TILINGS, Tilings, tiling_of
from bitparity.fuzz.cases import SMALL_TL1, SMALL_TL2
from bitparity.fuzz.implementations import Function, Implementation, Operation
from bitparity.fuzz.memory import PLAIN, Arena, Placement

Formats = Any  # the module bitparity_native._core.formats, or a mutant of it
Tiles = tuple[int, int, int]
NO_TILES: Tiles = (0, 0, 0)
TILINGS: dict[str, Tilings] = {"TL1": TL1_TILINGS | SMALL_TL1, "TL2": TL2_TILINGS | SMALL_TL2}


def formats_implementation(formats: Formats) -> Implementation:
    """Every format that the core packs and unpacks, and multiplies where it is ternary."""
    functions: dict[tuple[Operation, str], Function] = {}
    for name in formats.names():
        functions["pack", name] = _bind(_pack, formats, name)
        functions["unpack", name] = _bind(_unpack, formats, name)
        if formats.multiplies(name):
            functions["multiply", name] = _bind(_multiply, formats, name)
    return Implementation("native", functions, writes_memory=True, refuses=True)


def _bind(function: Callable[..., NDArray[Any]], formats: Formats, name: str) -> Function:
    def run(*arguments: Any, placement: Placement = PLAIN) -> NDArray[Any]:
        arena = Arena(placement)
        try:
            result = function(formats, name, arena, *arguments)
        except ValueError as error:
            raise BadInput(str(error)) from error
        arena.check()
        return result

    return run


def _pack(formats: Formats, name: str, arena: Arena, values: Floats) -> Bytes:
    tiles, size = _tiles_and_size(formats, name, *values.shape)
    packed: Bytes = arena.output(size, np.uint8)
    formats.pack(name, tiles, arena.place(values), packed)
    return packed.copy()


def _unpack(formats: Formats, name: str, arena: Arena, packed: Bytes, rows: int, cols: int) -> Floats:
    tiles, _ = _tiles_and_size(formats, name, rows, cols)
    values: Floats = arena.output((rows, cols), np.float32)
    formats.unpack(name, tiles, arena.place(packed), values)
    return values.copy()


def _multiply(
    formats: Formats, name: str, arena: Arena, packed: Bytes, rows: int, cols: int, x: NDArray[np.int8]
) -> NDArray[np.int64]:
    tiles, _ = _tiles_and_size(formats, name, rows, cols)
    sums = arena.output((len(x), rows), np.int32)
    formats.multiply(name, tiles, arena.place(packed), arena.place(x), sums)
    return sums.astype(np.int64)


def _tiles_and_size(formats: Formats, name: str, rows: int, cols: int) -> tuple[Tiles, int]:
    """ShapeError for a shape that the core refuses."""
    tiles = NO_TILES
    if name in TILINGS:
        tiling = tiling_of(name, TILINGS[name], rows, cols)
        tiles = tiling.rows, tiling.cols, tiling.step
    try:
        return tiles, int(formats.size(name, rows, cols, tiles))
    except ValueError as error:
        raise ShapeError(str(error)) from error
