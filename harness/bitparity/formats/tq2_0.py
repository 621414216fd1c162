"""TQ2_0 of ggml: 2.06 bits a weight, blocks of 256 in 66 bytes.

Two runs of 32 bytes, each with 128 weights: byte j of a run holds the weights j, 32 + j, 64 + j and 96 + j of
the run in its bits 1-0, 3-2, 5-4 and 7-6 (the reverse of I2_S).  Then the F16 scale.
"""

from __future__ import annotations

import numpy as np

from bitparity.formats.base import Bytes
from bitparity.formats.blocks import without_code_3
from bitparity.formats.tq import SCALE_BYTES, Stored, TqFormat

_SHIFTS = np.array([0, 2, 4, 6], dtype=np.uint8)[:, None]


class TQ20Format(TqFormat):
    name = "TQ2_0"
    ggml_type = 35
    block_bytes = 66

    def _encode(self, stored: Stored) -> Stored:
        runs = stored.reshape(-1, 2, 4, 32)
        coded: Stored = np.bitwise_or.reduce(runs << _SHIFTS, axis=2)
        return coded.reshape(-1, 64)

    def _decode(self, coded: Stored) -> Stored:
        runs = coded.reshape(-1, 2, 1, 32)
        return ((runs >> _SHIFTS) & np.uint8(3)).reshape(-1, 256)

    def with_legal_codes(self, packed: Bytes, rows: int, cols: int) -> Bytes:
        blocks = packed.reshape(-1, self.block_bytes)
        codes, scales = np.split(blocks, [-SCALE_BYTES], axis=1)
        return np.concatenate([without_code_3(codes), scales], axis=1).reshape(-1)


TQ2_0 = TQ20Format()
