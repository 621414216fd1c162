"""What formats share: their size, checks of what comes in, and weights of two bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitparity.errors import BadInput, ShapeError
from bitparity.formats.base import Bytes, Codes, Floats, Scales


class BlockFormat:
    """A format in which every `block` weights of a row take `block_bytes` bytes."""

    name: str
    ggml_type: int
    block: int = 1
    block_bytes: int
    tail_bytes: int = 0
    tail_read: int = 0
    scale_format: str = ""
    reach: int = 1
    rounding: float = 0.0

    def size(self, rows: int, cols: int) -> int:
        """Bytes of a packed (rows, cols) matrix; ShapeError if cols is not a multiple of block."""
        if cols % self.block:
            raise ShapeError(
                f"{self.name}: {cols} columns is not a multiple of its block of {self.block} weights"
            )
        return rows * (cols // self.block) * self.block_bytes

    def size_in_file(self, rows: int, cols: int) -> int:
        return self.size(rows, cols)

    def scales_in(self, packed: Bytes, rows: int, cols: int) -> Scales:
        """None, unless a subclass has scales."""
        return packed[:0].view(np.float32)

    def with_legal_codes(self, packed: Bytes, rows: int, cols: int) -> Bytes:
        """Every code is legal, unless a subclass says otherwise."""
        return packed

    def _matrix(self, values: ArrayLike) -> Floats:
        matrix = np.ascontiguousarray(values, dtype=np.float32)
        if matrix.ndim != 2:
            raise ShapeError(
                f"{self.name}: pack needs a matrix (rows, cols), got the shape {np.shape(values)}"
            )
        self.size(*matrix.shape)
        return matrix

    def _finite_matrix(self, values: ArrayLike) -> Floats:
        matrix = self._matrix(values)
        if not np.isfinite(matrix).all():
            row, col = np.argwhere(~np.isfinite(matrix))[0]
            raise BadInput(
                f"{self.name}: the weight at row {row}, column {col} is {matrix[row, col]}, not a number"
            )
        return matrix

    def _codes(self, codes: ArrayLike) -> Codes:
        matrix = np.ascontiguousarray(codes, dtype=np.int8)
        if matrix.ndim != 2:
            raise ShapeError(f"{self.name}: codes need the shape (rows, cols), got {np.shape(codes)}")
        self.size(*matrix.shape)
        if matrix.size and (matrix.min() < -1 or matrix.max() > 1):
            row, col = np.argwhere(abs(matrix) > 1)[0]
            raise BadInput(
                f"{self.name}: code {matrix[row, col]} at row {row}, column {col} is none of -1, 0, 1"
            )
        return matrix

    def _packed(self, packed: Bytes, rows: int, cols: int) -> Bytes:
        expected = self.size(rows, cols)
        if packed.dtype != np.uint8 or packed.shape != (expected,):
            raise ShapeError(
                f"{self.name}: {rows} x {cols} weights are {expected} bytes (uint8, one axis), "
                f"got {packed.dtype} of shape {packed.shape}"
            )
        return np.ascontiguousarray(packed)


class FloatFormat(BlockFormat):
    """A format that stores each weight as a floating-point number, and matmuls multiply it as it is."""


def half_scales(name: str, scales: Floats) -> NDArray[np.float16]:
    """Scales of blocks rounded to F16; BadInput for one that becomes infinite (65520 and above)."""
    with np.errstate(over="ignore"):
        halves = scales.astype("<f2")
    if np.isinf(halves).any():
        raise BadInput(f"{name}: a block has the scale {scales.max():g}, and F16 ends at 65504")
    return halves


def ternary_from_stored(name: str, stored: Codes) -> Codes:
    """Stored 0, 1, 2 become -1, 0, 1, in place; BadInput for a stored 3, which stands for nothing."""
    if stored.size and stored.max() > 2:
        row, col = np.argwhere(stored > 2)[0]
        raise BadInput(
            f"{name}: the weight at row {row}, column {col} has the code 3, which no packer writes"
        )
    stored -= 1
    return stored


def without_code_3(packed: Bytes) -> Bytes:
    """Four codes of two bits a byte: every 3 becomes a 2."""
    return packed ^ (packed & (packed >> np.uint8(1)) & np.uint8(0x55))
