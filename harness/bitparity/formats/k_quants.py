"""What the K-quants of ggml share: blocks of 256 weights in parts, whose integer scales share an F16 scale.

A quantizer looks for each part's scale: of several it keeps the one with the least error, weighted.  All of
it is float32 arithmetic in the order of the reference quantizers, so the bytes are theirs.
Source: ggml-quants.c, nearest_int, make_qx_quants, make_q3_quants, make_qkx2_quants, quantize_row_q*_K_ref.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from bitparity.formats.base import Bytes, Floats
from bitparity.formats.gguf_blocks import GgufBlocks

BLOCK = 256
SMALLEST = np.float32(1e-15)  # a part whose weights are all below has the scale 0
_BLOCKS = 4096  # packed at a time
_TO_LAST_BITS = np.float32(3 << 22)  # a sum with it keeps a whole number in the last bits of its mantissa
Integers = NDArray[np.int32]


class KQuantFormat(GgufBlocks):
    """A subclass packs: `_blocks` (n, 256) float32 -> (n,) of block_layout."""

    block = BLOCK

    @abstractmethod
    def _blocks(self, values: Floats) -> NDArray[np.void]: ...

    def pack(self, values: Floats) -> Bytes:
        """As ggml's reference quantizer; BadInput for NaN, infinity and a scale that F16 does not hold."""
        blocks = self._finite_matrix(values).reshape(-1, BLOCK)
        with np.errstate(all="ignore"):
            parts = [self._blocks(blocks[i : i + _BLOCKS]) for i in range(0, len(blocks), _BLOCKS)]
        packed = np.concatenate([np.empty(0, self.block_layout), *parts]).view(np.uint8)
        return self._with_finite_scales(packed)


def nearest(x: Floats) -> Integers:
    """Half to even up to 2^22; of anything larger what ggml's nearest_int makes of its bits, 0 of a NaN.

    An infinity, as 15 / largest becomes for the smallest floats, is -2^22, whatever its sign.
    """
    bits = (x + _TO_LAST_BITS).astype(np.float32).view(np.int32)
    return np.asarray((bits & np.int32(0x7FFFFF)) - np.int32(1 << 22), np.int32)


def largest_of(x: Floats) -> Floats:
    """The first value of largest magnitude of each row, (n, 1)."""
    return np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1)


def sum_in_order(terms: Floats) -> Floats:
    """Sums of rows, (n, 1), each term added to the float32 sum before."""
    return np.add.accumulate(terms, axis=1, dtype=np.float32)[:, -1:]


def search_scale(x: Floats, levels: int) -> tuple[Floats, Integers]:
    """The best of 19 scales near largest / -levels: (n, 1), and codes (n, 16) in -levels ... levels - 1.

    A part without weights of note has the scale 0 and the lowest codes.
    """
    largest = largest_of(x)
    weights = x * x
    scale = best = np.zeros((len(x), 1), np.float32)
    codes = np.full(x.shape, -levels, np.int32)
    for step in (0, *range(-9, 0), *range(1, 10)):
        inverse = -(np.float32(levels) + np.float32(0.1) * np.float32(step)) / largest
        tried = np.clip(nearest(inverse * x), -levels, levels - 1)
        floats = tried.astype(np.float32)
        by_value = sum_in_order(weights * x * floats)
        by_code = sum_in_order(weights * floats * floats)
        is_better = (by_code > 0) & ((by_value * by_value > best * by_code) | (step == 0))
        found = np.where(is_better, by_value / by_code, np.float32(0))
        scale = np.where(is_better, found, scale)
        best = np.where(is_better, found * by_value, best)
        codes = np.where(is_better | (step == 0), tried, codes)
    is_empty = np.abs(largest) < SMALLEST
    return np.where(is_empty, np.float32(0), scale), np.where(is_empty, -levels, codes)


def codes_by_scale(x: Floats, scale: Floats, found: Integers, levels: int) -> Integers:
    """Codes of parts at the scale that is kept; those that the search found where that is 0."""
    codes = np.clip(nearest(x / scale), -levels, levels - 1)
    return np.where(scale == 0, found, codes)
