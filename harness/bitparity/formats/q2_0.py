"""Q2_0: blocks of 64 ternary weights in 18 bytes: an F16 scale, then 16 bytes of four codes.

Byte j holds the weights 4j, 4j + 1, 4j + 2 and 4j + 3, low bits first.  A stored 3 stands for twice the
scale, which llama.cpp's quantizer never writes.  Files with blocks of 128 weights in 34 bytes exist under the
same type id; which of the two a tensor has only its room tells (model/tensor_types.py).
Source: llama.cpp ggml/src/ggml-quants.c, quantize_row_q2_0_ref, dequantize_row_q2_0.
"""

from __future__ import annotations

import numpy as np

from bitparity.formats.base import Bytes
from bitparity.formats.blocks import without_code_3
from bitparity.formats.tq import SCALE_BYTES, Stored, TqFormat

_SHIFTS = np.array([0, 2, 4, 6], dtype=np.uint8)


class Q20Format(TqFormat):
    name = "Q2_0"
    ggml_type = 42
    block = 64
    block_bytes = 18
    scale_is_first = True

    def _encode(self, stored: Stored) -> Stored:
        fours = stored.reshape(len(stored), -1, 4)
        coded: Stored = np.bitwise_or.reduce(fours << _SHIFTS, axis=2)
        return coded

    def _decode(self, coded: Stored) -> Stored:
        return ((coded[..., None] >> _SHIFTS) & np.uint8(3)).reshape(len(coded), -1)

    def with_legal_codes(self, packed: Bytes, rows: int, cols: int) -> Bytes:
        blocks = packed.reshape(-1, self.block_bytes).copy()
        blocks[:, self._code_bytes] = without_code_3(blocks[:, self._code_bytes])
        return blocks.reshape(-1)


class Q20In128Format(Q20Format):
    name = "Q2_0_G128"
    block = 128
    block_bytes = 34

    def in_blocks_of_64(self, packed: Bytes) -> Bytes:
        """The same weights in Q2_0: each half of a block with its scale."""
        blocks = packed.reshape(-1, self.block_bytes)
        scales, codes = blocks[:, None, :SCALE_BYTES], blocks[:, SCALE_BYTES:].reshape(len(blocks), 2, -1)
        return np.concatenate([scales.repeat(2, axis=1), codes], axis=2).reshape(-1)


Q2_0 = Q20Format()
Q2_0_G128 = Q20In128Format()
