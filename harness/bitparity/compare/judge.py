"""Local errors: the oracle's version of each stage, on the inputs that the engine itself recorded.

It needs only a trace, so it works for any engine.  An error that a stage inherits from earlier ones is in its
inputs too, and cancels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np

from bitparity.compare.bounds import allowed_error
from bitparity.oracle.definition import Definition, Place, needs_of, stages_of
from bitparity.oracle.ops import Doubles
from bitparity.stages import STAGE_NAMES, StageFilter
from bitparity.trace import TraceValues

POSITIONS_AT_ONCE = 64  # judged together; attn_probs has positions x heads x positions values


@dataclass(frozen=True)
class LocalError:
    """One stage of one layer at one position, judged.

    error         |actual - expected| / |expected|, Euclidean over the stage's elements
    bound         the same of the largest error that is allowed, for orientation
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
    inputs: dict[str, Any]
    expected: Doubles
    actual: Doubles


class MissingInput(Exception):
    """An input of a stage was not recorded; says which."""


class Judge:
    """Judges the stages of one trace by one definition.

    tokens  of the sequence from position 0; embeddings are judged only where they are known
    """

    def __init__(self, definition: Definition, trace: TraceValues, tokens: Sequence[int] = ()) -> None:
        self.definition = definition
        self.trace = trace
        self._tokens = list(tokens)
        self._has = stages_of(definition.hyper)

    def judge(self, stages: StageFilter | None = None) -> Iterator[LocalError | NotJudged]:
        """Judge every recorded stage that matches, in graph order, position by position."""
        for layer, stage in self.trace.stages():
            if stage in STAGE_NAMES and (stages is None or stages.matches(layer, stage)):
                yield from self.judge_stage(layer, stage)

    def judge_stage(self, layer: int, stage: str) -> Iterator[LocalError | NotJudged]:
        if stage not in self._has:
            reason = f"the architecture {self.definition.hyper.arch} has no {stage}"
            yield NotJudged(layer, stage, tuple(self._recorded(layer, stage)), reason)
            return
        for positions, rows in self._batches(layer, stage):
            try:
                found = self.evaluate(layer, stage, positions, rows)
            except MissingInput as missing:
                yield NotJudged(layer, stage, tuple(positions), str(missing))
                continue
            yield from self._judge(stage, found)

    def evaluate(self, layer: int, stage: str, positions: Sequence[int], rows: int) -> Evaluation:
        """The oracle's and the engine's output of a stage.  Raises MissingInput."""
        place = Place(layer, np.asarray(positions, np.int64), rows)
        inputs = self.inputs(layer, stage, positions)
        expected = self.definition.compute(stage, place, inputs)
        return Evaluation(place, inputs, expected, self._values(layer, stage, positions))

    def inputs(self, layer: int, stage: str, positions: Sequence[int]) -> dict[str, Any]:
        """What the engine recorded of a stage's inputs.  Raises MissingInput."""
        before = range(max(positions) + 1)
        found: dict[str, Any] = {}
        for need in needs_of(stage, self.definition.hyper):
            if need == "tokens":
                found[need] = self._tokens_at(positions)
            elif need == "keys":
                found[need] = self._values(layer, "k_rope", before)
            elif need == "values":
                found[need] = self._values(layer, "v_proj", before)
            elif need == "block_input":
                found[need] = self._values(*self._block_input(layer), positions)
            else:
                found[need] = self._values(-1 if layer < 0 else layer, need, positions)
        return found

    def rows_at(self, layer: int, stage: str, position: int) -> int:
        return self.trace.batch_rows(layer, stage, position) or 1

    def _judge(self, stage: str, found: Evaluation) -> Iterator[LocalError | NotJudged]:
        finite = _finite_rows(found)
        infected = [int(p) for p, ok in zip(found.place.positions, finite, strict=True) if not ok]
        if infected:
            yield NotJudged(found.place.layer, stage, tuple(infected), "its inputs are not finite")
        errors = self._errors(self.definition, stage, found)
        for other in self._other_readings(stage, found, errors):
            errors = [min(pair, key=lambda e: e.rank) for pair in zip(errors, other, strict=True)]
        yield from (error for error, ok in zip(errors, finite, strict=True) if ok)

    def _other_readings(
        self, stage: str, found: Evaluation, errors: list[LocalError]
    ) -> Iterator[list[LocalError]]:
        """Errors by definitions that are as right, when by this one a row is guilty."""
        if any(error.is_guilty for error in errors):
            for definition in self.definition.other_readings(stage, found.place.layer):
                expected = definition.compute(stage, found.place, found.inputs)
                yield self._errors(definition, stage, replace(found, expected=expected))

    def _errors(self, definition: Definition, stage: str, found: Evaluation) -> list[LocalError]:
        allowed = allowed_error(definition, stage, found.place, found.inputs, found.expected)
        return [_local_error(stage, found, allowed, row) for row in range(len(found.expected))]

    def _block_input(self, layer: int) -> tuple[int, str]:
        """Where the input of a block (layer -1: of the final norm) was recorded."""
        last = self.definition.hyper.n_layer - 1
        before = last if layer < 0 else layer - 1
        return (before, "layer_out") if before >= 0 else (-1, "embeddings")

    def _batches(self, layer: int, stage: str) -> Iterator[tuple[list[int], int]]:
        """Positions with the rows of their batch, in runs that round alike."""
        with_rows = ((p, self.rows_at(layer, stage, p)) for p in self._recorded(layer, stage))
        for rows, group in groupby(with_rows, key=lambda pair: pair[1]):
            run = [position for position, _ in group]
            for start in range(0, len(run), POSITIONS_AT_ONCE):
                yield run[start : start + POSITIONS_AT_ONCE], rows

    def _recorded(self, layer: int, stage: str) -> list[int]:
        return [p for p in self.trace.positions() if self.trace.has_value(layer, stage, p)]

    def _tokens_at(self, positions: Sequence[int]) -> list[int]:
        if max(positions) >= len(self._tokens):
            raise MissingInput(f"the token at position {max(positions)} is not known")
        return [self._tokens[p] for p in positions]

    def _values(self, layer: int, stage: str, positions: Sequence[int]) -> Doubles:
        missing = [p for p in positions if not self.trace.has_value(layer, stage, p)]
        if missing:
            raise MissingInput(
                f"needs layer {layer} {stage} at position {missing[0]}, which was not recorded"
            )
        rows = [self.trace.value(layer, stage, p) for p in positions]
        if stage == "attn_probs":
            rows = _pad(rows)
        return np.stack(rows).astype(np.float64)


def _pad(rows: list[Any]) -> list[Any]:
    """Softmax rows of unequal length, filled up with zeros for positions that were not seen."""
    width = max(row.shape[-1] for row in rows)
    return [np.pad(row, ((0, 0), (0, width - row.shape[-1]))) for row in rows]


def _finite_rows(found: Evaluation) -> Any:
    """Rows whose inputs, and so the oracle's output, are finite."""
    return np.isfinite(found.expected.reshape(len(found.expected), -1)).all(axis=1)


def _local_error(stage: str, found: Evaluation, allowed: Doubles, row: int) -> LocalError:
    expected, actual = found.expected[row], found.actual[row]
    place = found.place
    at = (place.layer, stage, int(place.positions[row]))
    if actual.shape != expected.shape:
        return LocalError(*at, np.inf, np.nan, np.inf, np.inf, place.rows)
    with np.errstate(invalid="ignore"):
        difference = np.abs(actual - expected)
    size = float(np.linalg.norm(expected)) or 1.0
    return LocalError(
        *at,
        error=float(np.linalg.norm(difference)) / size,
        bound=float(np.linalg.norm(allowed[row])) / size,
        excess=_excess(difference, allowed[row]),
        max_abs=float(np.max(difference)),
        rows=place.rows,
    )


def _excess(difference: Doubles, allowed: Doubles) -> float:
    """Largest difference / allowed; equal is 0 even where nothing is allowed, NaN stays NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(difference == 0, 0.0, difference / allowed)
    return float(np.max(ratio))
