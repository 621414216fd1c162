"""A campaign on the workers of a cluster: a target is a task.

Functions do not travel, so a worker finds the implementations that it has by itself, once, and a target is
sent by its names.  What is remembered of failures stays with the campaign.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitparity.fuzz.campaign import Report, replay_known, targets_of
from bitparity.fuzz.failures import FailureList, Failures
from bitparity.fuzz.implementations import Implementation, find_implementations
from bitparity.fuzz.runner import Counterexample, Outcome, Target, search_first
from bitparity.fuzz.sessions import engines
from bitparity.settings import read_settings
from bitparity.sweep.cluster import Lost, run_tasks

if TYPE_CHECKING:
    from distributed import Client

Names = tuple[str, str, str]  # of a target: its contract, weight format and implementation


@dataclass(frozen=True)
class TargetTask:
    """A target by its names, and how it is searched; cases are those that are tried first."""

    names: Names
    groups: tuple[str, ...]
    examples: int
    seed: int
    seconds: float | None
    cases: tuple[Any, ...]


@dataclass(frozen=True)
class TargetAnswer:
    """What a worker found: a counterexample and its message, and remembered cases that fail no more."""

    examples: int
    case: Any
    message: str | None
    forgotten: tuple[Any, ...]


def run_campaign_on(
    client: Client,
    groups: tuple[str, ...],
    implementations: list[Implementation],
    *,
    examples: int,
    seed: int,
    time_limit: float | None = None,
    database: Path | None = None,
    progress: Callable[[int, int, Target], None] = lambda done, total, target: None,
) -> Report:
    """As run_campaign, on the workers of a cluster; known defects are replayed here."""
    report = Report(known=replay_known(groups, implementations))
    wanted = {_names(target): target for target in targets_of(groups, implementations)}
    threads = sum(client.nthreads().values())
    seconds = None if time_limit is None else time_limit * threads / max(1, len(wanted))
    tasks = [
        TargetTask(names, groups, examples, seed, seconds, tuple(Failures(database, target.name).cases()))
        for names, target in wanted.items()
    ]
    for done, (task, answer) in enumerate(run_tasks(client, search_target, tasks)):
        target = wanted[task.names]
        progress(done, len(tasks), target)
        if answer is None or isinstance(answer, Lost):
            why = "the worker has no such implementation" if answer is None else answer.why
            report.lost.append((target, why))
        else:
            report.outcomes.append(_outcome(target, answer, Failures(database, target.name)))
    return report


def search_target(task: TargetTask) -> TargetAnswer | None:
    """Search on a worker; None where it has not the implementation."""
    target = _targets_here(task.groups).get(task.names)
    if target is None:
        return None
    end = None if task.seconds is None else time.monotonic() + task.seconds
    failures = FailureList(list(task.cases))
    outcome = search_first(
        target,
        failures,
        examples=task.examples,
        seed=task.seed,
        out_of_time=lambda: end is not None and time.monotonic() > end,
    )
    found = outcome.counterexample
    case, message = (None, None) if found is None else (found.case, found.message)
    return TargetAnswer(outcome.examples, case, message, tuple(failures.forgotten))


@cache
def _targets_here(groups: tuple[str, ...]) -> dict[Names, Target]:
    """All targets of this worker, found once in its life."""
    settings = read_settings()
    found = find_implementations(settings)[0] if {"formats", "kernels"} & set(groups) else []
    found += engines(settings) if "sessions" in groups else []
    return {_names(target): target for target in targets_of(groups, found)}


def _names(target: Target) -> Names:
    return target.contract.name, target.weight_format, target.implementation.name


def _outcome(target: Target, answer: TargetAnswer, failures: Failures) -> Outcome:
    """What the worker found, of the target that is here; what it learnt of failures is kept here."""
    for case in answer.forgotten:
        failures.forget(case)
    if answer.message is None:
        return Outcome(target, answer.examples, None)
    failures.remember(answer.case)
    return Outcome(target, answer.examples, Counterexample(target, answer.case, answer.message))
