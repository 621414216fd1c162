"""The weights of a GGUF file, under the names and in the order that a class of transformers has for them.

A ternary matrix becomes its codes and one scale, as in a packed checkpoint; where its blocks have scales of
their own, its values, and the scale 1.  Every other tensor becomes its values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitparity.errors import BadInput
from bitparity.formats import is_ternary
from bitparity.model.types import HyperParameters, Model, Tensor
from bitparity_reference.transformers.classes import (
    NORM_IN_PROJECTION,
    class_of,
    full_name,
    has_norms_in_projections,
    module_of,
)

Floats = NDArray[np.float32]
ROTATED = {"q": "n_head", "k": "n_head_kv"}  # roles whose rows RoPE rotates in pairs


@dataclass(frozen=True)
class State:
    """values   of every parameter, float32, by its full name
    ternary  full names of the projections that quantise their activations
    """

    values: Mapping[str, Floats]
    ternary: frozenset[str]


def state_of(model: Model) -> State:
    """Raises BadInput for weights that the class cannot hold."""
    values: dict[str, Floats] = {}
    ternary = set()
    for module, role, tensor in _places(model):
        if len(tensor.shape) == 1:
            values[f"{module}.weight"] = _norm(model, module, tensor)
        elif role == "token_embd" or not is_ternary(tensor.weight_format):
            values[f"{module}.weight"] = _matrix(model, role, tensor)
        else:
            ternary.add(module)
            codes, scale = _ternary(tensor)
            values[f"{module}.weight"] = _as_rotated(model.hyper, role, codes)
            values[f"{module}.weight_scale"] = np.array([scale], np.float32)
    if has_norms_in_projections(model.hyper.architecture):
        _require_ternary(model, ternary)
    return State(values, frozenset(ternary))


def rotated_order(head_dim: int) -> NDArray[np.int64]:
    """Where in a GGUF file's head a dimension of transformers' head stands: pairs (2i, 2i + 1) become
    (i, i + head_dim / 2)."""
    return np.arange(head_dim).reshape(-1, 2).T.reshape(-1)


def _places(model: Model) -> Iterator[tuple[str, str, Tensor]]:
    """Full name of the module, role and tensor of every weight; a tied head is the embedding's."""
    hyper, weights = model.hyper, model.weights
    outside = {"token_embd": weights.token_embd, "output_norm": weights.output_norm}
    if not weights.head_is_tied or is_ternary(weights.head.weight_format):
        outside["head"] = weights.head
    for stage in hyper.architecture.stages:
        if stage.weight in outside:
            yield module_of(hyper.architecture, stage), stage.weight, outside[stage.weight]
        elif stage.weight and stage.weight != "head":
            module = module_of(hyper.architecture, stage)
            for number, layer in enumerate(weights.layers):
                yield full_name(module, number), stage.weight, layer[stage.weight]


def _norm(model: Model, module: str, tensor: Tensor) -> Floats:
    weight = tensor.values()
    kind = class_of(model.hyper.architecture)
    if not kind.norms_less_one or module.endswith(NORM_IN_PROJECTION):
        return weight
    stored = weight - np.float32(1)
    if not np.array_equal(stored + np.float32(1), weight):
        raise BadInput(
            f"tensor {tensor.name} has weights that {kind.name}, which keeps them less 1, cannot hold"
        )
    return stored


def _matrix(model: Model, role: str, tensor: Tensor) -> Floats:
    values = tensor.values()
    if model.weights.embedding_is_transposed and tensor is model.weights.token_embd:
        values = np.ascontiguousarray(values.T)
    return _as_rotated(model.hyper, role, values)


def _ternary(tensor: Tensor) -> tuple[Floats, np.float32]:
    """Codes and the scale; values and 1 where blocks have scales of their own."""
    form, (rows, cols) = tensor.weight_format, tensor.shape
    assert is_ternary(form)
    codes, scales = form.unpack_codes(tensor.data, rows, cols)
    scale = np.float32(scales.flat[0])
    if (scales == scale).all():
        return codes.astype(np.float32), scale
    return tensor.values(), np.float32(1)


def _as_rotated(hyper: HyperParameters, role: str, rows: Floats) -> Floats:
    """The rows of Q and K in the order of transformers, whose pairs are halves of a head."""
    if role not in ROTATED or hyper.rope_pairs != "norm":
        return rows
    heads = rows.reshape(hyper.size(ROTATED[role]), hyper.head_dim, -1)
    return np.ascontiguousarray(heads[:, rotated_order(hyper.head_dim)]).reshape(rows.shape)


def _require_ternary(model: Model, ternary: set[str]) -> None:
    """transformers norms the input of those projections only that quantise it."""
    for module, role, tensor in _places(model):
        if len(tensor.shape) == 2 and role not in ("token_embd", "head") and module not in ternary:
            raise BadInput(
                f"tensor {tensor.name} is {tensor.format}; transformers has norms before projections only "
                "where weights are ternary"
            )
