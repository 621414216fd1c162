"""F16: IEEE half precision, rounded to nearest, ties to even."""

from __future__ import annotations

import numpy as np

from bitparity.formats.base import Bytes, Floats
from bitparity.formats.blocks import FloatFormat


class F16Format(FloatFormat):
    name = "F16"
    ggml_type = 1
    block_bytes = 2
    rounding = 2.0**-11  # half of the distance of neighbours above 1

    def pack(self, values: Floats) -> Bytes:
        """Round to nearest even; beyond 65504 (and a half step) the result is infinite, as in ggml."""
        with np.errstate(over="ignore"):
            return self._matrix(values).astype("<f2").reshape(-1).view(np.uint8)

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        return self._packed(packed, rows, cols).view("<f2").astype(np.float32).reshape(rows, cols)


F16 = F16Format()
