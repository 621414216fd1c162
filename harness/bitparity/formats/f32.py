"""F32: little-endian float32, as it is."""

from __future__ import annotations

import numpy as np

from bitparity.formats.base import Bytes, Floats
from bitparity.formats.blocks import FloatFormat


class F32Format(FloatFormat):
    name = "F32"
    ggml_type = 0
    block_bytes = 4

    def pack(self, values: Floats) -> Bytes:
        """Exact; the bytes of the values themselves."""
        return self._matrix(values).astype("<f4").reshape(-1).view(np.uint8)

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        return self._packed(packed, rows, cols).view("<f4").astype(np.float32).reshape(rows, cols)


F32 = F32Format()
