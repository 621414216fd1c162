"""I2_S as bitnet.cpp writes it when built for ARM: blocks of 64 weights in 16 bytes.

Byte j of a block holds weights j, 16 + j, 32 + j, 48 + j in bits 7-6, 5-4, 3-2, 1-0.
Type id, size and tail are those of I2_S for x86: nothing in a file says which it is.
Source: bitnet.cpp src/ggml-bitnet-mad.cpp, quantize_i2_s under __ARM_NEON.
"""

from __future__ import annotations

from bitparity.formats.two_bits import TwoBitsFormat


class I2SArmFormat(TwoBitsFormat):
    name = "I2_S_ARM"
    ggml_type = 36
    block = 64
    block_bytes = 16

    def _run(self, cols: int) -> int:
        return 16


I2_S_ARM = I2SArmFormat()
