"""The header of a GGUF file: its metadata, and the table of its tensors.

Every read is checked against the end of the file.  An array is kept as it lies in the file; the strings of a
vocabulary are decoded only when somebody asks for them, because there may be 128,256.
Source: ggml docs/gguf.md.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from gguf import GGUFValueType
from numpy.typing import NDArray

from bitparity.errors import BadInput
from bitparity.model.string_array import StringArray, end_of_strings
from bitparity.model.tensor_info import TensorInfo

AGAIN = "download it again"
_STRING, _ARRAY = int(GGUFValueType.STRING), int(GGUFValueType.ARRAY)
_DTYPES: dict[int, np.dtype[Any]] = {
    int(GGUFValueType.UINT8): np.dtype("u1"),
    int(GGUFValueType.INT8): np.dtype("i1"),
    int(GGUFValueType.UINT16): np.dtype("<u2"),
    int(GGUFValueType.INT16): np.dtype("<i2"),
    int(GGUFValueType.UINT32): np.dtype("<u4"),
    int(GGUFValueType.INT32): np.dtype("<i4"),
    int(GGUFValueType.UINT64): np.dtype("<u8"),
    int(GGUFValueType.INT64): np.dtype("<i8"),
    int(GGUFValueType.FLOAT32): np.dtype("<f4"),
    int(GGUFValueType.FLOAT64): np.dtype("<f8"),
    int(GGUFValueType.BOOL): np.dtype("?"),
}
_MAGIC_AND_VERSION = 8  # bytes
_MAX_AXES = 4  # GGML_MAX_DIMS
_ALIGNMENT, _DEFAULT_ALIGNMENT = "general.alignment", 32


@dataclass(frozen=True)
class Header:
    """metadata    key -> number, bool, str, StringArray, or a NumPy array of numbers
    raw_fields  key -> the type and the value as they lie in the file
    tensors     in the order of the file
    alignment   of tensor data, bytes
    """

    metadata: dict[str, Any]
    raw_fields: dict[str, memoryview]
    tensors: tuple[TensorInfo, ...]
    alignment: int


def read_header(data: NDArray[np.uint8]) -> Header:
    """Read the header of a little-endian file of version 2 or 3, which begins with magic and version.

    Raises BadInput for a header that ends too early, or that says what cannot be.
    """
    reader = _Reader(data.data)
    reader.skip(_MAGIC_AND_VERSION)
    n_tensors, n_fields = reader.number("<Q"), reader.number("<Q")
    metadata: dict[str, Any] = {}
    raw_fields: dict[str, memoryview] = {}
    for _ in range(n_fields):
        key = reader.name()
        if key in metadata:
            raise BadInput(f"metadata key {key} occurs twice; {AGAIN} or convert it again")
        start = reader.at
        metadata[key] = reader.value()
        raw_fields[key] = reader.since(start)
    listed = [_tensor_info(reader) for _ in range(n_tensors)]
    alignment = _alignment(metadata, raw_fields)
    data_start = -(-reader.at // alignment) * alignment
    tensors = tuple(replace(info, start=data_start + info.start) for info in listed)
    return Header(metadata, raw_fields, tensors, alignment)


class _Reader:
    """Reads one thing after another from the bytes of a file; `at` is the next byte."""

    def __init__(self, data: memoryview) -> None:
        self._data, self.at = data, 0

    def skip(self, n: int) -> int:
        """Go past n bytes; returns where they began."""
        start, end = self.at, self.at + n
        if end > len(self._data):
            raise BadInput(f"the header needs {end:,} bytes but the file has {len(self._data):,}; {AGAIN}")
        self.at = end
        return start

    def since(self, start: int) -> memoryview:
        return self._data[start : self.at]

    def number(self, layout: str) -> int:
        start = self.skip(struct.calcsize(layout))
        number: int = struct.unpack_from(layout, self._data, start)[0]
        return number

    def string(self, errors: Literal["replace", "strict"] = "replace") -> str:
        """What is not UTF-8 is shown as U+FFFD, or raises UnicodeDecodeError."""
        start = self.skip(self.number("<Q"))
        return str(self.since(start), "utf-8", errors)

    def name(self) -> str:
        start = self.at
        try:
            return self.string("strict")
        except UnicodeDecodeError:
            raise BadInput(f"the header has a name that is not UTF-8 at byte {start:,}; {AGAIN}") from None

    def value(self) -> Any:
        """A value of metadata behind its type."""
        start, value_type = self.at, self.number("<I")
        if value_type == _STRING:
            return self.string()
        if value_type == _ARRAY:
            return self._array()
        if value_type not in _DTYPES:
            raise BadInput(f"the header has a value of type {value_type} at byte {start:,}; {AGAIN}")
        return self._numbers(_DTYPES[value_type], 1)[0].item()

    def _array(self) -> StringArray | NDArray[Any]:
        start, item, count = self.at, self.number("<I"), self.number("<Q")
        if item == _STRING:
            return self._strings(count)
        if item not in _DTYPES:
            raise BadInput(f"the header has an array of type {item} at byte {start:,}; {AGAIN}")
        return self._numbers(_DTYPES[item], count)

    def _numbers(self, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        start = self.skip(dtype.itemsize * count)
        return np.frombuffer(self._data, dtype, count, start)

    def _strings(self, count: int) -> StringArray:
        try:
            end = end_of_strings(self._data, self.at, count)
        except (struct.error, OverflowError):  # a length beyond the file, beyond an address
            raise BadInput(f"the header ends inside an array of {count:,} strings; {AGAIN}") from None
        start = self.skip(end - self.at)
        return StringArray(self.since(start), count)


def _tensor_info(reader: _Reader) -> TensorInfo:
    """`start` counts from the first byte of tensor data, which is not known yet."""
    name, n_axes = reader.name(), reader.number("<I")
    if n_axes > _MAX_AXES:
        raise BadInput(f"tensor {name} has {n_axes:,} axes, and {_MAX_AXES} are the most there are; {AGAIN}")
    shape = tuple(reversed([reader.number("<Q") for _ in range(n_axes)]))
    if 0 in shape:
        raise BadInput(f"tensor {name} has the shape {list(shape)}; {AGAIN}")
    return TensorInfo(name, shape, ggml_type=reader.number("<I"), start=reader.number("<Q"))


def _alignment(metadata: Mapping[str, Any], raw_fields: Mapping[str, memoryview]) -> int:
    if _ALIGNMENT not in metadata:
        return _DEFAULT_ALIGNMENT
    alignment: int = metadata[_ALIGNMENT]
    is_uint32 = raw_fields[_ALIGNMENT][:4] == struct.pack("<I", GGUFValueType.UINT32)
    if not is_uint32 or alignment == 0 or alignment & (alignment - 1):
        raise BadInput(f"metadata key {_ALIGNMENT} is {alignment!r}, not a power of two in 32 bits; {AGAIN}")
    return alignment
