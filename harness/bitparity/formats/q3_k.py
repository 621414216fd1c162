"""Q3_K: blocks of 256 weights in 16 parts of 16; 3.44 bits a weight, 110 bytes a block.

A code 0 to 7 stands for (code - 4) * (part scale - 32) * d (F16); a part scale has six bits.  Byte j of the
32 high bytes holds the high bits of the weights j, 32 + j, ..., 224 + j, lowest first.  In each half of a
block, byte j of 32 holds the low two bits of the weights j, 32 + j, 64 + j and 96 + j.  Of the 12 bytes of
scales the first eight hold the low four bits of parts j and 8 + j, the others the high two bits of parts j,
4 + j, 8 + j and 12 + j.
Source: ggml-quants.c, quantize_row_q3_K_ref, dequantize_row_q3_K.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitparity.formats.base import Floats
from bitparity.formats.k_quants import (
    SMALLEST,
    Integers,
    KQuantFormat,
    codes_by_scale,
    largest_of,
    nearest,
    sum_in_order,
)

LEVELS = 4
_TRIES = 5


class Q3KFormat(KQuantFormat):
    name = "Q3_K"
    ggml_type = 11
    block_bytes = 110
    reach = 4 * 32
    block_layout = np.dtype(
        [("high", "u1", (32,)), ("low", "u1", (2, 32)), ("scales", "u1", (12,)), ("d", "<f2")]
    )

    def _blocks(self, values: Floats) -> NDArray[np.void]:
        parts = values.reshape(-1, 16)
        scale, found = _fit(parts)
        scales = scale.reshape(-1, 16)
        largest = largest_of(scales)
        inverse = np.float32(-32) / largest
        packed = np.zeros(len(scales), dtype=self.block_layout)
        packed["d"] = np.where(largest == 0, 0, np.float32(1) / inverse)[:, 0].astype("<f2")
        six_bits = np.where(largest == 0, 0, np.clip(nearest(inverse * scales), -32, 31) + 32).astype(
            np.uint8
        )
        low, high = six_bits & np.uint8(15), six_bits >> np.uint8(4)
        packed["scales"][:, :8] = low[:, :8] | low[:, 8:] << np.uint8(4)
        shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
        packed["scales"][:, 8:] = np.bitwise_or.reduce(
            high.reshape(-1, 4, 4) << shifts, axis=1, dtype=np.uint8
        )
        kept = packed["d"].astype(np.float32)[:, None] * (six_bits.astype(np.int32) - 32).astype(np.float32)
        codes = codes_by_scale(parts, kept.reshape(-1, 1), found, LEVELS) + LEVELS
        stored = codes.reshape(-1, 8, 32).astype(np.uint8)
        packed["high"] = np.packbits(stored > 3, axis=1, bitorder="little")[:, 0]
        two_bits = (stored & np.uint8(3)).reshape(-1, 2, 4, 32)
        packed["low"] = np.bitwise_or.reduce(two_bits << shifts, axis=2, dtype=np.uint8)
        return packed


def _fit(x: Floats) -> tuple[Floats, Integers]:
    """Scales (n, 1) and codes (n, 16) in -4 ... 3, changed one by one while that lessens the error."""
    largest, weights = largest_of(x), x * x
    codes = np.clip(nearest(np.float32(-LEVELS) / largest * x), -LEVELS, LEVELS - 1)
    floats = codes.astype(np.float32)
    by_value, by_code = (
        sum_in_order(weights * x * floats)[:, 0],
        sum_in_order(weights * floats * floats)[:, 0],
    )
    for _ in range(_TRIES):
        for i in range(x.shape[1]):
            w, value, code = weights[:, i], x[:, i], codes[:, i].astype(np.float32)
            without = by_value - w * value * code
            rest = by_code - w * code * code
            best_code = np.asarray(value * rest / without, np.float32)
            other = np.clip(nearest(best_code), -LEVELS, LEVELS - 1)
            new = other.astype(np.float32)
            with_new, rest_new = without + w * value * new, rest + w * new * new
            is_better = (without > 0) & (other != codes[:, i]) & (rest_new > 0)
            is_better &= with_new * with_new * by_code > by_value * by_value * rest_new
            codes[:, i] = np.where(is_better, other, codes[:, i])
            by_value = np.where(is_better, with_new, by_value)
            by_code = np.where(is_better, rest_new, by_code)
    scale = np.where(by_code > 0, by_value / by_code, np.float32(0))[:, None]
    is_empty = np.abs(largest) < SMALLEST
    return np.where(is_empty, np.float32(0), scale), np.where(is_empty, -LEVELS, codes)


Q3_K = Q3KFormat()
