"""QK256: how BitNet.rs reads the bytes of an I2_S tensor.  A format of its own, never guessed for a file.

Rows of ceil(cols / 256) blocks, 64 bytes each; byte j of a block holds weights 4j, 4j + 1, 4j + 2, 4j + 3
in bits 1-0, 3-2, 5-4, 7-6; code 0, 1, 2, 3 is -2, -1, +1, +2.  There is no scale and no zero, so it is not
a ternary format and does not give back what bitnet.cpp packed.
Source: BitNet.rs crates/bitnet-models/src/quant/i2s_qk256.rs.
"""

from __future__ import annotations

import numpy as np

from bitparity.formats.base import Bytes, Floats
from bitparity.formats.blocks import BlockFormat

BLOCK_BYTES = 64
LEVELS = np.array([-2, -1, 1, 2], dtype=np.float32)
MIDPOINTS = np.array([-1.5, 0, 1.5], dtype=np.float32)
SHIFTS = np.array([0, 2, 4, 6], dtype=np.uint8)


class QK256Format(BlockFormat):
    name = "QK256"
    ggml_type = 36
    block = 1  # a row is padded to whole blocks

    def size(self, rows: int, cols: int) -> int:
        """Rows are padded to whole blocks."""
        return rows * -(-cols // 256) * BLOCK_BYTES

    def pack(self, values: Floats) -> Bytes:
        """The nearest of the four levels (0 becomes +1); padding is code 0."""
        matrix = self._finite_matrix(values)
        rows, cols = matrix.shape
        codes = np.zeros((rows, self.size(1, cols) * 4), dtype=np.uint8)
        codes[:, :cols] = np.searchsorted(MIDPOINTS, matrix, side="right")
        packed: Bytes = np.bitwise_or.reduce(codes.reshape(-1, 4) << SHIFTS, axis=1)
        return packed

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        data = self._packed(packed, rows, cols)
        codes = (data.reshape(-1, 1) >> SHIFTS) & 3
        values: Floats = LEVELS[codes].reshape(rows, -1)[:, :cols]
        return values


QK256 = QK256Format()
