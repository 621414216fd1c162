"""The definition of every stage: the list of an architecture in float64, one method for each kind of stage.

A method takes the stage, the place where it is evaluated and the stage's inputs, and gives its output.  The
decoder chains the stages; blame evaluates one of them on what an engine recorded.  Kinds and inputs are
explained in architectures/graph.py; their arithmetic is in ops.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from bitparity.architectures.graph import GraphStage, Kind
from bitparity.model.types import HyperParameters, Model
from bitparity.oracle import ops
from bitparity.oracle.arithmetic import AS_STORED, BITNET_CPP, IN_ONE_ROW, Arithmetic
from bitparity.oracle.ops import Doubles, Positions
from bitparity.oracle.weights import Dense, Matrix, OracleWeights, Ternary, multiply, operand, product


@dataclass(frozen=True)
class Place:
    """Where a stage is evaluated.

    layer      -1 outside the blocks
    positions  of the rows, (n,)
    rows       of the batch that the engine multiplied together, which decides some roundings (arithmetic.py)
    reduced    the batch had more rows before the graph dropped those whose logits nobody asked for
    """

    layer: int
    positions: Positions
    rows: int
    reduced: bool = False


_ACTIVATIONS = {"silu": ops.silu, "relu2": ops.relu2, "gelu": ops.gelu}


class Definition:
    """What every stage of one model has to give."""

    def __init__(
        self, hyper: HyperParameters, weights: OracleWeights, arithmetic: Arithmetic = BITNET_CPP
    ) -> None:
        self.hyper = hyper
        self.weights = weights
        self.arithmetic = arithmetic

    @classmethod
    def of(cls, model: Model, arithmetic: Arithmetic = BITNET_CPP, keep_layers: int | None = None) -> Self:
        """The definition of a model; keep_layers as in OracleWeights."""
        return cls(model.hyper, OracleWeights(model, keep_layers), arithmetic)

    @property
    def stages(self) -> dict[str, GraphStage]:
        """The stages of the architecture by name, in graph order."""
        return self.hyper.architecture.by_name

    def compute(self, name: str, place: Place, inputs: Mapping[str, Any]) -> Doubles:
        """Evaluate one stage; inputs are keyed by their names."""
        stage = self.stages[name]
        evaluate: dict[Kind, Callable[..., Doubles]] = {
            "rows": self.rows,
            "norm": self.norm,
            "projection": self.project,
            "rotation": self.rotate,
            "softmax": self.softmax,
            "context": self.context,
            "product": self.gate,
            "sum": self.add,
            "direction": self.direction,
        }
        out = evaluate[stage.kind](stage, place, *(inputs[need] for need in stage.inputs))
        return ops.round_to(out, self.arithmetic.stages)

    def matrix(self, stage: GraphStage, layer: int) -> Matrix:
        """The matrix that a projection multiplies with."""
        if stage.weight == "head":
            return self.weights.head_kept_as(self.arithmetic.head.removesuffix(" weights"))
        return self.weights.matrix(layer, stage.weight)

    def other_readings(self, stage: str, place: Place) -> list[Definition]:
        """Other definitions of a stage that are as right as this one.

        A compiler may fuse the product that the int8 rounding takes; angles may be computed one by one where
        ggml multiplies them up; and the last row of a prefill may be rounded like the others or as one row.
        """
        arithmetic, row = self.arithmetic, self.stages[stage]
        matrix = self.matrix(row, place.layer) if row.kind == "projection" else None
        if isinstance(matrix, Ternary):
            other = replace(arithmetic, fused_quantiser=not arithmetic.fused_quantiser)
        elif matrix is not None and place.reduced and arithmetic.f16_inputs.endswith(IN_ONE_ROW):
            other = replace(arithmetic, f16_inputs="f32")
        elif row.kind == "rotation":
            other = replace(arithmetic, rope_by_recurrence=not arithmetic.rope_by_recurrence)
        else:
            return []
        return [Definition(self.hyper, self.weights, other)]

    def rows(self, stage: GraphStage, place: Place, tokens: list[int]) -> Doubles:
        """Embeddings, rounded to the type in which the engine keeps them."""
        kept_as = self.arithmetic.embeddings
        rows = self.matrix(stage, place.layer).select(tokens)
        if kept_as != AS_STORED:
            rows = ops.round_to(rows, kept_as)
        if not self.hyper.architecture.scales_embeddings:
            return rows
        return rows * np.float64(np.sqrt(np.float32(self.hyper.n_embd)))

    def norm(self, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
        """A weight of one head's width norms every head alone."""
        weight = self.norm_weight(stage, place)
        return ops.rms_norm(x.reshape(len(x), -1, len(weight)), weight, self.hyper.norm_eps).reshape(x.shape)

    def project(self, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
        matrix = self.matrix(stage, place.layer)
        if self._has_int8_head(stage):
            return product(matrix, self.operand(stage, place, x))
        return multiply(matrix, x, self.arithmetic, place.rows)

    def operand(self, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
        """The input of a projection as it is multiplied."""
        if self._has_int8_head(stage):
            return ops.round_to(x, self.arithmetic.head)
        return operand(self.matrix(stage, place.layer), x, self.arithmetic, place.rows)

    def _has_int8_head(self, stage: GraphStage) -> bool:
        is_dense = stage.weight == "head" and isinstance(self.weights.head, Dense)
        return is_dense and self.arithmetic.rounds_head_input

    def rotate(self, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
        scaling = None if self.hyper.is_windowed(place.layer) else self.hyper.rope_scaling
        magnitude = scaling.magnitude if scaling else 1.0
        heads = self.split_heads(x)
        return ops.rotate(heads, self.angles(place), self.hyper.rope_pairs, magnitude).reshape(x.shape)

    def softmax(self, stage: GraphStage, place: Place, q: Doubles, keys: Doubles) -> Doubles:
        """Causal softmax of q.k over cached keys; (n, n_head, positions)."""
        window = self.hyper.sliding_window if self.hyper.is_windowed(place.layer) else 0
        return ops.causal_softmax(self.scores(place, q, keys), place.positions, window)

    def context(self, stage: GraphStage, place: Place, probs: Doubles, values: Doubles) -> Doubles:
        """Mean of cached values, weighted by the softmax row."""
        return ops.attention_context(self.round_probs(place, probs), self.cached_heads(values))

    def gate(self, stage: GraphStage, place: Place, gate: Doubles, up: Doubles) -> Doubles:
        """act(gate) x up; act is ReLU^2 in BitNet b1.58 2B4T, SiLU in the models before it."""
        by_table = self.hyper.activation == "gelu" and self.arithmetic.gelu == "f16"
        activate = ops.gelu_by_table if by_table else _ACTIVATIONS[self.hyper.activation]
        return activate(gate) * up

    def scores(self, place: Place, q: Doubles, keys: Doubles) -> Doubles:
        """q.k / sqrt(head_dim) of every head, (n, n_head, positions)."""
        divisor = 1 if self.hyper.architecture.divides_queries else np.sqrt(self.hyper.head_dim)
        return ops.dot_products(self.heads_of_product(place, q), self.cached_heads(keys)) / divisor

    def heads_of_product(self, place: Place, q: Doubles) -> Doubles:
        """Queries as they are multiplied with the keys, (n, n_head, head_dim)."""
        if self.hyper.architecture.divides_queries:
            inverse = np.float64(np.float32(1) / np.sqrt(np.float32(self.hyper.query_width)))
            q = (q * inverse).astype(np.float32).astype(np.float64)
        return self.split_heads(self.round_q(place, q))

    def add(self, stage: GraphStage, place: Place, branch: Doubles, stream: Doubles) -> Doubles:
        return branch + stream

    def direction(self, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
        """x over its length; a row of zeros stays zero."""
        length = np.linalg.norm(x, axis=-1, keepdims=True)
        out: Doubles = np.divide(x, length, out=np.zeros_like(x), where=length > 0)
        return out

    def norm_weight(self, stage: GraphStage, place: Place) -> Doubles:
        return self.weights.vector(place.layer, stage.weight)

    def angles(self, place: Place) -> Doubles:
        """RoPE angles of every position, (n, rope_dim / 2)."""
        hyper, in_singles = self.hyper, self.arithmetic.rope_by_recurrence
        make = ops.rope_angles_by_recurrence if in_singles else ops.rope_angles
        if hyper.is_windowed(place.layer):
            return make(place.positions, hyper.rope_dim, hyper.windowed_rope_base, None)
        angles = make(place.positions, hyper.rope_dim, hyper.rope_base, self.weights.rope_factors)
        if hyper.rope_scaling is None:
            return angles
        return ops.scale_angles(
            angles, hyper.rope_scaling, hyper.rope_dim, hyper.rope_base, in_singles=in_singles
        )

    def round_q(self, place: Place, q: Doubles) -> Doubles:
        return ops.round_to(q, self.arithmetic.q_type(place.rows, self.hyper.n_head))

    def round_probs(self, place: Place, probs: Doubles) -> Doubles:
        return ops.round_to(probs, self.arithmetic.probs_type(place.rows))

    def split_heads(self, x: Doubles) -> Doubles:
        """(n, heads * head_dim) -> (n, heads, head_dim)."""
        return x.reshape(len(x), -1, self.hyper.head_dim)

    def cached_heads(self, kv: Doubles) -> Doubles:
        """K or V as the cache holds it, one head for every query head: (m, n_head, head_dim)."""
        return ops.share_heads(self.cached(kv), self.hyper.n_head)

    def cached(self, kv: Doubles) -> Doubles:
        """K or V in the type of the cache: (m, n_head_kv, head_dim)."""
        return self.split_heads(ops.round_to(kv, self.arithmetic.kv))
