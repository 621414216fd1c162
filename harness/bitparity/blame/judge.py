"""Local errors: the oracle's version of each stage, on the inputs that the engine itself recorded.

It needs only a trace, so it works for any engine.  An error that a stage inherits from earlier ones is in its
inputs too, and cancels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bitparity.blame.batches import Batches
from bitparity.blame.bounds import U, allowed_error
from bitparity.blame.inputs import MissingInput, RecordedInputs, StageInputs, propagated_error
from bitparity.compare.metrics import relative
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.ops import Doubles
from bitparity.stages import STAGE_NAMES, StageFilter
from bitparity.trace import TraceValues

POSITIONS_AT_ONCE = 64  # judged together; attn_probs has positions x heads x positions values
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class LocalError:
    """One stage of one layer at one position, judged.

    error         |actual - expected| / |expected|, Euclidean over the stage's elements
    bound         the same of the largest error that is allowed
    excess        largest |error| / allowed of any element; over 1, or NaN, is guilty
    max_abs       largest |actual - expected|
    rows          positions that the engine computed together
    """

    layer: int
    stage: str
    position: int
    error: float
    bound: float
    excess: float
    max_abs: float
    rows: int

    @property
    def is_guilty(self) -> bool:
        return not self.excess <= 1

    @property
    def rank(self) -> float:
        """The excess, with NaN as the worst."""
        return self.excess if self.excess == self.excess else np.inf

    @property
    def beyond(self) -> float:
        """How many times the bound the error is, all elements together, with NaN as the worst."""
        ratio = self.error / max(self.bound, U)
        return ratio if ratio == ratio else np.inf


@dataclass(frozen=True)
class NotJudged:
    """A stage that was recorded but cannot be judged, and why."""

    layer: int
    stage: str
    positions: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """A stage evaluated: what the oracle gives and what the engine recorded, (n, axes of the stage) each."""

    place: Place
    inputs: StageInputs
    expected: Doubles
    actual: Doubles


class Judge:
    """Judges the stages of one trace by one definition.

    tokens  of the sequence from position 0; embeddings are judged only where they are known
    """

    def __init__(self, definition: Definition, trace: TraceValues, tokens: Sequence[int] = ()) -> None:
        self.definition = definition
        self._trace = trace
        self._batches = Batches(trace)
        self._inputs = RecordedInputs(definition, trace, self._batches, tokens)

    def judge(self, stages: StageFilter | None = None) -> Iterator[LocalError | NotJudged]:
        """Judge every recorded stage that matches, in graph order, position by position."""
        for layer, stage in self._trace.stages():
            if stage in STAGE_NAMES and (stages is None or stages.matches(layer, stage)):
                yield from self.judge_stage(layer, stage)

    def judge_stage(self, layer: int, stage: str) -> Iterator[LocalError | NotJudged]:
        if stage not in self.definition.stages:
            reason = f"the architecture {self.definition.hyper.arch} has no {stage}"
            yield NotJudged(layer, stage, tuple(self._recorded(layer, stage)), reason)
            return
        for place in self._places(layer, stage):
            try:
                found = self.evaluate(stage, place)
            except MissingInput as missing:
                yield NotJudged(layer, stage, tuple(int(p) for p in place.positions), str(missing))
                continue
            yield from self._judge(stage, found)

    def evaluate(self, stage: str, place: Place) -> Evaluation:
        """The oracle's and the engine's output of a stage.  Raises MissingInput."""
        inputs = self._inputs.of(stage, place)
        actual = self.recorded(place, stage)
        assert actual is not None, "only recorded stages are evaluated"
        try:
            expected = self.definition.compute(stage, place, inputs.values)
        except ValueError:
            raise MissingInput("its inputs do not have the shapes that are defined") from None
        return Evaluation(place, inputs, expected, actual)

    def evaluate_at(self, layer: int, stage: str, position: int) -> Evaluation:
        """The same of one recorded position."""
        (place,) = self._batches.places(layer, stage, [position])
        return self.evaluate(stage, place)

    def recorded(self, place: Place, stage: str) -> Doubles | None:
        """What the engine recorded of a stage at a place, or None."""
        return self._inputs.recorded(place.layer, stage, [int(p) for p in place.positions])

    def allowed(self, definition: Definition, stage: str, found: Evaluation) -> Doubles:
        """Largest error of every element that rounding explains."""
        inputs = found.inputs
        allowed = allowed_error(definition, stage, found.place, inputs.values, found.expected)
        return allowed + propagated_error(definition, stage, found.place, inputs, found.expected)

    def _judge(self, stage: str, found: Evaluation) -> Iterator[LocalError | NotJudged]:
        finite = _finite_rows(found)
        infected = [int(p) for p, ok in zip(found.place.positions, finite, strict=True) if not ok]
        if infected:
            reason = "its inputs are not finite, or its output is beyond float32"
            yield NotJudged(found.place.layer, stage, tuple(infected), reason)
        errors = self._errors(self.definition, stage, found)
        for other in self._other_readings(stage, found, errors):
            errors = [min(pair, key=lambda e: e.rank) for pair in zip(errors, other, strict=True)]
        yield from (error for error, ok in zip(errors, finite, strict=True) if ok)

    def _other_readings(
        self, stage: str, found: Evaluation, errors: list[LocalError]
    ) -> Iterator[list[LocalError]]:
        """The errors again, by other definitions that are as right, if some row is guilty by this one."""
        if not any(error.is_guilty for error in errors):
            return
        for definition in self._other_definitions(stage, found):
            inputs = self._inputs.read_by(definition).of(stage, found.place)
            expected = definition.compute(stage, found.place, inputs.values)
            yield self._errors(definition, stage, replace(found, inputs=inputs, expected=expected))

    def _other_definitions(self, stage: str, found: Evaluation) -> list[Definition]:
        """Other readings of the stage and of what its inputs were derived by, in every combination."""
        readings = {self.definition.arithmetic: self.definition}
        for name, place in (*found.inputs.computed, (stage, found.place)):
            for definition in list(readings.values()):
                readings |= {other.arithmetic: other for other in definition.other_readings(name, place)}
        return list(readings.values())[1:]

    def _errors(self, definition: Definition, stage: str, found: Evaluation) -> list[LocalError]:
        allowed = self.allowed(definition, stage, found)
        return [_local_error(stage, found, allowed, row) for row in range(len(found.expected))]

    def _places(self, layer: int, stage: str) -> Iterator[Place]:
        """Where the stage was recorded, in runs that round alike and are not too long."""
        for place in self._batches.places(layer, stage, self._recorded(layer, stage)):
            for start in range(0, len(place.positions), POSITIONS_AT_ONCE):
                yield replace(place, positions=place.positions[start : start + POSITIONS_AT_ONCE])

    def _recorded(self, layer: int, stage: str) -> list[int]:
        return [p for p in self._trace.positions() if self._trace.has_value(layer, stage, p)]


def _finite_rows(found: Evaluation) -> NDArray[np.bool_]:
    """Which rows have an output that, by the definition, is a float32 number."""
    rows = found.expected.reshape(len(found.expected), -1)
    return np.asarray((np.abs(rows) <= LARGEST).all(axis=1))


def _local_error(stage: str, found: Evaluation, allowed: Doubles, row: int) -> LocalError:
    expected, actual = found.expected[row], found.actual[row]
    place = found.place
    at = (place.layer, stage, int(place.positions[row]))
    if actual.shape != expected.shape:
        return LocalError(*at, np.inf, np.nan, np.inf, np.inf, place.rows)
    with np.errstate(invalid="ignore"):
        difference = np.abs(actual - expected)
    size = float(np.linalg.norm(expected))
    return LocalError(
        *at,
        error=relative(float(np.linalg.norm(difference)), size),
        bound=relative(float(np.linalg.norm(allowed[row])), size),
        excess=_excess(difference, allowed[row]),
        max_abs=float(np.max(difference)),
        rows=place.rows,
    )


def _excess(difference: Doubles, allowed: Doubles) -> float:
    """Largest difference / allowed; equal is 0 even where nothing is allowed, NaN stays NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(difference == 0, 0.0, difference / allowed)
    return float(np.max(ratio))
