"""The worker's side: opens the session and answers requests until the parent is gone."""

from __future__ import annotations

import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from bitparity.engine import Session, Sink, StageValue
from bitparity.errors import BitparityError, EngineFailed
from bitparity.stages import StageFilter
from bitparity_native import _core
from bitparity_reference.channel import Channel


def main(fd: int) -> None:
    """Serve one session over the socket with this file descriptor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes the channel
    _keep_debuggers_away()
    channel = Channel(socket.socket(fileno=fd))
    requests = _requests(channel)
    engine, opener, arguments = requests.get()
    started = time.perf_counter()
    try:
        server = _Server(opener(**arguments), channel)
    except Exception as error:
        channel.send(("answer", _portable(engine, error)))
        return
    channel.send(("answer", (server.session.info, time.perf_counter() - started)))
    while True:
        method, args, options = requests.get()
        started = time.perf_counter()
        try:
            value = server.call(method, args, options)
            answer: Any = (value, server.session.position, time.perf_counter() - started)
        except Exception as error:
            answer = _portable(engine, error)
        channel.send(("answer", answer))


class _Server:
    def __init__(self, session: Session, channel: Channel) -> None:
        self.session, self._channel = session, channel
        self._tap: AbstractContextManager[None] | None = None
        self._recorder: _core.Recorder | None = None
        self._seq: int | None = None  # of what the recorder holds

    def call(self, method: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if method == "start_tap":
            return self._start_tap(args[0], lambda value: self._channel.send(("stage", value)))
        if method == "start_recording":
            return self._start_recording(*args)
        if method == "stop_tap":
            return self._stop_tap()
        value = getattr(self.session, method)(*args, **options)
        self._send_records()
        return value

    def _start_tap(self, stages: StageFilter, sink: Sink) -> None:
        self._tap = self.session.tap(stages, sink)
        self._tap.__enter__()

    def _start_recording(self, stages: StageFilter, engine: str, run: str) -> None:
        """Records are made here, so that values need not cross to the parent."""
        self._recorder = _core.Recorder(engine=engine, run=run, threads=1)
        self._start_tap(stages, self._record)

    def _record(self, value: StageValue) -> None:
        assert self._recorder is not None
        self._recorder.add(value.layer, value.stage, value.position, np.ascontiguousarray(value.values))
        self._seq = value.seq

    def _send_records(self) -> None:
        if self._recorder is not None and self._seq is not None:
            self._channel.send(("records", self._recorder.take(self._seq)))
            self._seq = None

    def _stop_tap(self) -> None:
        assert self._tap is not None
        self._tap.__exit__(None, None, None)
        self._tap = self._recorder = self._seq = None


def _requests(channel: Channel) -> queue.SimpleQueue[Any]:
    """What follows the parent's module search path, as it comes.

    When the parent is gone the process ends at once, whatever it is doing; also when a request means nothing.
    """
    received: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def read() -> None:
        try:
            sys.path[:] = channel.receive()
            while True:
                received.put(channel.receive())
        except (EOFError, OSError):
            os._exit(0)
        except Exception:
            traceback.print_exc()
            os._exit(1)

    threading.Thread(target=read, daemon=True).start()
    return received


def _portable(engine: str, error: Exception) -> Exception:
    """An exception that the parent can unpickle and that means something there."""
    if isinstance(error, BitparityError):
        return error
    return EngineFailed(engine, f"raised {type(error).__name__}", str(error))


def _keep_debuggers_away() -> None:
    """ggml's abort starts gdb or lldb for a backtrace, which takes seconds and buries its last words."""
    os.environ["GGML_NO_BACKTRACE"] = "1"  # newer ggml
    os.environ["PATH"] = os.devnull  # older ggml has no such switch; it looks the debuggers up


if __name__ == "__main__":
    main(int(sys.argv[1]))
