"""Q5_0: blocks of 32 weights in 22 bytes; an F16 scale d, 32 high bits, then 16 bytes of low bits.

Low bits lie as in Q4_0, high bits in the order of the weights; a code 0 to 31 stands for (code - 16) d.
d = the value of largest magnitude / -16; code = truncate(w / d + 16.5), at most 31.
Source: ggml-quants.c, quantize_row_q5_0_ref; gguf.quants.Q5_0.
"""

from __future__ import annotations

import numpy as np

from bitparity.formats.gguf_blocks import GgufBlocks


class Q50Format(GgufBlocks):
    name = "Q5_0"
    ggml_type = 6
    block = 32
    block_bytes = 22
    reach = 16
    block_layout = np.dtype([("d", "<f2"), ("high", "u1", (4,)), ("low", "u1", (16,))])


Q5_0 = Q50Format()
