"""All targets of a run: known defects first, then the search, within examples and time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bitparity.fuzz.contracts import CONTRACTS
from bitparity.fuzz.implementations import Implementation
from bitparity.fuzz.known_defects import KNOWN_DEFECTS, KnownDefect
from bitparity.fuzz.runner import Outcome, Target, failure_of, search, targets

GROUPS = ("formats", "kernels", "sessions")


@dataclass(frozen=True)
class KnownReport:
    """A known defect, replayed.

    is_due   whether this build should have it
    message  how it shows; None when it does not
    """

    defect: KnownDefect
    is_due: bool
    message: str | None

    @property
    def is_as_listed(self) -> bool:
        return self.is_due == (self.message is not None)


@dataclass
class Report:
    """known, outcomes  what ran
    skipped          targets that time left out
    lost             targets whose worker was lost, or has not their implementation, and why
    """

    known: list[KnownReport] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    skipped: list[Target] = field(default_factory=list)
    lost: list[tuple[Target, str]] = field(default_factory=list)

    @property
    def broken(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.counterexample is not None]

    @property
    def not_as_listed(self) -> list[KnownDefect]:
        """Known defects that are gone from a build that should have them, or are in one that should not."""
        return [report.defect for report in self.known if not report.is_as_listed]

    @property
    def exit_code(self) -> int:
        """1 for a broken contract or a known defect that is not as listed, 4 when a target was left out or
        lost, or there was none, else 0."""
        if self.broken or self.not_as_listed:
            return 1
        ran = self.outcomes and all(outcome.examples for outcome in self.outcomes)
        return 0 if ran and not self.skipped and not self.lost else 4


def run_campaign(
    groups: tuple[str, ...],
    implementations: list[Implementation],
    *,
    examples: int,
    seed: int,
    time_limit: float | None = None,
    database: Path | None = None,
    progress: Callable[[int, int, Target], None] = lambda done, total, target: None,
) -> Report:
    """Search every contract of the groups on every implementation; `progress` gets each target before it
    runs.

    time_limit  seconds; every target may use an equal share of what the ones before it have left
    """
    end = None if time_limit is None else time.monotonic() + time_limit
    report = Report(known=replay_known(groups, implementations))
    wanted = targets_of(groups, implementations)
    for done, target in enumerate(wanted):
        if _is_past(end):
            report.skipped = wanted[done:]
            break
        progress(done, len(wanted), target)
        is_late = partial(_is_past, _share(end, len(wanted) - done))
        outcome = search(target, examples=examples, seed=seed, database=database, out_of_time=is_late)
        report.outcomes.append(outcome)
    return report


def targets_of(groups: tuple[str, ...], implementations: list[Implementation]) -> list[Target]:
    """Every contract of the groups on every implementation that promises it."""
    return targets([c for c in CONTRACTS.values() if c.group in groups], implementations)


def _is_past(end: float | None) -> bool:
    return end is not None and time.monotonic() > end


def _share(end: float | None, targets_left: int) -> float | None:
    """The time at which the next target's share of what is left ends."""
    now = time.monotonic()
    return None if end is None else now + (end - now) / targets_left


def replay_known(groups: tuple[str, ...], implementations: list[Implementation]) -> list[KnownReport]:
    """Reproduce every known defect of the implementations that are here, in this build of them."""
    reports = []
    for defect in KNOWN_DEFECTS:
        contract = CONTRACTS[defect.contract]
        if contract.group not in groups:
            continue
        for implementation in implementations:  # functions and sessions of one engine share its name
            target = Target(contract, defect.weight_format, implementation)
            if implementation.name == defect.implementation and target.has_operations:
                is_due = defect.builds.include(implementation)
                reports.append(KnownReport(defect, is_due, failure_of(target, defect.case)))
    return reports
