"""What the formats of bitnet.cpp share: its packing rule, and one scale in a 32-byte tail after the codes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from bitparity.errors import BadInput
from bitparity.formats.base import Bytes, Codes, Floats, Scales
from bitparity.formats.blocks import BlockFormat
from bitparity.formats.rules import DEAD_ZONE, sign_of_maximum


class OneScaleFormat(BlockFormat, ABC):
    """A subclass says how codes lie: `_encode` (rows, cols) -> bytes before the tail, `_decode` back, and
    `_legal`, the same bytes without codes that no packer writes.

    Only the scale is ever read from the tail.  The rest keeps the next tensor aligned: it is zero here, and
    whatever the buffer held in files that bitnet.cpp wrote.
    """

    dead_zone: np.floating[Any] = DEAD_ZONE
    tail_bytes = 32
    tail_read = 4
    scale_format = "F32"

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
        return self._code_bytes(rows, cols) + self.tail_bytes

    def pack(self, values: Floats) -> Bytes:
        """Pack as bitnet.cpp does: the scale is max |w|, a code is the sign of w, or 0 in the dead zone.

        This is not absmean: only values that are ternary already survive.  BadInput for NaN and infinity.
        """
        codes, scale = sign_of_maximum(self._finite_matrix(values), self.dead_zone)
        return self.pack_codes(codes, scale)

    def pack_codes(self, codes: Codes, scale: float) -> Bytes:
        """Pack codes in {-1, 0, 1}, exactly; BadInput for a scale that no float32 is."""
        with np.errstate(over="ignore"):
            scale32 = np.float32(scale)
        if not (np.isfinite(scale32) and float(scale32) == scale):
            raise BadInput(f"{self.name}: the scale {scale!r} is no finite float32; round it before packing")
        matrix = self._codes(codes)
        packed = np.zeros(self.size(*matrix.shape), dtype=np.uint8)
        packed[: -self.tail_bytes] = self._encode(matrix).reshape(-1)
        self.scales_in(packed, *matrix.shape)[:] = scale32
        return packed

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        codes, scale = self.unpack_codes(packed, rows, cols)
        return codes * scale

    def unpack_codes(self, packed: Bytes, rows: int, cols: int) -> tuple[Codes, Floats]:
        """Codes (rows, cols) and the scale (1, 1); BadInput for bits that no packer writes."""
        data = self._packed(packed, rows, cols)
        scale = self.scales_in(data, rows, cols).astype(np.float32).reshape(1, 1)
        return self._decode(data[: -self.tail_bytes], rows, cols), scale

    def scales_in(self, packed: Bytes, rows: int, cols: int) -> Scales:
        """The one scale, (1,)."""
        tail = packed[-self.tail_bytes :]
        return tail[: self.tail_read].view("<f4")

    def with_legal_codes(self, packed: Bytes, rows: int, cols: int) -> Bytes:
        codes, tail = np.split(packed, [-self.tail_bytes])
        return np.concatenate([self._legal(codes), tail])

    @abstractmethod
    def _legal(self, codes: Bytes) -> Bytes: ...
