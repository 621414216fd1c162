"""Arrays of strings in GGUF metadata: each string lies behind its length in bytes, a uint64."""

from __future__ import annotations

import struct

_LENGTH = struct.Struct("<Q")


def read_strings(data: memoryview, count: int) -> list[str]:
    """The `count` strings that `data` begins with; what is not UTF-8 is shown as U+FFFD."""
    strings, end = list[str](), 0
    for _ in range(count):
        start = end + _LENGTH.size
        end = start + _LENGTH.unpack_from(data, end)[0]
        strings.append(str(data[start:end], "utf-8", "replace"))
    return strings


def end_of_strings(data: memoryview, start: int, count: int) -> int:
    """Where an array of `count` strings that begins at `start` ends; the last one may end beyond the data.

    Raises struct.error or OverflowError when a length lies beyond the data.
    """
    for _ in range(count):
        start += _LENGTH.size + _LENGTH.unpack_from(data, start)[0]
    return start
