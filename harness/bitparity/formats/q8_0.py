"""Q8_0: blocks of 32 values; an F16 scale d, then 32 int8 codes.  34 bytes a block.

d = max / 127 in float32; code = round(x * (1 / d)), half away from zero; the scale is rounded to F16
afterwards, so codes belong to the unrounded scale.  The SIMD version that ggml uses for activations
computes x * (127 / max) and rounds half to even: its codes may differ by one on ties.
Source: ggml-quants.c, quantize_row_q8_0_ref; gguf.quants.Q8_0.
"""

from __future__ import annotations

import numpy as np

from bitparity.formats.base import Bytes, Floats, Scales
from bitparity.formats.blocks import BlockFormat, half_scales

BLOCK = np.dtype([("d", "<f2"), ("codes", "i1", (32,))])


class Q80Format(BlockFormat):
    name = "Q8_0"
    ggml_type = 8
    block = 32
    block_bytes = BLOCK.itemsize
    scale_format = "F16"
    reach = 127

    def pack(self, values: Floats) -> Bytes:
        """BadInput for NaN, infinity and a block whose scale does not fit F16 (max above 65519 * 127)."""
        blocks = self._finite_matrix(values).reshape(-1, self.block)
        d = np.abs(blocks).max(axis=1) / np.float32(127)
        with np.errstate(divide="ignore", over="ignore"):
            inverse = np.float32(1) / d
        inverse[np.isinf(inverse)] = 0  # zero blocks, and d below 2^-128, which F16 makes 0 anyway
        quotient = (blocks * inverse[:, None]).astype(np.float64)
        packed = np.empty(len(blocks), dtype=BLOCK)
        packed["d"] = half_scales(self.name, d)
        packed["codes"] = np.sign(quotient) * np.floor(np.abs(quotient) + 0.5)
        return packed.view(np.uint8).reshape(-1)

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        blocks = self._packed(packed, rows, cols).view(BLOCK)
        values: Floats = blocks["codes"].astype(np.float32) * blocks["d"].astype(np.float32)[:, None]
        return values.reshape(rows, cols)

    def scales_in(self, packed: Bytes, rows: int, cols: int) -> Scales:
        """One a block."""
        return packed.view(BLOCK)["d"]


Q8_0 = Q80Format()
