"""Writing a GGUF file as a stream: one tensor's chunk at a time is in memory."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from gguf import GGUFValueType

from bitparity.errors import BadInput
from bitparity.formats.base import Bytes
from bitparity.model.tensor_types import tensor_size, type_id
from bitparity.model.types import Tensor

ALIGNMENT = 32
_VERSION = 3
_COPIED_BYTES = 1 << 24  # at a time
Progress = Callable[[int, int], None]  # bytes written, bytes in all


@dataclass(frozen=True)
class TensorPlan:
    """A tensor to write: its shape, outermost axis first, and its packed bytes in pieces when asked."""

    name: str
    shape: tuple[int, ...]
    format: str
    chunks: Callable[[], Iterable[Bytes]]

    @property
    def size(self) -> int:
        return tensor_size(self.format, self.shape)


def copied(tensor: Tensor) -> TensorPlan:
    """A tensor written as it lies in its file, a piece at a time."""

    def chunks() -> Iterator[Bytes]:
        for first in range(0, tensor.data.size, _COPIED_BYTES):
            yield tensor.data[first : first + _COPIED_BYTES]

    return TensorPlan(tensor.name, tensor.shape, tensor.format, chunks)


def write_gguf(
    path: Path,
    fields: Mapping[str, bytes],
    tensors: Sequence[TensorPlan],
    *,
    alignment: int = ALIGNMENT,
    progress: Progress | None = None,
) -> None:
    """Write a file; it appears under its name only when it is complete.

    fields  key -> type and value, made by the functions below or taken from GgufFile.raw_field

    Raises BadInput when the folder cannot be written.
    """
    unfinished = path.with_name(path.name + ".part")
    try:
        with unfinished.open("wb") as file:
            _write(file, fields, tensors, alignment, progress or (lambda written, total: None))
        unfinished.replace(path)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _write(
    file: BinaryIO,
    fields: Mapping[str, bytes],
    tensors: Sequence[TensorPlan],
    alignment: int,
    progress: Progress,
) -> None:
    header = _header(fields, tensors, alignment)
    file.write(header)
    written, total = len(header), len(header) + sum(_padded(t.size, alignment) for t in tensors)
    for tensor in tensors:
        start = written
        for chunk in tensor.chunks():
            file.write(chunk.data)
            written += chunk.nbytes
            progress(written, total)
        if written - start != tensor.size:
            raise AssertionError(f"{tensor.name}: planned {tensor.size} bytes, packed {written - start}")
        written += file.write(bytes(-written % alignment))
    progress(written, total)


def _header(fields: Mapping[str, bytes], tensors: Sequence[TensorPlan], alignment: int) -> bytes:
    parts = [b"GGUF", struct.pack("<IQQ", _VERSION, len(tensors), len(fields))]
    parts += [_text(key) + value for key, value in fields.items()]
    offset = 0
    for tensor in tensors:
        axes = tuple(reversed(tensor.shape))
        parts.append(_text(tensor.name) + struct.pack(f"<I{len(axes)}Q", len(axes), *axes))
        parts.append(struct.pack("<IQ", type_id(tensor.format), offset))
        offset += _padded(tensor.size, alignment)
    header = b"".join(parts)
    return header + bytes(-len(header) % alignment)


def _padded(size: int, alignment: int) -> int:
    return size + -size % alignment


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def field_of(value: Any) -> bytes:
    """Type and value of a metadata field: whole numbers as uint32, reals as float32, arrays by their type."""
    if isinstance(value, bool):
        return bool_field(value)
    if isinstance(value, int):
        return uint32_field(value)
    if isinstance(value, float):
        return float32_field(value)
    if isinstance(value, str):
        return string_field(value)
    if isinstance(value, np.ndarray):
        return int32s_field(value) if value.dtype.kind == "i" else float32s_field(value)  # type: ignore[arg-type]
    return strings_field(value)


def string_field(value: str) -> bytes:
    return struct.pack("<I", GGUFValueType.STRING) + _text(value)


def uint32_field(value: int) -> bytes:
    return struct.pack("<II", GGUFValueType.UINT32, value)


def float32_field(value: float) -> bytes:
    return struct.pack("<If", GGUFValueType.FLOAT32, value)


def bool_field(value: bool) -> bytes:
    return struct.pack("<I?", GGUFValueType.BOOL, value)


def strings_field(values: Sequence[str]) -> bytes:
    head = struct.pack("<IIQ", GGUFValueType.ARRAY, GGUFValueType.STRING, len(values))
    return head + b"".join(map(_text, values))


def int32s_field(values: Sequence[int]) -> bytes:
    head = struct.pack("<IIQ", GGUFValueType.ARRAY, GGUFValueType.INT32, len(values))
    return head + np.asarray(values, dtype="<i4").tobytes()


def float32s_field(values: Sequence[float]) -> bytes:
    head = struct.pack("<IIQ", GGUFValueType.ARRAY, GGUFValueType.FLOAT32, len(values))
    return head + np.asarray(values, dtype="<f4").tobytes()
