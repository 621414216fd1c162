"""What one part of a model says of an engine, and what other parts have said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bitparity.fit.ties import CUTTING
from bitparity.oracle.arithmetic import Arithmetic
from bitparity.probe.parts import Part

# What a mistake leaves at least that has no name here.  Arithmetics that differ at one axis leave less
# between them, most where codes are cut off (8e-2); so what is nearer to one may be another sound one.
FAR = 0.1
Possible = dict[str, tuple[str, ...]]  # options of an axis that are not ruled out


@dataclass(frozen=True)
class Known:
    """What was found in other parts.

    possible  of each axis
    wrong     (layer, stage, words) of mistakes that were found; all parts have the ends
    """

    possible: Possible
    wrong: tuple[tuple[int, str, str], ...] = ()


@dataclass(frozen=True)
class Reading:
    """What one part says.

    fits        whether something gives what was observed
    arithmetics that give it, the best first; where nothing does, the one that comes nearest
    mistake     a clause with the engine as its subject; empty where the definition gives what was observed
    at          (layer, stage) where the mistake is made; empty where the part computes in another arithmetic
    residual    median of what is left at the positions that it gives; where nothing fits, at the others
    as_defined  what the definition leaves, where a mistake was found
    others      further mistakes that give it as well
    next_best   for each axis that the part shows, the nearest other option and what it leaves
    given       positions that it gives, of `positions`
    has_flips   whether what it leaves is that of activations that fell the other way
    first_wrong the first position that the definition does not give; None if it gives all
    only_together whether single tokens are given and several at once are not
    """

    part: Part
    fits: bool
    arithmetics: tuple[Arithmetic, ...]
    residual: float
    given: int
    positions: int
    mistake: str = ""
    at: tuple[tuple[int, str], ...] = ()
    as_defined: float = 0.0
    others: tuple[str, ...] = ()
    next_best: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    first_wrong: int | None = None
    only_together: bool = False
    has_flips: bool = False

    @property
    def is_wrong(self) -> bool:
        """Whether it is not what is defined, in whatever arithmetic."""
        return bool(self.mistake) or (not self.fits and not self.residual <= FAR)

    @property
    def is_known(self) -> bool:
        """Whether something that has a name gives it, or nothing can."""
        return self.fits or self.is_wrong

    @property
    def may_hide_a_mistake(self) -> bool:
        """Whether it leaves more positions than a flip explains: a mistake may show at few of them."""
        is_cut_off = self.arithmetics[0].rounding in CUTTING
        return self.fits and not is_cut_off and self.positions - self.given > 1

    @property
    def suspects(self) -> tuple[str, ...]:
        """Stages that can be wrong where nothing known is.

        What acts at position 0 and takes one row at a time is sound if position 0 is, unless the rows of a
        call are mixed up.
        """
        part = self.part
        names = (*(name for _, name in part.stages), *part.sums)
        if not part.has_attention or self.only_together:
            return names
        if self.first_wrong == 0:
            return tuple(name for name in names if name in part.at_position_0)
        return tuple(name for name in names if name not in part.at_position_0 or name in part.of_several)
