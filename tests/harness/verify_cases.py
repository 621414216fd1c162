"""Models whose weights were changed, for tests of verify-weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bitparity.formats import is_ternary
from bitparity.model.types import Model, Tensor

FORMATS = ("I2_S", "TQ1_0", "TQ2_0", "F16", "F32")


def with_data(model: Model, name: str, data: np.ndarray) -> Model:
    tensor: Tensor = model.tensors[name]
    return replace(model, tensors={**model.tensors, name: tensor.holding(data)})


def recoded(
    model: Model, name: str, change: Callable[[np.ndarray], np.ndarray], scale: float | None = None
) -> Model:
    tensor = model.tensors[name]
    weight_format = tensor.weight_format
    assert is_ternary(weight_format)
    codes, scales = weight_format.unpack_codes(tensor.data, *tensor.shape)
    changed = weight_format.pack_codes(change(codes.copy()), float(scales[0, 0]) if scale is None else scale)
    return with_data(model, name, changed)
