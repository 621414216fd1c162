"""Q8_K: the activations of a ggml K-quant or TQ matmul.  Blocks of 256: float32 scale d, 256 int8 codes, 16
int16 sums.

With m the first value of largest magnitude: s = -127 / m, code = min(127, round-half-even(x * s)), d = 1 /
s; so the largest value has code -127 and its negative +127.  Each sum covers 16 codes.  292 bytes a block.
Source: ggml-quants.c, quantize_row_q8_K_ref.
"""

from __future__ import annotations

import numpy as np

from bitparity.formats.base import Bytes, Floats, Scales
from bitparity.formats.blocks import BlockFormat

BLOCK = np.dtype([("d", "<f4"), ("codes", "i1", (256,)), ("sums", "<i2", (16,))])


class Q8KFormat(BlockFormat):
    name = "Q8_K"
    ggml_type = 15
    block = 256
    block_bytes = BLOCK.itemsize
    scale_format = "F32"

    def pack(self, values: Floats) -> Bytes:
        """A block so small that 127 / max overflows gets codes 0, d = -+0; BadInput for NaN and infinity."""
        blocks = self._finite_matrix(values).reshape(-1, self.block)
        largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)
        with np.errstate(divide="ignore", over="ignore"):
            inverse = np.float32(-127) / largest
            d = np.where(largest == 0, np.float32(0), np.float32(1) / inverse)
        inverse[~np.isfinite(inverse)] = 0
        codes = np.minimum(127, np.rint(blocks * inverse)).astype(np.int8)
        packed = np.empty(len(blocks), dtype=BLOCK)
        packed["d"] = d[:, 0]
        packed["codes"] = codes
        packed["sums"] = codes.reshape(-1, 16, 16).sum(axis=2)
        return packed.view(np.uint8).reshape(-1)

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        blocks = self._packed(packed, rows, cols).view(BLOCK)
        values: Floats = blocks["codes"].astype(np.float32) * blocks["d"][:, None]
        return values.reshape(rows, cols)

    def scales_in(self, packed: Bytes, rows: int, cols: int) -> Scales:
        """One a block."""
        return packed.view(BLOCK)["d"]


Q8_K = Q8KFormat()
