"""Q8_1: the activations of a Q4_1 matmul.  Blocks of 32: F16 scale d, F16 sum s, 32 int8 codes; 36 bytes.

As Q8_0, and s = d * sum of codes, computed with the scale before it is rounded to F16: what the weights'
leasts are multiplied with.
Source: ggml-quants.c, quantize_row_q8_1_ref.
"""

from __future__ import annotations

import numpy as np

from bitparity.formats.base import Bytes, Floats, Scales
from bitparity.formats.blocks import BlockFormat, half_scales
from bitparity.formats.q8_0 import Q8_0

BLOCK = np.dtype([("d", "<f2"), ("s", "<f2"), ("codes", "i1", (32,))])


class Q81Format(BlockFormat):
    name = "Q8_1"
    ggml_type = 9
    block = 32
    block_bytes = BLOCK.itemsize
    scale_format = "F16"
    reach = 127

    def pack(self, values: Floats) -> Bytes:
        """BadInput as of Q8_0, and for a sum that F16 does not hold."""
        blocks = Q8_0.pack(values).view([("d", "<f2"), ("codes", "i1", (32,))])
        packed = np.empty(len(blocks), dtype=BLOCK)
        packed["d"], packed["codes"] = blocks["d"], blocks["codes"]
        largest = np.abs(np.asarray(values, np.float32).reshape(-1, self.block)).max(axis=1)
        total = blocks["codes"].sum(axis=1, dtype=np.int32).astype(np.float32)
        packed["s"] = half_scales(self.name, largest / np.float32(127) * total)
        return packed.view(np.uint8).reshape(-1)

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        blocks = self._packed(packed, rows, cols).view(BLOCK)
        values: Floats = blocks["codes"].astype(np.float32) * blocks["d"].astype(np.float32)[:, None]
        return values.reshape(rows, cols)

    def scales_in(self, packed: Bytes, rows: int, cols: int) -> Scales:
        """One a block."""
        return packed.view(BLOCK)["d"]


Q8_1 = Q81Format()
