"""The worker's side: opens the session and answers requests until the parent is gone.

It imports little, so that opening begins soon; NumPy comes in beside it.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import sys
import threading
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bitparity.errors import BitparityError, EngineFailed
from bitparity_reference.channel import Channel

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from bitparity.engine import Session, Sink
    from bitparity.stages import StageFilter
    from bitparity_reference.worker_recorder import WorkerRecorder


def main(fd: int) -> None:
    """Serve one session over the socket with this file descriptor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes the channel
    _keep_debuggers_away()
    channel = Channel(socket.socket(fileno=fd))
    requests = _requests(channel)
    threading.Thread(target=import_module, args=["numpy"]).start()
    engine, session, seconds = _open(requests)
    if isinstance(session, Exception):
        channel.send(("answer", _portable(engine, session)))
        return
    server = _Server(session, channel)
    channel.send(("answer", (session.info, seconds)))
    while True:
        method, args, options = requests.get()
        started = time.perf_counter()
        try:
            value = server.call(method, args, options)
            answer: Any = (value, server.session.position, time.perf_counter() - started)
        except Exception as error:
            answer = _portable(engine, error)
        channel.send(("answer", answer))


def _open(requests: queue.SimpleQueue[Any]) -> tuple[str, Session | Exception, float]:
    """Call what is asked, each with what the last one returned, until one opens an engine's session.

    Returns the engine's name, the session or what was raised on the way, and the seconds that all took.
    """
    returned: list[Any] = []
    raised: Exception | None = None
    seconds = 0.0
    while True:
        engine, function, arguments = requests.get()
        started = time.perf_counter()
        try:
            if raised is None:
                returned = [function(*returned, **arguments)]
        except Exception as error:
            raised = error
        seconds += time.perf_counter() - started
        if engine is not None:
            return engine, raised or returned[0], seconds


class _Server:
    def __init__(self, session: Session, channel: Channel) -> None:
        self.session, self._channel = session, channel
        self._tap: AbstractContextManager[None] | None = None
        self._recorder: WorkerRecorder | None = None

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
        from bitparity_reference.worker_recorder import WorkerRecorder

        self._recorder = WorkerRecorder(engine, run)
        self._start_tap(stages, self._recorder.add)

    def _send_records(self) -> None:
        if self._recorder is not None and (records := self._recorder.take()) is not None:
            self._channel.send(("records", records))

    def _stop_tap(self) -> None:
        assert self._tap is not None
        self._tap.__exit__(None, None, None)
        self._tap = self._recorder = None


def _requests(channel: Channel) -> queue.SimpleQueue[Any]:
    """What the parent sends, as it comes.

    When the parent is gone the process ends at once, whatever it is doing; also when a request means nothing.
    """
    received: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def read() -> None:
        try:
            while True:
                received.put(channel.receive())
        except (EOFError, OSError):
            os._exit(0)
        except Exception:
            sys.excepthook(*sys.exc_info())
            os._exit(1)

    threading.Thread(target=read, daemon=True).start()
    return received


def _portable(engine: str, error: Exception) -> Exception:
    """An exception that the parent can unpickle and that means something there."""
    if isinstance(error, BitparityError):
        return error
    return EngineFailed.raised(engine, error)


def _keep_debuggers_away() -> None:
    """ggml's abort starts gdb or lldb for a backtrace, which takes seconds and buries its last words."""
    os.environ["GGML_NO_BACKTRACE"] = "1"  # newer ggml
    os.environ["PATH"] = os.devnull  # older ggml has no such switch; it looks the debuggers up


if __name__ == "__main__":
    sys.path[:] = sys.argv[2:]  # the parent's, so that every function that it names is found
    main(int(sys.argv[1]))
