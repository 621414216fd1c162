"""Models split into several GGUF files, as llama-gguf-split does it."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

from bitparity.model.bundled import bundled_model
from bitparity.model.gguf_file import GgufFile
from bitparity.model.writer import copied, write_gguf

_UINT16, _INT32 = 2, 5


def split_into(source: Path, count: int, folder: Path, name: str = "m") -> list[Path]:
    """Write a model as so many shards; the first has the metadata, each its share of the tensors."""
    file = GgufFile(source)
    fields = {key: file.raw_field(key) for key in file.metadata}
    tensors = list(file.packed_tensors.values())
    paths = [folder / f"{name}-{i:05}-of-{count:05}.gguf" for i in range(1, count + 1)]
    for number, path in enumerate(paths):
        said = {
            "split.no": struct.pack("<IH", _UINT16, number),
            "split.count": struct.pack("<IH", _UINT16, count),
            "split.tensors.count": struct.pack("<Ii", _INT32, len(tensors)),
        }
        share = tensors[number * len(tensors) // count : (number + 1) * len(tensors) // count]
        write_gguf(path, (fields if number == 0 else {}) | said, [copied(tensor) for tensor in share])
    return paths


# Ways in which three shards of the bundled model can be wrong: each gives the file to open.


def not_the_first(shards: list[Path]) -> Path:
    return shards[1]


def named_otherwise(shards: list[Path]) -> Path:
    return shards[0].rename(shards[0].with_name("m.gguf"))


def missing(shards: list[Path]) -> Path:
    shards[1].unlink()
    return shards[0]


def exchanged(shards: list[Path]) -> Path:
    shutil.copy(shards[2], shards[1])
    return shards[0]


def the_same_twice(shards: list[Path]) -> Path:
    """The second shard is one of the model split in another way, and has tensors of the third."""
    split_into(bundled_model(), 2, shards[0].parent, "other")[1].rename(shards[1])
    return shards[0]


SAID: dict[Callable[[list[Path]], Path], str] = {  # what is said of each
    not_the_first: r"is shard 2 of 3 .*; name the first one: m-00001-of-00003\.gguf",
    named_otherwise: r"should end with -00001-of-00003\.gguf",
    missing: r"its shard m-00002-of-00003\.gguf: no such file",
    exchanged: r"its shard m-00002-of-00003\.gguf: it says split.no = 2, and its name says 1",
    the_same_twice: "tensor blk.* is in two shards; download them again",
}
