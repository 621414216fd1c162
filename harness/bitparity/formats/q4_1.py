"""Q4_1: blocks of 32 weights in 20 bytes; an F16 scale d and an F16 least m, then 16 bytes of two codes.

Bytes are those of Q4_0; a code stands for code * d + m.  m = least weight, d = (largest - least) / 15.
Source: ggml-quants.c, quantize_row_q4_1_ref; gguf.quants.Q4_1.
"""

from __future__ import annotations

import numpy as np

from bitparity.formats.base import Bytes, Floats
from bitparity.formats.gguf_blocks import GgufBlocks


class Q41Format(GgufBlocks):
    name = "Q4_1"
    ggml_type = 3
    block = 32
    block_bytes = 20
    reach = 15
    block_layout = np.dtype([("d", "<f2", (2,)), ("codes", "u1", (16,))])

    def pack(self, values: Floats) -> Bytes:
        """As ggml's reference quantizer; BadInput for NaN, infinity and a scale that F16 does not hold.

        Of zeros of both signs that are least, ggml takes the first; the package takes any.
        """
        packed = super().pack(values)
        blocks = np.asarray(values, np.float32).reshape(-1, self.block)
        least = np.take_along_axis(blocks, blocks.argmin(axis=1)[:, None], axis=1)[:, 0]
        packed.view(self.block_layout)["d"][:, 1] = least.astype("<f2")
        return packed

    def leasts(self, packed: Bytes, rows: int, cols: int) -> Floats:
        """The weight of code 0 of every block, (rows, cols / 32)."""
        blocks = self._packed(packed, rows, cols).view(self.block_layout)
        return blocks["d"][:, 1].astype(np.float32).reshape(rows, -1)


Q4_1 = Q41Format()
