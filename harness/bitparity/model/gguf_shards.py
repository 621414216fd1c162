"""A model in several GGUF files, NAME-00001-of-00003.gguf and so on, as llama-gguf-split writes it.

The first shard has the metadata, every one has tensors of its own and says which of how many it is
(split.no from 0 on, split.count).  Source: llama.cpp src/llama-model-loader.cpp, llama_get_list_splits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bitparity.errors import BadInput
from bitparity.model.types import Tensor

_KEYS = "split."
_NAME = re.compile(r"(?P<before>.*-)(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def is_of_shards(key: str) -> bool:
    """Whether a metadata key tells how a model was split, and nothing of the model."""
    return key.startswith(_KEYS)


def files_of(path: Path) -> list[Path]:
    """All files of a model that is named by this one, as far as they are there; told from the name alone.

    Of a folder, all files in it.
    """
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    name = _NAME.fullmatch(path.name)
    if name is None or int(name["number"]) != 1:
        return [path]
    every = (_named_like(path, name, number, int(name["count"])) for number in range(int(name["count"])))
    return [file for file in every if file.is_file()]


def other_shards(first: Path, metadata: Mapping[str, Any]) -> list[Path]:
    """The files that belong to a first shard, in order; none for a model in one file.

    Raises BadInput for a shard that is not the first, and for a name from which the others' do not follow.
    """
    count, number = metadata.get("split.count", 1), metadata.get("split.no", 0)
    if count <= 1:
        return []
    name = _NAME.fullmatch(first.name)
    if number != 0:
        named = f": {_named_like(first, name, 0, count).name}" if name else ""
        raise BadInput(f"is shard {number + 1} of {count} (split.count); name the first one{named}")
    if name is None or (int(name["number"]), int(name["count"])) != (1, count):
        raise BadInput(
            f"is the first of {count} shards, and the others cannot be told from its name, which should end "
            f"with -00001-of-{count:05}.gguf; name them so, or join them with `llama-gguf-split --merge`"
        )
    return [_named_like(first, name, number, count) for number in range(1, count)]


def require_number(metadata: Mapping[str, Any], number: int) -> None:
    """BadInput unless a file says that it is the shard of this number."""
    said = metadata.get("split.no")
    if said != number:
        raise BadInput(f"it says split.no = {said!r}, and its name says {number}; download it again")


def joined(shards: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """All tensors, in order; BadInput for one that two shards have."""
    tensors: dict[str, Tensor] = {}
    for shard in shards:
        if twice := tensors.keys() & shard.keys():
            raise BadInput(f"tensor {min(twice)} is in two shards; download them again")
        tensors |= shard
    return tensors


def _named_like(path: Path, name: re.Match[str], number: int, count: int) -> Path:
    return path.with_name(f"{name['before']}{number + 1:05}-of-{count:05}.gguf")
