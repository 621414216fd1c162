"""All checks of one subject, one after the other, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bitparity.conformance import calls, optional, refusals, ways  # noqa: F401 - they fill the table
from bitparity.conformance.check import CHECKS, Absent, Check, NotJudged, Outcome, State
from bitparity.conformance.subject import Subject
from bitparity.errors import BitparityError, EngineFailed, NotCompared
from bitparity.fuzz.violation import Violation

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Conformance:
    """What came of the checks.

    fingerprint  of the engine, as it describes itself
    """

    engine: str
    model: str
    fingerprint: dict[str, Any]
    outcomes: tuple[Outcome, ...]

    def count(self, state: State) -> int:
        return sum(outcome.state is state for outcome in self.outcomes)

    @property
    def exit_code(self) -> int:
        """5 an engine failed in a check; 1 a promise is broken; 4 something could not be judged, or nothing
        was; else 0."""
        if self.count(State.FAILED):
            return 5
        if self.count(State.BROKEN):
            return 1
        return 4 if self.count(State.NOT_JUDGED) or not self.count(State.HOLDS) else 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "exit_code": self.exit_code,
            "engine": self.engine,
            "model": self.model,
            "fingerprint": self.fingerprint,
            "checks": [outcome.as_dict() for outcome in self.outcomes],
        }


def check_names() -> list[str]:
    return list(CHECKS)


def run_checks(subject: Subject, names: Sequence[str] = (), progress: Progress | None = None) -> Conformance:
    """Run the checks of these names, all unless given.

    Raises what opening the first session raises: an engine that does not open has not been checked.  The
    same goes for one that gives no logits: NotCompared.
    """
    info = subject.session().info
    if info.most_probable is not None:
        raise NotCompared(
            f"{subject.engine.name} gives log-probabilities of its most probable tokens only; "
            "the contract of a session is about logits"
        )
    wanted = [check for name, check in CHECKS.items() if not names or name in names]
    outcomes = []
    for done, check in enumerate(wanted, start=1):
        outcomes.append(run_check(check, subject))
        if progress is not None:
            progress(done, len(wanted))
    fingerprint = info.fingerprint.as_dict()
    return Conformance(subject.engine.name, str(subject.model.path), fingerprint, tuple(outcomes))


def run_check(check: Check, subject: Subject) -> Outcome:
    """What comes of one check; whatever the engine does, it is the outcome."""
    subject.begin()

    def outcome(state: State, said: object, *lines: str) -> Outcome:
        return Outcome(check.name, check.promise, state, str(said), lines)

    try:
        return outcome(State.HOLDS, check.run(subject))
    except Absent as reason:
        return outcome(State.ABSENT, reason)
    except NotJudged as reason:
        return outcome(State.NOT_JUDGED, reason)
    except EngineFailed as error:
        return outcome(State.FAILED, error, *subject.lines)
    except (Violation, BitparityError) as error:
        return outcome(State.BROKEN, error, *subject.lines)
