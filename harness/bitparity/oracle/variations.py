"""Definitions with one thing changed: what mistakes.py lists and the fault catalogue plants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np

from bitparity.architectures.graph import GraphStage
from bitparity.oracle import ops
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.ops import Doubles
from bitparity.oracle.weights import multiply


class Variation(Definition):
    """A definition with one thing changed; `change` is its parameter."""

    change: Any = None

    @classmethod
    def like(cls, definition: Definition, change: Any = None) -> Self:
        twin = cls(definition.hyper, definition.weights, definition.arithmetic)
        twin.change = change
        return twin


def with_hyper(definition: Definition, **changes: Any) -> Definition:
    """The same definition with other hyperparameters."""
    return Definition(replace(definition.hyper, **changes), definition.weights, definition.arithmetic)


def with_arithmetic(definition: Definition, **changes: str) -> Definition:
    """The same definition with other options at some axes of its arithmetic."""
    return Definition(definition.hyper, definition.weights, definition.arithmetic.having(**changes))


class NormWithoutWeight(Variation):
    def norm_weight(self, stage: GraphStage, place: Place) -> Doubles:
        return np.ones_like(super().norm_weight(stage, place))


class NormLeftOut(Variation):
    def norm(self, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
        return x


class NormWithMean(Variation):
    def norm(self, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
        parts = x.reshape(len(x), -1, len(self.norm_weight(stage, place)))
        return super().norm(stage, place, (parts - np.mean(parts, axis=-1, keepdims=True)).reshape(x.shape))


class ShiftedPositions(Variation):
    """change  what is added to a position before RoPE."""

    def angles(self, place: Place) -> Doubles:
        return super().angles(replace(place, positions=np.maximum(place.positions + self.change, 0)))


class RopeLeftOut(Variation):
    def angles(self, place: Place) -> Doubles:
        return np.zeros_like(super().angles(place))


class RopeWithoutFactors(Variation):
    def angles(self, place: Place) -> Doubles:
        hyper = self.hyper
        return ops.rope_angles_by_recurrence(place.positions, hyper.rope_dim, hyper.rope_base, None)


class HeadsInterleaved(Variation):
    """Query head h reads KV head h mod n_head_kv instead of h // (n_head / n_head_kv)."""

    def cached_heads(self, kv: Doubles) -> Doubles:
        heads = self.cached(kv)
        return np.tile(heads, (1, self.hyper.n_head // heads.shape[1], 1))


class HeadsShifted(Variation):
    """Query heads read the KV head that is `change` further on."""

    def cached_heads(self, kv: Doubles) -> Doubles:
        shifted = np.roll(self.cached(kv), -self.change, axis=1)
        return ops.share_heads(shifted, self.hyper.n_head)


class FirstKvHeadForAll(Variation):
    def cached_heads(self, kv: Doubles) -> Doubles:
        return np.repeat(self.cached(kv)[:, :1], self.hyper.n_head, axis=1)


class ScoresNotScaled(Variation):
    def softmax(self, stage: GraphStage, place: Place, q: Doubles, keys: Doubles) -> Doubles:
        return super().softmax(stage, place, q * np.sqrt(self.hyper.head_dim), keys)


class SeesLaterPositions(Variation):
    def softmax(self, stage: GraphStage, place: Place, q: Doubles, keys: Doubles) -> Doubles:
        seen = replace(place, positions=np.full_like(place.positions, len(keys) - 1))
        return super().softmax(stage, seen, q, keys)


class StaleRow(Variation):
    """The K and V rows of one position were never written: they hold another position's, or zeros.

    change  (row, what it holds), -1 for zeros
    """

    def softmax(self, stage: GraphStage, place: Place, q: Doubles, keys: Doubles) -> Doubles:
        return super().softmax(stage, place, q, self._stale(keys))

    def context(self, stage: GraphStage, place: Place, probs: Doubles, values: Doubles) -> Doubles:
        return super().context(stage, place, probs, self._stale(values))

    def _stale(self, cache: Doubles) -> Doubles:
        row, holds = self.change
        if not row < len(cache):
            return cache
        stale = cache.copy()
        stale[row] = 0 if holds < 0 else cache[holds]
        return stale


class OtherMatrix(Variation):
    """change  the matrix that is multiplied with instead."""

    def project(self, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
        return multiply(self.change, x, self.arithmetic, place.rows)


class WithoutUp(Variation):
    def gate(self, stage: GraphStage, place: Place, gate: Doubles, up: Doubles) -> Doubles:
        return super().gate(stage, place, gate, np.ones_like(up))


class GateAndUpSwapped(Variation):
    def gate(self, stage: GraphStage, place: Place, gate: Doubles, up: Doubles) -> Doubles:
        return super().gate(stage, place, up, gate)


class PlainRelu(Variation):
    def gate(self, stage: GraphStage, place: Place, gate: Doubles, up: Doubles) -> Doubles:
        return np.maximum(gate, 0) * up


class OneAddend(Variation):
    """change  which addend of a residual sum is kept: 0 is the branch, 1 the residual stream."""

    def add(self, stage: GraphStage, place: Place, branch: Doubles, stream: Doubles) -> Doubles:
        return (branch, stream)[self.change]


class EmbeddingTransposed(Variation):
    """The bytes of the (n_vocab, n_embd) embedding read as if they were (n_embd, n_vocab)."""

    def rows(self, stage: GraphStage, place: Place, tokens: list[int]) -> Doubles:
        return self._misread()[tokens]

    def project(self, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
        if stage.weight != "head":
            return super().project(stage, place, x)
        return x @ self._misread().T

    def _misread(self) -> Doubles:
        table = self.weights.embedding
        values = table.select(list(range(table.rows)))
        return values.reshape(self.hyper.n_embd, self.hyper.n_vocab).T


class OtherToken(Variation):
    """change  what is added to a token id before its row is read."""

    def rows(self, stage: GraphStage, place: Place, tokens: list[int]) -> Doubles:
        return super().rows(stage, place, [(t + self.change) % self.hyper.n_vocab for t in tokens])
