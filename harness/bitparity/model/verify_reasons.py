"""Why a tensor's codes or scales differ: what would make the two files equal.

Each hypothesis is tried a block of rows at a time and given up at the first block that contradicts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitparity.errors import BadInput
from bitparity.formats import I2_S_LAYOUTS, get_format, is_ternary
from bitparity.formats.bf16 import BF16
from bitparity.formats.i2_s import I2_S
from bitparity.model.rope_order import rope_pairs_to_halves
from bitparity.model.row_reader import RowReader, row_ranges
from bitparity.model.types import HyperParameters
from bitparity.words import factor_in_words

ROUNDED = 2.0**-9  # relative: two scales and their ratio, each rounded to F16 or a little better
_MOST_SHIFTED = 8  # rows
_LEAST_OF_BF16 = 2.0**-14  # relative: what rounding to BF16 changes by less may have another cause
Rows = NDArray[Any]  # codes or values of some rows
_Rows = Callable[[int, int], Rows]
_Read = Callable[[RowReader, int, int], Rows]
# in words, some rows of each as the hypothesis has them, and how many rows go together
_Hypothesis = tuple[str, _Rows, _Rows, int]


def reason_for_codes(expected: RowReader, actual: RowReader, hyper: HyperParameters) -> str | None:
    """What would make all codes equal, in a clause; None when nothing that is known would."""
    hypotheses = (*_orders(expected, actual, hyper, _signs), *_layouts(expected, actual))
    return _first_that_holds(hypotheses, expected.shape, np.array_equal)


def reason_for_values(
    expected: RowReader, actual: RowReader, hyper: HyperParameters, tolerance: float
) -> str | None:
    """What would make all values of two tensors without codes equal, in a clause; None when nothing would.

    tolerance  relative, of the narrower format
    """

    def are_equal(one: Rows, other: Rows) -> bool:
        return one.shape == other.shape and bool(
            np.allclose(one, other, rtol=tolerance, atol=tolerance / 256)
        )

    if len(expected.shape) == 1:
        less = "every weight is one less: {} keeps Gemma's norms as its checkpoint does"
        one, other = (_values(reader, 0, 1).astype(np.float64) for reader in (expected, actual))
        found = [w for w, a, b in (("second", one - 1, other), ("first", one, other - 1)) if are_equal(a, b)]
        return less.format(f"the {found[0]} file") if found else None
    return _first_that_holds(_orders(expected, actual, hyper, _values), expected.shape, are_equal)


def _first_that_holds(
    hypotheses: Iterable[_Hypothesis], shape: tuple[int, ...], are_equal: Callable[[Rows, Rows], bool]
) -> str | None:
    for words, one, other, multiple in hypotheses:
        try:
            ranges = row_ranges(shape, multiple)
            if all(are_equal(one(first, last), other(first, last)) for first, last in ranges):
                return words
        except BadInput:  # a layout that the shape or the bytes rule out
            continue
    return None


def reason_for_scales(
    expected: RowReader, actual: RowReader, one: float, other: float
) -> tuple[str, str | None]:
    """The kind of the difference of two scales whose codes are equal, and a clause on their ratio."""
    if _near(one * other, 1) and one != 1:
        return (
            "inverted scale",
            "one is the inverse of the other: multiplied by in one file, divided by in the other",
        )
    share = _share_of_non_zero(expected)
    for ratio, words in ((one / other if other else 0.0, "first"), (other / one if one else 0.0, "second")):
        if _near(ratio, share):
            mean = f"their ratio {ratio:.4g} is the share of weights that are not zero"
            return (
                "mean for maximum",
                f"{mean}: the {words} file has the mean magnitude for the magnitude itself",
            )
    if _near(one * other, share) or _near(one * other, 1 / share if share else 0.0):
        return "inverted mean", (
            f"their product {one * other:.4g} is the share of weights that are not zero, or its inverse: "
            "one file has the inverse of the mean magnitude for the magnitude itself"
        )
    for which, exact, coarse in (("second", one, other), ("first", other, one)):
        if _as_bf16(exact) == np.float32(coarse) and abs(coarse - exact) > abs(exact) * _LEAST_OF_BF16:
            words = "is the other rounded to BF16, as transformers rounds weights when it computes in BF16"
            return (
                "scale in BF16",
                f"that of the {which} file {words}; their ratio is {factor_in_words(other / one)}",
            )
    return "scale", f"their ratio is {factor_in_words(other / one)}" if one else None


def _as_bf16(value: float) -> np.float32:
    packed = BF16.pack(np.array([[value]], dtype=np.float32))
    return np.float32(BF16.unpack(packed, 1, 1)[0, 0])


def not_ternary(expected: RowReader, actual: RowReader) -> str | None:
    """Which tensor, "first" or "second", holds more than one magnitude besides zero; None if neither."""
    for which, reader in (("first", expected), ("second", actual)):
        if not is_ternary(reader.weight_format) and _has_several_magnitudes(reader):
            return which
    return None


def _has_several_magnitudes(reader: RowReader) -> bool:
    largest = 0.0
    for first, last in row_ranges(reader.shape):
        magnitudes = np.abs(reader.values(first, last))
        largest = largest or float(magnitudes.max(initial=0.0))
        if not ((magnitudes == 0) | (magnitudes == largest)).all():
            return True
    return False


def _near(value: float, wanted: float) -> bool:
    return abs(value / wanted - 1) <= ROUNDED if wanted else False


def _share_of_non_zero(reader: RowReader) -> float:
    counts = (np.count_nonzero(_signs(reader, first, last)) for first, last in row_ranges(reader.shape))
    return sum(counts) / int(np.prod(reader.shape))


def _orders(
    expected: RowReader, actual: RowReader, hyper: HyperParameters, read: _Read
) -> Iterator[_Hypothesis]:
    """The same weights with other signs, or in another order of rows."""
    one, other = partial(read, expected), partial(read, actual)
    yield "signs are inverted", one, lambda first, last: -other(first, last), 1
    for part in (".attn_q.", ".attn_k."):
        if part in expected.tensor.name:
            size = hyper.head_dim
            halves = "rows are permuted for RoPE in the {} file (pairs to halves)"
            yield halves.format("second"), partial(_halves, one, size), other, size
            yield halves.format("first"), one, partial(_halves, other, size), size
    for by in (shift for n in range(1, _MOST_SHIFTED + 1) for shift in (n, -n)):
        words = f"rows are shifted: row r of the second file is row r {'+' if by > 0 else '-'} {abs(by)}"
        yield (
            words,
            partial(_shifted, one, expected.shape[0], by, by),
            partial(_shifted, other, expected.shape[0], by, 0),
            1,
        )


def _shifted(rows: _Rows, count: int, by: int, more: int, first: int, last: int) -> Rows:
    """Of rows first ... last - 1 those that have a row `by` further on, or these rows themselves."""
    first, last = max(first, -by), min(last, count - max(by, 0))
    return rows(first + more, max(first, last) + more)


def _layouts(expected: RowReader, actual: RowReader) -> Iterator[_Hypothesis]:
    """The same codes if the bytes of an I2_S tensor are read in another of its layouts."""
    one, other = partial(_signs, expected), partial(_signs, actual)
    for which, reader in (("first", expected), ("second", actual)):
        if reader.tensor.format == I2_S.name and len(reader.shape) == 2:
            for layout in I2_S_LAYOUTS:
                if layout != I2_S.name:
                    read = partial(_signs, replace(reader, layout=get_format(layout)))
                    words = f"the {which} file has the layout {layout}: read so, all codes are equal"
                    yield words, *((read, other) if which == "first" else (one, read)), 1


def _values(reader: RowReader, first: int, last: int) -> Rows:
    return reader.values(first, last)


def _signs(reader: RowReader, first: int, last: int) -> Rows:
    if is_ternary(reader.weight_format):
        return reader.codes(first, last)[0]
    return np.sign(reader.values(first, last)).astype(np.int8)


def _halves(rows_of: _Rows, head_dim: int, first: int, last: int) -> Rows:
    rows = rows_of(first, last)
    return rope_pairs_to_halves(rows, len(rows) // head_dim)
