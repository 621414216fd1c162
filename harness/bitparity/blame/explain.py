"""Put a guilty stage's error into words: which known mistake gives what the engine recorded?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitparity.blame.bounds import U, allowed_error
from bitparity.blame.judge import Evaluation, Judge
from bitparity.oracle.definition import Definition
from bitparity.oracle.mistakes import Mistake, mistakes_of
from bitparity.oracle.ops import Doubles
from bitparity.stages import stage_named
from bitparity.words import factor_in_words

AT_LEAST = 4.0  # a mistake explains an error only if it leaves at most a quarter of it
LEAST_OF_FACTOR = 2.0  # a factor within what rounding allows is named if it explains half of the error
STEPS_OF_SCALE = 2.0**-22  # relative: two float32 steps
NEARLY_ALL = 0.75  # of the positions have to be explained: a few may be off by a rounding besides
CAN_BE_SKIPPED = ("norm", "rotation")  # kinds whose output has the shape of their input
FEW = 4  # elements that are listed one by one
Candidate = tuple[Mistake, dict[str, Any]]


@dataclass(frozen=True)
class Explanation:
    """words        a clause with the engine as its subject, with the evidence that there is
    is_rounding  the difference is one of arithmetic
    at           how many positions it holds at, of how many that were looked at
    """

    words: str
    is_rounding: bool = False
    at: tuple[int, int] = (0, 0)


def explain(judge: Judge, stage: str, samples: Sequence[Evaluation]) -> Explanation:
    """What an engine does at a stage instead of what is defined.

    samples  the stage at guilty positions, then in calls that these belong to
    """
    found = samples[0]
    if found.actual.shape != found.expected.shape:
        return Explanation(f"has shape {found.actual.shape[1:]} where {found.expected.shape[1:]} is defined")
    if not np.isfinite(found.actual).all():
        count = int(np.size(found.actual) - np.isfinite(found.actual).sum())
        return Explanation(f"gives {count:,} values that are not finite from inputs that are")
    if not found.actual.any():
        return Explanation("gives zeros")
    known = _known_mistake(judge, stage, samples[1:]) or _known_mistake(judge, stage, samples[:1])
    if known is not None:
        return known
    allowed = judge.allowed(judge.definition, stage, found)
    scaled = _scaled(judge, stage, found, allowed)
    return scaled or Explanation(
        _unchanged(judge.definition, stage, found) or _where(judge.definition, stage, found, allowed)
    )


def _known_mistake(judge: Judge, stage: str, samples: Sequence[Evaluation]) -> Explanation | None:
    """The mistake whose output is the recorded one, within the bound of that stage, at the most positions."""
    asked = sum(len(found.actual) for found in samples)
    explained: dict[str, int] = defaultdict(int)
    rounding: dict[str, bool] = {}
    for found in samples:
        tried = {words for words, count in explained.items() if count}
        for mistake, inputs in _candidates(judge, stage, found):
            if found is not samples[0] and mistake.words not in tried:
                continue
            explained[mistake.words] += _positions_explained(mistake.definition, stage, found, inputs)
            rounding[mistake.words] = mistake.is_rounding
    best = max(explained, key=lambda words: explained[words], default="")
    if not best or explained[best] < max(1, NEARLY_ALL * asked):
        return None
    return Explanation(best, rounding[best], (explained[best], asked))


def _candidates(judge: Judge, stage: str, found: Evaluation) -> Iterator[Candidate]:
    """Known mistakes, as another definition or as other inputs."""
    for need in found.inputs.derived:
        yield from _left_out(judge, need, found)
    for mistake in mistakes_of(judge.definition, stage, found.inputs.values):
        yield mistake, found.inputs.values


def _left_out(judge: Judge, need: str, found: Evaluation) -> Iterator[Candidate]:
    """A stage that was not recorded may not have been computed: its own input is handed on."""
    stage = judge.definition.stages.get(need)
    if stage is not None and stage.kind in CAN_BE_SKIPPED:
        (before,) = stage.inputs
        handed_on = judge.recorded(found.place, before)
        if handed_on is not None:
            mistake = Mistake(f"leaves out {need}", judge.definition, judge.definition)
            yield mistake, found.inputs.values | {need: handed_on}


def _positions_explained(
    definition: Definition, stage: str, found: Evaluation, inputs: dict[str, Any]
) -> int:
    """At how many positions a definition gives what was recorded; 0 if the sound one is nearly as near."""
    try:
        output = definition.compute(stage, found.place, inputs)
    except ValueError:  # a mistake that does not fit this model's shapes
        return 0
    if output.shape != found.actual.shape:
        return 0
    allowed = allowed_error(definition, stage, found.place, inputs, output) + U * np.abs(output)
    error = np.abs(found.actual - output).reshape(len(output), -1)
    fits = (error <= allowed.reshape(error.shape)).all(axis=1)
    before = np.abs(found.actual - found.expected).reshape(error.shape)[fits]
    is_better = np.linalg.norm(before) > AT_LEAST * np.linalg.norm(error[fits])
    return int(fits.sum()) if is_better else 0


def _scaled(judge: Judge, stage: str, found: Evaluation, allowed: Doubles) -> Explanation | None:
    """All values are one factor times what is defined: a scaled weight, a forgotten scale."""
    expected, actual = found.expected.reshape(-1), found.actual.reshape(-1)
    size = float(expected @ expected)
    if not size > 0:
        return None
    factor = float(expected @ actual) / size
    error, left = (np.linalg.norm(actual - times * expected) for times in (1.0, factor))
    if abs(factor - 1) * np.sqrt(size) <= np.linalg.norm(allowed) and not error > LEAST_OF_FACTOR * left:
        return None
    # the factor itself comes out of float32 values: it adds the relative error of one rounding
    limit = abs(factor) * allowed + 2.0**-23 * np.abs(found.actual)
    if not (np.abs(found.actual - factor * found.expected) <= limit).all():
        return None
    is_projection = judge.definition.stages[stage].kind == "projection"
    if is_projection and abs(factor - 1) <= STEPS_OF_SCALE:
        return Explanation("has a weight scale that is a step or two of float32 off", is_rounding=True)
    cause = "; a weight scale that differs does that" if is_projection else ""
    return Explanation(f"gives {factor_in_words(factor)} times what is defined{cause}")


def _unchanged(definition: Definition, stage: str, found: Evaluation) -> str | None:
    """The stage hands on one of its inputs."""
    for need in definition.stages[stage].inputs:
        given: Any = found.inputs.values[need]
        if np.shape(given) == found.actual.shape and (np.asarray(given) == found.actual).all():
            return f"hands on {need} unchanged"
    return None


def _where(definition: Definition, stage: str, found: Evaluation, allowed: Doubles) -> str:
    """No known mistake: say how many elements differ, and which heads if it is only some."""
    wrong = ~(np.abs(found.actual - found.expected) <= allowed)
    share = f"matches no known mistake; {int(wrong.sum()):,} of {wrong.size:,} values differ"
    derived = ", ".join(found.inputs.derived)
    if derived:
        share += f" (in it or in {derived}, which is not recorded)"
    only = _only(definition, stage, wrong)
    return f"{share}, only {only}" if only else share


def _only(definition: Definition, stage: str, wrong: NDArray[np.bool_]) -> str:
    """The few elements, or the heads, that are wrong when the others are right; else empty."""
    kind = definition.stages[stage].kind
    if kind == "softmax":
        return _named("head", wrong.any(axis=(0, 2)))
    elements = np.asarray(wrong.any(axis=0))
    if elements.sum() <= FEW:
        return _named("element", elements)
    has_heads = "head_dim" in stage_named(stage).axes[0]
    if has_heads and kind in ("projection", "rotation", "context"):
        return _named("head", elements.reshape(-1, definition.hyper.head_dim).any(axis=1))
    return ""


def _named(what: str, wrong: ArrayLike) -> str:
    return "" if np.all(wrong) else f"{what} {', '.join(str(i) for i in np.flatnonzero(wrong))}"
