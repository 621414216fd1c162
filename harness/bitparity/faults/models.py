"""Models with one thing changed, to be given to one side of a comparison only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bitparity.formats import is_ternary
from bitparity.formats.base import Codes, Floats
from bitparity.model.types import LayerWeights, Model, Tensor

Alter = Callable[[Model], Model]


def with_hyper(**changes: Any) -> Alter:
    """Other hyperparameters."""
    return lambda model: replace(model, hyper=replace(model.hyper, **changes))


def other_activation(model: Model) -> Model:
    other = "silu" if model.hyper.activation == "relu2" else "relu2"
    return with_hyper(activation=other)(model)


def other_rope_pairs(model: Model) -> Model:
    other = {"neox": "norm", "norm": "neox"}[model.hyper.rope_pairs]
    return with_hyper(rope_pairs=other)(model)


def other_rope_base(model: Model) -> Model:
    return with_hyper(rope_base=500000.0 if model.hyper.rope_base == 10000.0 else 10000.0)(model)


def other_epsilon(model: Model) -> Model:
    return with_hyper(norm_eps=1e-5 if model.hyper.norm_eps < 5e-6 else 1e-6)(model)


def without_inner_norms(model: Model) -> Model:
    """BitNet's sub-norms, and whatever norm follows another stage of its branch."""
    graph = model.hyper.architecture
    bare = graph.without(graph.inner_norms)
    layers = tuple({w.role: layer[w.role] for w in bare.weights} for layer in model.weights.layers)
    altered = replace(model, weights=replace(model.weights, layers=layers))
    return with_hyper(architecture=bare)(altered)


def embedding_read_transposed(model: Model) -> Model:
    """The embedding's bytes read as (n_embd, n_vocab); a tied head is read so too."""
    weights = model.weights
    rows, cols = weights.token_embd.shape
    misread = replace(weights.token_embd, shape=(cols, rows))
    head = misread if weights.head_is_tied else weights.head
    altered = replace(weights, token_embd=misread, head=head, embedding_is_transposed=True)
    return replace(model, weights=altered)


def gate_and_up_swapped(layer: int) -> Alter:
    return _in_layer(layer, lambda w: w | {"gate": w["up"], "up": w["gate"]})


def scaled_weight(layer: int, name: str, factor: float) -> Alter:
    """One projection's scale times a factor that keeps it exact in F16."""

    def scale(tensor: Tensor) -> Tensor:
        return _map_weights(
            tensor, lambda codes, scale: (codes, scale * factor), lambda w: w * np.float32(factor)
        )

    return _in_layer(layer, lambda w: w | {name: scale(w[name])})


def flipped_weight(layer: int, name: str) -> Alter:
    """A single ternary weight of one projection, the first, becomes another."""

    def flip_code(codes: Codes, scale: float) -> tuple[Codes, float]:
        flipped = codes.copy()
        flipped[0, 0] = 1 if codes[0, 0] < 1 else -1
        return flipped, scale

    def flip_value(values: Floats) -> Floats:
        flipped = values.copy()
        flipped[0, 0] = np.abs(values).max() if values[0, 0] <= 0 else -values[0, 0]
        return flipped

    return _in_layer(layer, lambda w: w | {name: _map_weights(w[name], flip_code, flip_value)})


def norm_weight(layer: int, name: str, value: float) -> Alter:
    """All weights of one norm become the same value, which may be NaN."""

    def fill(tensor: Tensor) -> Tensor:
        filled = np.full((1, tensor.shape[0]), value, np.float32)
        return tensor.holding(filled.view(np.uint8).reshape(-1), format="F32")

    return _in_layer(layer, lambda w: w | {name: fill(w[name])})


def _in_layer(layer: int, change: Callable[[LayerWeights], LayerWeights]) -> Alter:
    def alter(model: Model) -> Model:
        layers = list(model.weights.layers)
        layers[layer] = change(layers[layer])
        return replace(model, weights=replace(model.weights, layers=tuple(layers)))

    return alter


def _map_weights(
    tensor: Tensor,
    on_codes: Callable[[Codes, float], tuple[Codes, float]],
    on_values: Callable[[Floats], Floats],
) -> Tensor:
    """Unpack, change and pack a projection again, by codes where the format has them."""
    form = tensor.weight_format
    rows, cols = tensor.shape
    if is_ternary(form):
        codes, scales = form.unpack_codes(tensor.data, rows, cols)
        packed = form.pack_codes(*on_codes(codes, float(scales.flat[0])))
    else:
        packed = form.pack(on_values(form.unpack(tensor.data, rows, cols)))
    return tensor.holding(packed)
