"""A sound engine that nobody here wrote the arithmetic of: NumPy in float32, its sums in another order.

It differs from the oracle as a stranger's engine does: every stage is off by float32 roundings, so that now
and then an activation falls to the other side of a tie.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from bitparity.architectures.graph import GraphStage
from bitparity.oracle import ops
from bitparity.oracle.arithmetic import PLAIN, Arithmetic
from bitparity.oracle.composed import Composed
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.engine import OracleEngine, OracleSession
from bitparity.oracle.mistakes import mistakes_of
from bitparity.oracle.ops import Doubles


class Float32(Definition):
    """Norms, attention and activation in float32, summed in lanes of eight."""

    def norm(self, stage: GraphStage, place: Place, x: Doubles) -> Doubles:
        weight = self.norm_weight(stage, place).astype(np.float32)
        parts = x.astype(np.float32).reshape(len(x), -1, len(weight))
        lanes = (parts * parts).reshape(*parts.shape[:-1], -1, 8).sum(axis=-2, dtype=np.float32)
        mean = lanes.sum(axis=-1, dtype=np.float32)[..., np.newaxis] / np.float32(len(weight))
        scale = np.float32(1) / np.sqrt(mean + np.float32(self.hyper.norm_eps))
        out: Doubles = (parts * scale * weight).astype(np.float64)
        return out.reshape(x.shape)

    def softmax(self, stage: GraphStage, place: Place, q: Doubles, keys: Doubles) -> Doubles:
        heads = self.split_heads(self.round_q(place, q)).astype(np.float32)
        scores = np.einsum("nhd,mhd->nhm", heads, self.cached_heads(keys).astype(np.float32))
        return ops.causal_softmax((scores / np.float32(np.sqrt(heads.shape[-1]))), place.positions)

    def context(self, stage: GraphStage, place: Place, probs: Doubles, values: Doubles) -> Doubles:
        rounded = self.round_probs(place, probs).astype(np.float32)
        out = np.einsum("nhm,mhd->nhd", rounded, self.cached_heads(values).astype(np.float32))
        merged: Doubles = out.astype(np.float64)
        return merged.reshape(len(probs), -1)


class Float32Engine(OracleEngine):
    """It states no arithmetic.

    change  makes another definition of its own, for mistakes
    """

    name = "my-engine"
    role = "candidate"

    def __init__(
        self, arithmetic: Arithmetic = PLAIN, change: Callable[[Definition], Definition] | None = None
    ) -> None:
        def make(model: Any, own: Arithmetic) -> Definition:
            definition = Float32.of(model, own)
            return change(definition) if change else definition

        super().__init__(arithmetic, make)

    def open(self, *arguments: Any, **options: Any) -> OracleSession:
        session = super().open(*arguments, **options)
        stated = session.info.fingerprint
        session._info = replace(session.info, fingerprint=replace(stated, engine=self.name, details={}))
        return session


class Untapped:
    """An engine of which nothing but logits can be had."""

    def __init__(self, engine: OracleEngine) -> None:
        self._engine, self.name, self.role = engine, engine.name, engine.role

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def open(self, *arguments: Any, **options: Any) -> Any:
        session: Any = self._engine.open(*arguments, **options)
        session.tap = lambda stages, sink: nullcontext()
        return session


def with_mistake(words: str, *at: tuple[int, str]) -> Callable[[Definition], Definition]:
    """A definition that makes the mistake with these words at these stages, or wherever it can be made."""

    def change(sound: Definition) -> Definition:
        changed: dict[tuple[int, str], Definition] = {}
        block = {stage.name for stage in sound.hyper.architecture.block}
        for name, stage in sound.stages.items():
            inputs = {need: np.empty((4, 1)) for need in stage.inputs}
            made = [m.in_a_run for m in mistakes_of(sound, name, inputs) if m.words == words]
            layers = range(sound.hyper.n_layer) if name in block else (-1,)
            changed |= {(layer, name): made[0] for layer in layers if made}
        assert changed, f"no stage can make the mistake {words!r}"
        return Composed.make(sound, {place: changed[place] for place in (at or changed)})

    return change
