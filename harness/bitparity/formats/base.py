"""What every weight format is: a name, a ggml type id, and pack / unpack / size in NumPy."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Codes = NDArray[np.int8]
Floats = NDArray[np.float32]
Scales = NDArray[np.floating[Any]]  # as they are stored, float16 or float32


class WeightFormat(Protocol):
    """Packs a matrix of (rows, cols) float32 weights, row by row.

    name          as in DESIGN: F32, F16, BF16, I2_S, TQ1_0, TQ2_0, ...
    ggml_type     type id in a GGUF file
    block         cols must be a multiple of it
    tail_bytes    after the packed rows, for data that all rows share
    tail_read     how many of those, from the first on, have a meaning
    scale_format  of its stored scales: F16 or F32; empty for a format without scales
    reach         how many times its F16 scale, at most, the largest magnitude of a block is
    rounding      largest relative error of a weight as it is stored (F32, F16, BF16), or of a scale (ternary)
    """

    name: str
    ggml_type: int
    block: int
    tail_bytes: int
    tail_read: int
    scale_format: str
    reach: int
    rounding: float

    def size(self, rows: int, cols: int) -> int:
        """Bytes of a packed matrix; ShapeError for a shape that the format cannot hold."""
        ...

    def size_in_file(self, rows: int, cols: int) -> int:
        """The same, without the checks that need more than a file says."""
        ...

    def pack(self, values: Floats) -> Bytes:
        """Pack by the format's own documented rounding rule; (size,) bytes."""
        ...

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        """The weights that the bytes stand for, (rows, cols)."""
        ...

    def scales_in(self, packed: Bytes, rows: int, cols: int) -> Scales:
        """The scales where they lie among the bytes: writing to them changes the packed matrix."""
        ...

    def with_legal_codes(self, packed: Bytes, rows: int, cols: int) -> Bytes:
        """The same bytes, with every code that no packer writes replaced by a legal one."""
        ...


class TernaryFormat(WeightFormat, Protocol):
    """A format that holds codes in {-1, 0, 1} and scales, and packs them without loss."""

    def pack_codes(self, codes: Codes, scale: float) -> Bytes:
        """Pack ternary codes with one scale for the whole tensor, exactly."""
        ...

    def unpack_codes(self, packed: Bytes, rows: int, cols: int) -> tuple[Codes, Floats]:
        """Codes (rows, cols) and scales that broadcast: (1, 1), or (rows, cols / block) one a block."""
        ...
