"""Arrays of strings in GGUF metadata: each string lies behind its length in bytes, a uint64.

A vocabulary has a hundred thousand of them: they are stepped over at once, and decoded when asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

_LENGTH = struct.Struct("<Q")
_ROOM = 24  # bytes a string, length included, that are looked through at once; vocabularies have 12 to 20
_MOST = 1 << 26  # bytes looked through, whatever number of strings a broken file claims


class StringArray(Sequence[str]):
    """Strings of a metadata array, decoded when they are first asked for."""

    def __init__(self, data: NDArray[np.uint8], count: int) -> None:
        self._data, self._count = data, count
        self._strings: list[str] | None = None

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self._decoded()[index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._decoded())

    def _decoded(self) -> list[str]:
        if self._strings is None:
            self._strings = _decode_at_once(self._data, self._count) or _decode_each(self._data, self._count)
        return self._strings


def end_of_strings(data: NDArray[np.uint8], start: int, count: int) -> int:
    """Where an array of `count` strings that begins at `start` ends.

    Raises struct.error or OverflowError when it does not end within `data`.
    """
    room = data[start : start + min(_ROOM * count, _MOST)]
    starts = _find_starts(room, count)
    if starts is not None:
        return start + int(starts[-1]) + _LENGTH.size + int(room[starts[-1]])
    return max(_walk(data, start, count), default=start)


def _find_starts(data: NDArray[np.uint8], count: int) -> NDArray[np.intp] | None:
    """Where the length of each string lies, found for all at once; None when that cannot be sure.

    Wherever a length below 256 lies, the 64 bits there are below 256.  If each string ends where the next of
    those places is, they are the lengths and nothing else is.
    """
    if count == 0 or len(data) < _LENGTH.size:
        return None
    words: NDArray[np.uint64] = np.ndarray(len(data) - _LENGTH.size + 1, "<u8", data, strides=(1,))
    starts = np.flatnonzero(words < 256)[:count]
    ends = starts + _LENGTH.size + data[starts]
    if len(starts) < count or starts[0] != 0 or not np.array_equal(ends[:-1], starts[1:]):
        return None
    return starts


def _walk(data: NDArray[np.uint8], start: int, count: int) -> Iterator[int]:
    """The end of each string."""
    unpack, buffer = _LENGTH.unpack_from, data.data
    for _ in range(count):
        start += _LENGTH.size + unpack(buffer, start)[0]
        yield start


def _decode_at_once(data: NDArray[np.uint8], count: int) -> list[str] | None:
    """Decode as one text, with a zero for each length; None for strings that this could not tell apart."""
    starts = _find_starts(data, count)
    if starts is None:
        return None
    text = data.copy()
    text[starts] = 0
    keep = np.ones(len(data), bool)
    keep[starts[:, None] + np.arange(1, _LENGTH.size)] = False
    try:
        strings = text[keep].tobytes().decode().split("\0")[1:]
    except UnicodeDecodeError:
        return None
    return strings if len(strings) == count else None


def _decode_each(data: NDArray[np.uint8], count: int) -> list[str]:
    """Decode one by one; what is not UTF-8 is shown as U+FFFD."""
    content, start, strings = data.tobytes(), 0, list[str]()
    for end in _walk(data, 0, count):
        strings.append(content[start + _LENGTH.size : end].decode("utf-8", "replace"))
        start = end
    return strings
