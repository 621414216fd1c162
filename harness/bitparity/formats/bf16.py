"""BF16: the upper half of a float32, rounded to nearest, ties to even.

A NaN keeps its sign and upper payload and is made quiet (bit 6), so rounding cannot turn it into infinity.
Source: ggml/src/ggml-impl.h of llama.cpp, ggml_compute_fp32_to_bf16.
"""

from __future__ import annotations

import numpy as np

from bitparity.formats.base import Bytes, Floats
from bitparity.formats.blocks import FloatFormat

_INFINITY = np.uint32(0x7F800000)
_WITHOUT_SIGN = np.uint32(0x7FFFFFFF)
_QUIET = np.uint32(0x40)


class BF16Format(FloatFormat):
    name = "BF16"
    ggml_type = 30
    block_bytes = 2
    rounding = 2.0**-8  # half of the distance of neighbours above 1

    def pack(self, values: Floats) -> Bytes:
        """Round to nearest even; NaN stays NaN."""
        bits = self._matrix(values).view(np.uint32).reshape(-1)
        upper = bits >> np.uint32(16)
        # adding 0x7fff, or 0x8000 where the kept part is odd, carries into it exactly when it must round up
        rounded = (bits + (np.uint32(0x7FFF) + (upper & np.uint32(1)))) >> np.uint32(16)
        is_nan = (bits & _WITHOUT_SIGN) > _INFINITY
        return np.where(is_nan, upper | _QUIET, rounded).astype("<u2").view(np.uint8)

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        upper = self._packed(packed, rows, cols).view("<u2").astype(np.uint32)
        return (upper << np.uint32(16)).view(np.float32).reshape(rows, cols)


BF16 = BF16Format()
