"""Block formats of ggml that the `gguf` package unpacks, and some of which it packs.

The package rounds as ggml's reference quantizers do; here inputs are checked, and scales found, too.
"""

from __future__ import annotations

import numpy as np
from gguf import GGMLQuantizationType, dequantize, quantize

from bitparity.errors import BadInput
from bitparity.formats.base import Bytes, Floats, Scales
from bitparity.formats.blocks import BlockFormat
from bitparity.formats.f16 import F16


class GgufBlocks(BlockFormat):
    """A subclass gives its name, type id, block, block_bytes and block_layout; d is one F16 scale or two."""

    block_layout: np.dtype[np.void]
    scale_format = "F16"
    rounding = F16.rounding

    def pack(self, values: Floats) -> Bytes:
        """As ggml's reference quantizer; BadInput for NaN, infinity and a scale that F16 does not hold."""
        matrix = self._finite_matrix(values)
        if not matrix.size:
            return np.empty(0, dtype=np.uint8)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            packed = quantize(self._as_ggml_reads(matrix), GGMLQuantizationType[self.name]).reshape(-1)
        return self._with_finite_scales(packed)

    def _as_ggml_reads(self, matrix: Floats) -> Floats:
        """Zeros without a sign, which ggml does not look at where it looks for the largest magnitude."""
        positive: Floats = matrix + np.float32(0)
        return positive

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        data = self._packed(packed, rows, cols)
        with np.errstate(all="ignore"):
            values = dequantize(data.reshape(rows, -1), GGMLQuantizationType[self.name])
        return np.asarray(values, dtype=np.float32).reshape(rows, cols)

    def scales_in(self, packed: Bytes, rows: int, cols: int) -> Scales:
        """The F16 scales of every block, one or two each."""
        blocks = packed.reshape(-1).view(self.block_layout)
        return blocks["d"]

    def _with_finite_scales(self, packed: Bytes) -> Bytes:
        if not np.isfinite(self.scales_in(packed, 1, 0)).all():
            raise BadInput(f"{self.name}: a block has a scale that is infinite in F16, which ends at 65504")
        return packed
