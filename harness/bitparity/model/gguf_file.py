"""A GGUF file: metadata and tensors, memory-mapped; whatever is wrong with it is told in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from bitparity.errors import BadInput
from bitparity.formats.i2_s import I2_S
from bitparity.formats.table_lookup import Tilings, read_kernel_config
from bitparity.model.gguf_header import AGAIN, read_header
from bitparity.model.gguf_shards import is_of_shards, joined, other_shards, require_number
from bitparity.model.tensor_info import TensorInfo, require_in_tail, without_tail_scales
from bitparity.model.tensor_types import tensor_size, type_name
from bitparity.model.types import Tensor

MAGIC = b"GGUF"
VERSIONS = (2, 3)
_HEADER_BYTES = 24


class GgufFile:
    """A GGUF file of version 2 or 3, little-endian; one that was split into shards is named by the first.

    metadata         key -> number, bool, str, StringArray, or a NumPy array of numbers
    packed_tensors   name -> Tensor, in file order
    alignment        of tensor data, bytes
    tilings          of the kernels that TL1 and TL2 tensors were packed for; if not given, those of a
                     kernel_config.ini beside the file, else bitnet.cpp's presets

    Raises BadInput for everything that is wrong with the file; the sentence does not name the file.
    """

    def __init__(self, path: Path, tilings: Tilings | None = None) -> None:
        tilings = tilings or _tilings_beside(path)
        first = _OneFile(path, tilings)
        self.metadata = {key: value for key, value in first.metadata.items() if not is_of_shards(key)}
        self.alignment, self._raw_fields = first.alignment, first.raw_fields
        others = other_shards(path, first.metadata)
        shards = [first, *(_shard(other, number, tilings) for number, other in enumerate(others, 1))]
        self.packed_tensors = joined([shard.packed_tensors for shard in shards])

    def raw_field(self, key: str) -> bytes:
        """Type and value of a metadata field as they lie in the file."""
        return bytes(self._raw_fields[key])


def _shard(path: Path, number: int, tilings: Tilings | None) -> _OneFile:
    try:
        shard = _OneFile(path, tilings)
        require_number(shard.metadata, number)
    except BadInput as error:
        raise type(error)(f"its shard {path.name}: {error}") from error
    return shard


class _OneFile:
    """What one file holds: a model, or a shard of one."""

    def __init__(self, path: Path, tilings: Tilings | None) -> None:
        _check_header(path)
        self._data, self._tilings = np.memmap(path, mode="r"), tilings
        header = read_header(self._data)
        self.metadata, self.alignment, self.raw_fields = header.metadata, header.alignment, header.raw_fields
        self.packed_tensors = self._tensors(header.tensors)

    def _tensors(self, listed: Sequence[TensorInfo]) -> dict[str, Tensor]:
        infos, scales = without_tail_scales(listed)
        starts = sorted({info.start for info in infos} | {self._data.size})
        following = dict(pairwise(starts))
        tensors: dict[str, Tensor] = {}
        for info in infos:
            if info.name in tensors:
                raise BadInput(f"tensor {info.name} occurs twice; convert it again")
            room = following.get(info.start, 0) - info.start
            tensors[info.name] = self._tensor(info, room)
        for scale in scales:
            require_in_tail(scale, tensors[scale.weight_name])
        return tensors

    def _tensor(self, info: TensorInfo, room: int) -> Tensor:
        size = self._data.size
        if not info.shape:
            raise BadInput(f"tensor {info.name} has the shape []; {AGAIN}")
        if info.start >= size or info.start % self.alignment:
            raise BadInput(
                f"tensor {info.name} begins at byte {info.start:,}, which is not in the file's {size:,} "
                f"bytes or no multiple of {self.alignment}; {AGAIN}"
            )
        try:
            name = type_name(info.ggml_type, info.shape, room, self.alignment)
            end = info.start + tensor_size(name, info.shape)
        except BadInput as error:
            raise type(error)(f"tensor {info.name} {error}") from None
        if name == I2_S.name and room < end - info.start:
            raise BadInput(
                f"tensor {info.name} has {room:,} bytes: codes of I2_S without the scale that bitnet.cpp "
                "reads after them; converters that pack weights in sequence (layout I2_S_SEQ) write it so, "
                "convert it again"
            )
        if end > size:
            raise BadInput(f"tensor {info.name} ends at byte {end:,} but the file has {size:,}; {AGAIN}")
        data = np.asarray(self._data[info.start : end])
        return Tensor(info.name, info.shape, name, lambda: data, info.start, self._tilings)


def _tilings_beside(path: Path) -> Tilings | None:
    config = path.parent / "kernel_config.ini"
    return read_kernel_config(config) if config.is_file() else None


def _check_header(path: Path) -> None:
    if not path.exists():
        raise BadInput("no such file")
    if not path.is_file():
        raise BadInput("is not a file")
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header:
        raise BadInput(f"the file is empty; {AGAIN}")
    if not MAGIC.startswith(header[:4]):
        raise BadInput(f"is not a GGUF file: it begins with {header[:4]!r} instead of {MAGIC!r}")
    if len(header) < _HEADER_BYTES:
        raise BadInput(f"the header needs {_HEADER_BYTES} bytes but the file has {len(header)}; {AGAIN}")
    version = int.from_bytes(header[4:8], "little")
    if version not in VERSIONS and int.from_bytes(header[4:8], "big") in VERSIONS:
        raise BadInput("is a big-endian GGUF file; convert it to little-endian with gguf-convert-endian")
    if version not in VERSIONS:
        raise BadInput(f"is GGUF version {version}; versions 2 and 3 can be read, so convert the model again")
