"""Reading a GGUF file: metadata and tensors, memory-mapped; every way it can be wrong is told in a sentence.

The `gguf` package's reader does the walking; here an array is kept as it lies in the file (a vocabulary of
128,256 tokens would take it seconds), every read is checked against the end of the file, and bitnet.cpp's
tensor types are known.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, GGUFValueType, ReaderField
from numpy.typing import DTypeLike, NDArray

from bitparity.errors import BadInput
from bitparity.formats.table_lookup import Tilings
from bitparity.model.string_array import StringArray, end_of_strings
from bitparity.model.tensor_info import TensorInfo, require_in_tail, without_tail_scales
from bitparity.model.tensor_types import tensor_size, type_name
from bitparity.model.types import Tensor

MAGIC = b"GGUF"
VERSIONS = (2, 3)
_HEADER_BYTES = 24
_VALUE_TYPES = frozenset(int(value_type) for value_type in GGUFValueType)
_AGAIN = "download it again"


class GgufFile(GGUFReader):
    """A GGUF file of version 2 or 3, little-endian.

    metadata         key -> number, bool, str, StringArray, or a NumPy array of numbers
    packed_tensors   name -> Tensor, in file order
    alignment        of tensor data, bytes
    tilings          of the kernels that TL1 and TL2 tensors were packed for, if not bitnet.cpp's presets

    Raises BadInput for everything that is wrong with the file; the sentence does not name the file.
    """

    def __init__(self, path: Path, tilings: Tilings | None = None) -> None:
        _check_header(path)
        self.size, self._tilings = path.stat().st_size, tilings
        try:
            super().__init__(path)
        except (KeyError, ValueError) as error:
            said = error.args[0] if isinstance(error, KeyError) else error  # str() of a KeyError adds quotes
            raise BadInput(f"{said}; {_AGAIN} or convert it again") from error
        self.alignment = int(self.alignment)
        self.metadata: dict[str, Any] = {
            key: _value(field) for key, field in self.fields.items() if not key.startswith("GGUF.")
        }

    def raw_field(self, key: str) -> bytes:
        """Type and value of a metadata field as they lie in the file."""
        offsets = [field.offset for field in self.fields.values()] + [self._fields_end]
        field = self.fields[key]
        start = field.offset + 8 + len(key.encode())
        return self.data[start : min(o for o in offsets if o > field.offset)].tobytes()

    def _get(self, offset: int, dtype: DTypeLike, count: int = 1, override_order: Any = None) -> NDArray[Any]:
        end = int(offset) + np.dtype(dtype).itemsize * int(count)
        if end > self.size:
            raise BadInput(f"the header needs {end:,} bytes but the file has {self.size:,}; {_AGAIN}")
        return np.asarray(self.data[int(offset) : end]).view(dtype)

    def _build_fields(self, offs: int, count: int) -> int:
        self._fields_end = super()._build_fields(offs, int(count))
        return self._fields_end

    def _get_field_parts(
        self, orig_offs: int, raw_type: int
    ) -> tuple[int, list[NDArray[Any]], list[int], list[GGUFValueType]]:
        if raw_type not in _VALUE_TYPES:
            raise BadInput(f"the header has a value of type {raw_type} at byte {orig_offs:,}; {_AGAIN}")
        if raw_type != GGUFValueType.ARRAY:
            return super()._get_field_parts(orig_offs, raw_type)
        item, count = int(self._get(orig_offs, np.uint32)[0]), int(self._get(orig_offs + 4, np.uint64)[0])
        start = orig_offs + 12
        if item == GGUFValueType.STRING:
            end = self._end_of_strings(start, count)
        elif item in _VALUE_TYPES and GGUFValueType(item) in self.gguf_scalar_to_np:
            end = start + count * np.dtype(self.gguf_scalar_to_np[GGUFValueType(item)]).itemsize
        else:
            raise BadInput(f"the header has an array of type {item} at byte {orig_offs:,}; {_AGAIN}")
        body = self._get(start, np.uint8, end - start)
        return end - orig_offs, [np.array([count]), body], [1], [GGUFValueType.ARRAY, GGUFValueType(item)]

    def _end_of_strings(self, start: int, count: int) -> int:
        try:
            return end_of_strings(self.data.data, start, count)
        except (struct.error, OverflowError):  # a length beyond the file, beyond an address
            raise BadInput(f"the header ends inside an array of {count:,} strings; {_AGAIN}") from None

    def _build_tensors(self, start_offs: int, fields: list[ReaderField]) -> None:
        infos, scales = without_tail_scales([TensorInfo(field, start_offs) for field in fields])
        starts = sorted({info.start for info in infos} | {self.size})
        following = dict(pairwise(starts))
        self.packed_tensors: dict[str, Tensor] = {}
        for info in infos:
            if info.name in self.packed_tensors:
                raise BadInput(f"tensor {info.name} occurs twice; convert it again")
            room = following.get(info.start, 0) - info.start
            self.packed_tensors[info.name] = self._tensor(info, room)
        for scale in scales:
            require_in_tail(scale, self.packed_tensors[scale.weight_name])

    def _tensor(self, info: TensorInfo, room: int) -> Tensor:
        if not info.shape:
            raise BadInput(f"tensor {info.name} has the shape []; {_AGAIN}")
        if info.start >= self.size or info.start % int(self.alignment):
            raise BadInput(
                f"tensor {info.name} begins at byte {info.start:,}, which is not in the file's {self.size:,} "
                f"bytes or no multiple of {self.alignment}; {_AGAIN}"
            )
        try:
            name = type_name(info.ggml_type, info.shape, room, int(self.alignment))
            end = info.start + tensor_size(name, info.shape)
        except BadInput as error:
            raise type(error)(f"tensor {info.name} {error}") from None
        if end > self.size:
            raise BadInput(
                f"tensor {info.name} ends at byte {end:,} but the file has {self.size:,}; {_AGAIN}"
            )
        data = np.asarray(self.data[info.start : end])
        return Tensor(info.name, info.shape, name, data, info.start, self._tilings)


def _check_header(path: Path) -> None:
    if not path.exists():
        raise BadInput("no such file")
    if not path.is_file():
        raise BadInput("is not a file")
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header:
        raise BadInput(f"the file is empty; {_AGAIN}")
    if not MAGIC.startswith(header[:4]):
        raise BadInput(f"is not a GGUF file: it begins with {header[:4]!r} instead of {MAGIC!r}")
    if len(header) < _HEADER_BYTES:
        raise BadInput(f"the header needs {_HEADER_BYTES} bytes but the file has {len(header)}; {_AGAIN}")
    version = int.from_bytes(header[4:8], "little")
    if version not in VERSIONS and int.from_bytes(header[4:8], "big") in VERSIONS:
        raise BadInput("is a big-endian GGUF file; convert it to little-endian with gguf-convert-endian")
    if version not in VERSIONS:
        raise BadInput(f"is GGUF version {version}; versions 2 and 3 can be read, so convert the model again")


def _value(field: ReaderField) -> Any:
    if field.types[0] == GGUFValueType.STRING:
        return field.parts[-1].tobytes().decode("utf-8", errors="replace")
    if field.types[0] != GGUFValueType.ARRAY:
        return field.parts[-1][0].item()
    count, body = field.parts[-2:]
    if field.types[1] == GGUFValueType.STRING:
        return StringArray(body.data, int(count[0]))
    return body.view(GGUFReader.gguf_scalar_to_np[field.types[1]])
