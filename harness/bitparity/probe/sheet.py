"""What an engine computes, all parts put together, with what proves each line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bitparity.fit.options import Options
from bitparity.fit.words import clause, clauses, joined, option_words
from bitparity.oracle.arithmetic import AXES, PLAIN, Arithmetic
from bitparity.output import without_nan
from bitparity.probe.reader import GIVEN, Reader
from bitparity.probe.reading import Known, Reading


@dataclass(frozen=True)
class Line:
    """One axis of the engine's arithmetic.

    said       what the engine does, as a clause; empty where nothing decided it
    others     what it may do instead: options that gave all that was observed as well
    alike      further options that compute the same in this arithmetic, as F16 does where all stages are BF16
    shown_by   the part that decided
    residual   what is left there
    nearest    the nearest option that does not give it, in words, and what that leaves
    """

    axis: str
    option: str
    said: str
    others: tuple[str, ...]
    alike: tuple[str, ...]
    shown_by: str
    residual: float
    nearest: tuple[str, float] | None

    @property
    def is_decided(self) -> bool:
        return bool(self.said) and not self.others


@dataclass(frozen=True)
class Sheet:
    """An engine's arithmetic and its mistakes.

    chart     the models that it was read on
    stated    what it says of its arithmetic; None if it says nothing that is known
    lines     one for each axis that the chart can show
    readings  of the parts, the last one of all blocks together
    """

    engine: str
    fingerprint: Mapping[str, Any]
    chart: str
    stated: Arithmetic | None
    arithmetic: Arithmetic
    lines: tuple[Line, ...]
    readings: tuple[Reading, ...]

    @property
    def wrong(self) -> list[Reading]:
        """Parts that are not as they are defined."""
        return [reading for reading in self.readings if reading.is_wrong]

    @property
    def unknown(self) -> list[Reading]:
        """Parts that nothing known gives, and that are no further off than arithmetics are."""
        return [reading for reading in self.readings if not reading.is_known]

    @property
    def shows_arithmetic(self) -> bool:
        """Whether anything of it was found: not where nothing known gives the ends, which all parts have."""
        return any(line.said for line in self.lines)

    @property
    def statement_holds(self) -> bool:
        """Whether what the engine states is what was found, as far as the chart shows it."""
        stated = self.stated
        return (
            stated is not None
            and self.shows_arithmetic
            and all(
                stated.option(line.axis) in (line.option, *line.others, *line.alike)
                for line in self.lines
                if line.said
            )
        )

    @property
    def undecided(self) -> tuple[Arithmetic, ...]:
        """Arithmetics that give all that was observed as well, each other at one axis."""
        others = ((line.axis, option) for line in self.lines for option in line.others)
        return tuple(self.arithmetic.having(**{axis: option}) for axis, option in others)

    @property
    def exit_code(self) -> int:
        return 1 if self.wrong or self.unknown else 0

    @property
    def sentence(self) -> str:
        """The answer in one line."""
        wrong, unknown = self.wrong, self.unknown
        told = _without_whole(wrong) or _without_whole(unknown) or wrong or unknown
        said = "; ".join(_together(told, self.readings))
        if wrong:
            return f"{self.engine} is wrong: {said}"
        if unknown and self.stated is not None and self.stated.adds_in_f16:
            sums = "adds products of F16 numbers in F16, which the oracle does not follow"
            return f"{self.engine} may compute as it states: {self.stated.name} {sums}: {said}"
        if unknown:
            return f"{self.engine} may be wrong, or compute in an arithmetic that is not known: {said}"
        return f"{self.engine} computes what is defined, in the arithmetic {self.arithmetic.name}"

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        data = {
            "engine": self.engine,
            "sentence": self.sentence,
            "fingerprint": dict(self.fingerprint),
            "chart": self.chart,
            "stated": None if self.stated is None else self.stated.name,
            "statement_holds": self.statement_holds,
            "arithmetic": self.arithmetic.name,
            "axes": [vars(line) for line in self.lines],
            "parts": [_part_as_dict(reading) for reading in self.readings],
        }
        plain: dict[str, Any] = without_nan(data)
        return plain


def words_of(reading: Reading) -> str:
    """What a part says of the engine, as a clause with the place before it."""
    part = reading.part.name
    if reading.mistake:
        stages = ", ".join(dict.fromkeys(stage for _, stage in reading.at))
        others = f", or {' or '.join(reading.others)}" if reading.others else ""
        return f"{part}{', ' if stages else ''}{stages}: it {reading.mistake}{others}"
    if reading.fits:
        return f"{part}: as defined{', but for activations at a tie' if reading.has_flips else ''}"
    where = " where several tokens are run at once" if reading.only_together else ""
    suspects = reading.suspects
    said = f" ({', '.join(suspects[:-1])} or {suspects[-1]})" if suspects else ""
    left = f"{reading.residual:.0e} off"
    return f"{part}{said}: nothing known gives its logits from position {reading.first_wrong}{where}, {left}"


def _without_whole(readings: Sequence[Reading]) -> list[Reading]:
    """Those of single parts, which say where: all blocks together show what any of them does wrong."""
    return [reading for reading in readings if reading.part.kind != "whole"]


def _together(wrong: Sequence[Reading], readings: Sequence[Reading]) -> Iterator[str]:
    """What is wrong, in a clause for each mistake: one that every block makes is said once."""
    by_mistake: dict[tuple[str, tuple[str, ...]], list[Reading]] = {}
    for reading in wrong:
        stages = tuple(dict.fromkeys(stage for _, stage in reading.at))
        key = (reading.mistake, stages) if reading.mistake else (words_of(reading), ())
        by_mistake.setdefault(key, []).append(reading)
    for alike in by_mistake.values():
        first = alike[0]
        same = [r for r in readings if r.part.kind == first.part.kind]
        in_all = len(alike) == len(same) > 1
        yield (
            words_of(first).replace(f"layer {first.part.layers[0]}", "every layer", 1)
            if in_all
            else "; ".join(map(words_of, alike))
        )


def _part_as_dict(reading: Reading) -> dict[str, Any]:
    return {
        "part": reading.part.name,
        "fits": reading.fits,
        "mistake": reading.mistake,
        "at": [list(place) for place in reading.at],
        "or": list(reading.others),
        "residual": reading.residual,
        "as_defined": reading.as_defined,
        "given": reading.given,
        "positions": reading.positions,
        "arithmetics": [a.name for a in reading.arithmetics],
        "sentence": words_of(reading),
    }


class Findings:
    """What is known so far, part by part.

    among  arithmetics that are tried; empty tries all
    """

    def __init__(self, options: Options, among: Sequence[Arithmetic] = ()) -> None:
        self._options = options
        left = [options.canonical(arithmetic) for arithmetic in among]
        self._possible = {axis.name: options.of(axis.name) for axis in AXES}
        self.known = Known(
            {a: tuple(dict.fromkeys(o.option(a) for o in left)) or all_ for a, all_ in self._possible.items()}
        )
        self.readings: dict[str, Reading] = {}
        self._decided_by: dict[str, Reading] = {}

    def read(self, readers: Sequence[Reader]) -> None:
        """Read parts: first those that are as defined, whose arithmetic is then known in the others."""
        for reader in readers:
            self._take(reader, reader.read(self.known))
        for reader in readers:
            hidden, reading = None, self.readings[reader.part.name]
            if reading.may_hide_a_mistake and not reader.leaves_rounding(reading, self.known):
                hidden = reader.read_wrong(self.known)
            if hidden is not None:
                self._take(reader, self._with_all_arithmetics(reader, hidden))
        wrong = self._not_given(readers)
        while wrong:
            for reader in wrong:
                self._read_wrong(reader)
            left = self._not_given(wrong)
            if len(left) == len(wrong):
                return
            wrong = left  # what was found since may be the arithmetic that a mistake is made in

    def _not_given(self, readers: Sequence[Reader]) -> list[Reader]:
        return [reader for reader in readers if not self.readings[reader.part.name].fits]

    def _read_wrong(self, reader: Reader) -> None:
        truncating = reader.read_truncating(self.known)
        explains = truncating is not None and truncating.fits
        otherwise = truncating if explains else reader.read_wrong(self.known)
        if otherwise is not None:
            self._take(reader, self._with_all_arithmetics(reader, otherwise))
            return
        alone = reader.read(replace(self.known, possible=self._possible))
        differs = clauses(alone.arithmetics[0], self.arithmetic)
        if alone.fits and differs:
            self._take(reader, replace(alone, mistake=f"{joined(differs)}, unlike parts before"))

    def _with_all_arithmetics(self, reader: Reader, reading: Reading) -> Reading:
        """A reading of a mistake, which was tried in few arithmetics, with all that give it as well."""
        if not reading.mistake:
            return reading
        again = reader.read(replace(self.known, wrong=self._wrong_with(reading)))
        if not again.fits:
            return reading
        return replace(reading, arithmetics=again.arithmetics, next_best=again.next_best)

    def _wrong_with(self, reading: Reading) -> tuple[tuple[int, str, str], ...]:
        wrong = {*self.known.wrong, *((*place, reading.mistake) for place in reading.at)}
        return tuple(sorted(wrong))

    def read_together(self, reader: Reader) -> None:
        """Read a part of which every branch was read before."""
        self._take(reader, reader.read_together(self.known))

    def _take(self, reader: Reader, reading: Reading) -> None:
        self.readings[reader.part.name] = reading
        if not reading.fits:
            return
        possible = dict(self.known.possible)
        for axis in reader.axes if reading.given else ():
            left = tuple(dict.fromkeys(a.option(axis) for a in reading.arithmetics))
            if set(left) <= set(possible[axis]):
                possible[axis] = left
            if reading.next_best.get(axis):
                self._decided_by.setdefault(axis, reading)
        self.known = replace(self.known, possible=possible, wrong=self._wrong_with(reading))

    @property
    def arithmetic(self) -> Arithmetic:
        """The one that was found, by its shortest name."""
        chosen = {axis: options[0] for axis, options in self.known.possible.items()}
        return self._options.canonical(PLAIN.having(**chosen))

    def lines(self) -> tuple[Line, ...]:
        """One for each axis that has alternatives in these models, and an effect in this arithmetic."""
        return tuple(self._line(axis.name) for axis in AXES if self._has_an_effect(axis.name))

    def _has_an_effect(self, axis: str) -> bool:
        found = self.arithmetic
        others = (found.having(**{axis: option}) for option in self._options.of(axis))
        return len({self._options.canonical(other) for other in others}) > 1

    def _line(self, axis: str) -> Line:
        option, *others = self.known.possible[axis]
        reading = self._decided_by.get(axis)
        if reading is None:
            return Line(axis, option, "", tuple(others), (), "", 0.0, None)
        nearest = reading.next_best.get(axis)
        if nearest is not None and (nearest[0] == option or nearest[1] <= GIVEN):
            nearest = None  # another part told these apart
        return Line(
            axis,
            option,
            clause(axis, option),
            tuple(others),
            self._alike(axis, option),
            reading.part.name,
            reading.residual,
            nearest and (option_words(axis, nearest[0]), nearest[1]),
        )

    def _alike(self, axis: str, option: str) -> tuple[str, ...]:
        """Other options of an axis that are the same function in the arithmetic that was found."""
        found = self.arithmetic
        same = [
            other
            for other in self._options.of(axis)
            if other != option and self._options.canonical(found.having(**{axis: other})) == found
        ]
        return tuple(same)
