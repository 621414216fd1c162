"""Q1_0: blocks of 128 weights of one magnitude in 18 bytes: an F16 scale, then a bit each, set for +.

d = mean of the magnitudes, added one by one in float32; zeros become +d.  Low bits come first.
Source: llama.cpp ggml/src/ggml-quants.c, quantize_row_q1_0_ref, dequantize_row_q1_0.
"""

from __future__ import annotations

import numpy as np

from bitparity.formats.base import Bytes, Floats, Scales
from bitparity.formats.blocks import BlockFormat, half_scales
from bitparity.formats.f16 import F16

BLOCK = np.dtype([("d", "<f2"), ("signs", "u1", (16,))])


class Q10Format(BlockFormat):
    name = "Q1_0"
    ggml_type = 41
    block = 128
    block_bytes = BLOCK.itemsize
    scale_format = "F16"
    reach = 128  # the scale is the mean of the magnitudes, of which all but one may be 0
    rounding = F16.rounding

    def pack(self, values: Floats) -> Bytes:
        """BadInput for NaN, infinity and a mean that F16 does not hold."""
        blocks = self._finite_matrix(values).reshape(-1, self.block)
        packed = np.empty(len(blocks), dtype=BLOCK)
        with np.errstate(over="ignore"):
            total = np.add.accumulate(np.abs(blocks), axis=1, dtype=np.float32)[:, -1]
        packed["d"] = half_scales(self.name, np.asarray(total / np.float32(self.block), np.float32))
        packed["signs"] = np.packbits(blocks >= 0, axis=1, bitorder="little")
        return packed.view(np.uint8).reshape(-1)

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        blocks = self._packed(packed, rows, cols).view(BLOCK)
        bits = np.unpackbits(blocks["signs"], axis=1, bitorder="little")
        d = blocks["d"].astype(np.float32)[:, None]
        return np.where(bits == 1, d, -d).reshape(rows, cols)

    def scales_in(self, packed: Bytes, rows: int, cols: int) -> Scales:
        """One a block."""
        return packed.view(BLOCK)["d"]


Q1_0 = Q10Format()
