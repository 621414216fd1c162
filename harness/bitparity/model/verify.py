"""Prove that two model files hold the same weights, whatever formats they are in, or say where they do not.

Ternary tensors are compared by codes, exactly, and by scales, to the precision of the narrower format: a
scale that I2_S keeps as float32 and TQ2_0 as F16 may differ by half a unit of F16.  A block of zeros has no
scale to compare.  Tensors that are not ternary in either file are compared by value, to the same precision.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitparity.formats import is_ternary
from bitparity.formats.base import Codes, Floats
from bitparity.model.types import HyperParameters, Model, Tensor

SMALLEST_F16 = 2.0**-25  # below its normal numbers F16 rounds to multiples of 2^-24


@dataclass(frozen=True)
class WeightDifference:
    """The first place where a tensor differs; row and col are None when it differs as a whole."""

    tensor: str
    kind: str
    row: int | None
    col: int | None
    message: str


@dataclass(frozen=True)
class Verification:
    """What was compared, and every tensor's first difference in the order of the expected file."""

    tensors: int
    weights: int
    differences: tuple[WeightDifference, ...]

    @property
    def is_same(self) -> bool:
        """Nothing compared is not the same."""
        return self.weights > 0 and not self.differences


@dataclass(frozen=True)
class _Ternary:
    codes: Codes
    scales: Floats  # (rows, cols), or what broadcasts to it


def verify_weights(expected: Model, actual: Model) -> Verification:
    """Compare every tensor of two models; the head by its tie as well as by its values."""
    differences = [*_compare_heads(expected, actual)]
    names = [name for name in expected.tensors if name != "output.weight"]
    compared = [name for name in names if name in actual.tensors]
    differences += _one_sided(expected, actual, names)
    for name in compared:
        found = compare_tensors(_upright(expected, name), _upright(actual, name), expected.hyper)
        if found is not None:
            differences.append(found)
    weights = sum(int(np.prod(expected.tensors[name].shape)) for name in compared)
    return Verification(len(compared), weights, tuple(differences))


def holds_same_weights(expected: Model, actual: Model, name: str) -> bool:
    """Whether a tensor that both models have is the same in both, as verify_weights compares it."""
    return compare_tensors(_upright(expected, name), _upright(actual, name), expected.hyper) is None


@dataclass(frozen=True)
class _Matrix:
    tensor: Tensor
    is_transposed: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor.shape[::-1] if self.is_transposed else self.tensor.shape

    def values(self) -> Floats:
        values = self.tensor.values()
        return values.T if self.is_transposed else values


def _upright(model: Model, name: str) -> _Matrix:
    is_embedding = name == model.weights.token_embd.name
    return _Matrix(model.tensors[name], is_embedding and model.weights.embedding_is_transposed)


def _one_sided(expected: Model, actual: Model, names: list[str]) -> Iterable[WeightDifference]:
    for name in names:
        if name not in actual.tensors:
            yield WeightDifference(name, "missing", None, None, f"{name} is missing in {actual.path}")
    for name in actual.tensors:
        if name not in expected.tensors and name != "output.weight":
            yield WeightDifference(name, "missing", None, None, f"{name} is missing in {expected.path}")


def _compare_heads(expected: Model, actual: Model) -> Iterable[WeightDifference]:
    tied = expected.weights.head_is_tied, actual.weights.head_is_tied
    if tied == (True, True):
        return
    if tied == (False, False):
        first, second = _Matrix(expected.weights.head), _Matrix(actual.weights.head)
        found = compare_tensors(first, second, expected.hyper)
        if found is not None:
            yield found
        return
    model, other = (expected, actual) if tied[1] else (actual, expected)
    embedding = _upright(model, model.weights.token_embd.name)
    same = compare_tensors(embedding, _Matrix(model.weights.head), model.hyper) is None
    what = "holds the same values as its embedding" if same else "differs from its embedding"
    message = f"the head is tied in {other.path} and a tensor in {model.path}, which {what}"
    yield WeightDifference("output.weight", "tied head", None, None, message)


def compare_tensors(expected: _Matrix, actual: _Matrix, hyper: HyperParameters) -> WeightDifference | None:
    """The first difference of two tensors of one name; None when they hold the same weights."""
    name = expected.tensor.name
    if expected.shape != actual.shape:
        message = f"{name} is {list(expected.shape)} in one file and {list(actual.shape)} in the other"
        return WeightDifference(name, "shape", None, None, message)
    tolerance = max(t.tensor.weight_format.rounding for t in (expected, actual))
    if not any(is_ternary(t.tensor.weight_format) for t in (expected, actual)):
        return _compare_values(name, expected.values(), actual.values(), tolerance)
    first, second = as_ternary(expected.tensor), as_ternary(actual.tensor)
    if second is None or first is None:
        which = "first" if first is None else "second"
        return WeightDifference(name, "not ternary", None, None, f"{name} is not ternary in the {which} file")
    return _compare_codes(name, first, second, hyper) or _compare_scales(name, first, second, tolerance)


def as_ternary(tensor: Tensor) -> _Ternary | None:
    """Codes and scales of a tensor; None when a float tensor holds more than one magnitude."""
    weight_format = tensor.weight_format
    rows, cols = (1, *tensor.shape)[-2:]
    if is_ternary(weight_format):
        codes, scales = weight_format.unpack_codes(tensor.data, rows, cols)
        return _Ternary(codes, np.repeat(scales, cols // scales.shape[1], axis=1))
    values = tensor.values().reshape(rows, cols)
    scale = np.abs(values).max(initial=0)
    codes = np.sign(values).astype(np.int8)
    if not np.array_equal(np.abs(values), np.abs(codes) * scale):
        return None
    return _Ternary(codes, np.full((1, 1), scale, dtype=np.float32))


def _compare_codes(
    name: str, expected: _Ternary, actual: _Ternary, hyper: HyperParameters
) -> WeightDifference | None:
    wrong = expected.codes != actual.codes
    if not wrong.any():
        return None
    row, col = (int(i) for i in np.argwhere(wrong)[0])
    explanation = _explain(name, expected.codes, actual.codes, hyper)
    kind = explanation or "codes"
    message = (
        f"{name}: {int(wrong.sum())} of {wrong.size} codes differ, first at row {row}, column {col}: "
        f"{expected.codes[row, col]} and {actual.codes[row, col]}"
        + (f"; {explanation}" if explanation else "")
    )
    return WeightDifference(name, kind, row, col, message)


def _explain(name: str, expected: Codes, actual: Codes, hyper: HyperParameters) -> str | None:
    """A whole-tensor reason for different codes, when there is one."""
    if np.array_equal(expected, -actual):
        return "signs are inverted"
    for part, heads in ((".attn_q.", hyper.n_head), (".attn_k.", hyper.n_head_kv)):
        if part in name:
            if np.array_equal(rope_pairs_to_halves(expected, heads), actual):
                return "rows are permuted for RoPE in the second file (pairs to halves)"
            if np.array_equal(rope_pairs_to_halves(actual, heads), expected):
                return "rows are permuted for RoPE in the first file (pairs to halves)"
    return None


def rope_pairs_to_halves(rows: NDArray[Any], heads: int) -> NDArray[Any]:
    """Rows (2i, 2i + 1) of each head moved to (i, i + half): from NORM to NEOX order."""
    per_head = rows.reshape(heads, -1, 2, rows.shape[1])
    return np.swapaxes(per_head, 1, 2).reshape(rows.shape)


def _compare_scales(
    name: str, expected: _Ternary, actual: _Ternary, tolerance: float
) -> WeightDifference | None:
    first, second = np.broadcast_arrays(expected.scales.astype(np.float64), actual.scales.astype(np.float64))
    used = np.broadcast_to(expected.codes != 0, expected.codes.shape)
    first, second = (np.broadcast_to(s, expected.codes.shape) for s in (first, second))
    wrong = used & ~(np.abs(first - second) <= _allowed(first, tolerance))
    if not wrong.any():
        return None
    row, col = (int(i) for i in np.argwhere(wrong)[0])
    one, other = float(first[row, col]), float(second[row, col])
    inverted = abs(one * other - 1) <= 4 * max(
        tolerance, 2.0**-23
    )  # both scales and their product are rounded
    kind = "inverted scale" if inverted and one != 1 else "scale"
    message = f"{name}: {kind} at row {row}, column {col}: {one:.9g} and {other:.9g}"
    return WeightDifference(name, kind, row, col, message)


def _compare_values(name: str, expected: Floats, actual: Floats, tolerance: float) -> WeightDifference | None:
    wide = expected.astype(np.float64)
    wrong = np.atleast_2d(~(np.abs(wide - actual.astype(np.float64)) <= _allowed(wide, tolerance)))
    if not wrong.any():
        return None
    row, col = (int(i) for i in np.argwhere(wrong)[0])
    one, other = np.atleast_2d(expected)[row, col], np.atleast_2d(actual)[row, col]
    where = f"{int(wrong.sum())} of {wrong.size} values differ, first at row {row}, column {col}"
    message = f"{name}: {where}: {one} and {other}"
    return WeightDifference(name, "values", row, col, message)


def _allowed(values: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    return np.maximum(np.abs(values) * tolerance, SMALLEST_F16 if tolerance else 0.0)
