"""Projections of a checkpoint as codes and a scale, or as they are where they are not quantised."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from bitparity.errors import BadInput, ShapeError
from bitparity.formats.base import Bytes, Codes
from bitparity.formats.blocks import ternary_from_stored
from bitparity.formats.codes import CODES
from bitparity.formats.rules import absolute_mean, exact_codes
from bitparity.model.checkpoint.convention import Kind, Projection
from bitparity.model.checkpoint.shards import FLOAT_TYPES, Stored

_ROWS_A_BYTE = 4
_TOGETHER = 1 << 20  # weights of training that are float32 at a time
# Relative: a float32 mean of up to 2^28 magnitudes is off by some units in the last place, whoever adds.
MEAN_ROUNDING = 2.0**-19
INVERSE_ROUNDING = 2.0**-23

Decoded = tuple[Codes, float]


def shape_of(projection: Projection) -> tuple[int, int]:
    """(outputs, inputs) of a projection, whose packed rows are a quarter as many."""
    stored = projection.weight
    if len(stored.shape) != 2:
        raise ShapeError(f"tensor {stored.name} has the shape {list(stored.shape)}, which is no matrix")
    rows, cols = stored.shape
    return (rows * _ROWS_A_BYTE if stored.dtype == "U8" else rows), cols


def decode(projection: Projection, kind: Kind) -> Bytes:
    """The projection packed as CODES, by a convention other than "dense".

    Raises BadInput that names the tensor when its values contradict the convention.
    """
    try:
        codes, scale = _DECODERS[kind](projection)
        return CODES.pack_codes(codes, scale)
    except BadInput as error:
        raise type(error)(f"tensor {projection.weight.name}: {error}") from error
    finally:
        projection.weight.forget()


def rounding_of(kind: Kind) -> float:
    """Relative error with which a scale is known: of a mean or an inverse that was computed here."""
    return {"mean": MEAN_ROUNDING, "packed inverse": INVERSE_ROUNDING}.get(kind, 0.0)


def _packed(projection: Projection) -> Decoded:
    """Byte r, c holds rows r, r + n, r + 2 n and r + 3 n of column c in its bits 1-0, 3-2, 5-4 and 7-6."""
    packed = projection.weight.data.reshape(projection.weight.shape)
    stored = np.concatenate([packed >> np.uint8(shift) & np.uint8(3) for shift in (0, 2, 4, 6)])
    return ternary_from_stored("the packing", stored.view(np.int8)), _scale(projection)


def _packed_inverse(projection: Projection) -> Decoded:
    codes, scale = _packed(projection)
    return codes, float(np.float32(1) / np.float32(scale))


def _codes(projection: Projection) -> Decoded:
    values = projection.weight.values()
    if not np.isin(values, (-1, 0, 1)).all():
        raise BadInput("has a weight_scale, but its weights are not -1, 0 and 1")
    return values.astype(np.int8), _scale(projection)


def _mean(projection: Projection) -> Decoded:
    stored = projection.weight
    rows, cols = stored.shape
    step = max(1, _TOGETHER // cols)
    parts = [*range(0, rows, step), rows]
    total, largest, is_ternary = 0.0, np.float32(0), True
    for first, last in pairwise(parts):
        magnitudes = np.abs(stored.values(first, last))
        total += float(magnitudes.sum(dtype=np.float64))
        largest = largest or magnitudes.max()
        is_ternary = is_ternary and bool(((magnitudes == 0) | (magnitudes == largest)).all())
    if is_ternary:
        raise BadInput("is ternary already, and other projections hold weights of training")
    mean = np.float32(total / (rows * cols))
    pieces = [absolute_mean(stored.values(first, last), mean) for first, last in pairwise(parts)]
    return np.concatenate([codes for codes, _ in pieces]), pieces[0][1]


def _ternary(projection: Projection) -> Decoded:
    return exact_codes(projection.weight.values())


def _scale(projection: Projection) -> float:
    assert projection.scale is not None
    if projection.scale.dtype not in FLOAT_TYPES or projection.scale.data.size == 0:
        raise BadInput(f"weight_scale is {projection.scale.dtype}")
    values = projection.scale.values().reshape(-1)
    if values.size != 1:
        raise BadInput(f"weight_scale has {values.size} values, and one is read")
    if not 0 < values[0] < np.inf:
        raise BadInput(f"weight_scale is {values[0]:g}, which is no scale")
    return float(values[0])


_DECODERS: dict[Kind, Callable[[Projection], Decoded]] = {
    "packed": _packed,
    "packed inverse": _packed_inverse,
    "codes": _codes,
    "mean": _mean,
    "ternary": _ternary,
}


def is_float(stored: Stored) -> bool:
    return stored.dtype in FLOAT_TYPES
