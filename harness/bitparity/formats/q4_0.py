"""Q4_0: blocks of 32 weights; an F16 scale d, then 16 bytes of two codes.  18 bytes a block.

Byte j holds the codes of the weights j and 16 + j in its low and high half; a code 0 to 15 stands for (code
- 8) d. d = the value of largest magnitude / -8; code = truncate(w / d + 8.5), at most 15. llama.cpp's
quantizer takes it for rows that are no multiple of 256 where TQ1_0, TQ2_0 or Q4_K was asked for.
Source: ggml-quants.c, quantize_row_q4_0_ref; gguf.quants.Q4_0.
"""

from __future__ import annotations

import numpy as np

from bitparity.formats.gguf_blocks import GgufBlocks


class Q40Format(GgufBlocks):
    name = "Q4_0"
    ggml_type = 2
    block = 32
    block_bytes = 18
    reach = 8
    block_layout = np.dtype([("d", "<f2"), ("codes", "u1", (16,))])


Q4_0 = Q40Format()
