"""Buffers with guards: where the inputs of a C function lie, and what it wrote that it should not have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from bitparity.errors import BadInput

GUARD = 128  # bytes on either side, more than the longest vector register
GUARD_BYTE = 0xC3
ALIGNMENT = 64


class MemoryBroken(BadInput):
    """A function wrote outside its output."""


@dataclass(frozen=True)
class Placement:
    """offset  bytes past a 64-byte boundary at which buffers begin
    poison     what every byte of an output holds before the call
    """

    offset: int = 0
    poison: int = 0


PLAIN = Placement()


class Arena:
    """Hands out buffers for one call and checks their guards afterwards."""

    def __init__(self, placement: Placement = PLAIN) -> None:
        self._placement = placement
        self._blocks: list[tuple[NDArray[np.uint8], int, int]] = []

    def place(self, values: ArrayLike) -> NDArray[Any]:
        """A copy of an input at the placement's offset."""
        array = np.ascontiguousarray(values)
        placed = self._carve(array.nbytes).view(array.dtype).reshape(array.shape)
        placed[...] = array
        return placed

    def output(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """A poisoned buffer."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raw = self._carve(size)
        raw[:] = self._placement.poison
        return raw.view(dtype).reshape(shape)

    def check(self) -> None:
        """MemoryBroken when any guard has changed."""
        for block, start, end in self._blocks:
            touched = np.flatnonzero(np.concatenate([block[:start], block[end:]]) != GUARD_BYTE)
            if touched.size:
                where = int(touched[0]) - start
                side = f"{-where} before" if where < 0 else f"{where + 1} past the end of"
                raise MemoryBroken(f"wrote to byte {side} a buffer of {end - start} bytes")

    def _carve(self, size: int) -> NDArray[np.uint8]:
        block = np.full(size + 2 * GUARD + 2 * ALIGNMENT, GUARD_BYTE, dtype=np.uint8)
        start = GUARD + (self._placement.offset - block.ctypes.data - GUARD) % ALIGNMENT
        self._blocks.append((block, start, start + size))
        return block[start : start + size]
