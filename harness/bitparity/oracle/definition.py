"""The BitNet b1.58 decoder as a table of stages: one method a stage, named like it.

A method takes the place where it is evaluated and the outputs of earlier stages, named as in NEEDS, and gives
the stage's output in float64.  The decoder chains the methods; blame evaluates one of them on what an engine
recorded.

    block_input      embeddings, or layer_out of the layer before
    keys, values     k_rope and v_proj of positions 0 .. last, (positions, n_head_kv * head_dim)
    tokens           token ids
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from bitparity.model.types import HyperParameters, Model
from bitparity.oracle import ops
from bitparity.oracle.arithmetic import BITNET_CPP, Arithmetic
from bitparity.oracle.ops import Doubles, Positions
from bitparity.oracle.weights import Matrix, OracleWeights, Ternary, multiply
from bitparity.stages import STAGE_NAMES

NEEDS: dict[str, tuple[str, ...]] = {
    "embeddings": ("tokens",),
    "attn_norm": ("block_input",),
    "q_proj": ("attn_norm",),
    "k_proj": ("attn_norm",),
    "v_proj": ("attn_norm",),
    "q_rope": ("q_proj",),
    "k_rope": ("k_proj",),
    "attn_probs": ("q_rope", "keys"),
    "attn_ctx": ("attn_probs", "values"),
    "attn_sub_norm": ("attn_ctx",),
    "attn_out": ("attn_sub_norm",),
    "attn_residual": ("attn_out", "block_input"),
    "ffn_norm": ("attn_residual",),
    "ffn_gate": ("ffn_norm",),
    "ffn_up": ("ffn_norm",),
    "ffn_act": ("ffn_gate", "ffn_up"),
    "ffn_sub_norm": ("ffn_act",),
    "ffn_out": ("ffn_sub_norm",),
    "layer_out": ("ffn_out", "attn_residual"),
    "final_norm": ("block_input",),
    "logits": ("final_norm",),
}
SUB_NORMS = ("attn_sub_norm", "ffn_sub_norm")
MATMULS = {
    "q_proj": "q",
    "k_proj": "k",
    "v_proj": "v",
    "attn_out": "attn_out",
    "ffn_gate": "gate",
    "ffn_up": "up",
    "ffn_out": "down",
}  # stage -> name in LayerWeights; logits take the head


@dataclass(frozen=True)
class Place:
    """Where a stage is evaluated.

    layer      -1 outside the blocks
    positions  of the rows, (n,)
    rows       rows of the batch that the engine multiplied together; decides some roundings (arithmetic.py)
    reduced    the batch had more rows before the graph dropped those whose logits nobody asked for
    """

    layer: int
    positions: Positions
    rows: int
    reduced: bool = False


def stages_of(hyper: HyperParameters) -> tuple[str, ...]:
    """The stages that this architecture has, in graph order."""
    return tuple(name for name in STAGE_NAMES if hyper.sub_norms or name not in SUB_NORMS)


def needs_of(stage: str, hyper: HyperParameters) -> tuple[str, ...]:
    """The inputs of a stage; without sub-norms their successors take the stage before."""
    if hyper.sub_norms:
        return NEEDS[stage]
    return tuple(NEEDS[need][0] if need in SUB_NORMS else need for need in NEEDS[stage])


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

    def compute(self, stage: str, place: Place, inputs: dict[str, Any]) -> Doubles:
        """Evaluate one stage; inputs are keyed as needs_of says."""
        out: Doubles = getattr(self, stage)(place, *(inputs[need] for need in needs_of(stage, self.hyper)))
        return out

    def matrix(self, stage: str, layer: int) -> Matrix:
        """The matrix that a matmul stage multiplies with."""
        return self.weights.head if stage == "logits" else self.weights.matrix(layer, MATMULS[stage])

    def other_readings(self, stage: str, place: Place) -> list[Definition]:
        """Definitions of a stage that are as right as this one.

        A compiler may fuse the product that the int8 rounding takes; angles may be computed one by one where
        ggml multiplies them up; and the last row of a prefill may be rounded like the others or as one row.
        """
        arithmetic = self.arithmetic
        matrix = self.matrix(stage, place.layer) if stage in MATMULS or stage == "logits" else None
        if isinstance(matrix, Ternary):
            other = replace(arithmetic, fused_quantiser=not arithmetic.fused_quantiser)
        elif matrix is not None and place.reduced and arithmetic.inputs_to_f16 == "one row":
            other = replace(arithmetic, inputs_to_f16="never")
        elif stage in ("q_rope", "k_rope"):
            other = replace(arithmetic, rope_by_recurrence=not arithmetic.rope_by_recurrence)
        else:
            return []
        return [Definition(self.hyper, self.weights, other)]

    def embeddings(self, place: Place, tokens: list[int]) -> Doubles:
        """Rows of the embedding."""
        return self.weights.embedding.select(tokens)

    def attn_norm(self, place: Place, block_input: Doubles) -> Doubles:
        return self._norm(block_input, self.weights.vector(place.layer, "attn_norm"))

    def q_proj(self, place: Place, attn_norm: Doubles) -> Doubles:
        return self._project("q_proj", place, attn_norm)

    def k_proj(self, place: Place, attn_norm: Doubles) -> Doubles:
        return self._project("k_proj", place, attn_norm)

    def v_proj(self, place: Place, attn_norm: Doubles) -> Doubles:
        return self._project("v_proj", place, attn_norm)

    def q_rope(self, place: Place, q_proj: Doubles) -> Doubles:
        return self._rope(place, q_proj, self.hyper.n_head)

    def k_rope(self, place: Place, k_proj: Doubles) -> Doubles:
        return self._rope(place, k_proj, self.hyper.n_head_kv)

    def attn_probs(self, place: Place, q_rope: Doubles, keys: Doubles) -> Doubles:
        """Causal softmax of q.k over F16 keys; (n, n_head, positions)."""
        q = self.split_heads(self.round_q(place, q_rope))
        return ops.causal_softmax(ops.attention_scores(q, self.cached_heads(keys)), place.positions)

    def attn_ctx(self, place: Place, attn_probs: Doubles, values: Doubles) -> Doubles:
        """Mean of F16 values, weighted by the softmax row."""
        return ops.attention_context(self.round_probs(place, attn_probs), self.cached_heads(values))

    def attn_sub_norm(self, place: Place, attn_ctx: Doubles) -> Doubles:
        """BitNet's additional norm before the output projection: arXiv 2504.12285 section 2."""
        return self._norm(attn_ctx, self.weights.vector(place.layer, "attn_sub_norm"))

    def attn_out(self, place: Place, x: Doubles) -> Doubles:
        return self._project("attn_out", place, x)

    def attn_residual(self, place: Place, attn_out: Doubles, block_input: Doubles) -> Doubles:
        return attn_out + block_input

    def ffn_norm(self, place: Place, attn_residual: Doubles) -> Doubles:
        return self._norm(attn_residual, self.weights.vector(place.layer, "ffn_norm"))

    def ffn_gate(self, place: Place, ffn_norm: Doubles) -> Doubles:
        return self._project("ffn_gate", place, ffn_norm)

    def ffn_up(self, place: Place, ffn_norm: Doubles) -> Doubles:
        return self._project("ffn_up", place, ffn_norm)

    def ffn_act(self, place: Place, ffn_gate: Doubles, ffn_up: Doubles) -> Doubles:
        """act(gate) x up; act is ReLU^2 in BitNet b1.58 2B4T, SiLU in the models before it."""
        activation = ops.relu2 if self.hyper.activation == "relu2" else ops.silu
        return activation(ffn_gate) * ffn_up

    def ffn_sub_norm(self, place: Place, ffn_act: Doubles) -> Doubles:
        return self._norm(ffn_act, self.weights.vector(place.layer, "ffn_sub_norm"))

    def ffn_out(self, place: Place, x: Doubles) -> Doubles:
        return self._project("ffn_out", place, x)

    def layer_out(self, place: Place, ffn_out: Doubles, attn_residual: Doubles) -> Doubles:
        return ffn_out + attn_residual

    def final_norm(self, place: Place, block_input: Doubles) -> Doubles:
        return self._norm(block_input, self.weights.output_norm)

    def logits(self, place: Place, final_norm: Doubles) -> Doubles:
        return self._project("logits", place, final_norm)

    def angles(self, place: Place) -> Doubles:
        """RoPE angles of every position, (n, rope_dim / 2)."""
        make = ops.rope_angles_by_recurrence if self.arithmetic.rope_by_recurrence else ops.rope_angles
        hyper = self.hyper
        return make(place.positions, hyper.rope_dim, hyper.rope_base, self.weights.rope_factors)

    def round_q(self, place: Place, q: Doubles) -> Doubles:
        return ops.to_f16(q) if self.arithmetic.rounds_q(place.rows, self.hyper.n_head) else q

    def round_probs(self, place: Place, probs: Doubles) -> Doubles:
        return ops.to_f16(probs) if self.arithmetic.rounds_probs(place.rows) else probs

    def split_heads(self, x: Doubles) -> Doubles:
        """(n, heads * head_dim) -> (n, heads, head_dim)."""
        return x.reshape(len(x), -1, self.hyper.head_dim)

    def cached_heads(self, kv: Doubles) -> Doubles:
        """K or V as the F16 cache holds it, one head for every query head: (m, n_head, head_dim)."""
        return ops.share_heads(self.split_heads(ops.to_f16(kv)), self.hyper.n_head)

    def _norm(self, x: Doubles, weight: Doubles) -> Doubles:
        return ops.rms_norm(x, weight, self.hyper.norm_eps)

    def _project(self, stage: str, place: Place, x: Doubles) -> Doubles:
        round_f16 = self.arithmetic.rounds_inputs(place.rows)
        fused = self.arithmetic.fused_quantiser
        return multiply(self.matrix(stage, place.layer), x, round_f16=round_f16, fused=fused)

    def _rope(self, place: Place, x: Doubles, heads: int) -> Doubles:
        split = x.reshape(len(x), heads, self.hyper.head_dim)
        return ops.rotate(split, self.angles(place), self.hyper.rope_pairs).reshape(x.shape)
