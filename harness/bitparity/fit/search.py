"""Which arithmetic gives what was observed.

int8 rounding is an amplifier: one rounding to F16 too many moves a value by 1e-4, some activations then fall
on the other side of a tie, and the logits move by 5e-3 whatever the cause was.  So one wrong axis is as far
away as three, and no descent finds the way; but the right arithmetic leaves 1e-7.  What makes a search
possible is where the axes act.  Position 0 sees nothing but itself, so Q and softmax rows do not matter
there: all other axes are found by trying every combination at once (lockstep.py), nearest to the known
engines first.  Q, softmax rows and what depends on the rows of a batch are found at later positions with the
other axes known.

A sound engine adds in another order, so that now and then an activation falls the other way in it: such a
position is as far from the right way as from the wrong ones.  So a way is judged by how many positions it
gives exactly, and it is only ruled out by positions that another gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bitparity.compare.sample import sample_columns
from bitparity.fit.lockstep import of_arithmetics, residuals
from bitparity.fit.observed import Observed
from bitparity.fit.options import Options
from bitparity.fit.sample import with_head_rows
from bitparity.model.types import Model
from bitparity.noise.criterion import EXACTNESS
from bitparity.oracle.arithmetic import AXES, BITNET_CPP, IN_ONE_ROW, LLAMA_CPP, PLAIN, Arithmetic
from bitparity.oracle.definition import Definition
from bitparity.oracle.ops import Doubles

AT_ONCE = 2048  # ways whose values are in memory together
NEAR = 2  # axes that differ from a known engine in what is tried first
ALL = len(AXES)  # axes that may differ
# Sequences whose position 0 is searched until something fits, for each may have a flip; one beyond NEAR.
FIRST = 3
SMALLEST = 1e-7  # residuals below it are float32 sums, whichever is the smaller
TIMES = 10.0  # a residual so many times larger is another function at that position
REMAINING = 32  # arithmetics that are followed to later positions
LATER = ("q", "probs")  # axes that do not act at position 0
_BODY = tuple(axis.name for axis in AXES if axis.name not in LATER)


@dataclass(frozen=True)
class Candidate:
    """An arithmetic and its residuals at observed positions, in the order of the observations.

    They are fewer than the observed positions where another arithmetic ruled it out before.
    A position is given exactly where the residual is within `limit`.
    """

    arithmetic: Arithmetic
    residuals: Doubles
    limit: float = EXACTNESS

    def extended(self, residuals: Doubles) -> Candidate:
        """The same with the residuals of further positions."""
        return replace(self, residuals=np.concatenate((self.residuals, residuals)))

    @property
    def is_given(self) -> NDArray[np.bool_]:
        """Whether each position is given, to the rounding of float32 sums."""
        return np.asarray(self.residuals <= self.limit)

    @property
    def exact(self) -> int:
        """Positions that it gives."""
        return int(np.sum(self.is_given))

    @property
    def typical(self) -> float:
        """Median residual of the positions that it gives; of all when it gives none."""
        given = self.residuals[self.is_given]
        return float(np.median(given if len(given) else self.residuals))

    @property
    def rank(self) -> tuple[int, float]:
        return -self.exact, max(self.typical, SMALLEST)

    def is_ruled_out_by(self, other: Candidate) -> bool:
        """Whether another gives positions that this one does not, and the reverse hardly ever."""
        against, favour = _beats(other, self), _beats(self, other)
        return against >= 2 + 3 * favour


def _beats(better: Candidate, worse: Candidate) -> int:
    """At how many of the positions that both were tried at."""
    both = min(len(better.residuals), len(worse.residuals))
    own, others = better.residuals[:both], worse.residuals[:both]
    return int(np.sum((own <= better.limit) & (others > TIMES * np.maximum(own, SMALLEST))))


class Search:
    """The search over one model, for one engine."""

    def __init__(self, model: Model, observed: Sequence[Observed]) -> None:
        smaller = with_head_rows(model, sample_columns(model.hyper.n_vocab))
        self._definition = Definition.of(smaller, PLAIN)
        self._observed = observed
        self.starts: list[Arithmetic] = []  # what fits position 0 best, once it has run
        self.is_exact_at_first = False  # whether that gives it
        self._seen: set[Arithmetic] = set()  # tried at position 0
        self._nearest: list[tuple[float, Arithmetic]] = []  # of these, with their residuals
        self.options = Options(model, self._definition)

    def run(self, changes: int) -> list[Candidate]:
        """Candidates, best first; what the best rules out is among them.

        changes  axes that may differ from a known engine; what was tried in a run before is not tried again
        """
        self.starts = self._starts(changes)
        if not self.is_exact_at_first:
            return self.evaluate(self.starts[:1])
        return self.around(later for start in self.starts for later in self._later(start))

    def around(self, arithmetics: Iterable[Arithmetic]) -> list[Candidate]:
        """As `evaluate`, with what differs from the best of them at one axis."""
        found = self.evaluate(arithmetics)
        found += self.evaluate(self._near(found[0]), beside=found[0])
        return sorted({c.arithmetic: c for c in found}.values(), key=_rank)

    def evaluate(self, arithmetics: Iterable[Arithmetic], beside: Candidate | None = None) -> list[Candidate]:
        """Each at every observed position until another rules it out, best first.

        beside  one that was evaluated before, to which they are held
        """
        every = dict.fromkeys(map(self.options.canonical, arithmetics))
        running = [Candidate(a, np.empty(0)) for a in every]
        if beside is not None:
            running = [c for c in running if c.arithmetic != beside.arithmetic]
        ended: list[Candidate] = []
        for observed in self._observed:
            if not running:
                break
            ways = of_arithmetics(self._definition, [c.arithmetic for c in running])
            rows = residuals(ways, observed)
            running = [c.extended(row) for c, row in zip(running, rows, strict=True)]
            best = min(running, key=_rank) if beside is None else beside
            ended += [c for c in running if c.is_ruled_out_by(best)]
            running = [c for c in running if not c.is_ruled_out_by(best)]
        found = running + ended + ([] if beside is None else [beside])
        return sorted(found, key=_rank)

    def _starts(self, changes: int) -> list[Arithmetic]:
        """The arithmetics that fit position 0 of some sequence; else those that come nearest."""
        nearest = list(self._nearest)
        for some in self._in_order(changes):
            ways = of_arithmetics(self._definition, some)
            for observed in self._observed_first()[: FIRST if changes <= NEAR else 1]:
                left = residuals(ways, observed, 1)[:, 0]
                nearest += zip(left.tolist(), some, strict=True)
                if np.min(left) <= EXACTNESS:
                    break
            nearest = sorted(nearest, key=lambda pair: pair[0])[:REMAINING]
            if nearest[0][0] <= EXACTNESS:
                break
        self._nearest, self.is_exact_at_first = nearest, nearest[0][0] <= EXACTNESS
        limit = TIMES * max(nearest[0][0], SMALLEST)
        return [arithmetic for left, arithmetic in nearest if left <= limit]

    def _observed_first(self) -> list[Observed]:
        """Sequences whose position 0 is searched: those of decode, where there are any."""
        decoded = [o for o in self._observed if o.rows == 1]
        return decoded or list(self._observed)

    def _in_order(self, most: int) -> Iterator[list[Arithmetic]]:
        """Every combination of the axes that act at position 0, nearest to a known engine first."""
        known = {self.options.canonical(_in_every_row(a)) for a in (PLAIN, BITNET_CPP, LLAMA_CPP)}
        waiting: list[Arithmetic] = []
        for changes in range(most + 1):
            for base in known if changes <= NEAR else [PLAIN]:
                for arithmetic in self.options.around(base, _BODY, changes):
                    if arithmetic not in self._seen:
                        self._seen.add(arithmetic)
                        waiting.append(arithmetic)
            while waiting and (changes >= NEAR or len(waiting) >= AT_ONCE):
                yield waiting[:AT_ONCE]
                waiting = waiting[AT_ONCE:]

    def _later(self, start: Arithmetic) -> Iterator[Arithmetic]:
        """What it may be at later positions and in larger batches."""
        for q, probs in product(self.options.of("q"), self.options.of("probs")):
            found = start.having(q=q, probs=probs)
            yield found
            for axis in ("f16_inputs", "bf16_inputs"):
                if found.option(axis) in ("f16", "bf16"):
                    yield found.having(**{axis: found.option(axis) + IN_ONE_ROW})

    def _near(self, best: Candidate) -> Iterator[Arithmetic]:
        """Every other option of every axis, one at a time."""
        for axis in AXES:
            for option in self.options.of(axis.name):
                yield self.options.canonical(best.arithmetic.having(**{axis.name: option}))


def _in_every_row(arithmetic: Arithmetic) -> Arithmetic:
    names = ("q", "probs", "f16_inputs", "bf16_inputs")
    return arithmetic.having(**{name: arithmetic.option(name).removesuffix(IN_ONE_ROW) for name in names})


def _rank(candidate: Candidate) -> tuple[int, float]:
    return candidate.rank
