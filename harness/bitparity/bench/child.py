"""A stopwatch in a process of its own: an engine that runs in-process is measured with nothing else in its
memory, and ends nothing else when it crashes."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from bitparity.bench.lane import Lane
from bitparity.bench.stopwatch import Stopwatch
from bitparity.engine import Engine
from bitparity.errors import BitparityError, EngineFailed
from bitparity.model import open_model
from bitparity.settings import Settings

TIME_LIMIT = 900.0  # seconds of one call; beyond that of a reference's worker, which says more when it ends


class ChildTimer:
    """Timer whose session, or the handle of it, lives in a child.

    Every method may raise EngineFailed.  The engine must be picklable, by the module that defines it.
    """

    def __init__(self, lane: Lane, *, context: int, settings: Settings, threads: int | None) -> None:
        self._label = lane.label
        spawn = multiprocessing.get_context("spawn")  # a fork would share the parent's memory
        self._connection, theirs = spawn.Pipe()
        arguments = (theirs, lane.engine, lane.model.path, context, settings, threads)
        self._process = spawn.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def load(self) -> float:
        return cast(float, self._call("load"))

    def fingerprint(self) -> dict[str, Any]:
        return cast(dict[str, Any], self._call("fingerprint"))

    def prefill(self, tokens: Sequence[int]) -> float:
        return cast(float, self._call("prefill", tokens))

    def decode(self, tokens: Sequence[int], depth: int) -> float:
        return cast(float, self._call("decode", tokens, depth))

    def peak_memory(self) -> int | None:
        return cast("int | None", self._call("peak_memory"))

    def close(self) -> None:
        self._connection.close()
        self._process.join(5)
        self._process.kill()
        self._process.join()

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            self._connection.send((method, arguments))
            if not self._connection.poll(TIME_LIMIT):
                raise EngineFailed(self._label, f"gave no answer in {TIME_LIMIT:g} s")
            answer = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(5)
            raise EngineFailed(self._label, _describe(self._process.exitcode)) from None
        if isinstance(answer, Exception):
            raise answer
        return answer


def _serve(
    connection: Connection, engine: Engine, model: Path, context: int, settings: Settings, threads: int | None
) -> None:
    """The child's side: answer calls until the parent closes the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes it
    opened = open_model(model)
    stopwatch = Stopwatch(engine, opened, context=context, settings=settings, threads=threads)
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            break
        try:
            answer = getattr(stopwatch, method)(*arguments)
        except BitparityError as error:
            answer = error
        except Exception as error:
            answer = EngineFailed.raised(engine.name, error)
        connection.send(answer)
    stopwatch.close()


def _describe(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was killed ({signal.Signals(-code).name})"
    return f"exited with code {code}"
