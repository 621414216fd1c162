"""I8_S: the activations of an I2_S matmul.  int8 codes, one scale and one sum a row (a row is one token).

All codes come first, then the float32 scales, then the int32 sums: the order of ggml's work buffer.
s = 127 / max(largest magnitude, 1e-5), computed in float64 and rounded to float32; code = round-half-even(x
* s) in float32, clamped to [-128, 127].  A value is code / s.
Source: bitnet.cpp 3rdparty/llama.cpp/ggml/src/ggml-quants.c, quantize_row_i8_s.
"""

from __future__ import annotations

import numpy as np

from bitparity.formats.base import Bytes, Floats, Scales
from bitparity.formats.blocks import BlockFormat

SMALLEST_MAXIMUM = 1e-5


class I8SFormat(BlockFormat):
    name = "I8_S"
    ggml_type = 37
    scale_format = "F32"

    def size(self, rows: int, cols: int) -> int:
        """Codes, then eight bytes of scale and sum for each row."""
        return rows * (cols + 8)

    def pack(self, values: Floats) -> Bytes:
        """BadInput for NaN and infinity."""
        matrix = self._finite_matrix(values)
        largest = np.maximum(np.abs(matrix).max(axis=1).astype(np.float64), SMALLEST_MAXIMUM)
        scales = (127 / largest).astype("<f4")
        codes = np.clip(np.rint(matrix * scales[:, None]), -128, 127).astype(np.int8)
        sums = codes.sum(axis=1, dtype="<i4")
        return np.concatenate([codes.reshape(-1).view(np.uint8), scales.view(np.uint8), sums.view(np.uint8)])

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        data = self._packed(packed, rows, cols)
        codes = data[: rows * cols].view(np.int8).reshape(rows, cols)
        scales = self.scales_in(data, rows, cols).astype(np.float32)
        values: Floats = codes.astype(np.float32) / scales[:, None]
        return values

    def scales_in(self, packed: Bytes, rows: int, cols: int) -> Scales:
        """One a row, (rows,)."""
        return packed[rows * cols : rows * (cols + 4)].view("<f4")


I8_S = I8SFormat()
