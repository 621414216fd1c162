"""The inputs of a stage, out of a trace: as recorded, or derived where an engine does not record a stage.

A derived input is what the oracle gives from the stages before; the engine's own may differ from it by that
stage's bound.  The effect of such a difference on the judged stage, int8 flips included, is tried out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bitparity.architectures.graph import CACHES
from bitparity.blame.batches import Batches
from bitparity.blame.bounds import allowed_error
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.ops import Doubles
from bitparity.stages import POSITIONS_SO_FAR, stage_named
from bitparity.trace import TraceValues

DRAWS = 4  # random errors of derived inputs that are tried, besides all up and all down
MARGIN = 2.0  # times the largest change that was seen, because the engine's own errors may cause a larger one


class MissingInput(Exception):
    """An input of a stage was not recorded and cannot be derived; says which."""


@dataclass(frozen=True)
class StageInputs:
    """values   as Definition.compute takes them
    derived  how far each derived input may be from the engine's own, in its shape
    computed every stage that was computed to derive them, and where
    """

    values: dict[str, Any]
    derived: dict[str, Doubles] = field(default_factory=dict)
    computed: list[tuple[str, Place]] = field(default_factory=list)


class RecordedInputs:
    """Finds inputs in one trace.

    batches  of that trace
    tokens   of the sequence from position 0
    """

    def __init__(
        self, definition: Definition, trace: TraceValues, batches: Batches, tokens: Sequence[int]
    ) -> None:
        self._definition = definition
        self._trace = trace
        self._batches = batches
        self._tokens = list(tokens)

    def read_by(self, definition: Definition) -> RecordedInputs:
        """The same trace, with another definition of what has to be derived."""
        return RecordedInputs(definition, self._trace, self._batches, self._tokens)

    def of(self, stage: str, place: Place) -> StageInputs:
        """Inputs of a stage at a place.  Raises MissingInput."""
        inputs = StageInputs({})
        for need in self._definition.stages[stage].inputs:
            if need == "tokens":
                inputs.values[need] = self._tokens_at(place)
            else:
                self._find(need, place, inputs)
        return inputs

    def recorded(self, layer: int, stage: str, positions: Sequence[int]) -> Doubles | None:
        """The recorded output of a stage, (n, axes of the stage), or None."""
        if not all(self._trace.has_value(layer, stage, p) for p in positions):
            return None
        rows = [self._trace.value(layer, stage, p) for p in positions]
        if _grows(stage):
            rows = _pad(rows)
        return np.stack(rows).astype(np.float64)

    def _find(self, need: str, place: Place, inputs: StageInputs) -> None:
        """Put an input of a stage at a place among its inputs, derived if it was not recorded."""
        layer, stage, positions = place.layer, need, [int(p) for p in place.positions]
        if need == "block_input":
            layer, stage = self._block_input(layer)
        elif need in CACHES:
            stage, positions = CACHES[need], list(range(max(positions) + 1))
        found = self.recorded(layer, stage, positions)
        if found is not None:
            inputs.values[need] = found
            return
        if need == "block_input" or stage not in self._definition.stages or layer < 0:
            raise MissingInput(
                f"needs layer {layer} {stage} at position {positions[0]}, which was not recorded"
            )
        rows, errors = [], []
        for run in self._batches.places(layer, stage, positions):
            output, allowed, computed = self._derive(stage, run)
            rows += list(output)
            errors += list(allowed)
            inputs.computed.extend(computed)
        if _grows(stage):
            rows, errors = _pad(rows), _pad(errors)
        inputs.values[need], inputs.derived[need] = np.stack(rows), np.stack(errors)

    def _derive(self, stage: str, place: Place) -> tuple[Doubles, Doubles, list[tuple[str, Place]]]:
        """What a stage gives at a place, how far that may be off, and all that was computed for it."""
        inputs = self.of(stage, place)
        output = self._definition.compute(stage, place, inputs.values)
        allowed = allowed_error(self._definition, stage, place, inputs.values, output)
        rounded = output.astype(np.float32).astype(np.float64)
        error = allowed + propagated_error(self._definition, stage, place, inputs, output)
        return rounded, error, [*inputs.computed, (stage, place)]

    def _block_input(self, layer: int) -> tuple[int, str]:
        """Where the input of a block (layer -1: of the final norm) was recorded."""
        before = (self._definition.hyper.n_layer if layer < 0 else layer) - 1
        return (before, "layer_out") if before >= 0 else (-1, "embeddings")

    def _tokens_at(self, place: Place) -> list[int]:
        last = int(max(place.positions))
        if last >= len(self._tokens):
            raise MissingInput(f"the token at position {last} is not known")
        return [self._tokens[p] for p in place.positions]


def propagated_error(
    definition: Definition, stage: str, place: Place, inputs: StageInputs, output: Doubles
) -> Doubles:
    """How far derived inputs can move each row of a stage's output; zeros when none is derived."""
    largest = np.zeros((len(output),) + (1,) * (output.ndim - 1))
    if not inputs.derived:
        return largest
    for signs in _signs(inputs.derived):
        moved = {need: inputs.values[need] + signs[need] * error for need, error in inputs.derived.items()}
        change = np.abs(definition.compute(stage, place, inputs.values | moved) - output)
        largest = np.maximum(largest, change.max(axis=tuple(range(1, change.ndim)), keepdims=True))
    return MARGIN * largest


def _signs(errors: dict[str, Doubles]) -> Iterator[dict[str, Any]]:
    """Signs of errors to try: all up, all down, and DRAWS at random.

    Rounding to F16 or int8 turns a small error into a large one, but only next to a tie.  Few elements are
    next to one, and random signs miss half of them; each of them falls the other way either up or down.
    """
    yield dict.fromkeys(errors, 1.0)
    yield dict.fromkeys(errors, -1.0)
    rng = np.random.default_rng(0)
    for _ in range(DRAWS):
        yield {need: rng.choice((-1.0, 1.0), error.shape) for need, error in errors.items()}


def _grows(stage: str) -> bool:
    """Whether the rows of a stage are as long as the sequence is at their position."""
    return POSITIONS_SO_FAR in stage_named(stage).axes


def _pad(rows: list[Any]) -> list[Any]:
    """Softmax rows of unequal length, filled up with zeros for positions that were not seen."""
    width = max(row.shape[-1] for row in rows)
    return [np.pad(row, ((0, 0), (0, width - row.shape[-1]))) for row in rows]
