"""What an engine computes in one part of a model, by the logits that it gives there.

First every arithmetic is tried in which the definition may be computed; if none gives what was observed,
every known mistake is tried at the stages of the part.  A part has so few stages that this is exhaustive, and
what was found in other parts is known here.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from bitparity.compare.sample import sample_columns
from bitparity.engine import Floats
from bitparity.fit.lockstep import Way, of_arithmetics, relative_l2, residuals
from bitparity.fit.mistakes import Changed, Named, single_mistakes
from bitparity.fit.observed import Observed
from bitparity.fit.options import Options
from bitparity.fit.sample import with_head_rows
from bitparity.fit.search import LATER, Candidate
from bitparity.fit.ties import CUTTING
from bitparity.model.types import Model
from bitparity.noise.criterion import MULTIPLE
from bitparity.noise.perturb import MOST_RUNS, with_norms_moved
from bitparity.oracle.arithmetic import AXES, BITNET_CPP, LLAMA_CPP, PLAIN, Arithmetic
from bitparity.oracle.composed import Composed
from bitparity.oracle.decoder import Decoder
from bitparity.oracle.definition import Definition
from bitparity.oracle.ops import Doubles
from bitparity.probe.parts import Part, left_of
from bitparity.probe.reading import Known, Reading

# Relative L2 up to which a position is given.  Where the head's input is rounded to F16, a value at a tie may
# fall the other way: one of 256 moves the logits by 1.5e-5.  The alternatives of a chart are 7e-5 and more
# apart, with ternary weights a hundred times as far.
GIVEN = 5e-5
FEW = 6  # arithmetics that every mistake is tried in
ENOUGH = 0.6  # share of the positions that has to be given: a sound engine has a flip in few of them
_OF_DENSE = ("f16_inputs", "bf16_inputs", "block_inputs")
SHOWN_BY: Mapping[str, tuple[str, ...]] = {
    "ends": ("embeddings", "head", *_OF_DENSE, "stages"),
    "products": (*_OF_DENSE, "activations", "largest", "rounding", "gelu"),
    "attention": ("kv", *LATER),
}


class Reader:
    """One part of a model, and what an engine gave on it."""

    def __init__(self, part: Part, model: Model, observed: Sequence[Observed]) -> None:
        self.part, self._observed = part, observed
        columns = sample_columns(model.hyper.n_vocab)
        left = left_of(model, part)
        self._model = (
            with_head_rows(left, columns) if part.live else left
        )  # mistakes of the head need all of it
        self._definition = Definition.of(self._model, PLAIN)
        self._columns = columns
        self.options = Options(model, Definition.of(model, PLAIN))
        self._positions = np.concatenate([np.arange(len(o.tokens)) for o in observed])
        self._alone = np.concatenate([np.full(len(o.tokens), o.rows == 1) for o in observed])

    def read(self, known: Known) -> Reading:
        """Which arithmetic of the definition gives what was observed, if any does."""
        sound = self._sound(known)
        best = sound[0]
        if self._fits(best):
            return self._sound_reading(sound, known)
        cuts_off = best.arithmetic.rounding in CUTTING and best.exact > 0
        level = [c for c in sound if not c.is_ruled_out_by(best)] if best.exact else [best]
        return Reading(
            self.part,
            False,
            tuple(c.arithmetic for c in level),
            float(np.median(best.residuals[~best.is_given])),
            best.exact,
            len(best.residuals),
            next_best=self._next_best(best, known) if cuts_off else {},
            first_wrong=self._first_wrong(best),
            only_together=self._only_together(best),
        )

    def read_wrong(self, known: Known) -> Reading | None:
        """The known mistake that gives what was observed, where the definition does not; else None."""
        best = self._sound(known)[0]
        elsewhere = {(stage, words) for _, stage, words in known.wrong}  # most are made in every layer
        found = list(self._mistaken(known, best, elsewhere)) if elsewhere else []
        found = found or list(self._mistaken(known, best))
        if not found:
            return None
        found.sort(key=lambda pair: (pair[0].rank, len(pair[1].changed)))  # one stage before several
        winner, named = found[0]
        level = [pair for pair in found if not pair[0].is_ruled_out_by(winner)]
        return Reading(
            self.part,
            True,
            tuple(dict.fromkeys(c.arithmetic for c, _ in level)),
            winner.typical,
            winner.exact,
            len(winner.residuals),
            mistake=named.words,
            at=tuple(named.changed),
            as_defined=float(np.median(best.residuals[~best.is_given])),
            others=tuple(dict.fromkeys(n.words for _, n in level if n.words != named.words)),
            first_wrong=self._first_wrong(best),
            only_together=self._only_together(best),
        )

    def read_together(self, known: Known) -> Reading:
        """As read, for many blocks: an activation that falls the other way is no fault if parts have none."""
        reading = self.read(known)
        if reading.fits:
            return reading
        return replace(reading, fits=self.leaves_rounding(reading, known), has_flips=True)

    def leaves_rounding(self, reading: Reading, known: Known) -> bool:
        """Whether the definition, in a reading's arithmetic, is no farther off than rounding carries it."""
        arithmetic = reading.arithmetics[0]
        own = self._all_logits(self._model, arithmetic, known)
        left = _farthest(own, [o.logits for o in self._observed])
        moved = (with_norms_moved(self._model, seed) for seed in range(MOST_RUNS))
        return any(
            left <= MULTIPLE * _farthest(own, self._all_logits(model, arithmetic, known)) for model in moved
        )

    def _all_logits(self, model: Model, arithmetic: Arithmetic, known: Known) -> list[Doubles]:
        definition = self._composed(model, arithmetic, known)
        return [self._logits(definition, observed) for observed in self._observed]

    def _composed(self, model: Model, arithmetic: Arithmetic, known: Known) -> Definition:
        definition = Definition.of(model, arithmetic)
        return Composed.make(definition, self._changed_of(definition, known))

    def read_truncating(self, known: Known) -> Reading | None:
        """As read_together where codes are cut off: then the largest value of every row is at a tie.

        It is 127 steps or a rounding less, so its code is 127 or 126.  None where codes are not cut off, as
        other parts tell, or positions that are free of such ties.
        """
        reading = self.read_together(known)
        is_known = set(known.possible["rounding"]) <= set(CUTTING)
        told = reading.given and reading.arithmetics[0].rounding in CUTTING
        return reading if is_known or told else None

    @property
    def axes(self) -> tuple[str, ...]:
        """Axes of arithmetic that the part shows."""
        if not self.part.live:
            return SHOWN_BY["ends"]
        return SHOWN_BY["products"] + SHOWN_BY["attention"] * self.part.has_attention

    def _fits(self, candidate: Candidate) -> bool:
        """Whether it gives enough, of single tokens and of several at once."""
        alone, given = self._alone, candidate.is_given
        return bool(np.mean(given[alone]) >= ENOUGH and np.mean(given[~alone]) >= ENOUGH)

    def _arithmetics(self, known: Known, *, later: bool) -> list[Arithmetic]:
        """Those that are not ruled out and that the part tells apart; without `later`, at position 0."""
        possible = {
            axis.name: known.possible[axis.name] if axis.name in self.axes else known.possible[axis.name][:1]
            for axis in AXES
        }
        if not later:
            possible |= {axis: possible[axis][:1] for axis in LATER}
        choices = product(*possible.values())
        made = (PLAIN.having(**dict(zip(possible, chosen, strict=True))) for chosen in choices)
        return list(dict.fromkeys(map(self.options.canonical, made)))

    def _sound(self, known: Known) -> list[Candidate]:
        """The definition in every arithmetic, what gives most positions first."""
        every = self._arithmetics(known, later=False)
        first = np.stack([self._residuals_at_0(every, o, known) for o in self._observed], axis=1)
        exact = np.sum(first <= GIVEN, axis=1)
        order = np.lexsort((np.median(first, axis=1), -exact))
        kept = (
            [every[i] for i in order if exact[i] == exact[order[0]]] if exact[order[0]] else [every[order[0]]]
        )
        if self.part.has_attention:
            kept = list(dict.fromkeys(a for start in kept for a in self._later_of(start, known)))
        return sorted(self._candidates(kept, known), key=lambda c: c.rank)

    def _candidates(self, arithmetics: Sequence[Arithmetic], known: Known) -> list[Candidate]:
        """Residuals of arithmetics at all positions, with the mistakes that are known."""
        if known.wrong:  # rows of a call may be mixed up in them
            made = (Definition(self._definition.hyper, self._definition.weights, a) for a in arithmetics)
            return [self._candidate(definition, {}, known) for definition in made]
        ways = of_arithmetics(self._definition, arithmetics)
        rows = np.concatenate([residuals(ways, o, None, self.part.layers) for o in self._observed], axis=1)
        return [Candidate(a, row, GIVEN) for a, row in zip(arithmetics, rows, strict=True)]

    def _candidate(self, definition: Definition, changed: Changed, known: Known) -> Candidate:
        composed = Composed.make(definition, {**self._changed_of(definition, known), **changed})
        left = np.concatenate([self._batched(composed, o) for o in self._observed])
        return Candidate(definition.arithmetic, left, GIVEN)

    def _batched(self, definition: Definition, observed: Observed) -> Doubles:
        """Relative L2 of what was observed, all rows of a call computed together as the engine did."""
        try:
            with np.errstate(all="ignore"):
                return relative_l2(self._logits(definition, observed), observed.logits)
        except (ValueError, IndexError):  # a mistake that does not fit this model's shapes
            return np.full(len(observed.tokens), np.inf)

    def _logits(self, definition: Definition, observed: Observed) -> Doubles:
        decoder, count = Decoder(definition, self.part.layers), len(observed.tokens)
        size = 1 if observed.rows == 1 else count
        rows = [decoder.forward(observed.tokens[first : first + size]) for first in range(0, count, size)]
        logits: Doubles = np.concatenate(rows).astype(np.float64)
        return logits if logits.shape[1] == observed.logits.shape[1] else logits[:, self._columns]

    def _later_of(self, start: Arithmetic, known: Known) -> Iterator[Arithmetic]:
        for q, probs in product(known.possible["q"], known.possible["probs"]):
            yield self.options.canonical(start.having(q=q, probs=probs))

    def _residuals_at_0(self, arithmetics: Sequence[Arithmetic], observed: Observed, known: Known) -> Doubles:
        ways = [
            Way(w.definition, self._changed_of(w.definition, known))
            for w in of_arithmetics(self._definition, arithmetics)
        ]
        out: Doubles = residuals(ways, observed, 1, self.part.layers)[:, 0]
        return out

    def _mistaken(
        self, known: Known, best: Candidate, among: Container[tuple[str, str]] | None = None
    ) -> Iterator[tuple[Candidate, Named]]:
        """Mistakes that give enough, tried on the sequence that the definition gives least of.

        among  (stage, words) of those to try; None tries all
        """
        hardest = max(self._observed, key=lambda o: (self._missed(best, o), o.rows))  # all at once is cheaper
        for arithmetic in self._tried_with_mistakes(known, best):
            definition = Definition(self._definition.hyper, self._definition.weights, arithmetic)
            before = self._changed_of(definition, known)
            for named in self._named(definition):
                if among is not None and any((stage, named.words) not in among for _, stage in named.changed):
                    continue
                tried = self._batched(Composed.make(definition, {**before, **named.changed}), hardest)
                if np.mean(tried <= GIVEN) >= ENOUGH:
                    candidate = self._candidate(definition, named.changed, known)
                    if self._fits(candidate) and best.is_ruled_out_by(candidate):
                        yield candidate, named

    def _named(self, definition: Definition) -> list[Named]:
        """Mistakes at all stages of the part that can have them, then at one."""
        everywhere: dict[str, Changed] = {}
        single = []
        for words, place, other in single_mistakes(definition, self._longest(), self.part.stages):
            everywhere.setdefault(words, {})[place] = other
            single.append(Named(words, {place: other}))
        together = [Named(words, changed) for words, changed in everywhere.items() if len(changed) > 1]
        return together + single

    def _tried_with_mistakes(self, known: Known, best: Candidate) -> list[Arithmetic]:
        """Arithmetics that mistakes are tried in: all that are left if they are few, else the usual ones."""
        left = self._arithmetics(known, later=True)
        if len(left) <= FEW:
            return left
        usual = [best.arithmetic, PLAIN, BITNET_CPP, LLAMA_CPP, PLAIN.having(kv="f16")]
        allowed = (
            a.having(**{n: a.option(n) if a.option(n) in o else o[0] for n, o in known.possible.items()})
            for a in usual
        )
        return list(dict.fromkeys(map(self.options.canonical, allowed)))

    def _sound_reading(self, sound: Sequence[Candidate], known: Known) -> Reading:
        best = sound[0]
        level = [c for c in sound if not c.is_ruled_out_by(best)]
        return Reading(
            self.part,
            True,
            tuple(c.arithmetic for c in level),
            best.typical,
            best.exact,
            len(best.residuals),
            next_best=self._next_best(best, known),
        )

    def _next_best(self, best: Candidate, known: Known) -> dict[str, tuple[str, float]]:
        """For every axis of the part the option nearest to the best, and the most that it leaves."""
        given = best.is_given
        nearest: dict[str, tuple[str, float]] = {}
        for axis in (axis for axis in self.axes if len(known.possible[axis]) > 1):
            canonical = {
                self.options.canonical(best.arithmetic.having(**{axis: option})): option
                for option in self.options.of(axis)
            }
            others = [a for a in canonical if a != best.arithmetic]
            for candidate in self._candidates(others, known) if others else ():
                left = float(np.max(candidate.residuals[given], initial=0.0))
                if axis not in nearest or left < nearest[axis][1]:
                    nearest[axis] = canonical[candidate.arithmetic], left
        return nearest

    def _missed(self, candidate: Candidate, observed: Observed) -> float:
        """Share of a sequence that a candidate does not give."""
        start = 0
        for o in self._observed:
            if o is observed:
                break
            start += len(o.tokens)
        missed = ~candidate.is_given[start : start + len(observed.tokens)]
        return float(np.mean(missed))

    def _first_wrong(self, candidate: Candidate) -> int | None:
        missed = ~candidate.is_given
        return int(np.min(self._positions[missed])) if missed.any() else None

    def _only_together(self, candidate: Candidate) -> bool:
        """Whether single tokens are given and several at once are not."""
        alone, given = self._alone, candidate.is_given
        return bool(np.mean(given[alone]) >= ENOUGH > np.mean(given[~alone]))

    def _changed_of(self, definition: Definition, known: Known) -> Changed:
        """The mistakes that are known, in the arithmetic of a definition."""
        if not known.wrong:
            return {}
        wanted = set(known.wrong)
        stages = [(layer, stage) for layer, stage, _ in known.wrong if stage in definition.stages]
        return {
            place: other
            for words, place, other in single_mistakes(definition, self._longest(), stages)
            if (*place, words) in wanted
        }

    def _longest(self) -> int:
        return max(len(o.tokens) for o in self._observed)


def _farthest(expected: Sequence[Doubles], actual: Sequence[Floats | Doubles]) -> float:
    """The largest relative L2 of a row; NaN if one has no distance."""
    distances = [relative_l2(rows, others) for rows, others in zip(expected, actual, strict=True)]
    return float(np.max(np.concatenate(distances)))
