"""Q4_K: blocks of 256 weights in 8 parts of 32; 4.5 bits a weight, 144 bytes a block.

A code 0 to 15 stands for code * part scale * d - part least * m; scales and leasts of parts have six bits,
d and m are F16.  Byte j of the k-th 32 bytes of codes holds the weights 64 k + j and 64 k + 32 + j, low
half first.  Of the 12 bytes before, the first four and the next four hold the scales and leasts of parts 0
to 3 in their low six bits and the high two bits of those of parts 4 to 7; the last four hold the low four
bits of both, scales in the low half.
Source: ggml-quants.c, quantize_row_q4_K_ref, dequantize_row_q4_K.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitparity.formats.base import Floats
from bitparity.formats.k_quants import Integers, KQuantFormat, nearest, sum_in_order

LARGEST = 15
_STEPS = 20


class Q4KFormat(KQuantFormat):
    name = "Q4_K"
    ggml_type = 12
    block_bytes = 144
    reach = 15 * 63
    block_layout = np.dtype([("d", "<f2", (2,)), ("scales", "u1", (3, 4)), ("codes", "u1", (4, 32))])

    def _blocks(self, values: Floats) -> NDArray[np.void]:
        parts = values.reshape(-1, 32)
        scale, least, found = _fit(parts)
        packed = np.zeros(len(values), dtype=self.block_layout)
        kept = []
        six_bits = []
        for field, each in enumerate((scale.reshape(-1, 8), least.reshape(-1, 8))):
            largest = np.maximum(each.max(axis=1, keepdims=True), 0)
            inverse = np.where(largest > 0, np.float32(63) / largest, np.float32(0))
            packed["d"][:, field] = (largest[:, 0] / np.float32(63)).astype("<f2")
            bits = np.minimum(63, nearest(inverse * each).astype(np.uint8))
            six_bits.append(bits)
            kept.append(packed["d"][:, field].astype(np.float32)[:, None] * bits.astype(np.float32))
        packed["scales"] = _together(*six_bits)
        step, shift = (each.reshape(-1, 1) for each in kept)
        codes = np.clip(nearest((parts + shift) / step), 0, LARGEST)
        stored = np.where(step == 0, found, codes).astype(np.uint8).reshape(-1, 4, 2, 32)
        packed["codes"] = stored[:, :, 0] | stored[:, :, 1] << np.uint8(4)
        return packed


def _together(scales: NDArray[np.uint8], leasts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Six bits of eight scales and of eight leasts in twelve bytes, (n, 3, 4)."""
    four, six = np.uint8(4), np.uint8(6)
    first = scales[:, :4] | scales[:, 4:] >> four << six
    second = leasts[:, :4] | leasts[:, 4:] >> four << six
    third = scales[:, 4:] & np.uint8(15) | (leasts[:, 4:] & np.uint8(15)) << four
    return np.stack([first, second, third], axis=1)


def _fit(x: Floats) -> tuple[Floats, Floats, Integers]:
    """Scales and leasts (n, 1), leasts at least 0, and codes (n, 32): the best of 22 by weighted squares."""
    weights = np.sqrt(sum_in_order(x * x) / np.float32(32)) + np.abs(x)
    low, high = np.minimum(x.min(axis=1, keepdims=True), 0), x.max(axis=1, keepdims=True)
    is_flat = high == low
    sum_w, sum_x = sum_in_order(weights), sum_in_order(weights * x)
    inverse = np.float32(LARGEST) / (high - low)
    scale, least = np.float32(1) / inverse, low
    codes = np.clip(nearest(inverse * (x - low)), 0, LARGEST)
    best = _error(x, weights, codes, scale, least)
    for step in range(_STEPS + 1):
        inverse = (np.float32(-1) + np.float32(0.1) * np.float32(step) + np.float32(LARGEST)) / (high - least)
        tried = np.clip(nearest(inverse * (x - least)), 0, LARGEST)  # from the best least so far
        floats = tried.astype(np.float32)
        sum_l, sum_l2 = sum_in_order(weights * floats), sum_in_order(weights * floats * floats)
        sum_xl = sum_in_order(weights * floats * x)
        determinant = sum_w * sum_l2 - sum_l * sum_l
        new_scale = np.asarray((sum_w * sum_xl - sum_x * sum_l) / determinant, np.float32)
        new_least = np.asarray((sum_l2 * sum_x - sum_l * sum_xl) / determinant, np.float32)
        new_scale = np.where(new_least > 0, sum_xl / sum_l2, new_scale)
        new_least = np.minimum(new_least, np.float32(0))
        error = _error(x, weights, tried, new_scale, new_least)
        is_better = (determinant > 0) & (error < best)
        codes = np.where(is_better, tried, codes)
        best, scale = np.where(is_better, error, best), np.where(is_better, new_scale, scale)
        least = np.where(is_better, new_least, least)
    return (
        np.where(is_flat, np.float32(0), scale),
        np.where(is_flat, -low, -least),
        np.where(is_flat, 0, codes),
    )


def _error(x: Floats, weights: Floats, codes: Integers, scale: Floats, least: Floats) -> Floats:
    difference = scale * codes.astype(np.float32) + least - x
    return sum_in_order(weights * (difference * difference))


Q4_K = Q4KFormat()
