"""What a check is, what comes of it, and the table of all checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitparity.conformance.subject import Subject


class State(Enum):
    HOLDS = "holds"
    BROKEN = "BROKEN"
    FAILED = "FAILED"  # the engine crashed, hung or raised where it had to answer
    NOT_JUDGED = "not judged"
    ABSENT = "absent"  # something that an engine need not have


class NotJudged(Exception):
    """Why a check can say nothing of this engine, in a clause."""


class Absent(Exception):
    """What the engine does not have and need not have, in a clause."""


@dataclass(frozen=True)
class Check:
    """One promise of a session.

    promise  what is promised, and whether it has to hold to the bit or within the engine's own noise
    run      returns what was seen, in a clause; raises Violation, NotJudged or Absent
    """

    name: str
    promise: str
    run: Callable[[Subject], str]


@dataclass(frozen=True)
class Outcome:
    """said          what was seen, or what is wrong, in a clause
    reproduction  the calls that led there, a line of Python each, where the promise is not kept
    """

    name: str
    promise: str
    state: State
    said: str
    reproduction: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"state": self.state.value.lower()}


CHECKS: dict[str, Check] = {}


def check(function: Callable[[Subject], str]) -> Callable[[Subject], str]:
    """Put a check in the table, under its own name; its docstring is the promise."""
    name = function.__name__.replace("_", "-")
    CHECKS[name] = Check(name, " ".join((function.__doc__ or "").split()), function)
    return function
