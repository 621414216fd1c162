"""Memory-mapped files: pages that will not be read again need not stay in memory."""

from __future__ import annotations

import mmap

import numpy as np

from bitparity.formats.base import Bytes


def forget(data: Bytes, start: int, size: int) -> None:
    """Tell the system that some bytes of the file behind `data` will not be read again.

    start  of them in the file; nothing happens when no file is behind the array
    """
    source: object = data
    while isinstance(source, np.ndarray):
        source = source.base
    if not isinstance(source, mmap.mmap) or not hasattr(source, "madvise"):
        return
    first = start // mmap.PAGESIZE * mmap.PAGESIZE
    source.madvise(mmap.MADV_DONTNEED, first, start + size - first)
