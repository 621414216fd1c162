"""Arrays of strings are read whole, and their end is found."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitparity.model.string_array import StringArray, end_of_strings

# What vocabularies hold, and what may be taken for a length: none, zeros, and too long for one byte.
WORDS = st.text("abc\u00e9", min_size=1, max_size=9).map(str.encode)
ODD = st.sampled_from([b"", b"\0", bytes(7), b"a" + bytes(9), bytes(8) + b"\1", b"x" * 255, b"x" * 256])
ARRAYS = st.lists(WORDS, max_size=40) | st.lists(WORDS | ODD | st.binary(max_size=20), max_size=40)


def packed(strings: Sequence[bytes]) -> bytes:
    return b"".join(struct.pack("<Q", len(string)) + string for string in strings)


def array(content: bytes) -> memoryview:
    return np.frombuffer(content, np.uint8).data


@given(before=st.binary(max_size=9), strings=ARRAYS, after=st.binary(max_size=40))
def test_end_is_behind_the_last_string(before: bytes, strings: list[bytes], after: bytes) -> None:
    content = before + packed(strings)
    assert end_of_strings(array(content + after), len(before), len(strings)) == len(content)


@given(strings=ARRAYS)
def test_strings_are_those_of_decoding_each(strings: list[bytes]) -> None:
    decoded = StringArray(array(packed(strings)), len(strings))
    assert list(decoded) == [string.decode("utf-8", "replace") for string in strings]


@given(strings=st.lists(WORDS | ODD, min_size=1, max_size=9), data=st.data())
def test_array_that_is_cut_off_never_ends_inside_the_data(strings: list[bytes], data: st.DataObject) -> None:
    """Within the last string the end is known, and lies beyond; the reader of the file says so."""
    content = packed(strings)
    cut = data.draw(st.integers(0, len(content) - 1))
    try:
        assert end_of_strings(array(content[:cut]), 0, len(strings)) == len(content)
        assert cut >= len(content) - len(strings[-1])
    except struct.error:
        assert cut < len(content) - len(strings[-1])


def test_first_string_too_long_for_one_byte_is_counted() -> None:
    """What follows the array could be one more string; a leap from the second one would end behind it."""
    content = packed([b"x" * 256, *[b"a"] * 40])
    assert end_of_strings(array(content + packed([b"b"])), 0, 41) == len(content)


@pytest.mark.parametrize("count", [3, 2**62])
def test_fewer_strings_than_claimed(count: int) -> None:
    with pytest.raises(struct.error):
        end_of_strings(array(packed([b"ab", b"c"])), 0, count)


def test_length_beyond_an_address() -> None:
    with pytest.raises((struct.error, OverflowError)):
        end_of_strings(array(b"\xff" * 8 + bytes(20)), 0, 2)


def test_string_that_is_not_utf8_is_shown_and_not_fatal() -> None:
    strings = StringArray(array(packed([b"a", b"", b"\xff"])), 3)
    assert len(strings) == 3
    assert strings[-1] == "\ufffd"
    assert strings[:2] == ["a", ""]
    assert list(strings) == ["a", "", "\ufffd"]
