"""I2_S as bitnet.cpp writes it for x86 when built without ACT_PARALLEL: four rows interleaved.

Byte g * cols + c holds column c of rows 4g, 4g + 1, 4g + 2, 4g + 3 in bits 7-6, 5-4, 3-2, 1-0.  Type id, size
and tail are those of I2_S: nothing in a file says which it is.  The kernel that reads it drops what is left
of a row after its last 128 columns, so a row here must be a multiple of 128.
Source: bitnet.cpp src/ggml-bitnet-mad.cpp, quantize_i2_s without ACT_PARALLEL, ggml_vec_dot_i2_i8_s_1x4_32W.
"""

from __future__ import annotations

from bitparity.errors import ShapeError
from bitparity.formats.two_bits import TwoBitsFormat


class I2SFourRowsFormat(TwoBitsFormat):
    name = "I2_S_X4"
    ggml_type = 36
    block = 128
    block_bytes = 32

    def size(self, rows: int, cols: int) -> int:
        if rows % 4:
            raise ShapeError(
                f"{self.name}: {rows} rows is no multiple of 4, and the format interleaves rows in fours"
            )
        return super().size(rows, cols)

    def _run(self, cols: int) -> int:
        return cols


I2_S_X4 = I2SFourRowsFormat()
