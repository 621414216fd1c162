"""Copies of a model file with something changed: files as people really have them, made by the tests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitparity.formats import get_format
from bitparity.model import open_model
from bitparity.model.gguf_file import GgufFile
from bitparity.model.types import Tensor
from bitparity.model.writer import TensorPlan, write_gguf

Change = Callable[[NDArray[np.uint8], Tensor], None]


def rewrite(
    source: Path,
    target: Path,
    *,
    fields: Mapping[str, bytes] | None = None,
    without: Collection[str] = (),
    formats: Mapping[str, str] | None = None,
    changes: Mapping[str, Change] | None = None,
    tensors: Collection[TensorPlan] = (),
) -> Path:
    """Write a changed copy and return its path.

    fields   metadata to add or to replace, packed by the functions of bitparity.model.writer
    without  metadata keys to leave out
    formats  tensor -> format in which it is packed anew
    changes  tensor -> what changes its packed bytes in place
    tensors  to add
    """
    model, file = open_model(source), GgufFile(source)
    kept = {key: file.raw_field(key) for key in file.metadata if key not in without}
    plans = [
        _plan(t, (formats or {}).get(t.name), (changes or {}).get(t.name)) for t in model.tensors.values()
    ]
    write_gguf(target, kept | dict(fields or {}), [*plans, *tensors], alignment=file.alignment)
    return target


def _plan(tensor: Tensor, other_format: str | None, change: Change | None) -> TensorPlan:
    rows, cols = (1, *tensor.shape)[-2:]
    data = np.array(tensor.data)
    if other_format is not None:
        data = get_format(other_format).pack(tensor.values().reshape(rows, cols))
    if change is not None:
        change(data, tensor)
    return TensorPlan(tensor.name, tensor.shape, other_format or tensor.format, lambda: [data])
