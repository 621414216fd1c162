"""Weight formats, as include/bitnet/formats.hpp defines them.

tiles is (rows, columns, step) of a table-lookup kernel, and (0, 0, 0) for formats without tiles.  ValueError,
with the name of the format, for a shape, a value or a bit pattern that the format does not hold.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Tiles = tuple[int, int, int]

def names() -> list[str]: ...
def multiplies(name: str) -> bool: ...
def size(name: str, rows: int, cols: int, tiles: Tiles) -> int:
    """Bytes of a packed matrix, its tail included."""

def pack(name: str, tiles: Tiles, values: Floats, packed: Bytes) -> None:
    """values (rows, cols); fills packed (size,)."""

def unpack(name: str, tiles: Tiles, packed: Bytes, values: Floats) -> None:
    """packed (size,); fills values (rows, cols)."""

def multiply(name: str, tiles: Tiles, packed: Bytes, x: NDArray[np.int8], sums: NDArray[np.int32]) -> None:
    """packed (size,), x (tokens, cols); fills sums (tokens, rows) with exact sums of code x activation."""
