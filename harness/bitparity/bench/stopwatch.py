"""The timed calls on one engine's session.

A session that lives in another process may say two things about itself, which then count instead of what is
seen from here: `call_seconds`, what its last call took there (before any call: opening), and `process_id`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from bitparity.compare.chunking import LARGEST_PREFILL
from bitparity.engine import Engine, Session
from bitparity.errors import EngineFailed
from bitparity.model.types import Model
from bitparity.runs import open_session
from bitparity.settings import Settings


class Timer(Protocol):
    """What run.py asks of a lane; seconds are those of the work alone."""

    def load(self) -> float:
        """Open a session, anew when there is one; returns seconds."""
        ...

    def fingerprint(self) -> dict[str, Any]: ...

    def prefill(self, tokens: Sequence[int]) -> float:
        """Seconds of one prefill from an empty cache, logits of the last position only."""
        ...

    def decode(self, tokens: Sequence[int], depth: int) -> float:
        """Seconds of decoding tokens[depth:] one by one, with tokens[:depth] in the cache."""
        ...

    def peak_memory(self) -> int | None:
        """Largest resident memory of the process that holds the session, in bytes; None where unknown."""
        ...


class Stopwatch:
    """A Timer over one engine, in this process."""

    def __init__(
        self, engine: Engine, model: Model, *, context: int, settings: Settings, threads: int | None
    ) -> None:
        self._engine, self._model = engine, model
        self._context, self._settings, self._threads = context, settings, threads
        self._open = ExitStack()
        self._session: Session | None = None
        self._held: list[int] = []  # tokens in the session's cache

    def load(self) -> float:
        self.close()
        session = open_session(
            self._engine,
            self._model,
            context=self._context,
            settings=self._settings,
            threads=self._threads,
        )
        started = time.perf_counter()
        self._session = self._open.enter_context(session)
        return self._seconds(started)

    def fingerprint(self) -> dict[str, Any]:
        return self._opened().info.fingerprint.as_dict()

    def prefill(self, tokens: Sequence[int]) -> float:
        self._keep(0)
        return self._prefill(tokens)

    def decode(self, tokens: Sequence[int], depth: int) -> float:
        """What is in the cache already is kept, so that repetitions fill it once."""
        self._fill(tokens[:depth])
        return sum(self._decode(token) for token in tokens[depth:])

    def peak_memory(self) -> int | None:
        return peak_memory(getattr(self._opened(), "process_id", os.getpid()))

    def close(self) -> None:
        self._open.close()
        self._session, self._held = None, []

    def _fill(self, tokens: Sequence[int]) -> None:
        common = len(tokens) if self._held[: len(tokens)] == list(tokens) else 0
        self._keep(common)
        for first in range(common, len(tokens), LARGEST_PREFILL):
            self._prefill(tokens[first : first + LARGEST_PREFILL])

    def _prefill(self, tokens: Sequence[int]) -> float:
        return self._timed(lambda session: session.prefill(tokens, logits="last"), tokens)

    def _decode(self, token: int) -> float:
        return self._timed(lambda session: session.decode(token), [token])

    def _keep(self, positions: int) -> None:
        self._opened().rollback(positions)
        del self._held[positions:]

    def _timed(self, call: Callable[[Session], Any], tokens: Sequence[int]) -> float:
        session = self._opened()
        started = time.perf_counter()
        call(session)
        seconds = self._seconds(started)
        self._held += tokens
        return seconds

    def _seconds(self, started: float) -> float:
        elapsed = time.perf_counter() - started
        return float(getattr(self._session, "call_seconds", elapsed))

    def _opened(self) -> Session:
        if self._session is None:
            raise EngineFailed(self._engine.name, "has no session open")
        return self._session


def peak_memory(process_id: int) -> int | None:
    """Largest resident memory of a process so far, in bytes, as Linux counts it; None elsewhere."""
    try:
        status = Path(f"/proc/{process_id}/status").read_text()
    except OSError:
        return None
    lines = (line.split() for line in status.splitlines())
    return next((int(words[1]) * 1024 for words in lines if words and words[0] == "VmHWM:"), None)
