"""Put a guilty stage's error into words: which known mistake gives what the engine recorded?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitparity.blame.bounds import allowed_error
from bitparity.blame.judge import Evaluation, Judge
from bitparity.oracle.definition import Definition
from bitparity.oracle.mistakes import mistakes_of
from bitparity.oracle.ops import Doubles
from bitparity.stages import stage_named

AT_LEAST = 4.0  # a mistake explains an error only if it leaves at most a quarter of it
CAN_BE_SKIPPED = ("norm", "rotation")  # kinds whose output has the shape of their input
FEW = 4  # elements that are listed one by one
Candidate = tuple[str, Definition, dict[str, Any]]


def explain(judge: Judge, stage: str, found: Evaluation) -> str:
    """A clause with the engine as its subject, with the evidence that there is.

    found  the stage at the guilty positions
    """
    if found.actual.shape != found.expected.shape:
        return f"has shape {found.actual.shape[1:]} where {found.expected.shape[1:]} is defined"
    if not np.isfinite(found.actual).all():
        count = int(np.size(found.actual) - np.isfinite(found.actual).sum())
        return f"gives {count:,} values that are not finite from inputs that are"
    if not found.actual.any():
        return "gives zeros"
    allowed = judge.allowed(judge.definition, stage, found)
    return (
        _known_mistake(judge, stage, found)
        or _scaled(judge, stage, found, allowed)
        or _unchanged(judge.definition, stage, found)
        or _where(judge.definition, stage, found, allowed)
    )


def _known_mistake(judge: Judge, stage: str, found: Evaluation) -> str | None:
    """The first mistake whose output is the recorded one, within the bound of that stage."""
    for words, definition, inputs in _candidates(judge, stage, found):
        try:
            output = definition.compute(stage, found.place, inputs)
        except ValueError:  # a mistake that does not fit this model's shapes
            continue
        if output.shape == found.actual.shape and _fits(definition, stage, found, inputs, output):
            return words
    return None


def _candidates(judge: Judge, stage: str, found: Evaluation) -> Iterator[Candidate]:
    """Known mistakes, as another definition or as other inputs."""
    for need in found.inputs.derived:
        yield from _left_out(judge, need, found)
    for mistake in mistakes_of(judge.definition, stage, found.place, found.inputs.values):
        yield mistake.words, mistake.definition, found.inputs.values


def _left_out(judge: Judge, need: str, found: Evaluation) -> Iterator[Candidate]:
    """A stage that was not recorded may not have been computed: its own input is handed on."""
    stage = judge.definition.stages.get(need)
    if stage is not None and stage.kind in CAN_BE_SKIPPED:
        (before,) = stage.inputs
        handed_on = judge.recorded(found.place, before)
        if handed_on is not None:
            yield f"leaves out {need}", judge.definition, found.inputs.values | {need: handed_on}


def _fits(
    definition: Definition, stage: str, found: Evaluation, inputs: dict[str, Any], output: Doubles
) -> bool:
    """Whether an output explains what was recorded, and does so much better than the definition."""
    allowed = allowed_error(definition, stage, found.place, inputs, output)
    error = np.abs(found.actual - output)
    better = np.linalg.norm(found.actual - found.expected) > AT_LEAST * np.linalg.norm(error)
    return bool(better and (error <= allowed).all())


def _scaled(judge: Judge, stage: str, found: Evaluation, allowed: Doubles) -> str | None:
    """All values are one factor times what is defined: a scaled weight, a forgotten scale."""
    expected, actual = found.expected.reshape(-1), found.actual.reshape(-1)
    size = float(expected @ expected)
    if not size > 0:
        return None
    factor = float(expected @ actual) / size
    # the factor itself comes out of float32 values: it adds the relative error of one rounding
    limit = abs(factor) * allowed + 2.0**-23 * np.abs(found.actual)
    if not (np.abs(found.actual - factor * found.expected) <= limit).all():
        return None
    is_projection = judge.definition.stages[stage].kind == "projection"
    cause = "; a weight scale that differs does that" if is_projection else ""
    return f"gives {factor:.6g} times what is defined{cause}"


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
