"""Judge the positions of a corpus by the criterion that `compare` found on its worst window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitparity.corpus.rows import Rows, metrics_of
from bitparity.noise.criterion import EXACTNESS, Criterion, FixedLimit
from bitparity.noise.verdict import PositionVerdict, Verdict, judge_position

AGREES = PositionVerdict(Verdict.AGREE, "")


@dataclass(frozen=True)
class Judged:
    """Verdicts on rows: those that agree need no word, the others are kept by their index.

    size    how many rows there are
    others  index of a row that does not simply agree -> its verdict, in order
    """

    size: int
    others: dict[int, PositionVerdict]

    def at(self, index: int) -> PositionVerdict:
        return self.others.get(index, AGREES)

    def verdicts(self) -> Iterator[PositionVerdict]:
        """One a row; rows that agree come last."""
        yield from self.others.values()
        yield from (AGREES for _ in range(self.size - len(self.others)))

    def counts(self) -> dict[str, int]:
        """How many rows have each verdict, and how many flips of the best token were near ties."""
        counted = Counter(judged.verdict for judged in self.others.values())
        counted[Verdict.AGREE] += self.size - len(self.others)
        verdicts = (Verdict.AGREE, Verdict.EXPLAINED, Verdict.NOISE, Verdict.DIVERGED, Verdict.NOT_COMPARED)
        ties = sum(judged.is_near_tie for judged in self.others.values())
        return {verdict.value.replace(" ", "_"): counted[verdict] for verdict in verdicts} | {
            "near_ties": ties
        }

    @property
    def first(self) -> int | None:
        """Index of the first divergence."""
        diverged = (i for i, judged in self.others.items() if judged.verdict is Verdict.DIVERGED)
        return next(diverged, None)

    @staticmethod
    def agreement(rows: Rows) -> NDArray[np.bool_]:
        """Which rows agree to the rounding of float32 sums, with the same best token."""
        finite = rows["expected_is_finite"] & rows["actual_is_finite"]
        same = rows["argmax_expected"] == rows["argmax_actual"]
        agree: NDArray[np.bool_] = np.asarray(finite & same & (rows["relative_l2"] <= EXACTNESS))
        return agree


def judge_rows(rows: Rows, criterion: Criterion, *, explains: bool) -> Judged:
    """The verdict on every row.

    explains  whether what the criterion calls noise is explained: two arithmetics of one function
    """
    is_fixed = isinstance(criterion, FixedLimit)
    open_rows = range(len(rows)) if is_fixed else np.flatnonzero(~Judged.agreement(rows))
    others: dict[int, PositionVerdict] = {}
    for index in map(int, open_rows):
        judged = judge_position(metrics_of(rows[index]), criterion)
        if explains and judged.verdict is Verdict.NOISE:
            judged = PositionVerdict(Verdict.EXPLAINED, "", judged.is_near_tie)
        if judged != AGREES:
            others[index] = judged
    return Judged(len(rows), others)
