"""I2_S of bitnet.cpp, in its x86 layout: two bits a weight, one float32 scale a tensor.

Blocks of 128 weights in 32 bytes: byte j of a block holds the weights j, 32 + j, 64 + j and 96 + j in its
bits 7-6, 5-4, 3-2 and 1-0.  A stored 0, 1, 2 stands for -1, 0, +1; a stored 3 is 0 to bitnet.cpp's
dequantizer and +2 to its matmul, and is refused here.  After all blocks follows a 32-byte tail: the float32
scale and 28 bytes that nobody reads (zero here; whatever lay in the buffer in bitnet.cpp's files).
Size: weights / 4 + 32.

bitnet.cpp packs the flat tensor and would take any multiple of 128 weights, but its matmul starts every row
on a block and drops what is left of a row after its last whole block; so a row here must be a multiple of
128.  bitnet.cpp built for ARM, or for x86 without ACT_PARALLEL, orders the weights otherwise under the same
type id.

Source: bitnet.cpp src/ggml-bitnet-mad.cpp, quantize_i2_s and ggml_vec_dot_i2_i8_s.
"""

from __future__ import annotations

import numpy as np

from bitparity.errors import BadInput
from bitparity.formats.base import Bytes, Codes, Floats
from bitparity.formats.blocks import BlockFormat, ternary_from_stored

TAIL_BYTES = 32
DEAD_ZONE = 1e-6  # weights smaller than this are zero to bitnet.cpp's quantizer
_SHIFTS = np.array([6, 4, 2, 0], dtype=np.uint8)[:, None]  # of the weights j, 32 + j, 64 + j, 96 + j


class I2SFormat(BlockFormat):
    name = "I2_S"
    ggml_type = 36
    block = 128
    block_bytes = 32

    def size(self, rows: int, cols: int) -> int:
        """Bytes of a packed (rows, cols) matrix with its tail; ShapeError if cols is no multiple of 128."""
        return super().size(rows, cols) + TAIL_BYTES

    def pack(self, values: Floats) -> Bytes:
        """Pack as bitnet.cpp's quantizer does: the scale is max |w|, a code is the sign of w.

        Weights with |w| < 1e-6 become 0.  This is not absmean: only values that are ternary already survive.
        Raises BadInput for NaN and infinity.
        """
        matrix = self._finite_matrix(values)
        magnitude = np.abs(matrix)
        codes = np.sign(matrix).astype(np.int8)
        codes[magnitude.astype(np.float64) < DEAD_ZONE] = 0
        return self.pack_codes(codes, float(magnitude.max(initial=0.0)))

    def pack_codes(self, codes: Codes, scale: float) -> Bytes:
        """Pack codes in {-1, 0, 1}, exactly; BadInput for a scale that no float32 is."""
        with np.errstate(over="ignore"):
            scale32 = np.array([scale], dtype="<f4")
        if not (np.isfinite(scale32[0]) and float(scale32[0]) == scale):
            raise BadInput(f"I2_S: the scale {scale!r} is no finite float32; round it before packing")
        matrix = self._codes(codes)
        stored = (matrix + 1).view(np.uint8).reshape(-1, 4, 32)
        packed = np.zeros(self.size(*matrix.shape), dtype=np.uint8)
        packed[:-TAIL_BYTES].reshape(-1, 32)[:] = np.bitwise_or.reduce(stored << _SHIFTS, axis=1)
        packed[-TAIL_BYTES : -TAIL_BYTES + 4] = scale32.view(np.uint8)
        return packed

    def unpack(self, packed: Bytes, rows: int, cols: int) -> Floats:
        codes, scale = self.unpack_codes(packed, rows, cols)
        return codes * scale

    def unpack_codes(self, packed: Bytes, rows: int, cols: int) -> tuple[Codes, Floats]:
        """Codes (rows, cols) and the scale (1, 1); BadInput for a code 3."""
        data = self._packed(packed, rows, cols)
        blocks = data[:-TAIL_BYTES].reshape(-1, 1, 32)
        stored = ((blocks >> _SHIFTS) & np.uint8(3)).view(np.int8).reshape(rows, cols)
        return ternary_from_stored(self.name, stored), i2_s_scale(data)


def i2_s_scale(packed: Bytes) -> Floats:
    """The scale in the tail of a packed I2_S tensor, (1, 1)."""
    return packed[-TAIL_BYTES : -TAIL_BYTES + 4].copy().view("<f4").astype(np.float32).reshape(1, 1)


I2_S = I2SFormat()
