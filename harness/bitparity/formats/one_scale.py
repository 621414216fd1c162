"""What the other layouts of bitnet.cpp share: its packing rule, and one scale in a 32-byte tail after the
codes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from bitparity.errors import BadInput
from bitparity.formats.base import Bytes, Codes, Floats
from bitparity.formats.blocks import BlockFormat
from bitparity.formats.rules import DEAD_ZONE, sign_of_maximum

TAIL_BYTES = 32  # the first four are the float32 scale, the rest keeps the next tensor aligned


class OneScaleFormat(BlockFormat, ABC):
    """A subclass says how codes lie: `_encode` (rows, cols) -> bytes before the tail, and `_decode` back."""

    dead_zone: np.floating[Any] = DEAD_ZONE

    @abstractmethod
    def _encode(self, codes: Codes) -> Bytes: ...

    @abstractmethod
    def _decode(self, data: Bytes, rows: int, cols: int) -> Codes: ...

    def _code_bytes(self, rows: int, cols: int) -> int:
        return rows * cols // 4

    def size(self, rows: int, cols: int) -> int:
        """Bytes of a packed (rows, cols) matrix with its tail; ShapeError for a shape that the format
        cannot hold."""
        super().size(rows, cols)
        return self._code_bytes(rows, cols) + TAIL_BYTES

    def pack(self, values: Floats) -> Bytes:
        """Pack by bitnet.cpp's rule, sign x max with a dead zone; BadInput for NaN and infinity."""
        codes, scale = sign_of_maximum(self._finite_matrix(values), self.dead_zone)
        return self.pack_codes(codes, scale)

    def pack_codes(self, codes: Codes, scale: float) -> Bytes:
        """Pack codes in {-1, 0, 1}, exactly; BadInput for a scale that no float32 is."""
        with np.errstate(over="ignore"):
            scale32 = np.array([scale], dtype="<f4")
        if not (np.isfinite(scale32[0]) and float(scale32[0]) == scale):
            raise BadInput(f"{self.name}: the scale {scale!r} is no finite float32; round it before packing")
        matrix = self._codes(codes)
        packed = np.zeros(self.size(*matrix.shape), dtype=np.uint8)
        packed[:-TAIL_BYTES] = self._encode(matrix).reshape(-1)
        packed[-TAIL_BYTES : -TAIL_BYTES + 4] = scale32.view(np.uint8)
        return packed

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        codes, scale = self.unpack_codes(packed, rows, cols)
        return codes * scale

    def unpack_codes(self, packed: Bytes, rows: int, cols: int) -> tuple[Codes, Floats]:
        """Codes (rows, cols) and the scale (1, 1); BadInput for bits that no packer writes."""
        data = self._packed(packed, rows, cols)
        scale = data[-TAIL_BYTES : -TAIL_BYTES + 4].copy().view("<f4").astype(np.float32).reshape(1, 1)
        return self._decode(data[:-TAIL_BYTES], rows, cols), scale
