"""The arithmetic of an engine that states none, found in its stages: no other arithmetic is guilt.

A stage alone decides the axes that change it, because its inputs are the engine's own.  So each stage that is
guilty by the arithmetic that is taken for granted is tried with every combination of its axes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from bitparity.architectures.graph import Kind
from bitparity.blame.judge import Judge, LocalError
from bitparity.model.types import Model
from bitparity.oracle import ops
from bitparity.oracle.arithmetic import AXES, PLAIN, Arithmetic
from bitparity.oracle.definition import Definition
from bitparity.oracle.weights import OracleWeights, Ternary
from bitparity.stages import StageFilter
from bitparity.trace import TraceValues

# Axes that change a kind of stage.  The type of the cache is told by K and by V.
_AXES_OF: dict[Kind, tuple[str, ...]] = {
    "rows": ("embeddings",),
    "softmax": ("kv", "q"),
    "context": ("kv", "probs"),
    "product": ("gelu",),
}
_OF_TERNARY = ("activations", "largest", "rounding")
_OF_DENSE: dict[str, tuple[str, ...]] = {"F32": (), "F16": ("f16_inputs",), "BF16": ("bf16_inputs",)}
_OPTIONS = {axis.name: axis.options for axis in AXES}
# Relative L2 of a product beyond which no codes are the cause.  Codes cut off are off by 1/127 of the
# largest of n activations at most, so a product is off by sqrt(n / 3) / 127 where one outlier is all that
# counts: 0.8 at 32,768 columns.
BEYOND_CODES = 1.0


def find_arithmetic(model: Model, trace: TraceValues, start: Arithmetic, tokens: Sequence[int]) -> Arithmetic:
    """The arithmetic nearest to `start` by which the stages of a trace are sound, as far as there is one.

    Sums may be in float32 wherever the engine likes: ggml's integers are not asked for.
    """
    search = _Search(model, trace, tokens)
    found = replace(start, generation=PLAIN.generation, order="", compiler="")
    if search.guilty(found):
        found = found.having(stages=search.type_of_outputs())
        for stage in search.near(search.guilty(found), found):
            found = search.improved(found, stage)
    for stage in search.near(search.guilty_later(found), found):  # a tie may come in a later layer only
        other = search.improved(found, stage)
        if not search.guilty(other):
            found = other
    return found


class _Search:
    """The stages of the first layer that was recorded, and those outside the blocks."""

    def __init__(self, model: Model, trace: TraceValues, tokens: Sequence[int]) -> None:
        self._hyper, self._weights = model.hyper, OracleWeights(model, keep_layers=1)
        self._trace, self._tokens = trace, tokens
        first = min((layer for layer, _ in trace.stages() if layer >= 0), default=0)
        stages = StageFilter.parse(f"{first}:*,-1:*")
        known = self._hyper.architecture.by_name
        recorded = [pair for pair in trace.stages() if pair[1] in known]
        self._pairs = [pair for pair in recorded if stages.matches(*pair)]
        self._later = [pair for pair in recorded if not stages.matches(*pair)]

    def type_of_outputs(self) -> str:
        """The coarsest type that holds all values: what an engine rounds its outputs to."""
        for option in ("bf16", "f16"):
            if all(self._are_kept_in(option, pair) for pair in self._pairs):
                return option
        return "f32"

    def _are_kept_in(self, option: str, pair: tuple[int, str]) -> bool:
        positions = [p for p in self._trace.positions() if self._trace.has_value(*pair, p)]
        values = [self._trace.value(*pair, p).astype(np.float64) for p in positions]
        return all(np.array_equal(v, ops.round_to(v, option), equal_nan=True) for v in values)

    def guilty(self, arithmetic: Arithmetic) -> list[tuple[int, str]]:
        """(layer, stage) of what is guilty by an arithmetic."""
        return self._guilty_of(self._pairs, arithmetic)

    def guilty_later(self, arithmetic: Arithmetic) -> list[tuple[int, str]]:
        """Those of later layers that an axis can change."""
        return self._guilty_of([p for p in self._later if self._axes(arithmetic, p)], arithmetic)

    def _guilty_of(self, pairs: Sequence[tuple[int, str]], arithmetic: Arithmetic) -> list[tuple[int, str]]:
        excesses = [(pair, self._excess(arithmetic, pair)) for pair in pairs]
        return [pair for pair, excess in excesses if excess is not None and not excess <= 1]

    def near(self, guilty: Sequence[tuple[int, str]], arithmetic: Arithmetic) -> list[tuple[int, str]]:
        """Those of guilty stages that are near enough for another arithmetic to give them."""
        return [
            pair
            for pair in guilty
            if self._hyper.architecture.by_name[pair[1]].kind != "projection"
            or any(e.is_guilty and e.error <= BEYOND_CODES for e in self._errors(arithmetic, pair))
        ]

    def improved(self, arithmetic: Arithmetic, pair: tuple[int, str]) -> Arithmetic:
        """The first arithmetic by which a stage is sound, with other options at its axes; else the same."""
        for candidate in self._candidates(arithmetic, pair):
            excess = self._excess(candidate, pair)
            if excess is not None and excess <= 1:
                return candidate
        return arithmetic

    def _candidates(self, arithmetic: Arithmetic, pair: tuple[int, str]) -> Iterator[Arithmetic]:
        """Those with the fewest changed axes first."""
        axes = self._axes(arithmetic, pair)
        choices = [dict(zip(axes, options, strict=True)) for options in product(*(_OPTIONS[a] for a in axes))]
        choices.sort(key=lambda chosen: sum(arithmetic.option(axis) != chosen[axis] for axis in axes))
        return (arithmetic.having(**chosen) for chosen in choices)

    def _axes(self, arithmetic: Arithmetic, pair: tuple[int, str]) -> tuple[str, ...]:
        """Axes that can change a stage."""
        layer, name = pair
        row = self._hyper.architecture.by_name[name]
        if row.kind != "projection":
            return _AXES_OF.get(row.kind, ())
        matrix = Definition(self._hyper, self._weights, arithmetic).matrix(row, layer)
        own = _OF_TERNARY if isinstance(matrix, Ternary) else _OF_DENSE.get(matrix.format, ("block_inputs",))
        return ("head", *own) if row.weight == "head" else own

    def _excess(self, arithmetic: Arithmetic, pair: tuple[int, str]) -> float | None:
        """How far a stage is beyond its bound by an arithmetic; None if it cannot be judged by it."""
        return max((error.rank for error in self._errors(arithmetic, pair)), default=None)

    def _errors(self, arithmetic: Arithmetic, pair: tuple[int, str]) -> list[LocalError]:
        """A stage by an arithmetic, at each position where it can be judged."""
        judge = Judge(Definition(self._hyper, self._weights, arithmetic), self._trace, self._tokens)
        return [e for e in judge.judge_stage(*pair) if isinstance(e, LocalError)]
