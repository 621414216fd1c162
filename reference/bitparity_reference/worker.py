"""Run any session in a process of its own: what kills that process is a finding and not the end of the run.

    session = WorkerSession("my-engine", open_my_session, {"model": path, "context": 512, "threads": 2})

The opener is called in the worker and returns a session; pickle must find it by its module and name.  All of
`bitparity.engine.Session` then works across the process boundary.  A worker ends when its parent does.
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, cast

from bitparity.engine import Floats, ModelInfo, RecordSink, Session, Sink
from bitparity.errors import BadInput, EngineFailed
from bitparity.stages import StageFilter
from bitparity_reference.channel import Channel

TIME_LIMIT = 600.0
_LAST_LINES = 3
_FRAME = re.compile(r"^\s*(#?\d+[: ]\s*0x|.*\[0x[0-9a-f]+\]$|\[New LWP|\[Thread debugging|\[Inferior)")
_SIGNALS = {signal.SIGABRT: "aborted (SIGABRT)", signal.SIGSEGV: "crashed (SIGSEGV)"}


class WorkerSession:
    """A session that lives in a worker process.

    time_limit    seconds of silence within one call after which the worker is killed; may be changed
    call_seconds  what the last call took in the worker (before any: opening), transport not counted
    Every method may raise EngineFailed, and does so for good once the worker is gone.
    """

    def __init__(
        self,
        engine: str,
        opener: Callable[..., Session],
        arguments: Mapping[str, Any],
        *,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        self._engine, self.time_limit = engine, time_limit
        self._receiver: tuple[str, Callable[[Any], None]] | None = None
        self._failure: EngineFailed | None = None
        self._position = 0
        self.call_seconds = 0.0
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - it is open as long as the worker lives
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "bitparity_reference.worker_child", str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._words,
                stderr=self._words,
            )
        self._channel = Channel(ours)
        self._info: ModelInfo
        try:
            self._exchange(sys.path)  # so that the worker finds the opener's module
            self._info, self.call_seconds = self._exchange((engine, opener, dict(arguments)))
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> ModelInfo:
        return self._info

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
        self._channel.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._words.close()
        self._failure = self._failure or EngineFailed(self._engine, "is closed")

    def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        value, self._position, self.call_seconds = self._exchange((method, arguments, options))
        return value

    def _exchange(self, request: Any) -> Any:
        """Send a request; pass on what is received until the answer comes; return it or raise it."""
        if self._failure is not None:
            raise self._failure
        try:
            self._channel.send(request)
            answer, trouble = self._listen()
        except TimeoutError:
            self._process.kill()
            raise self._failed(f"gave no answer in {self.time_limit:g} s") from None
        except (EOFError, OSError):
            raise self._failed(None) from None
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
            kind, value = self._channel.receive(self.time_limit)
            if kind == "answer":
                return value, trouble
            try:
                if self._receiver is not None and self._receiver[0] == kind and trouble is None:
                    self._receiver[1](value)
            except Exception as error:  # read on to the answer, so that the session stays usable
                trouble = error

    def _failed(self, how: str | None) -> EngineFailed:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._failure = EngineFailed(self._engine, how or _describe(code), self._last_words())
        return self._failure

    def _last_words(self) -> str:
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").splitlines()
        spoken = [line.strip() for line in lines if line.strip() and not _FRAME.match(line)]
        return " | ".join(spoken[-_LAST_LINES:])


def _describe(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    number = signal.Signals(-code)
    return _SIGNALS.get(number, f"was killed ({number.name})")
