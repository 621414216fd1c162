"""Prove that two model files hold the same weights, whatever their formats, or say where they do not."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from bitparity.model.row_reader import RowReader
from bitparity.model.types import Model
from bitparity.model.verify_effects import effect_of
from bitparity.model.verify_tensor import WeightDifference, compare_tensors, rounded_side

_UNEXPLAINED = {"codes", "scale", "values", "shape", "missing"}


@dataclass(frozen=True)
class Verification:
    """What was compared, and every tensor's first difference in the order of the expected file.

    rounded  tensors that one file keeps in a format which rounds: they are what rounding the other's gives
    """

    tensors: int
    weights: int
    differences: tuple[WeightDifference, ...]
    rounded: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        """Two files are not the same if nothing was compared."""
        return self.weights > 0 and not self.differences

    @property
    def explained(self) -> str | None:
        """What explains every difference, if that is one thing for all of them."""
        kinds = {difference.kind for difference in self.differences}
        return kinds.pop() if len(kinds) == 1 and not kinds & _UNEXPLAINED else None


def verify_weights(expected: Model, actual: Model, *, threads: int = 1) -> Verification:
    """Compare every tensor of two models, and whether their heads are tied."""
    differences = [*_compare_heads(expected, actual)]
    names = [name for name in expected.tensors if name != "output.weight"]
    compared = [name for name in names if name in actual.tensors]
    differences += _one_sided(expected, actual, names)

    def compare(name: str) -> WeightDifference | None:
        return compare_tensors(_upright(expected, name), _upright(actual, name), expected.hyper)

    with ThreadPoolExecutor(threads) as pool:
        found = [found for found in pool.map(compare, compared) if found is not None]
    differences += [_explained_by_another(expected, actual, each) for each in found]
    weights = sum(int(np.prod(expected.tensors[name].shape)) for name in compared)
    different = {difference.tensor for difference in differences}
    rounded = (
        name
        for name in compared
        if name not in different and rounded_side(_upright(expected, name), _upright(actual, name))
    )
    return Verification(len(compared), weights, tuple(differences), tuple(rounded))


def _explained_by_another(expected: Model, actual: Model, found: WeightDifference) -> WeightDifference:
    """The difference, with the tensor of the expected model whose weights are there instead, if any."""
    if found.kind not in ("codes", "values"):
        return found
    held = _upright(actual, found.tensor)
    for name, tensor in expected.tensors.items():
        if name == found.tensor or len(tensor.shape) < 2 or _upright(expected, name).shape != held.shape:
            continue
        other = _upright(expected, name)
        if _begins_alike(other, held) and compare_tensors(other, held, expected.hyper) is None:
            kind = f"holds the weights of {name}"
            message = f"{found.message}; the second file has there the weights that the first has in {name}"
            return replace(found, kind=kind, message=message, effect=effect_of(kind, name))
    return found


def _begins_alike(one: RowReader, other: RowReader) -> bool:
    """Whether the first row has the same signs, without which the rest need not be read."""
    return np.array_equal(np.sign(one.values(0, 1)), np.sign(other.values(0, 1)))


def holds_same_weights(expected: Model, actual: Model, name: str) -> bool:
    """Whether a tensor that both models have is the same in both, as verify_weights compares it."""
    return compare_tensors(_upright(expected, name), _upright(actual, name), expected.hyper) is None


def _upright(model: Model, name: str) -> RowReader:
    is_embedding = name == model.weights.token_embd.name
    return RowReader(model.tensors[name], is_embedding and model.weights.embedding_is_transposed)


def _one_sided(expected: Model, actual: Model, names: list[str]) -> Iterable[WeightDifference]:
    for name in names:
        if name not in actual.tensors:
            yield WeightDifference.whole(name, "missing", f"{name} is missing in {actual.path}")
    for name in actual.tensors:
        if name not in expected.tensors and name != "output.weight":
            yield WeightDifference.whole(name, "missing", f"{name} is missing in {expected.path}")


def _compare_heads(expected: Model, actual: Model) -> Iterable[WeightDifference]:
    tied = expected.weights.head_is_tied, actual.weights.head_is_tied
    if tied == (True, True):
        return
    if tied == (False, False):
        first, second = RowReader(expected.weights.head), RowReader(actual.weights.head)
        found = compare_tensors(first, second, expected.hyper)
        if found is not None:
            yield found
        return
    model, other = (expected, actual) if tied[1] else (actual, expected)
    embedding = _upright(model, model.weights.token_embd.name)
    same = compare_tensors(embedding, RowReader(model.weights.head), model.hyper) is None
    what = "holds the same values as its embedding" if same else "differs from its embedding"
    message = f"the head is tied in {other.path} and a tensor in {model.path}, which {what}"
    yield WeightDifference.whole("output.weight", "tied head", message)
