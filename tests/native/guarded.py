"""Buffers between guard bytes, so that a test sees what a kernel writes or reads beyond its own."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

POISON = 0xA5
GUARD = 64  # bytes on either side


def _forbid(array: NDArray[np.uint8], allow: bool = False) -> None:
    """Under AddressSanitizer, have every read and write of these bytes reported, or allow them again."""
    name = f"__asan_{'unpoison' if allow else 'poison'}_memory_region"
    if function := getattr(ctypes.CDLL(None), name, None):
        function(ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.size))


class Guarded:
    """Arrays between guard bytes, at any byte offset, poisoned at first."""

    def __init__(self) -> None:
        self._buffers: list[tuple[NDArray[np.uint8], int, int]] = []

    def empty(self, shape: tuple[int, ...] | int, dtype: DTypeLike, offset: int = 0) -> NDArray[Any]:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        buffer = np.full(size + 2 * GUARD + offset, POISON, dtype=np.uint8)
        start = GUARD + offset
        self._buffers.append((buffer, start, start + size))
        _forbid(buffer[:start])
        _forbid(buffer[start + size :])
        return np.ndarray(shape, dtype, buffer.data, start)

    def copy(self, values: NDArray[Any], offset: int = 0) -> NDArray[Any]:
        array = self.empty(values.shape, values.dtype, offset)
        array[...] = values
        return array

    def check(self) -> None:
        for buffer, start, end in self._buffers:
            _forbid(buffer, allow=True)
            assert (buffer[:start] == POISON).all(), "bytes before a buffer were written"
            assert (buffer[end:] == POISON).all(), "bytes after a buffer were written"
