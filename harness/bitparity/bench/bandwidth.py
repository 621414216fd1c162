"""How fast this machine reads memory, with all the processors that this process may use."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import numpy as np

from bitparity.processors import usable_processors

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
_SMALLEST, _LARGEST = 2**28, 2**30  # bytes
_CACHE_SIZES = 8  # so that at most an eighth of what is read can still be in the cache from the last time
_SLICES = 8  # a processor, so that none waits long for another that was disturbed
_READS = 3  # a measurement; the fastest counts, since nothing but a disturbance makes a read slow


def last_level_cache(folder: Path = _CACHES) -> int | None:
    """Bytes of the largest cache of the first processor, as Linux tells them; None elsewhere."""
    sizes = [_parse_size(file.read_text().strip()) for file in folder.glob("index*/size")]
    return max(sizes, default=None)


class ReadBandwidth:
    """A buffer much larger than the last-level cache, and the threads that read it.

    Used as a context; calling it measures once and returns bytes a second.
    """

    def __init__(self, size: int | None = None) -> None:
        wanted = _CACHE_SIZES * (last_level_cache() or 0) if size is None else size
        bytes_wanted = min(_LARGEST, max(_SMALLEST, wanted)) if size is None else size
        threads = usable_processors()
        slices = threads * _SLICES
        shape = (slices, 2, bytes_wanted // (slices * 2 * 4))
        self._buffer = np.ones(shape, dtype=np.float32)  # written, since untouched pages all are one of zeros
        self.size = self._buffer.nbytes
        self._threads = ThreadPoolExecutor(threads)

    def __enter__(self) -> ReadBandwidth:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown()

    def __call__(self) -> float:
        return self.size / min(self._read() for _ in range(_READS))

    def _read(self) -> float:
        """Seconds of one read.

        A dot product reads two stretches at once, and memory answers two reads faster than one; it is one
        instruction a vector, and NumPy frees the GIL.
        """
        started = time.perf_counter()
        list(self._threads.map(lambda pair: np.dot(*pair), self._buffer))
        return time.perf_counter() - started


def _parse_size(text: str) -> int:
    """`32768K` in bytes."""
    return int(text.rstrip("KMG")) * _UNITS.get(text[-1:], 1)
