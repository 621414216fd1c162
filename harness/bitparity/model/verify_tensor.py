"""One tensor in two files: the same weights, or the first that differ and, where it is known, why.

Ternary tensors are compared by codes, exactly, and by scales, to the precision of the narrower format: a
scale that I2_S keeps as float32 and TQ2_0 as F16 may differ by half a unit of F16.  A block of zeros has no
scale to compare.  Tensors that are ternary in neither file are compared by value, to the same precision;
where one is in a format that rounds by blocks, it must be what packing the other's values gives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitparity.errors import BadInput
from bitparity.formats import is_ternary
from bitparity.formats.base import Codes, Floats
from bitparity.formats.blocks import FloatFormat
from bitparity.model.row_reader import RowReader, row_ranges
from bitparity.model.types import HyperParameters
from bitparity.model.verify_effects import effect_of, effect_of_scale
from bitparity.model.verify_reasons import (
    not_ternary,
    reason_for_codes,
    reason_for_scales,
    reason_for_values,
)

SMALLEST_F16 = 2.0**-25  # below its normal numbers F16 rounds to multiples of 2^-24
_BITS: dict[int, type[np.int16] | type[np.int32]] = {
    2: np.int16,
    4: np.int32,
}  # of float formats; sign first, so that the magnitude is the rest


@dataclass(frozen=True)
class WeightDifference:
    """The first place where a tensor differs; row and col are None when it differs as a whole.

    effect  what the difference does to the model, a clause
    """

    tensor: str
    kind: str
    row: int | None
    col: int | None
    message: str
    effect: str

    @classmethod
    def whole(cls, tensor: str, kind: str, message: str) -> WeightDifference:
        """A tensor that differs as a whole."""
        return cls(tensor, kind, None, None, message, effect_of(kind, tensor))


@dataclass
class _Differing:
    """Weights that differ, counted, and the first of them with its expected and actual value."""

    count: int = 0
    first: tuple[int, int, float, float] | None = None

    def add(
        self, wrong: NDArray[np.bool_], row: int, expected: Floats | Codes, actual: Floats | Codes
    ) -> None:
        if not wrong.any():
            return
        if self.first is None:
            i, j = (int(n) for n in np.argwhere(wrong)[0])
            pair = (np.broadcast_to(side, wrong.shape)[i, j] for side in (expected, actual))
            self.first = (row + i, j, next(pair), next(pair))
        self.count += int(np.count_nonzero(wrong))


@dataclass
class _Found:
    codes: _Differing = field(default_factory=_Differing)
    scales: _Differing = field(default_factory=_Differing)
    values: _Differing = field(default_factory=_Differing)


def compare_tensors(
    expected: RowReader, actual: RowReader, hyper: HyperParameters
) -> WeightDifference | None:
    """The first difference of two tensors of one name; None when they hold the same weights."""
    name = expected.tensor.name
    if expected.shape != actual.shape:
        message = f"{name} is {list(expected.shape)} in one file and {list(actual.shape)} in the other"
        return WeightDifference.whole(name, "shape", message)
    found = _compared(expected, actual)
    total = int(np.prod(expected.shape))
    which = not_ternary(expected, actual) if found.codes.first or found.scales.first else None
    if which is not None:
        message = f"{name} has weights of several magnitudes in the {which} file, and is ternary in the other"
        return WeightDifference.whole(name, "not ternary", message)
    if found.codes.first is not None:
        reason = reason_for_codes(expected, actual, hyper)
        return _difference(name, reason or "codes", "codes", found.codes, total, reason)
    if found.scales.first is not None:
        kind, reason = reason_for_scales(expected, actual, *found.scales.first[2:])
        row, col, one, other = found.scales.first
        message = f"{name}: {kind} at row {row}, column {col}: {one:.9g} and {other:.9g}"
        message += f"; {reason}" if reason else ""
        return WeightDifference(name, kind, row, col, message, effect_of_scale(one, other))
    if found.values.first is not None:
        reason = reason_for_values(expected, actual, hyper, _tolerance(expected, actual))
        return _difference(name, reason or "values", "values", found.values, total, reason)
    return None


def _difference(
    name: str, kind: str, what: str, found: _Differing, total: int, reason: str | None
) -> WeightDifference:
    assert found.first is not None
    row, col, one, other = found.first
    where = f"{found.count} of {total} {what} differ, first at row {row}, column {col}: {one} and {other}"
    message = f"{name}: {where}" + (f"; {reason}" if reason else "")
    return WeightDifference(name, kind, row, col, message, effect_of(kind, name))


def _compared(expected: RowReader, actual: RowReader) -> _Found:
    found = _Found()
    for first, last in row_ranges(expected.shape):
        _compare_rows(expected, actual, first, last, found)
        expected.forget(first, last)
        actual.forget(first, last)
    return found


def _tolerance(expected: RowReader, actual: RowReader) -> float:
    """Relative: the precision of the narrower format, or of a scale that was computed."""
    readers = (expected, actual)
    return max(max(reader.weight_format.rounding, reader.tensor.rounding) for reader in readers)


def _compare_rows(expected: RowReader, actual: RowReader, first: int, last: int, found: _Found) -> None:
    formats = expected.weight_format, actual.weight_format
    is_by_rows = not (expected.is_read_whole or actual.is_read_whole) and formats[0] == formats[1]
    if is_by_rows and np.array_equal(expected.packed(first, last), actual.packed(first, last)):
        return
    ternary = is_ternary(formats[0]), is_ternary(formats[1])
    tolerance = _tolerance(expected, actual)
    if all(ternary):
        _compare_ternary(expected.codes(first, last), actual.codes(first, last), first, tolerance, found)
    elif any(ternary):
        _compare_with_values(expected, actual, first, last, tolerance, found)
    elif _is_packed_of(expected, actual, first, last):
        return
    else:
        one, other = expected.values(first, last), actual.values(first, last)
        found.values.add(~(np.abs(_wide(one) - other) <= _allowed(one, tolerance)), first, one, other)


def _compare_ternary(
    expected: tuple[Codes, Floats], actual: tuple[Codes, Floats], row: int, tolerance: float, found: _Found
) -> None:
    (codes, scales), (other_codes, other_scales) = expected, actual
    differ = codes != other_codes
    if differ.any():
        differ &= ~(_are_zero(codes, scales) & _are_zero(other_codes, other_scales))
    found.codes.add(differ, row, codes, other_codes)
    blocks = max(scales.shape[1], other_scales.shape[1])
    one, other = (np.repeat(s, blocks // s.shape[1], axis=1) for s in (scales, other_scales))
    wrong = ~(np.abs(_wide(one) - other) <= _allowed(one, tolerance))
    if wrong.any():
        n, cols = codes.shape
        wrong = np.repeat(np.broadcast_to(wrong, (n, blocks)), cols // blocks, axis=1)
        wrong &= ~(_are_zero(codes, scales) & _are_zero(other_codes, other_scales))
        one, other = (
            np.repeat(np.broadcast_to(s, (n, blocks)), cols // blocks, axis=1) for s in (one, other)
        )
        found.scales.add(wrong, row, one, other)


def _are_zero(codes: Codes, scales: Floats) -> NDArray[np.bool_]:
    """Weights that are zero, (n, cols): by code, or by scale, as ik_llama.cpp packs rows of zeros."""
    counts = np.broadcast_to(scales != 0, (len(codes), scales.shape[1]))
    zero: NDArray[np.bool_] = (codes == 0) | ~np.repeat(counts, codes.shape[1] // scales.shape[1], axis=1)
    return zero


def _compare_with_values(
    expected: RowReader, actual: RowReader, first: int, last: int, tolerance: float, found: _Found
) -> None:
    """A ternary tensor with one that is not: by the sign of each value, and by its magnitude."""
    is_first = is_ternary(expected.weight_format)
    ternary, dense = (expected, actual) if is_first else (actual, expected)
    codes, scales = ternary.codes(first, last)
    if _are_bits_of(dense, codes, scales, first, last):
        return
    values = dense.values(first, last)
    signs = np.sign(values).astype(np.int8)
    pair = (codes, signs) if is_first else (signs, codes)
    found.codes.add((codes != signs) & ~((signs == 0) & _are_zero(codes, scales)), first, *pair)
    wide = np.repeat(
        np.broadcast_to(scales, (len(codes), scales.shape[1])), codes.shape[1] // scales.shape[1], 1
    )
    sides = (wide, np.abs(values)) if is_first else (np.abs(values), wide)
    wrong = ~(np.abs(_wide(sides[0]) - sides[1]) <= _allowed(sides[0], tolerance)) & (codes != 0)
    found.scales.add(wrong, first, *sides)


def _are_bits_of(dense: RowReader, codes: Codes, scales: Floats, first: int, last: int) -> bool:
    """Whether the packed floats are, to the bit, the nearest to code x scale; much faster than by value."""
    weight_format = dense.weight_format
    if not isinstance(weight_format, FloatFormat):
        return False
    bits = _BITS[weight_format.block_bytes]
    blocks = scales.shape[1]
    with np.errstate(over="ignore"):
        magnitude: NDArray[Any] = weight_format.pack(np.abs(scales)).view(bits).reshape(-1, blocks, 1)
    wide: NDArray[Any] = codes.astype(bits).reshape(len(codes), blocks, -1)
    wanted = (wide & bits(1)) * magnitude | (wide & np.iinfo(bits).min)
    return np.array_equal(wanted.reshape(-1), dense.packed(first, last).view(bits))


def rounded_side(expected: RowReader, actual: RowReader) -> RowReader | None:
    """The tensor in a format that rounds by blocks where the other keeps floats; None where there is none."""
    by_blocks = [
        side
        for side in (expected, actual)
        if not isinstance(side.weight_format, FloatFormat) and not is_ternary(side.weight_format)
    ]
    return by_blocks[0] if len(by_blocks) == 1 else None


def _is_packed_of(expected: RowReader, actual: RowReader, first: int, last: int) -> bool:
    """Whether one holds, byte for byte, what packing the values of the other gives."""
    coarse = rounded_side(expected, actual)
    if coarse is None:
        return False
    fine = actual if coarse is expected else expected
    try:
        packed = coarse.weight_format.pack(fine.values(first, last))
    except BadInput:
        return False
    return np.array_equal(packed, coarse.packed(first, last))


def _wide(values: Floats) -> NDArray[np.float64]:
    return values.astype(np.float64)


def _allowed(values: Floats, tolerance: float) -> NDArray[np.float64]:
    return np.maximum(np.abs(_wide(values)) * tolerance, SMALLEST_F16 if tolerance else 0.0)
