"""What is to be compared, and how; both of its engines are opened here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from bitparity.compare.chunking import Chunking
from bitparity.compare.prompts import ExternalTokenizer, Prompt
from bitparity.engine import Engine, Session
from bitparity.model.checks import Finding
from bitparity.model.types import Model
from bitparity.noise.measure import MIN_SAMPLE
from bitparity.noise.verdict import Verdict
from bitparity.runs import choose_context, follow, open_session
from bitparity.settings import Settings

Sessions = tuple[Session, Session]  # of the reference and of the candidate


@dataclass(frozen=True)
class Side:
    """An engine, the file that it runs, and the device on which it does; None is the CPU."""

    engine: Engine
    model: Model
    device_id: int | None = None


@dataclass(frozen=True)
class Comparison:
    """What to compare, and how.

    model     what both were meant to run, if that is not the reference's own file
    context   positions to make room for; None is as many as the prompts need
    threads   of each engine; None takes the number of the settings
    required  the least that passes: agree, explained or noise
    command   the command line that repeats this run, for reports
    findings  of the checks of both files, for reports
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
    tokenizer: ExternalTokenizer | None = None
    trace_filter: str = "*:*"
    required: Verdict = Verdict.NOISE
    command: str = ""
    findings: Sequence[Finding] = ()

    @property
    def meant(self) -> Model:
        """The model that both sides were meant to run."""
        return self.model or self.reference.model


@contextmanager
def open_sides(comparison: Comparison) -> Iterator[Sessions]:
    """Open the reference, then the candidate in the reference's arithmetic, where it has more than one."""
    reference, candidate = comparison.reference, comparison.candidate
    for_noise = min(MIN_SAMPLE, reference.model.hyper.context_length)
    with _opened(comparison, reference, max(for_noise, _context(comparison, reference))) as expected:
        follower = replace(candidate, engine=follow(candidate.engine, expected.info.fingerprint))
        with _opened(comparison, follower, _context(comparison, candidate)) as actual:
            yield expected, actual


@contextmanager
def open_all(comparison: Comparison, others: Sequence[Side]) -> Iterator[list[Session]]:
    """Open the reference, the other engines, then the candidate, in the first arithmetic that it can take on
    of those before it."""
    with ExitStack() as stack:
        sessions: list[Session] = []
        for side in (comparison.reference, *others):
            for_noise = min(MIN_SAMPLE, side.model.hyper.context_length)
            context = max(for_noise, _context(comparison, side))
            sessions.append(stack.enter_context(_opened(comparison, side, context)))
        candidate = comparison.candidate
        fingerprints = [session.info.fingerprint for session in sessions]
        followers = (follow(candidate.engine, fingerprint) for fingerprint in fingerprints)
        engine = next((e for e in followers if e is not candidate.engine), candidate.engine)
        follower = replace(candidate, engine=engine)
        sessions.append(stack.enter_context(_opened(comparison, follower, _context(comparison, candidate))))
        yield sessions


def _context(comparison: Comparison, side: Side) -> int:
    longest = max((p.largest_length() for p in comparison.prompts), default=0) + comparison.steps
    return comparison.context or choose_context(side.model, longest)


def _opened(comparison: Comparison, side: Side, context: int) -> AbstractContextManager[Session]:
    return open_session(
        side.engine,
        side.model,
        context=context,
        settings=comparison.settings,
        threads=comparison.threads,
        device_id=side.device_id,
    )
