"""I2_S as some converters write it: four consecutive weights a byte, the first one lowest.

Byte j of the flat tensor holds the weights 4j, 4j + 1, 4j + 2 and 4j + 3 in bits 1-0, 3-2, 5-4 and 7-6; a
stored 0, 1, 2 is -1, 0, +1.  Type id, size and tail are those of I2_S.  A converter that writes the scale as
a tensor of its own may leave the tail out: such a file is refused when it is read (model/gguf_file.py).
Seen in: SKaiNET issue 1140, larql issue 156.
"""

from __future__ import annotations

import numpy as np

from bitparity.formats.base import Bytes, Codes
from bitparity.formats.blocks import ternary_from_stored, without_code_3
from bitparity.formats.one_scale import OneScaleFormat

_SHIFTS = np.array([0, 2, 4, 6], dtype=np.uint8)


class I2SSequentialFormat(OneScaleFormat):
    name = "I2_S_SEQ"
    ggml_type = 36
    block = 128
    block_bytes = 32

    def _encode(self, codes: Codes) -> Bytes:
        stored = (codes + 1).view(np.uint8).reshape(-1, 4)
        encoded: Bytes = np.bitwise_or.reduce(stored << _SHIFTS, axis=1)
        return encoded

    def _decode(self, data: Bytes, rows: int, cols: int) -> Codes:
        stored = (data.reshape(-1, 1) >> _SHIFTS) & np.uint8(3)
        return ternary_from_stored(self.name, stored.view(np.int8).reshape(rows, cols))

    def _legal(self, codes: Bytes) -> Bytes:
        return without_code_3(codes)


I2_S_SEQUENTIAL = I2SSequentialFormat()
