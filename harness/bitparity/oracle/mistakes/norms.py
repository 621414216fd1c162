"""What engines do wrong in norms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bitparity.architectures.graph import GraphStage
from bitparity.oracle import ops
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.mistakes.row import Row, hyper, instead
from bitparity.oracle.ops import Doubles

EPSILONS = {1e-5: "1e-05", 1e-6: "1e-06", 0.0: "1e-08 or less"}


def _parts(x: Doubles, weight: Doubles) -> Doubles:
    """What is normed together: a row, or every head of it.  (n, parts, elements of the weight)."""
    return x.reshape(len(x), -1, len(weight))


def _by_root(root: Callable[[Doubles, float], Doubles]) -> Callable[[Definition], Definition]:
    """Divide by another root; it gets what is normed together and epsilon."""

    def norm(d: Definition, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
        weight = d.norm_weight(stage, place)
        parts = _parts(x, weight)
        out: Doubles = parts / root(parts, d.hyper.norm_eps) * weight
        return out.reshape(x.shape)

    return instead("norm", norm)


def _by_weight(change: Callable[[Doubles], Doubles]) -> Callable[[Definition], Definition]:
    """Another weight, made of the right one."""

    def norm(d: Definition, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
        weight = d.norm_weight(stage, place)
        return ops.rms_norm(_parts(x, weight), change(weight), d.hyper.norm_eps).reshape(x.shape)

    return instead("norm", norm)


def _mean_square(x: Doubles) -> Doubles:
    return np.asarray(np.mean(x * x, axis=-1, keepdims=True))


def _without_mean(d: Definition, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
    parts = _parts(x, d.norm_weight(stage, place))
    return d.norm(stage, place, (parts - np.mean(parts, axis=-1, keepdims=True)).reshape(x.shape))


def _statistics_of_the_first(d: Definition, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
    weight = d.norm_weight(stage, place)
    parts = _parts(x, weight)
    out: Doubles = parts / np.sqrt(_mean_square(parts[:1]) + d.hyper.norm_eps) * weight
    return out.reshape(x.shape)


def _of_a_neighbour(step: int) -> Row:
    def norm(d: Definition, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
        layer = place.layer + step
        if place.layer < 0 or not 0 <= layer < d.hyper.n_layer:
            raise ValueError("there is no such layer")
        weight = d.weights.vector(layer, stage.weight)
        return ops.rms_norm(_parts(x, weight), weight, d.hyper.norm_eps).reshape(x.shape)

    where = "before" if step < 0 else "after"
    return Row("norm", f"takes the norm's weight of the layer {where}", instead("norm", norm))


def _epsilon(eps: float, told: str) -> Row:
    def differs(d: Definition, stage: GraphStage) -> bool:
        return not np.isclose(eps, d.hyper.norm_eps, rtol=1e-6, atol=0)

    words = f"takes epsilon {told} where {{hyper.norm_eps:g}} is defined"
    return Row("norm", words, hyper(norm_eps=eps), differs)


ROWS = (
    Row("norm", "leaves out the norm's weight", _by_weight(np.ones_like)),
    Row("norm", "leaves out the norm", instead("norm", lambda d, stage, place, x: x)),
    Row("norm", "subtracts the mean (LayerNorm where RMSNorm is defined)", instead("norm", _without_mean)),
    *(_epsilon(eps, told) for eps, told in EPSILONS.items()),
    Row("norm", "adds 1 to the norm's weight", _by_weight(lambda w: 1 + w)),
    Row("norm", "multiplies by the norm's weight twice", _by_weight(np.square)),
    Row("norm", "divides by the norm's weight", _by_weight(np.reciprocal)),
    Row("norm", "adds epsilon after the root", _by_root(lambda x, eps: np.sqrt(_mean_square(x)) + eps)),
    Row(
        "norm",
        "divides by the root of the sum of squares, not of their mean",
        _by_root(lambda x, eps: np.sqrt(_mean_square(x) * x.shape[-1] + eps)),
    ),
    Row(
        "norm",
        "divides the sum of squares by n - 1",
        _by_root(lambda x, eps: np.sqrt(_mean_square(x) * x.shape[-1] / (x.shape[-1] - 1) + eps)),
    ),
    Row(
        "norm",
        "divides by the mean square, without a root",
        _by_root(lambda x, eps: _mean_square(x) + eps),
    ),
    Row(
        "norm",
        "divides by the mean of absolute values",
        _by_root(lambda x, eps: np.mean(np.abs(x), axis=-1, keepdims=True) + eps),
    ),
    Row(
        "norm",
        "divides by the largest absolute value",
        _by_root(lambda x, eps: np.max(np.abs(x), axis=-1, keepdims=True) + eps),
    ),
    Row("norm", "norms all rows by the first row's root", instead("norm", _statistics_of_the_first)),
    _of_a_neighbour(-1),
    _of_a_neighbour(1),
)
