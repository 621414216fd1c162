"""The worker's side: makes one object and calls its methods until the parent is gone."""

from __future__ import annotations

import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from bitparity.errors import BitparityError, EngineFailed
from bitparity.worker.channel import Channel
from bitparity.worker.worker import Sender


def main(fd: int) -> None:
    """Serve one object over the socket with this file descriptor; worker.py says what is sent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes the channel
    channel = Channel(socket.socket(fileno=fd))
    requests = _requests(channel)
    name, make, arguments = requests.get()
    made, seconds, error = _called(name, make, **arguments)
    if isinstance(made, Sender):
        made.connect(lambda value: channel.send(("sent", value)))
    channel.send(("answer", (None, seconds, error)))
    while error is None:
        method, args, options = requests.get()
        channel.send(("answer", _called(name, getattr(made, method), *args, **options)))


def _called(
    name: str, function: Callable[..., Any], *args: Any, **options: Any
) -> tuple[Any, float, Exception | None]:
    """What the function returned, the seconds that it took, and what it raised if it did."""
    started = time.perf_counter()
    try:
        value, error = function(*args, **options), None
    except Exception as raised:
        # The parent may not know the classes of others.
        is_ours = isinstance(raised, BitparityError) and type(raised).__module__ == BitparityError.__module__
        value, error = None, raised if is_ours else EngineFailed.raised(name, raised)
    return value, time.perf_counter() - started, error


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


if __name__ == "__main__":
    sys.path[:] = sys.argv[2:]  # that of the parent, so that every function that it names is found
    main(int(sys.argv[1]))
