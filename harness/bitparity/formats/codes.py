"""CODES: how the ternary weights of a checkpoint are held in memory, an int8 a weight and one float32 scale.

No file has it.  A checkpoint's own packing (four rows a byte) cannot be read a row at a time, and takes any
number of columns, which the formats of GGUF files do not.
"""

from __future__ import annotations

import numpy as np

from bitparity.formats.base import Bytes, Codes
from bitparity.formats.one_scale import OneScaleFormat


class CodesFormat(OneScaleFormat):
    name = "CODES"
    ggml_type = 24  # I8 in ggml, without the scale
    block_bytes = 1

    def _code_bytes(self, rows: int, cols: int) -> int:
        return rows * cols

    def _encode(self, codes: Codes) -> Bytes:
        return codes.view(np.uint8)

    def _decode(self, data: Bytes, rows: int, cols: int) -> Codes:
        return self._codes(data.view(np.int8).reshape(rows, cols))

    def _legal(self, codes: Bytes) -> Bytes:
        return np.sign(codes.view(np.int8)).view(np.uint8)


CODES = CodesFormat()
