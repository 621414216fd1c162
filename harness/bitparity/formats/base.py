"""What every weight format is: a name, a ggml type id, and pack / unpack / size in NumPy."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Codes = NDArray[np.int8]
Floats = NDArray[np.float32]


class WeightFormat(Protocol):
    """Packs a matrix of (rows, cols) float32 weights, row by row.

    name       as in DESIGN: F32, F16, BF16, I2_S, TQ1_0, TQ2_0, ...
    ggml_type  type id in a GGUF file
    block      cols must be a multiple of it
    """

    name: str
    ggml_type: int
    block: int

    def size(self, rows: int, cols: int) -> int:
        """Bytes of a packed matrix; ShapeError if cols is not a multiple of block."""
        ...

    def pack(self, values: Floats) -> Bytes:
        """Pack by the format's own documented rounding rule; (size,) bytes."""
        ...

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        """The weights that the bytes stand for, (rows, cols)."""
        ...


class TernaryFormat(WeightFormat, Protocol):
    """A format that holds codes in {-1, 0, 1} and scales, and packs them without loss."""

    def pack_codes(self, codes: Codes, scale: float) -> Bytes:
        """Pack ternary codes with one scale for the whole tensor, exactly."""
        ...

    def unpack_codes(self, packed: Bytes, rows: int, cols: int) -> tuple[Codes, Floats]:
        """Codes (rows, cols) and scales that broadcast: (1, 1), or (rows, cols / block) one a block."""
        ...
