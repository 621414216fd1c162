"""The tensors of a checkpoint folder: one safetensors file, or several with an index, memory-mapped.

The `safetensors` package checks each file; bytes are then taken where the header says that they lie, because
the package gives BF16, which NumPy does not have, to no array.
Source: https://github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from bitparity.errors import BadInput
from bitparity.formats import get_format
from bitparity.formats.base import Bytes, Floats
from bitparity.model.mapped import forget

INDEX = "model.safetensors.index.json"
_SUFFIX = ".safetensors"
_AGAIN = "download it again"
FLOAT_TYPES = ("BF16", "F16", "F32")  # names that safetensors shares with weight formats


@dataclass(frozen=True)
class Stored:
    """A tensor as it lies in a file.

    dtype   as safetensors calls it: BF16, F16, F32, U8, ...
    shape   outermost axis first
    data    1-D uint8 view of the memory map
    offset  of data in the file
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: Bytes
    offset: int

    def values(self, first: int = 0, last: int | None = None) -> Floats:
        """Rows first ... last - 1 of a tensor of floats, or all; (rows, cols).

        A vector is one row, a single number one row and column.
        """
        rows, cols = (1, 1, *self.shape)[-2:]
        last = rows if last is None else last
        stride = self.data.size // rows
        return get_format(self.dtype).unpack(self.data[first * stride : last * stride], last - first, cols)

    def forget(self) -> None:
        """Tell the system that the tensor will not be read soon."""
        forget(self.data, self.offset, self.data.size)


def read_shards(folder: Path) -> dict[str, Stored]:
    """All tensors of the folder by name.

    Raises BadInput for a file that is missing, broken, or not what the index says.
    """
    if not (folder / INDEX).is_file():
        return dict(_only_file(folder))
    listed = _index(folder)
    tensors: dict[str, Stored] = {}
    for shard in dict.fromkeys(listed.values()):
        for name, stored in _tensors(folder / shard):
            if listed.get(name) != shard:
                raise BadInput(
                    f"{shard} holds the tensor {name}, which {INDEX} does not list there; {_AGAIN}"
                )
            tensors[name] = stored
    missing = [name for name in listed if name not in tensors]
    if missing:
        raise BadInput(
            f"{INDEX} lists {missing[0]} in {listed[missing[0]]}, which does not hold it; {_AGAIN}"
        )
    return tensors


def _only_file(folder: Path) -> Iterator[tuple[str, Stored]]:
    files = sorted(folder.glob(f"*{_SUFFIX}"))
    if not files:
        other = sorted(folder.glob("*.bin"))
        hint = f"; {other[0].name} is of another kind, save it as safetensors" if other else ""
        raise BadInput(f"the folder has no {_SUFFIX} file{hint}")
    if len(files) > 1:
        raise BadInput(
            f"the folder has {len(files)} {_SUFFIX} files and no {INDEX} that says what is in them"
        )
    return _tensors(files[0])


def _index(folder: Path) -> dict[str, str]:
    listed: Any = read_json(folder / INDEX).get("weight_map")
    if not isinstance(listed, dict) or not all(isinstance(shard, str) for shard in listed.values()):
        raise BadInput(f"{INDEX} has no weight_map of tensors to files; {_AGAIN}")
    return listed


def read_json(path: Path) -> dict[str, Any]:
    """A file with one JSON object; BadInput when it is missing or none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path.name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadInput(f"{path.name} is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise BadInput(f"{path.name} holds no JSON object")
    return data


def _tensors(path: Path) -> Iterator[tuple[str, Stored]]:
    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path.name} is no whole safetensors file: {error}; {_AGAIN}") from error
    data = np.memmap(path, mode="r")
    start = 8 + int(data[:8].view("<u8")[0])
    header = json.loads(bytes(data[8:start]))
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        first, last = (start + offset for offset in entry["data_offsets"])
        stored = np.asarray(data[first:last])
        yield name, Stored(name, entry["dtype"], tuple(entry["shape"]), stored, first)
