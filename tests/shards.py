"""Models split into several GGUF files, as llama-gguf-split does it."""

from __future__ import annotations

import struct
from pathlib import Path

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
