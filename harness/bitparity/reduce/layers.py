"""A model file with some of its layers, which are numbered anew."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bitparity.errors import BadInput
from bitparity.model.gguf_file import GgufFile
from bitparity.model.types import Tensor
from bitparity.model.writer import copied, uint32_field, write_gguf

_BLOCK = re.compile(r"(.*\bblk\.)(\d+)(\..*)")
_BESIDE = "kernel_config.ini"  # what TL1 and TL2 were packed with


def write_layers(source: Path, target: Path, layers: Sequence[int]) -> None:
    """Write a GGUF file whose layer i is layer layers[i] of the source; all else is copied as it lies there.

    Raises BadInput when the source is no GGUF file or does not say how many layers it has.
    """
    file = GgufFile(source)
    key = f"{file.metadata.get('general.architecture')}.block_count"
    if key not in file.metadata:
        raise BadInput(f"{source} has no metadata key {key}, so its layers cannot be taken apart")
    fields = {name: file.raw_field(name) for name in file.metadata} | {key: uint32_field(len(layers))}
    renamed = (_renamed(tensor, layers) for tensor in file.packed_tensors.values())
    plans = [copied(tensor) for tensor in renamed if tensor is not None]
    write_gguf(target, fields, plans, alignment=file.alignment)
    if (source.parent / _BESIDE).is_file() and source.parent != target.parent:
        shutil.copy(source.parent / _BESIDE, target.parent)


def _renamed(tensor: Tensor, layers: Sequence[int]) -> Tensor | None:
    """The tensor under its new layer's name; None if its layer is left out."""
    match = _BLOCK.fullmatch(tensor.name)
    if match is None:
        return tensor
    if int(match[2]) not in layers:
        return None
    return replace(tensor, name=f"{match[1]}{layers.index(int(match[2]))}{match[3]}")
