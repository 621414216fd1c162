"""The model that an engine was meant to compute with when it ran a twin: the same weights in other formats.

The format of a weight decides how activations are rounded, so an engine is judged by the formats that it ran.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bitparity.errors import BadInput
from bitparity.model.convert import repacked
from bitparity.model.types import Model, Tensor
from bitparity.model.verify import holds_same_weights
from bitparity.model.weights import map_weights


def in_formats_of(file: Model, meant: Model) -> Model:
    """The weights that were meant, in the formats of the file that an engine ran.

    A tensor that has another format in the file is taken from the file if it holds the weights that were
    meant, to the precision of the formats.  If it holds other weights, the tensor that was meant is used,
    packed in the file's format if that can hold it, so that an engine which computes with the other weights
    is found out.
    """
    if file is meant:
        return meant
    tensors = {name: _choose(file, meant, name) for name in meant.tensors}
    return replace(meant, tensors=tensors, weights=map_weights(meant.hyper, tensors))


def _choose(file: Model, meant: Model, name: str) -> Tensor:
    wanted, own = meant.tensors[name], file.tensors.get(name)
    if own is None or own.format == wanted.format:
        return wanted
    if holds_same_weights(meant, file, name):
        return own
    if len(wanted.shape) != 2:
        return wanted
    try:
        data = np.concatenate(list(repacked(wanted, own.weight_format, wanted.shape[0])))
    except BadInput:
        return wanted
    return replace(wanted, tilings=own.tilings).holding(data, format=own.format)
