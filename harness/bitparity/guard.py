"""Whatever an engine raises in this process becomes EngineFailed with the engine's name.

A failure in a worker process is an EngineFailed already (worker/) and passes unchanged.  So does any other
BitparityError, because engine.py says which of them an engine may raise, and so does what a sink of the
harness raises while an engine hands it values.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Literal, TypeVar

from bitparity.engine import Floats, ModelInfo, Session, Sink
from bitparity.engines.returns import LogitsCheck
from bitparity.errors import BitparityError, EngineFailed
from bitparity.stages import StageFilter
from bitparity.streaming import Decoder, StreamedToken, stream

T = TypeVar("T")


def call(engine: str, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Call a method of the engine of that name; raises a BitparityError or nothing."""
    try:
        return function(*arguments, **options)
    except BitparityError:
        raise
    except Exception as error:
        raise EngineFailed.raised(engine, error) from error


def guard(session: Session, engine: str) -> GuardedSession:
    """The same session, whose methods raise a BitparityError or nothing."""
    if isinstance(session, GuardedSession):
        return session
    return GuardedSession(session, engine)


class GuardedSession:
    """A session of an engine of that name; `has_failed` once a method has raised EngineFailed."""

    def __init__(self, session: Session, engine: str) -> None:
        self._session, self._engine = session, engine
        self._check = LogitsCheck(engine)
        self._from_sink: Exception | None = None
        self.has_failed = False

    def __getattr__(self, name: str) -> Any:
        """Optional attributes of a session, which bench/stopwatch.py asks for."""
        return getattr(self._session, name)

    @property
    def info(self) -> ModelInfo:
        return self._call(lambda: self._session.info)

    @property
    def position(self) -> int:
        return self._call(lambda: self._session.position)

    def tokenize(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]:
        return self._call(self._session.tokenize, text, add_bos=add_bos, parse_special=parse_special)

    def detokenize(self, ids: Sequence[int]) -> str:
        return self._call(self._session.detokenize, ids)

    def prefill(self, tokens: Sequence[int], *, logits: Literal["all", "last"] = "all") -> Floats:
        rows = len(tokens) if logits == "all" else 1
        return self._logits(self._call(self._session.prefill, tokens, logits=logits), (rows,))

    def decode(self, token: int) -> Floats:
        return self._logits(self._call(self._session.decode, token), ())

    def stream(
        self,
        tokens: Sequence[int],
        *,
        max_tokens: int = 32,
        ends: Collection[int] = (),
        tokenizer: Decoder | None = None,
    ) -> Iterator[StreamedToken]:
        """Generate greedily: token, piece and logits of one token after the other, as bitparity.stream."""
        return stream(self, tokens, max_tokens=max_tokens, ends=ends, tokenizer=tokenizer)

    def rollback(self, to: int) -> None:
        self._call(self._session.rollback, to)

    def tap(self, stages: StageFilter, sink: Sink) -> AbstractContextManager[None]:
        return self._active(lambda: self._session.tap(stages, self._passing(sink)))

    def close(self) -> None:
        self._call(self._session.close)

    def _call(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        try:
            return call(self._engine, function, *arguments, **options)
        except EngineFailed as failure:
            ours = self._from_sink
            if ours is not None and failure.__cause__ is ours:
                raise ours from None
            self.has_failed = True
            raise

    def _logits(self, logits: Floats, rows: tuple[int, ...]) -> Floats:
        info = self.info
        try:
            return self._check(logits, (*rows, info.n_vocab), are_logits=info.most_probable is None)
        except EngineFailed:
            self.has_failed = True
            raise

    def _passing(self, sink: Callable[[T], None]) -> Callable[[T], None]:
        """The same sink; what it raises is remembered."""

        def pass_on(value: T) -> None:
            try:
                sink(value)
            except Exception as error:
                self._from_sink = error
                raise

        return pass_on

    @contextmanager
    def _active(self, start: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
        """The engine's own context; what is raised inside it is raised here, even if the engine hides it."""
        context = self._call(start)
        self._call(context.__enter__)
        try:
            yield
        except BaseException:
            with suppress(Exception):
                context.__exit__(*sys.exc_info())
            raise
        self._call(context.__exit__, None, None, None)
