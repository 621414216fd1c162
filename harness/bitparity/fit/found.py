"""The arithmetic of an engine as it was found, as data and in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitparity.fit.mistakes import FoundMistake, find_mistake, made_everywhere
from bitparity.fit.observed import Observed
from bitparity.fit.search import ALL, NEAR, Candidate, Search
from bitparity.fit.ties import left_and_spread
from bitparity.fit.words import clauses, joined
from bitparity.model.types import Model
from bitparity.noise.criterion import EXACTNESS, MULTIPLE
from bitparity.oracle.arithmetic import AXES, BITNET_CPP, LLAMA_CPP, PLAIN, Arithmetic

# Of positions that attend to others, the share that has to be given exactly: one flip spoils the rest of its
# sequence, and a sound float32 engine has one in a few sequences.
SHARE = 0.25
MANY = 2  # arithmetics that a sentence lists one by one
STARTS = 2  # arithmetics, of those that came nearest, that are tried with a mistake on top
KNOWN = (
    PLAIN,
    BITNET_CPP,
    LLAMA_CPP,
    PLAIN.having(kv="f16"),
)  # in which mistakes are tried that show at once
LATER_PAIRS = (("f32", "f32"), ("f16", "f16"), ("f16", "f32"), ("f32", "f16"), ("bf16", "bf16"))
AT_TIES = ("even", "away")  # roundings that differ at a tie only


@dataclass(frozen=True)
class Probed:
    """What small models of its kind said of an engine (probe/), to be tried on the model at hand.

    arithmetics  the likeliest first; if it is sound, they give what it gave there
    possible     options at each axis that was decided there
    is_sound     whether it computes there what is defined
    wrong        (stage, clause with the engine as its subject) of the mistakes that it makes there
    """

    arithmetics: tuple[Arithmetic, ...]
    possible: Mapping[str, tuple[str, ...]]
    is_sound: bool
    wrong: tuple[tuple[str, str], ...]

    def allows(self, arithmetic: Arithmetic) -> bool:
        """Whether it may be the engine's."""
        return all(arithmetic.option(axis) in options for axis, options in self.possible.items())


# Probes an engine, whose arithmetic is known to be one of those given; for all that could be, if none are.
Probe = Callable[[Sequence[Arithmetic]], Probed | None]


@dataclass(frozen=True)
class Fit:
    """What the logits of an engine say.

    arithmetic  the one that fits best
    fits        whether it gives what was observed, to the rounding of float32 sums
    is_stated   whether the engine states it; then no other was tried
    exact       of `positions` that were observed, how many it gives exactly
    residual    median of the relative L2 that it leaves there; where it does not fit, at the other positions
    undecided   others that give all of it as well
    mistake     a clause with the engine as its subject: what it does wrong, in that arithmetic; empty if
                nothing is wrong, or no known mistake gives what was observed
    at          stages at which it does so, in every layer that has them
    as_defined  what the definition leaves in the best arithmetic, where a mistake was found
    has_ties    whether it fits but for codes at a tie, of which no position is free (ties.py)
    next_best   what comes next, and what it leaves where the best leaves nothing; None if none was tried
    """

    engine: str
    arithmetic: Arithmetic
    fits: bool
    is_stated: bool
    exact: int
    positions: int
    residual: float
    undecided: tuple[Arithmetic, ...] = ()
    next_best: tuple[Arithmetic, float] | None = None
    mistake: str = ""
    at: tuple[str, ...] = ()
    as_defined: float = 0.0
    has_ties: bool = False

    @property
    def found(self) -> Arithmetic | None:
        """The arithmetic, where the engine states none that holds and its logits told it."""
        return self.arithmetic if (self.fits or self.mistake) and not self.is_stated else None

    def sentence(self) -> str:
        """What was found, with the engine as its subject."""
        if self.mistake:
            left = f"residual {self.residual:.0e}; as defined {self.as_defined:.0e}"
            where = f"in the arithmetic {self.arithmetic.name}"
            return f"{self.engine} is wrong, its logits fit: it {self.mistake} ({left}), {where}"
        if not self.fits:
            nearest = f"{self.arithmetic.name} comes nearest and leaves {self.residual:.0e}"
            return f"no arithmetic gives the logits of {self.engine}: {nearest}"
        how = "computes in the arithmetic that it states" if self.is_stated else "computes in the arithmetic"
        found = f"{self.engine} {how}, {self.arithmetic.name} (residual {self.residual:.0e}{self._next()})"
        return found + self.not_told_apart()

    def not_told_apart(self) -> str:
        """What else it may do, as the end of a sentence; empty when all was told apart."""
        if len(self.undecided) > MANY:
            axes = [
                a.name
                for a in AXES
                if len({o.option(a.name) for o in (self.arithmetic, *self.undecided)}) > 1
            ]
            return f"; not told apart: what it does at the axes {joined(axes)}"
        others = [joined(clauses(other, self.arithmetic)) for other in self.undecided]
        return f"; not told apart: whether it {' or '.join(others)}" if others else ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "engine": self.engine,
            "arithmetic": self.arithmetic.name,
            "fits": self.fits,
            "is_stated": self.is_stated,
            "mistake": self.mistake,
            "at": list(self.at),
            "as_defined": self.as_defined,
            "has_ties": self.has_ties,
            "exact": self.exact,
            "positions": self.positions,
            "residual": self.residual,
            "undecided": [other.name for other in self.undecided],
            "next_best": self.next_best
            and {"arithmetic": self.next_best[0].name, "residual": self.next_best[1]},
            "sentence": self.sentence(),
        }

    def _next(self) -> str:
        if self.next_best is None:
            return ""
        return f"; {self.next_best[0].name} is next and leaves {self.next_best[1]:.0e}"


def fit(
    engine: str,
    model: Model,
    observed: Sequence[Observed],
    stated: Arithmetic | None = None,
    probe: Probe | None = None,
) -> Fit:
    """Find the arithmetic in which the definition of a model gives what was observed of an engine.

    stated  what the engine says of itself, which is tried alone at first
    probe   asked which of several it is, and where nothing near fits: what it says is tried instead of all
            that could be
    """
    search = Search(model, observed)
    if stated is not None:
        (tried,) = search.evaluate([stated])
        if _fits(tried, observed):
            return _found(engine, [tried], observed, stated=stated)
    near = _found(engine, search.run(NEAR), observed)
    if near.fits:
        return near if probe is None else _decided(near, search, probe, observed)
    probed = None if probe is None else probe(())
    if probed is not None:
        return _as_probed(near, model, search, probed, observed)
    tried_in = _starts(search) if search.is_exact_at_first else [*([stated] if stated else []), *KNOWN]
    mistake = find_mistake(model, tried_in, observed, acts_at_once=not search.is_exact_at_first)
    wrong = _with_mistake(near, mistake, observed)
    if wrong.mistake:
        return wrong
    far = _found(engine, search.run(ALL), observed)
    return far if far.fits or far.exact > near.exact else near


def _decided(near: Fit, search: Search, probe: Probe, observed: Sequence[Observed]) -> Fit:
    """What fits, told apart from what gives as much by a probe.

    A run may hold few values at a tie, or none, and there a flip looks like a tie that is rounded away; so
    half away is asked about even where it alone fits.
    """
    if not near.undecided and near.arithmetic.rounding != "away":
        return near
    probed = probe(_but_for_ties(near))
    return near if probed is None else _told_apart(near, search, probed, observed)


def _told_apart(found: Fit, search: Search, probed: Probed, observed: Sequence[Observed]) -> Fit:
    """What a probe of a sound engine leaves of it, or what rounds ties otherwise, if that fits as well."""
    allowed = [arithmetic for arithmetic in _but_for_ties(found) if probed.allows(arithmetic)]
    if not probed.is_sound or not allowed:
        return found
    left = _found(found.engine, search.evaluate(allowed), observed)
    if not left.fits:
        return found
    return replace(left, next_best=found.next_best) if left.arithmetic == found.arithmetic else left


def _but_for_ties(found: Fit) -> list[Arithmetic]:
    """All that gives what was observed, and the same with ties rounded the other way."""
    fitting = (found.arithmetic, *found.undecided)
    return [a.having(rounding=way) for a in fitting for way in (a.rounding, *AT_TIES)]


def _as_probed(near: Fit, model: Model, search: Search, probed: Probed, observed: Sequence[Observed]) -> Fit:
    """What a probe found, if it gives what was observed of this model too, else what came near."""
    sound = search.around(probed.arithmetics)
    found = _found(near.engine, sound, observed)
    if found.fits:
        return _told_apart(found, search, probed, observed)
    if probed.is_sound:
        left = _given_but_for_ties(model, search.options.canonical(probed.arithmetics[0]), observed)
        if left is not None:
            told = replace(_found(near.engine, [left], observed), fits=True, has_ties=True)
            return replace(told, undecided=probed.arithmetics[1:])
    for arithmetic in probed.arithmetics:
        wrong = _with_mistake(found, made_everywhere(model, arithmetic, probed.wrong, observed), observed)
        if wrong.mistake:
            return wrong
    at_first = np.concatenate([_positions(o) == 0 for o in observed])[: len(sound[0].residuals)]
    acts_at_once = not sound[0].is_given[at_first].any()
    tried = find_mistake(model, probed.arithmetics[:STARTS], observed, acts_at_once=acts_at_once)
    return _with_mistake(min(found, near, key=lambda f: (-f.exact, f.residual)), tried, observed)


def _given_but_for_ties(
    model: Model, arithmetic: Arithmetic, observed: Sequence[Observed]
) -> Candidate | None:
    """The arithmetic, where last bits carry it so far that it does not fit itself, and no further from what
    was observed; else None."""
    left, spread = left_and_spread(model, arithmetic, observed)
    is_free_of_ties = _fits(Candidate(arithmetic, spread), observed)
    is_within = np.max(left) <= MULTIPLE * np.max(spread)
    return Candidate(arithmetic, left) if is_within and not is_free_of_ties else None


def _starts(search: Search) -> list[Arithmetic]:
    """What position 0 leaves open, in which mistakes that show later are tried."""
    return [start.having(q=q, probs=p) for start in search.starts[:STARTS] for q, p in LATER_PAIRS]


def _with_mistake(found: Fit, mistake: FoundMistake | None, observed: Sequence[Observed]) -> Fit:
    """What was found, and the mistake that gives enough of it, if there is one."""
    if mistake is None or not _fits(mistake.candidate, observed):
        return found
    candidate = mistake.candidate
    return replace(
        found,
        arithmetic=mistake.arithmetic,
        exact=candidate.exact,
        positions=len(candidate.residuals),
        residual=candidate.typical,
        undecided=(),
        next_best=None,
        mistake=mistake.words,
        at=mistake.at,
        as_defined=found.residual,
    )


def _found(
    engine: str,
    candidates: Sequence[Candidate],
    observed: Sequence[Observed],
    stated: Arithmetic | None = None,
) -> Fit:
    best, *others = candidates
    is_exact, fits = best.residuals <= EXACTNESS, _fits(best, observed)
    undecided = [c.arithmetic for c in others if _gives_as_much(c, best)]
    behind = [(c.arithmetic, _left(c, best)) for c in others if c.is_ruled_out_by(best)]
    return Fit(
        engine=engine,
        arithmetic=stated or best.arithmetic,
        fits=fits,
        is_stated=stated is not None,
        exact=int(is_exact.sum()),
        positions=len(best.residuals),
        residual=best.typical if fits else _not_given(best),
        undecided=tuple(undecided),
        next_best=min(behind, key=lambda pair: pair[1], default=None),
    )


def _not_given(best: Candidate) -> float:
    left = best.residuals[~(best.residuals <= EXACTNESS)]
    return float(np.median(left)) if len(left) else best.typical


def _gives_as_much(other: Candidate, best: Candidate) -> bool:
    return not other.is_ruled_out_by(best) and len(other.residuals) == len(best.residuals)


def _left(other: Candidate, best: Candidate) -> float:
    """Largest residual at the positions that the best gives and the other was tried at."""
    both = len(other.residuals)
    given = best.residuals[:both] <= EXACTNESS
    return float(np.max(other.residuals[given], initial=0.0))


def _fits(candidate: Candidate, observed: Sequence[Observed]) -> bool:
    """Whether it gives enough of the positions that attend to others, of single rows and of batches."""
    later = np.concatenate([_positions(o) > 0 for o in observed])
    if len(candidate.residuals) < len(later):
        return False
    is_exact = candidate.residuals <= EXACTNESS
    one_row = np.concatenate([np.full(len(o.tokens), o.rows == 1) for o in observed])
    kinds = [kind for kind in (later & one_row, later & ~one_row) if kind.any()] or [~later]
    return all(is_exact[kind].mean() >= SHARE for kind in kinds)


def _positions(observed: Observed) -> NDArray[np.int64]:
    return np.arange(len(observed.tokens))
