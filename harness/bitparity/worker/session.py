"""Run any session in a process of its own.

    session = WorkerSession("my-engine", open_my_session, {"model": path, "context": 512, "threads": 2})

The opener is called in the worker and returns a session; pickle must find it by its module and name.  All of
`bitparity.engine.Session` then works across the process boundary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal, cast

from bitparity.engine import Floats, ModelInfo, Session, Sink
from bitparity.engines.returns import LogitsCheck
from bitparity.errors import BadInput
from bitparity.stages import StageFilter
from bitparity.worker.worker import TIME_LIMIT, Send, Worker


class WorkerSession:
    """A session that lives in a worker process, which is closed with it.

    time_limit    seconds of silence within one call after which the worker is killed
    call_seconds  what the last call took in the worker (before any: opening), transport not counted
    Raises what the opener raised.  Every method may raise EngineFailed, and does so for good once the worker
    is gone.
    """

    def __init__(
        self,
        engine: str,
        opener: Callable[..., Session],
        arguments: Mapping[str, Any],
        *,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        self._engine = engine
        opening = {"engine": engine, "opener": opener, "arguments": dict(arguments)}
        self.worker = Worker(engine, _SessionInWorker, opening, time_limit=time_limit)
        self.call_seconds = self.worker.call_seconds
        self._info = cast(ModelInfo, self.worker.call("info"))
        self._position = 0

    @property
    def info(self) -> ModelInfo:
        return self._info

    @property
    def position(self) -> int:
        return self._position

    @property
    def process_id(self) -> int:
        return self.worker.process_id

    def tokenize(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]:
        return cast(list[int], self._call("tokenize", text, add_bos, parse_special))

    def detokenize(self, ids: Sequence[int]) -> str:
        return cast(str, self._call("detokenize", list(ids)))

    def prefill(self, tokens: Sequence[int], *, logits: Literal["all", "last"] = "all") -> Floats:
        return cast(Floats, self._call("prefill", list(tokens), logits))

    def decode(self, token: int) -> Floats:
        return cast(Floats, self._call("decode", token))

    def rollback(self, to: int) -> None:
        self._call("rollback", to)

    @contextmanager
    def tap(self, stages: StageFilter, sink: Sink) -> Iterator[None]:
        if self.worker.hear is not None:
            raise BadInput(f"{self._engine} is being tapped already; one tap at a time")
        self.worker.call("start_tap", stages)
        self.worker.hear = sink
        try:
            yield
        finally:
            self.worker.hear = None
            if self.worker.failure is None:
                self.worker.call("stop_tap")

    def close(self) -> None:
        """Close the session, then end the worker; harmless when it is gone."""
        try:
            if self.worker.failure is None:
                self.worker.call("close")
        finally:
            self.worker.close()

    def _call(self, method: str, *arguments: Any) -> Any:
        value, self._position = self.worker.call(method, *arguments)
        self.call_seconds = self.worker.call_seconds
        return value


class _SessionInWorker:
    """The other end of WorkerSession, in the worker."""

    def __init__(self, engine: str, opener: Callable[..., Session], arguments: Mapping[str, Any]) -> None:
        self._check, self._session = LogitsCheck(engine), opener(**arguments)
        self._send: Send
        self._tap: AbstractContextManager[None] | None = None

    def connect(self, send: Send) -> None:
        self._send = send

    def info(self) -> ModelInfo:
        return self._session.info

    def prefill(self, tokens: list[int], logits: Literal["all", "last"]) -> tuple[Floats, int]:
        """As of the session, and its position then; so are the methods below."""
        rows = len(tokens) if logits == "all" else 1
        return self._logits(self._session.prefill(tokens, logits=logits), (rows,)), self._session.position

    def decode(self, token: int) -> tuple[Floats, int]:
        return self._logits(self._session.decode(token), ()), self._session.position

    def rollback(self, to: int) -> tuple[None, int]:
        self._session.rollback(to)
        return None, self._session.position

    def tokenize(self, text: str, add_bos: bool, parse_special: bool) -> tuple[list[int], int]:
        ids = self._session.tokenize(text, add_bos=add_bos, parse_special=parse_special)
        return [int(token) for token in ids], self._session.position

    def detokenize(self, ids: list[int]) -> tuple[str, int]:
        return str(self._session.detokenize(ids)), self._session.position

    def close(self) -> None:
        self._session.close()

    def start_tap(self, stages: StageFilter) -> None:
        self._tap = self._session.tap(stages, self._send)
        self._tap.__enter__()

    def stop_tap(self) -> None:
        assert self._tap is not None
        self._tap.__exit__(None, None, None)
        self._tap = None

    def _logits(self, returned: object, rows: tuple[int, ...]) -> Floats:
        """Checked here, so that nothing crosses over whose class the parent does not know."""
        info = self._session.info
        return self._check(returned, (*rows, info.n_vocab), are_logits=info.most_probable is None)
