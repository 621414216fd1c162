"""Why a tensor's codes or scales differ: what would make the two files equal.

Each hypothesis is tried a block of rows at a time and given up at the first block that contradicts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from bitparity.errors import BadInput
from bitparity.formats import I2_S_LAYOUTS, get_format, is_ternary
from bitparity.formats.base import Codes
from bitparity.formats.i2_s import I2_S
from bitparity.model.rope_order import rope_pairs_to_halves
from bitparity.model.row_reader import RowReader, row_ranges
from bitparity.model.types import HyperParameters

ROUNDED = 2.0**-9  # relative: two scales and their ratio, each rounded to F16 or a little better
_Codes = Callable[[Codes], Codes]


def reason_for_codes(expected: RowReader, actual: RowReader, hyper: HyperParameters) -> str | None:
    """What would make all codes equal, in a clause; None when nothing that is known would."""
    for words, one, other, multiple in _hypotheses(expected, actual, hyper):
        try:
            if all(
                np.array_equal(one(first, last), other(first, last))
                for first, last in row_ranges(expected.shape, multiple)
            ):
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
    return "scale", f"their ratio is {other / one:.6g}" if one else None


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


_Hypothesis = tuple[str, Callable[[int, int], Codes], Callable[[int, int], Codes], int]


def _hypotheses(expected: RowReader, actual: RowReader, hyper: HyperParameters) -> Iterator[_Hypothesis]:
    """In words, the codes of some rows of each as the hypothesis has them, and rows that go together."""
    one, other = partial(_signs, expected), partial(_signs, actual)
    yield "signs are inverted", one, lambda first, last: -other(first, last), 1
    for part in (".attn_q.", ".attn_k."):
        if part in expected.tensor.name:
            size = hyper.head_dim
            halves = "rows are permuted for RoPE in the {} file (pairs to halves)"
            yield halves.format("second"), partial(_halves, one, size), other, size
            yield halves.format("first"), one, partial(_halves, other, size), size
    for which, reader in (("first", expected), ("second", actual)):
        if reader.tensor.format == I2_S.name and len(reader.shape) == 2:
            for layout in I2_S_LAYOUTS:
                if layout != I2_S.name:
                    read = partial(_signs, replace(reader, layout=get_format(layout)))
                    words = f"the {which} file has the layout {layout}: read so, all codes are equal"
                    yield words, *((read, other) if which == "first" else (one, read)), 1


def _signs(reader: RowReader, first: int, last: int) -> Codes:
    if is_ternary(reader.weight_format):
        return reader.codes(first, last)[0]
    return np.sign(reader.values(first, last)).astype(np.int8)


def _halves(codes: Callable[[int, int], Codes], head_dim: int, first: int, last: int) -> Codes:
    rows = codes(first, last)
    return rope_pairs_to_halves(rows, len(rows) // head_dim)
