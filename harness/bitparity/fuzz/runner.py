"""Search one target - a contract, a format, an implementation - for a counterexample, and shrink it.

Failures of earlier runs are tried before new cases are looked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis

from bitparity.fuzz.contracts.base import Contract
from bitparity.fuzz.failures import FailureList, Failures
from bitparity.fuzz.implementations import Implementation
from bitparity.fuzz.known_defects import defects_of

FIRST_CHUNK, CHUNK = 25, 250  # examples of one seed: few at first, cases may be slow
PHASES = (
    hypothesis.Phase.explicit,
    hypothesis.Phase.reuse,
    hypothesis.Phase.generate,
    hypothesis.Phase.shrink,
)


@dataclass(frozen=True)
class Target:
    contract: Contract
    weight_format: str
    implementation: Implementation

    @property
    def name(self) -> str:
        return f"{self.implementation.name}: {self.contract.name}[{self.weight_format}]"

    @property
    def has_operations(self) -> bool:
        """Whether the implementation does, for this format, what the contract is about."""
        return all(self.implementation.has(o, self.weight_format) for o in self.contract.operations)


@dataclass(frozen=True)
class Counterexample:
    """The shrunk case and the words of the implementation or of the contract."""

    target: Target
    case: Any
    message: str


@dataclass(frozen=True)
class Outcome:
    target: Target
    examples: int  # cases that the check really ran on, shrinking included
    counterexample: Counterexample | None


def targets(
    contracts: list[Contract], implementations: list[Implementation], formats: set[str] | None = None
) -> list[Target]:
    """Every contract with every format and implementation that has what it needs."""
    return [
        target
        for c in contracts
        for name in c.formats
        if formats is None or name in formats
        for i in implementations
        if c.applies(i) and (target := Target(c, name, i)).has_operations
    ]


def search(
    target: Target,
    *,
    examples: int,
    seed: int,
    database: Path | None = None,
    out_of_time: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Search, with the failures that are remembered in the database."""
    failures = Failures(database, target.name)
    return search_first(target, failures, examples=examples, seed=seed, out_of_time=out_of_time)


def search_first(
    target: Target,
    failures: Failures | FailureList,
    *,
    examples: int,
    seed: int,
    out_of_time: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Try the remembered failures, then up to `examples` generated cases, until one fails or time is out.

    Cases are generated in chunks with seeds of their own.
    """
    attempt = _Attempt(target, out_of_time)
    for case in failures.cases():
        if not attempt.again(case):
            failures.forget(case)
    done, chunk = 0, 0
    while done < examples and not out_of_time() and attempt.failure is None:
        size = min(FIRST_CHUNK << min(chunk, 4), CHUNK, examples - done)
        attempt.run(size, seed * 1_000_003 + chunk)
        done, chunk = done + size, chunk + 1
    if attempt.failure is not None:
        failures.remember(attempt.failure.case)
    return Outcome(target, attempt.examples, attempt.failure)


class _Attempt:
    """Counts the cases that ran, and remembers the last failure: after shrinking, the smallest."""

    def __init__(self, target: Target, out_of_time: Callable[[], bool]) -> None:
        self.target = target
        self._out_of_time = out_of_time
        self.examples = 0
        self.failure: Counterexample | None = None
        # one strategy for all chunks, because hypothesis never frees what it remembers of a strategy
        self._cases = target.contract.cases(target.weight_format)
        self._known = defects_of(target.implementation, target.contract.name, target.weight_format)

    def again(self, case: Any) -> bool:
        """Whether a remembered case still fails; it is small already."""
        self.examples += 1
        message = failure_of(self.target, case)
        if message is not None:
            self.failure = Counterexample(self.target, case, message)
        return message is not None

    def run(self, examples: int, seed: int) -> None:
        settings = hypothesis.settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=PHASES,
            suppress_health_check=list(hypothesis.HealthCheck),
            report_multiple_bugs=False,
            print_blob=False,
            verbosity=hypothesis.Verbosity.quiet,
        )
        search_cases = hypothesis.seed(seed)(settings(hypothesis.given(self._cases)(self._check)))
        try:
            search_cases()
        except Exception:
            if self.failure is None:
                raise

    def _check(self, case: Any) -> None:
        if self.failure is None and self._out_of_time():
            return  # what is left of a chunk is drawn, but not run; a failure is still shrunk
        hypothesis.assume(not any(defect.covers(case) for defect in self._known))
        self.examples += 1
        message = failure_of(self.target, case)
        if message is not None:
            self.failure = Counterexample(self.target, case, message)
            raise AssertionError(message)


def failure_of(target: Target, case: Any) -> str | None:
    """How the implementation breaks the contract on this case; None when it keeps it."""
    try:
        target.contract.check(case, target.weight_format, target.implementation)
    except Exception as error:
        return str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
    return None
