"""I2_S of bitnet.cpp, in its x86 layout: two bits a weight, one float32 scale a tensor.

Blocks of 128 weights in 32 bytes: byte j of a block holds the weights j, 32 + j, 64 + j and 96 + j in its
bits 7-6, 5-4, 3-2 and 1-0.  Size: weights / 4 + 32.

bitnet.cpp packs the flat tensor and would take any multiple of 128 weights, but its matmul starts every row
on a block and drops what is left of a row after its last whole block; so a row here must be a multiple of
128.  bitnet.cpp built for ARM, or for x86 without ACT_PARALLEL, orders the weights otherwise under the same
type id.

Source: bitnet.cpp src/ggml-bitnet-mad.cpp, quantize_i2_s and ggml_vec_dot_i2_i8_s.
"""

from __future__ import annotations

from bitparity.formats.two_bits import TwoBitsFormat


class I2SFormat(TwoBitsFormat):
    name = "I2_S"
    ggml_type = 36
    block = 128
    block_bytes = 32

    def _run(self, cols: int) -> int:
        return 32


I2_S = I2SFormat()
