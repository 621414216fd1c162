"""Arrays of strings in GGUF metadata: each string lies behind its length in bytes, a uint64."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import overload

_LENGTH = struct.Struct("<Q")


class StringArray(Sequence[str]):
    """The `count` strings that `data` begins with; decoded when one is asked for, as most are vocabularies.

    What is not UTF-8 is shown as U+FFFD.
    """

    def __init__(self, data: memoryview, count: int) -> None:
        self._data, self._count = data, count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self._strings[index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._strings)

    @cached_property
    def _strings(self) -> list[str]:
        strings, end = list[str](), 0
        for _ in range(self._count):
            start = end + _LENGTH.size
            end = start + _LENGTH.unpack_from(self._data, end)[0]
            strings.append(str(self._data[start:end], "utf-8", "replace"))
        return strings


def end_of_strings(data: memoryview, start: int, count: int) -> int:
    """Where an array of `count` strings that begins at `start` ends; the last one may end beyond the data.

    Raises struct.error or OverflowError when a length lies beyond the data.
    """
    for _ in range(count):
        start += _LENGTH.size + _LENGTH.unpack_from(data, start)[0]
    return start
