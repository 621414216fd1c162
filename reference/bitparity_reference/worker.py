"""Run any session in a process of its own: what kills that process is a finding and not the end of the run.

    session = WorkerSession("my-engine", open_my_session, {"model": path, "context": 512, "threads": 2})

The opener is called in the worker and returns a session; pickle must find it by its module and name.  All of
`bitparity.engine.Session` then works across the process boundary.  A worker ends when its parent does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Self, cast

from bitparity.engine import Floats, ModelInfo, RecordSink, Session, Sink
from bitparity.errors import BadInput, EngineFailed
from bitparity.stages import StageFilter
from bitparity_reference.worker_process import WorkerProcess

TIME_LIMIT = 600.0


class WorkerSession:
    """A session that lives in a worker process; it opens there while the parent does other work.

    process       one that was started before, perhaps with the opener's first argument; None starts one
    time_limit    seconds of silence within one call after which the worker is killed; may be changed
    call_seconds  what the last call took in the worker (before any: opening), transport not counted
    What is first asked of it waits until it is open, and raises what the opener raised.  Every method may
    raise EngineFailed, and does so for good once the worker is gone.
    """

    def __init__(
        self,
        engine: str,
        opener: Callable[..., Session],
        arguments: Mapping[str, Any],
        *,
        process: WorkerProcess | None = None,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        self._engine, self.time_limit = engine, time_limit
        self._receiver: tuple[str, Callable[[Any], None]] | None = None
        self._failure: EngineFailed | None = None
        self._info: ModelInfo
        self._is_open = False
        self._position = 0
        self.call_seconds = 0.0
        self._process = process or WorkerProcess()
        with self._closed_by_errors():
            self._send((engine, opener, dict(arguments)))

    def wait(self) -> Self:
        """Wait until the session is open, and raise what the opener raised."""
        if not self._is_open:
            self._require_alive()
            with self._closed_by_errors():
                self._info, self.call_seconds = self._answer()
            self._is_open = True
        return self

    @property
    def info(self) -> ModelInfo:
        return self.wait()._info

    @property
    def position(self) -> int:
        return self._position

    @property
    def process_id(self) -> int:
        return self._process.pid

    def tokenize(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]:
        return cast(list[int], self._call("tokenize", text, add_bos=add_bos, parse_special=parse_special))

    def detokenize(self, ids: Sequence[int]) -> str:
        return cast(str, self._call("detokenize", list(ids)))

    def prefill(self, tokens: Sequence[int], *, logits: Literal["all", "last"] = "all") -> Floats:
        return cast(Floats, self._call("prefill", list(tokens), logits=logits))

    def decode(self, token: int) -> Floats:
        return cast(Floats, self._call("decode", token))

    def rollback(self, to: int) -> None:
        self._call("rollback", to)

    @contextmanager
    def tap(self, stages: StageFilter, sink: Sink) -> Iterator[None]:
        with self._receiving("stage", sink, "start_tap", stages):
            yield

    @contextmanager
    def record(self, stages: StageFilter, write: RecordSink, *, engine: str, run: str) -> Iterator[None]:
        """As bitparity.engine.RecordsTraces says; the worker makes the records."""
        with self._receiving("records", write, "start_recording", stages, engine, run):
            yield

    @contextmanager
    def _receiving(
        self, kind: str, receiver: Callable[[Any], None], start: str, *arguments: Any
    ) -> Iterator[None]:
        """Pass on what the worker sends of this kind."""
        if self._receiver is not None:
            raise BadInput(f"{self._engine} is being tapped already; one tap at a time")
        self._call(start, *arguments)
        self._receiver = kind, receiver
        try:
            yield
        finally:
            self._receiver = None
            if self._failure is None:
                self._call("stop_tap")

    def close(self) -> None:
        """End the worker; harmless when it is gone."""
        self._process.close()
        self._failure = self._failure or EngineFailed(self._engine, "is closed")

    @contextmanager
    def _closed_by_errors(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        self.wait()
        self._require_alive()
        self._send((method, arguments, options))
        value, self._position, self.call_seconds = self._answer()
        return value

    def _require_alive(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _send(self, message: Any) -> None:
        try:
            self._process.send(message)
        except OSError:
            raise self._failed() from None

    def _answer(self) -> Any:
        """Pass on what is received until the answer comes; return it or raise it."""
        try:
            answer, trouble = self._listen()
        except TimeoutError:
            self._process.kill()
            raise self._failed(f"gave no answer in {self.time_limit:g} s") from None
        except (EOFError, OSError):
            raise self._failed() from None
        except (KeyboardInterrupt, SystemExit):
            self._process.kill()  # an answer is still under way; nobody could tell it from the next one
            self._failure = EngineFailed(self._engine, "was interrupted")
            raise
        if isinstance(answer, Exception):
            raise answer
        if trouble is not None:
            raise trouble
        return answer

    def _listen(self) -> tuple[Any, Exception | None]:
        """The answer (an exception if the call raised), and what the receiver raised on the way."""
        trouble: Exception | None = None
        while True:
            kind, value = self._process.receive(self.time_limit)
            if kind == "answer":
                return value, trouble
            try:
                if self._receiver is not None and self._receiver[0] == kind and trouble is None:
                    self._receiver[1](value)
            except Exception as error:  # read on to the answer, so that the session stays usable
                trouble = error

    def _failed(self, how: str = "") -> EngineFailed:
        ended = self._process.how_it_ended()
        self._failure = EngineFailed(self._engine, how or ended, self._process.last_words())
        return self._failure
