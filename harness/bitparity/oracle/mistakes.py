"""Mistakes that engines really make, each as another definition of the stages that it changes.

Blame tries them to put a guilty stage's error into words; the fault catalogue plants them to prove that blame
finds them.  A new mistake is a class in variations.py and a line here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitparity.architectures.graph import GraphStage
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.variations import (
    EmbeddingTransposed,
    FirstKvHeadForAll,
    GateAndUpSwapped,
    HeadsInterleaved,
    HeadsShifted,
    NormLeftOut,
    NormWithMean,
    NormWithoutWeight,
    OneAddend,
    OtherMatrix,
    OtherToken,
    PlainRelu,
    RopeLeftOut,
    RopeWithoutFactors,
    ScoresNotScaled,
    SeesLaterPositions,
    ShiftedPositions,
    StaleRow,
    WithoutUp,
    with_arithmetic,
    with_hyper,
)
from bitparity.oracle.weights import Dense, Matrix, Ternary

EPSILONS = (1e-5, 1e-6, 1e-8, 1e-12, 0.0)
ROPE_BASES = (10000.0, 500000.0, 1000000.0)
SHIFTS = (1, -1, 2, -2)
_F16_WHEN = {"always": "f16", "never": "f32"}
_ROUNDINGS = {"away": "half away from zero", "zero": "towards zero", "down": "down"}


@dataclass(frozen=True)
class Mistake:
    """words        a clause with the engine as its subject: "computes SiLU where ReLU^2 is defined"
    is_rounding  the function is the same in another arithmetic
    """

    words: str
    definition: Definition
    is_rounding: bool = False


def mistakes_of(definition: Definition, name: str, place: Place, inputs: dict[str, Any]) -> Iterator[Mistake]:
    """Every known mistake that could have changed this stage of this model."""
    stage = definition.stages[name]
    if stage.kind == "norm":
        yield from _norm_mistakes(definition)
    elif stage.kind == "rotation":
        yield from _rope_mistakes(definition)
    elif stage.kind in ("softmax", "context"):
        yield from _attention_mistakes(definition, stage, len(inputs[stage.inputs[1]]))
    elif stage.kind == "projection":
        yield from _matmul_mistakes(definition, stage, place)
    elif stage.kind == "product":
        yield from _activation_mistakes(definition, stage)
    elif stage.kind == "sum":
        branch, stream = stage.inputs
        yield Mistake(f"adds no {stream.replace('_', ' ')}", OneAddend.like(definition, 0))
        yield Mistake(f"adds no {branch}", OneAddend.like(definition, 1))
    elif stage.kind == "rows":
        yield from _embedding_mistakes(definition)


def _norm_mistakes(d: Definition) -> Iterator[Mistake]:
    yield Mistake("leaves out the norm's weight", NormWithoutWeight.like(d))
    yield Mistake("leaves out the norm", NormLeftOut.like(d))
    yield Mistake("subtracts the mean (LayerNorm where RMSNorm is defined)", NormWithMean.like(d))
    for eps in EPSILONS:
        if not np.isclose(eps, d.hyper.norm_eps, rtol=1e-6, atol=0):
            words = f"takes epsilon {eps:g} where {d.hyper.norm_eps:g} is defined"
            yield Mistake(words, with_hyper(d, norm_eps=eps))


def _rope_mistakes(d: Definition) -> Iterator[Mistake]:
    hyper = d.hyper
    pairs = {"neox": f"(i, i + {hyper.rope_dim // 2})", "norm": "(2i, 2i + 1)"}
    other = "norm" if hyper.rope_pairs == "neox" else "neox"
    words = f"rotates pairs {pairs[other]} where {pairs[hyper.rope_pairs]} is defined"
    yield Mistake(words, with_hyper(d, rope_pairs=other))
    yield Mistake("leaves out RoPE", RopeLeftOut.like(d))
    for shift in SHIFTS:
        yield Mistake(f"rotates position p as p {shift:+d}", ShiftedPositions.like(d, shift))
    for base in ROPE_BASES:
        if base != hyper.rope_base:
            words = f"takes RoPE base {base:g} where {hyper.rope_base:g} is defined"
            yield Mistake(words, with_hyper(d, rope_base=base))
    if d.weights.rope_factors is not None:
        yield Mistake("ignores the RoPE factors", RopeWithoutFactors.like(d))


def _attention_mistakes(d: Definition, stage: GraphStage, length: int) -> Iterator[Mistake]:
    hyper = d.hyper
    if 1 < hyper.n_head_kv < hyper.n_head:
        group = hyper.n_head // hyper.n_head_kv
        words = f"gives query head h KV head h mod {hyper.n_head_kv} where h // {group} is defined"
        yield Mistake(words, HeadsInterleaved.like(d))
    for shift in range(1, hyper.n_head_kv):
        words = f"reads KV heads {shift} further on, modulo {hyper.n_head_kv}"
        yield Mistake(words, HeadsShifted.like(d, shift))
    if hyper.n_head_kv > 1:
        yield Mistake("reads KV head 0 for every query head", FirstKvHeadForAll.like(d))
    if stage.kind == "softmax":
        yield Mistake("does not divide the scores by sqrt(head_dim)", ScoresNotScaled.like(d))
        yield Mistake("lets positions see later ones", SeesLaterPositions.like(d))
        for when in ("always", "never"):
            words = f"{'rounds' if when == 'always' else 'does not round'} Q to F16 before q.k"
            yield Mistake(words, with_arithmetic(d, q=_F16_WHEN[when]), is_rounding=True)
    else:
        for when in ("always", "never"):
            words = f"{'rounds' if when == 'always' else 'does not round'} softmax rows to F16 before x V"
            yield Mistake(words, with_arithmetic(d, probs=_F16_WHEN[when]), is_rounding=True)
    for row in range(length):
        for holds in (row - 1, -1) if row else (-1,):
            what = "zero" if holds < 0 else f"that of position {holds}"
            words = f"reads a stale KV row: the row of position {row} is {what}"
            yield Mistake(words, StaleRow.like(d, (row, holds)))


def _matmul_mistakes(d: Definition, stage: GraphStage, place: Place) -> Iterator[Mistake]:
    matrix = d.matrix(stage, place.layer)
    if isinstance(matrix, Ternary):
        for rounding, words in _ROUNDINGS.items():
            yield Mistake(
                f"rounds int8 activations {words} where half to even is defined",
                with_arithmetic(d, rounding=rounding),
                is_rounding=True,
            )
        yield Mistake(
            "does not quantise the activations", with_arithmetic(d, activations="none"), is_rounding=True
        )
    elif matrix.format == "F16":
        for when in ("always", "never"):
            words = (
                f"{'rounds' if when == 'always' else 'does not round'} the input to F16 before the product"
            )
            yield Mistake(words, with_arithmetic(d, f16_inputs=_F16_WHEN[when]), is_rounding=True)
    for words, other in _other_matrices(d, stage, place):
        yield Mistake(words, OtherMatrix.like(d, other))
    if stage.weight == "head" and not d.weights.head_is_tied:
        words = "multiplies with the embedding where output.weight is defined"
        yield Mistake(words, OtherMatrix.like(d, d.weights.embedding))
    if stage.weight == "head" and d.weights.head_is_tied and isinstance(matrix, Dense):
        yield Mistake("reads the embedding transposed", EmbeddingTransposed.like(d))


def _other_matrices(d: Definition, stage: GraphStage, place: Place) -> Iterator[tuple[str, Matrix]]:
    """Projections of the same layer and of its neighbours that have the same shape."""
    block = d.hyper.architecture.block
    if stage not in block:
        return
    for other in block:
        if other.kind == "projection" and other != stage:
            matrix = d.matrix(other, place.layer)
            if _shape(matrix) == _shape(d.matrix(stage, place.layer)):
                yield f"multiplies with the weight of {other.name}", matrix
    for layer in (place.layer - 1, place.layer + 1):
        if 0 <= layer < d.hyper.n_layer:
            yield f"multiplies with the weight of layer {layer}", d.matrix(stage, layer)


def _shape(matrix: Matrix) -> tuple[int, ...]:
    return matrix.codes.shape if isinstance(matrix, Ternary) else matrix.tensor.shape


def _activation_mistakes(d: Definition, stage: GraphStage) -> Iterator[Mistake]:
    gate, up = stage.inputs
    names = {"silu": "SiLU", "relu2": "ReLU²", "gelu": "GELU"}
    for other in names:
        if other != d.hyper.activation:
            words = f"computes {names[other]} where {names[d.hyper.activation]} is defined"
            yield Mistake(words, with_hyper(d, activation=other))
    yield Mistake(f"computes ReLU where {names[d.hyper.activation]} is defined", PlainRelu.like(d))
    yield Mistake(f"does not multiply by {up}", WithoutUp.like(d))
    yield Mistake(f"activates {up} and multiplies by {gate}", GateAndUpSwapped.like(d))


def _embedding_mistakes(d: Definition) -> Iterator[Mistake]:
    if isinstance(d.weights.embedding, Dense):
        yield Mistake("reads the embedding transposed", EmbeddingTransposed.like(d))
    for shift in (1, -1):
        yield Mistake(f"reads the row of token id {shift:+d}", OtherToken.like(d, shift))
