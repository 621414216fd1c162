"""I2_S as bitnet.cpp writes it when built for ARM: blocks of 64 weights in 16 bytes.

Byte j of a block holds weights j, 16 + j, 32 + j, 48 + j in bits 7-6, 5-4, 3-2, 1-0; a stored 0, 1, 2 is
-1, 0, +1.
Type id, size and tail are those of I2_S for x86: nothing in a file says which it is.
Source: bitnet.cpp src/ggml-bitnet-mad.cpp, quantize_i2_s under __ARM_NEON.
"""

from __future__ import annotations

import numpy as np

from bitparity.formats.base import Bytes, Codes
from bitparity.formats.blocks import ternary_from_stored
from bitparity.formats.one_scale import OneScaleFormat

LANES = 16  # bytes of a block; the weights of neighbouring bit pairs are this far apart
_SHIFTS = np.array([6, 4, 2, 0], dtype=np.uint8)[:, None]


class I2SArmFormat(OneScaleFormat):
    name = "I2_S_ARM"
    ggml_type = 36
    block = 64
    block_bytes = 16

    def _encode(self, codes: Codes) -> Bytes:
        lanes = (codes + 1).view(np.uint8).reshape(-1, 4, LANES)
        encoded: Bytes = np.bitwise_or.reduce(lanes << _SHIFTS, axis=1)
        return encoded

    def _decode(self, data: Bytes, rows: int, cols: int) -> Codes:
        stored = (data.reshape(-1, 1, LANES) >> _SHIFTS) & np.uint8(3)
        return ternary_from_stored(self.name, stored.view(np.int8).reshape(rows, cols))


I2_S_ARM = I2SArmFormat()
