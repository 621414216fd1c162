"""Known mistakes tried on logits: is there one, in some arithmetic, that gives what was observed?

Each is tried everywhere, then at one stage of every layer.  A mistake in a single layer is left to those who
judge stages (blame/): there are too many of them to try.  Position 0, which sees nothing but itself, is
cheap: where no arithmetic gives it, the mistake acts there too, and only those that give it are tried at
later positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bitparity.fit.lockstep import Way, residuals
from bitparity.fit.observed import Observed
from bitparity.fit.options import Options
from bitparity.fit.search import Candidate
from bitparity.model.types import Model
from bitparity.noise.criterion import EXACTNESS
from bitparity.oracle.arithmetic import Arithmetic
from bitparity.oracle.definition import Definition
from bitparity.oracle.mistakes import mistakes_of
from bitparity.oracle.ops import Doubles

TRIED_ON = 2  # sequences, LENGTH positions of each, that a mistake is tried on before all that was observed
LENGTH = 2
AT_ONCE = 512  # ways whose logits are in memory together
Changed = dict[tuple[int, str], Definition]


@dataclass(frozen=True)
class Named:
    """A mistake in words, and the stages where it is made."""

    words: str
    changed: Changed


@dataclass(frozen=True)
class FoundMistake:
    """A mistake that gives what was observed.

    words       a clause with the engine as its subject
    arithmetic  in which the engine computes otherwise
    candidate   its residuals
    at          stages at which it is made, in every layer that has them
    """

    words: str
    arithmetic: Arithmetic
    candidate: Candidate
    at: tuple[str, ...]


def find_mistake(
    model: Model,
    arithmetics: Sequence[Arithmetic],
    observed: Sequence[Observed],
    *,
    acts_at_once: bool,
) -> FoundMistake | None:
    """The mistake that gives most positions exactly; None when none gives any that attends to others.

    arithmetics   in which to try each
    acts_at_once  whether it must act at position 0, for no arithmetic gives that
    """
    plain = Definition.of(model)
    tried = [o.shortened(LENGTH) for o in observed if o.rows == 1][:TRIED_ON] or list(observed[:TRIED_ON])
    different = dict.fromkeys(map(Options(model, plain).canonical, arithmetics))
    definitions = [Definition(model.hyper, plain.weights, arithmetic) for arithmetic in different]
    levels = [(d, level) for d in definitions for level in enumerate(_levels(d, LENGTH))]
    for definition, (_, level) in sorted(levels, key=lambda pair: pair[1][0]):
        for some in _some(level):
            if acts_at_once:
                some = _giving_first(definition, some, tried)
            found = _best(definition, some, tried, observed) if some else None
            if found is not None:
                return found
    return None


def _giving_first(definition: Definition, named: Sequence[Named], tried: Sequence[Observed]) -> list[Named]:
    """Those that give position 0 of a sequence."""
    rows = _residuals(definition, named, [o.shortened(1) for o in tried])
    return [one for one, row in zip(named, rows, strict=True) if (row <= EXACTNESS).any()]


def _best(
    definition: Definition, named: Sequence[Named], tried: Sequence[Observed], observed: Sequence[Observed]
) -> FoundMistake | None:
    """The one that gives most of what it is tried on, if it gives as much of all that was observed."""
    rows = _residuals(definition, named, tried)
    later = np.concatenate([np.arange(len(o.tokens)) > 0 for o in tried])
    exact = (rows[:, later] <= EXACTNESS).sum(axis=1) if later.any() else (rows <= EXACTNESS).sum(axis=1)
    if not exact.any():
        return None
    return _found(definition, named[int(np.argmax(exact))], observed)


def made_everywhere(
    model: Model, arithmetic: Arithmetic, wrong: Sequence[tuple[str, str]], observed: Sequence[Observed]
) -> FoundMistake | None:
    """Mistakes that are known by stage and words, all at once and in every layer; None for none."""
    definition = Definition.of(model, Options(model, Definition.of(model)).canonical(arithmetic))
    longest = max(len(o.tokens) for o in observed)
    changed = {
        place: mistaken
        for words, place, mistaken in single_mistakes(definition, longest, _all_stages(definition))
        if (place[1], words) in wrong
    }
    made = {words: None for _, words in wrong}
    return _found(definition, Named(" and ".join(made), changed), observed) if changed else None


def _found(definition: Definition, named: Named, observed: Sequence[Observed]) -> FoundMistake:
    candidate = Candidate(definition.arithmetic, _residuals(definition, [named], observed)[0])
    at = tuple(dict.fromkeys(stage for _, stage in named.changed))
    return FoundMistake(named.words, definition.arithmetic, candidate, at)


def _residuals(definition: Definition, named: Sequence[Named], observed: Sequence[Observed]) -> Doubles:
    ways = [Way(definition, one.changed) for one in named]
    return np.concatenate([residuals(ways, o) for o in observed], axis=1)


def _some(level: Sequence[Named]) -> Iterator[Sequence[Named]]:
    for start in range(0, len(level), AT_ONCE):
        yield level[start : start + AT_ONCE]


def _levels(definition: Definition, length: int) -> list[list[Named]]:
    """Mistakes made everywhere, and in all layers of one stage."""
    single = list(single_mistakes(definition, length, _all_stages(definition)))
    everywhere: dict[str, Changed] = {}
    in_stage: dict[tuple[str, str], Changed] = {}
    for words, place, changed in single:
        everywhere.setdefault(words, {})[place] = changed
        in_stage.setdefault((words, place[1]), {})[place] = changed
    of_stages = [
        Named(f"{words}, at {stage}", changed)
        for (words, stage), changed in in_stage.items()
        if changed.keys() != everywhere[words].keys()
    ]
    return [[Named(words, changed) for words, changed in everywhere.items()], of_stages]


def single_mistakes(
    definition: Definition, length: int, stages: Sequence[tuple[int, str]]
) -> Iterator[tuple[str, tuple[int, str], Definition]]:
    """Every mistake at each of these (layer, stage), in words and as what computes it; a rounding is none.

    length  positions that are run
    """
    for layer, name in stages:
        inputs = {need: np.empty((length, 1)) for need in definition.stages[name].inputs}
        for mistake in mistakes_of(definition, name, inputs):
            if not mistake.is_rounding:
                yield mistake.words, (layer, name), mistake.in_a_run


def _all_stages(definition: Definition) -> list[tuple[int, str]]:
    block = {stage.name for stage in definition.hyper.architecture.block}
    layers = range(definition.hyper.n_layer)
    return [(layer, name) for name in definition.stages for layer in (layers if name in block else (-1,))]
