"""More than two engines on the same tokens: every two of them compared, all of their stages judged.

All are open at once.  The candidate is compared with each of the others, and those with each other, the
reference first; an engine that fails is left out of what is still to be compared.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from bitparity.blame.bisect import blame_all
from bitparity.blame.engines import EngineBlame
from bitparity.compare.comparison import Comparison, Side, open_all
from bitparity.compare.result import ComparisonResult, prompt_to_judge
from bitparity.compare.run import Progress, Run
from bitparity.errors import BitparityError, EngineFailed
from bitparity.guard import GuardedSession, guard
from bitparity.noise.verdict import Verdict
from bitparity.output import without_nan, write_json

_WORST_FIRST = (
    Verdict.ENGINE_FAILED,
    Verdict.DIVERGED,
    Verdict.REFERENCE_SUSPECT,
    Verdict.NOT_COMPARED,
    Verdict.NOISE,
    Verdict.EXPLAINED,
    Verdict.AGREE,
)
_WORST_EXIT_FIRST = (5, 1, 4, 0)


@dataclass(frozen=True)
class SeveralResult:
    """What was found of several engines.

    pairs     every two that were compared: reference and candidate of a result are the two
    left_out  a sentence for every two that were not, because one of them had failed
    blames    each engine judged, if that was asked for and all of them lived
    unjudged  why stages were not judged although that was asked for; empty otherwise
    command   that repeats the run
    """

    pairs: tuple[ComparisonResult, ...]
    left_out: tuple[str, ...] = ()
    blames: tuple[EngineBlame, ...] = ()
    unjudged: str = ""
    command: str = ""

    @property
    def engines(self) -> list[str]:
        """Reference, the others, candidate."""
        return list(self.fingerprints)

    @property
    def fingerprints(self) -> dict[str, dict[str, Any]]:
        """By the name of each engine, in the order in which they were opened."""
        named = {str(p.reference["engine"]): dict(p.reference) for p in self.pairs}
        return named | {str(p.candidate["engine"]): dict(p.candidate) for p in self.pairs}

    @property
    def verdict(self) -> Verdict:
        """The worst of all pairs."""
        found = {pair.verdict for pair in self.pairs}
        return next(verdict for verdict in _WORST_FIRST if verdict in found)

    @property
    def exit_code(self) -> int:
        """That of the worst pair; what was asked for and not judged is no pass."""
        codes = {pair.exit_code for pair in self.pairs} | ({4} if self.unjudged else set())
        return next(code for code in _WORST_EXIT_FIRST if code in codes)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; the pairs are as `compare` writes them."""
        plain: dict[str, Any] = without_nan(
            {
                "engines": self.engines,
                "verdict": self.verdict.value,
                "exit_code": self.exit_code,
                "left_out": list(self.left_out),
                "unjudged": self.unjudged,
                "command": self.command,
            }
        )
        return plain | {"pairs": [pair.as_dict() for pair in self.pairs]}

    def save(self, path: Path) -> None:
        """Raises BadInput when the file cannot be written."""
        write_json(path, self.as_dict())


def compare_several(
    comparison: Comparison,
    others: Sequence[Side],
    *,
    limit: float | None = None,
    blame: bool = False,
    progress: Progress | None = None,
) -> SeveralResult:
    """Compare reference, others and candidate, every two of them.

    limit and blame are as in compare_engines, and apply to all.
    Raises as compare_engines does before anything runs.
    """
    sides = [comparison.reference, *others, comparison.candidate]
    found: _Several | None = None
    try:
        with open_all(comparison, others) as opened:
            sessions = [guard(s, side.engine.name) for s, side in zip(opened, sides, strict=True)]
            found = _Several(comparison, sides, sessions, limit)
            found.compare(progress)
            if blame:
                found.judge_stages()
    except EngineFailed as error:  # once there is a run, only closing the sessions can raise it
        if found is None or not found.runs:
            raise
        list(found.runs.values())[-1].ended_by(error)
    return found.result()


class _Several:
    """Open sessions, and a run for every two of them."""

    def __init__(
        self, comparison: Comparison, sides: list[Side], sessions: list[GuardedSession], limit: float | None
    ) -> None:
        self._comparison, self._sides, self._sessions, self._limit = comparison, sides, sessions, limit
        self.runs: dict[tuple[int, int], Run] = {}
        self._left_out: list[str] = []
        self._blames: tuple[EngineBlame, ...] = ()
        self._unjudged = ""

    def compare(self, progress: Progress | None) -> None:
        for i, j in combinations(range(len(self._sides)), 2):
            dead = [self._sides[n].engine.name for n in (i, j) if self._has_failed(n)]
            if dead:
                pair = f"{self._sides[j].engine.name} and {self._sides[i].engine.name}"
                self._left_out.append(f"{pair} were not compared, because {dead[0]} had failed")
                continue
            asked = replace(self._comparison, reference=self._sides[i], candidate=self._sides[j])
            run = Run(asked, (self._sessions[i], self._sessions[j]), self._limit, time.perf_counter())
            self.runs[i, j] = run
            run.judge_positions(lambda result: None, progress)

    def judge_stages(self) -> None:
        """Judge the stages of all engines on the prompt that diverged first, or on the first one."""
        if any(map(self._has_failed, range(len(self._sides)))):
            self._unjudged = "stages were not judged, because an engine had failed"
            return
        comparison = self._comparison
        worst = next((run for run in self.runs.values() if any(r.has_diverged for r in run.rows)), None)
        run = worst or next(iter(self.runs.values()))
        prompt = prompt_to_judge(run.rows)
        tokens = [row.token for row in run.rows if row.prompt == prompt]
        files = [side.model for side in self._sides]
        try:
            reports = blame_all(
                comparison.meant, list(zip(self._sessions, files, strict=True)), tokens, comparison.chunking
            )
        except (BitparityError, OSError) as error:
            self._unjudged = f"stages were not judged: {error}"
            return
        for pair, report in reports.items():
            self.runs[pair].blame = report
        if not any(report.expected.stages or report.actual.stages for report in reports.values()):
            self._unjudged = "stages were not judged, because no engine records any that can be"
        last = len(self._sides) - 1
        self._blames = (*(reports[n, last].expected for n in range(last)), reports[0, last].actual)

    def result(self) -> SeveralResult:
        return SeveralResult(
            pairs=tuple(run.result() for run in self.runs.values()),
            left_out=tuple(self._left_out),
            blames=self._blames,
            unjudged=self._unjudged,
            command=self._comparison.command,
        )

    def _has_failed(self, number: int) -> bool:
        return self._sessions[number].has_failed
