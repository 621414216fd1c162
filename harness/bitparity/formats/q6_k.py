"""Q6_K: blocks of 256 weights in 16 parts of 16; 6.56 bits a weight, 210 bytes a block.

A code 0 to 63 stands for (code - 32) * part scale (int8) * d (F16).  In each half of a block, byte j of the
64 low bytes holds the low four bits of the weights j and 64 + j, and byte j of the 32 high bytes the high
two bits of the weights j, 32 + j, 64 + j and 96 + j, lowest first. llama.cpp's quantizer packs token_embd
so for TQ1_0 and TQ2_0, and bitnet.cpp recommends it for embeddings.
Source: ggml-quants.c, quantize_row_q6_K_ref, dequantize_row_q6_K.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitparity.formats.base import Floats
from bitparity.formats.k_quants import KQuantFormat, codes_by_scale, largest_of, nearest, search_scale

LEVELS = 32


class Q6KFormat(KQuantFormat):
    name = "Q6_K"
    ggml_type = 14
    block_bytes = 210
    reach = 32 * 128
    block_layout = np.dtype(
        [("low", "u1", (2, 64)), ("high", "u1", (2, 32)), ("scales", "i1", (16,)), ("d", "<f2")]
    )

    def _blocks(self, values: Floats) -> NDArray[np.void]:
        parts = values.reshape(-1, 16)
        scale, found = search_scale(parts, LEVELS)
        scales = scale.reshape(-1, 16)
        inverse = np.float32(-128) / largest_of(scales)
        is_empty = np.abs(largest_of(scales)) < np.float32(1e-15)
        packed = np.zeros(len(scales), dtype=self.block_layout)
        packed["d"] = np.where(is_empty, 0, np.float32(1) / inverse)[:, 0].astype("<f2")
        packed["scales"] = np.where(is_empty, 0, np.minimum(127, nearest(inverse * scales)))
        kept = packed["d"].astype(np.float32)[:, None] * packed["scales"]
        codes = codes_by_scale(parts, kept.reshape(-1, 1), found, LEVELS) + LEVELS
        stored = np.where(is_empty, 0, codes.reshape(-1, 256)).astype(np.uint8).reshape(-1, 2, 4, 32)
        low, high = stored & np.uint8(15), stored >> np.uint8(4)
        packed["low"] = (low[:, :, :2] | low[:, :, 2:] << np.uint8(4)).reshape(-1, 2, 64)
        packed["high"] = np.bitwise_or.reduce(
            high << np.array([0, 2, 4, 6], np.uint8)[:, None], axis=2, dtype=np.uint8
        )
        return packed


Q6_K = Q6KFormat()
