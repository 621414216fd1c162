"""What a check finds: a sentence about the file, and what follows from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from bitparity.errors import BadInput, NotCompared


class Severity(Enum):
    """What follows from a finding."""

    STOP = "stop"  # a verdict on this file would say nothing: the run ends unless it is forced
    WARNING = "warning"  # the run goes on, and its result is to be read with this in mind
    NOTE = "note"  # worth knowing, changes nothing


@dataclass(frozen=True)
class Finding:
    """One thing that a file says of itself and that is not so, or that an engine cannot take.

    subject   the tensor or the metadata key
    sentence  begins with the subject, and says what was found and what to do
    engines   whom alone it concerns; empty for every engine
    """

    severity: Severity
    subject: str
    sentence: str
    engines: tuple[str, ...] = ()

    def concerns(self, engines: Collection[str]) -> bool:
        """Whether it matters to a run of these engines."""
        return not self.engines or any(engine in engines for engine in self.engines)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "severity": self.severity.value, "engines": list(self.engines)}


def refuse_to_run(findings: Iterable[Finding], file: str) -> None:
    """End a run before it begins, if a finding stops it.

    Raises BadInput for what makes the file meaningless to everybody, and NotCompared for what one engine of
    the run cannot take.
    """
    stops = [finding for finding in findings if finding.severity is Severity.STOP]
    if not stops:
        return
    worst = min(stops, key=lambda finding: bool(finding.engines))
    more = f" (and {len(stops) - 1} more such findings; `bitparity inspect` lists them)" if stops[1:] else ""
    error = NotCompared if worst.engines else BadInput
    raise error(f"{file}: {worst.sentence}{more}; nothing was run, --force runs it all the same")
