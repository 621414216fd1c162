"""Open both engines, pass the token gate, and measure every position; judging.py judges."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from bitparity.compare.chunking import Chunking
from bitparity.compare.positions import PositionRecord, check_tokens, compare_positions
from bitparity.compare.prompts import ExternalTokenizer, Prompt, tokenize
from bitparity.engine import Engine, Session
from bitparity.errors import BadInput, BitparityError, EngineFailed
from bitparity.guard import GuardedSession, guard
from bitparity.model.types import Model
from bitparity.runs import choose_context, follow, open_session, tracing
from bitparity.settings import Settings

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Side:
    """An engine and the file that it runs."""

    engine: Engine
    model: Model


@dataclass(frozen=True)
class Comparison:
    """What to compare, and how.

    model     what both were meant to run, if that is not the reference's own file
    context   positions to make room for; None is what is asked
    threads   of each engine; None is the settings' own number
    command   the command line that repeats this run, for reports
    """

    reference: Side
    candidate: Side
    prompts: Sequence[Prompt]
    settings: Settings
    model: Model | None = None
    chunking: Chunking = field(default_factory=lambda: Chunking("prefill"))
    steps: int = 0
    context: int | None = None
    threads: int | None = None
    device_id: int | None = None
    tokenizer: ExternalTokenizer | None = None
    trace_filter: str = "*:*"
    command: str = ""

    @property
    def meant(self) -> Model:
        """The model that both sides were meant to run."""
        return self.model or self.reference.model


@dataclass
class Measured:
    """What both engines were asked and gave; failure and unfinished as in result.ComparisonResult."""

    tokens: list[list[int]]
    fingerprints: tuple[dict[str, Any], dict[str, Any]]
    records: list[list[PositionRecord]] = field(default_factory=list)
    failure: str | None = None
    unfinished: str | None = None
    reference_has_failed: bool = False
    seconds: float = 0.0

    def ended_by(self, error: BitparityError | OSError, what: str = "") -> None:
        """Remember an error that ended the run early; what says in a clause which part of it is missing."""
        said = f"{what}: {error}" if what else str(error)
        if isinstance(error, EngineFailed):
            self.failure = _joined(self.failure, said)
        else:
            self.unfinished = _joined(self.unfinished, said)

    def without(self, what: str) -> Measured:
        """The same before more is done; what says in a clause which part is missing so far."""
        return replace(self, unfinished=_joined(self.unfinished, what))


def _joined(said: str | None, more: str) -> str:
    return f"{said}; {more}" if said else more


def measure(comparison: Comparison, progress: Progress | None = None) -> Measured:
    """Run both engines over every prompt and measure every position; nothing is judged yet.

    Raises BadInput, TokenMismatch and NotCompared before anything runs, and EngineFailed when an engine fails
    before that.  Whatever fails later ends the run, and what was measured until then is kept.
    """
    started = time.perf_counter()
    measured: Measured | None = None
    try:
        with open_sides(comparison) as (reference, candidate):
            measured = measure_sessions(comparison, reference, candidate, progress)
    except EngineFailed as error:  # if there is a measurement, in closing
        if measured is None:
            raise
        measured.ended_by(error)
    measured.seconds = time.perf_counter() - started
    return measured


def measure_sessions(
    comparison: Comparison, reference: Session, candidate: Session, progress: Progress | None = None
) -> Measured:
    """`measure` on sessions that are open already."""
    started = time.perf_counter()
    reference, candidate = sessions = guarded(comparison, reference, candidate)
    measured = Measured(
        tokens=gate(comparison, reference, candidate),
        fingerprints=(reference.info.fingerprint.as_dict(), candidate.info.fingerprint.as_dict()),
    )
    try:
        for index in range(len(measured.tokens)):
            _measure_prompt(comparison, reference, candidate, index, measured, progress)
    except (BitparityError, OSError) as error:
        if not isinstance(error, EngineFailed) and not any(measured.records):
            raise
        measured.ended_by(error)
    measured.reference_has_failed = sessions[0].has_failed
    measured.seconds = time.perf_counter() - started
    return measured


@contextmanager
def open_sides(comparison: Comparison) -> Iterator[tuple[Session, Session]]:
    """Open the reference, then the candidate in the reference's arithmetic, where it has more than one."""
    candidate = comparison.candidate
    with _opened(comparison, comparison.reference) as expected:
        follower = replace(candidate, engine=follow(candidate.engine, expected.info.fingerprint))
        with _opened(comparison, follower) as actual:
            yield expected, actual


def guarded(
    comparison: Comparison, reference: Session, candidate: Session
) -> tuple[GuardedSession, GuardedSession]:
    """The same sessions, which raise a BitparityError or nothing."""
    engines = comparison.reference.engine, comparison.candidate.engine
    return guard(reference, engines[0].name), guard(candidate, engines[1].name)


def gate(comparison: Comparison, reference: Session, candidate: Session) -> list[list[int]]:
    """Token ids of every prompt, checked against both engines before either of them runs."""
    if not comparison.prompts:
        raise BadInput("there is no prompt to compare; give --prompt, --prompts or --tokens")
    tokens = [tokenize(p, reference, candidate, comparison.tokenizer) for p in comparison.prompts]
    for ids in tokens:
        for session in (reference, candidate):
            check_tokens(ids, session, steps=comparison.steps)
    return tokens


def _opened(comparison: Comparison, side: Side) -> AbstractContextManager[Session]:
    longest = max((p.largest_length() for p in comparison.prompts), default=0) + comparison.steps
    return open_session(
        side.engine,
        side.model,
        context=comparison.context or choose_context(side.model, longest),
        settings=comparison.settings,
        threads=comparison.threads,
        device_id=comparison.device_id,
    )


def _measure_prompt(
    comparison: Comparison,
    reference: Session,
    candidate: Session,
    index: int,
    measured: Measured,
    progress: Progress | None,
) -> None:
    tokens, records = measured.tokens[index], list[PositionRecord]()
    measured.records.append(records)
    total = sum(len(ids) + comparison.steps for ids in measured.tokens)
    done = sum(len(r) for r in measured.records)
    with ExitStack() as stack:
        for role, session in (("reference", reference), ("candidate", candidate)):
            run = f"{role}-{session.info.fingerprint.engine}"
            stack.enter_context(
                tracing(session, comparison.settings, run=run, stages=comparison.trace_filter, tokens=tokens)
            )
        for record in compare_positions(
            reference, candidate, tokens, comparison.chunking, steps=comparison.steps
        ):
            records.append(record)
            done += 1
            if progress is not None:
                progress(done, total)
