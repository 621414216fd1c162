"""What engines do wrong in RoPE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitparity.architectures.graph import GraphStage
from bitparity.oracle import ops
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.mistakes.row import Row, hyper, instead
from bitparity.oracle.ops import Doubles, Positions

ROPE_BASES = (10000.0, 500000.0, 1000000.0)
SHIFTS = (1, -1, 2, -2)


def _at_positions(change: Callable[[Positions], NDArray[Any]]) -> Callable[[Definition], Definition]:
    """Rotate by the angles of other positions."""

    def rotate(d: Definition, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
        return _rotated(d, x, d.angles(replace(place, positions=np.asarray(change(place.positions)))))

    return instead("rotation", rotate)


def _by_angles(change: Callable[[Definition, Place], Doubles]) -> Callable[[Definition], Definition]:
    """Rotate by other angles."""
    return instead("rotation", lambda d, stage, place, x: _rotated(d, x, change(d, place)))


def _rotated(d: Definition, x: Doubles, angles: Doubles) -> Doubles:
    return ops.rotate(d.split_heads(x), angles, d.hyper.rope_pairs).reshape(x.shape)


def _angles_by(d: Definition, place: Place, exponents: Doubles) -> Doubles:
    return np.asarray(place.positions[:, None] * d.hyper.rope_base**-exponents)


def _dimensions(d: Definition) -> Doubles:
    return np.arange(d.hyper.rope_dim // 2, dtype=np.float64)


def _other_pairs(definition: Definition) -> Definition:
    other = {"neox": "norm", "norm": "neox"}[definition.hyper.rope_pairs]
    return hyper(rope_pairs=other)(definition)


def _first_heads_only(d: Definition, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
    out = d.split_heads(x).copy()
    out[:, :1] = d.split_heads(d.rotate(stage, place, x))[:, :1]
    return out.reshape(x.shape)


def _first_half_only(d: Definition, place: Place) -> Doubles:
    angles = d.angles(place)
    angles[:, angles.shape[1] // 2 :] = 0
    return angles


def _cosine_for_sine(d: Definition, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
    return _rotated(d, x, np.pi / 2 - d.angles(place))


def _base(base: float) -> Row:
    words = f"takes RoPE base {base:g} where {{hyper.rope_base:g}} is defined"
    return Row("rotation", words, hyper(rope_base=base), lambda d, stage: base != d.hyper.rope_base)


def shifted_positions(by: int) -> Callable[[Definition], Definition]:
    """Rotate by the angles of the position that is so much further on."""
    return _at_positions(lambda positions: np.maximum(positions + by, 0))


def _shift(by: int) -> Row:
    return Row("rotation", f"rotates position p as p {by:+d}", shifted_positions(by))


ROWS = (
    Row("rotation", "rotates pairs {other_pairs} where {pairs} is defined", _other_pairs),
    Row("rotation", "leaves out RoPE", instead("rotation", lambda d, stage, place, x: x)),
    *map(_shift, SHIFTS),
    *map(_base, ROPE_BASES),
    Row(
        "rotation",
        "ignores the RoPE factors",
        _by_angles(
            lambda d, place: ops.rope_angles_by_recurrence(
                place.positions, d.hyper.rope_dim, d.hyper.rope_base, None
            )
        ),
        lambda d, stage: d.weights.rope_factors is not None,
    ),
    Row("rotation", "rotates the other way", _by_angles(lambda d, place: -d.angles(place))),
    Row("rotation", "takes cosine for sine and sine for cosine", instead("rotation", _cosine_for_sine)),
    Row("rotation", "rotates the first head only", instead("rotation", _first_heads_only)),
    Row("rotation", "rotates the first half of the pairs only", _by_angles(_first_half_only)),
    Row(
        "rotation",
        "counts positions from the beginning of each call",
        _at_positions(lambda positions: positions - positions[0]),
    ),
    Row(
        "rotation",
        "gives every row of a call the position of its first",
        _at_positions(lambda positions: np.full_like(positions, positions[0])),
    ),
    Row("rotation", "rotates position p as p / 2", _at_positions(lambda positions: positions / 2)),
    Row("rotation", "rotates position p as 2 p", _at_positions(lambda positions: 2 * positions)),
    Row(
        "rotation",
        "takes frequencies base^(-i / d) where base^(-2i / d) is defined",
        _by_angles(lambda d, place: _angles_by(d, place, _dimensions(d) / d.hyper.rope_dim)),
    ),
    Row(
        "rotation",
        "takes the width of the model for that of a head in RoPE's frequencies",
        _by_angles(lambda d, place: _angles_by(d, place, 2 * _dimensions(d) / d.hyper.n_embd)),
    ),
    Row(
        "rotation",
        "takes RoPE's frequencies in reverse order",
        _by_angles(lambda d, place: d.angles(place)[:, ::-1]),
    ),
)
