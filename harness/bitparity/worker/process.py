"""A worker's process as its parent sees it: started, spoken to, and asked how it ended."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import tempfile
from typing import Any

from bitparity.worker.channel import Channel

_LAST_LINES = 3
_FRAME = re.compile(r"^\s*(#?\d+[: ]\s*0x|.*\[0x[0-9a-f]+\]$|\[New LWP|\[Thread debugging|\[Inferior)")
_SIGNALS = {
    signal.SIGABRT: "aborted (SIGABRT)",
    signal.SIGSEGV: "crashed (SIGSEGV)",
    signal.SIGKILL: "was killed (SIGKILL), as Linux does when memory runs out",
}


class WorkerProcess:
    """Runs child.py from now on; it ends when its parent does."""

    def __init__(self) -> None:
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - it is open as long as the worker lives
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "bitparity.worker.child", str(theirs.fileno()), *sys.path]
        with theirs:
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._words,
                stderr=self._words,
            )
        self._channel = Channel(ours)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: Any) -> None:
        """As Channel.send."""
        self._channel.send(message)

    def receive(self, time_limit: float) -> Any:
        """As Channel.receive."""
        return self._channel.receive(time_limit)

    def kill(self) -> None:
        self._process.kill()

    def how_it_ended(self) -> str:
        """Wait for the end; a worker that takes more than 5 s is killed."""
        code = self._wait(5)
        if code >= 0:
            return f"exited with code {code}"
        number = signal.Signals(-code)
        return _SIGNALS.get(number, f"was killed ({number.name})")

    def last_words(self) -> str:
        """The last lines of its output that are no backtrace."""
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").splitlines()
        spoken = [line.strip() for line in lines if line.strip() and not _FRAME.match(line)]
        return " | ".join(spoken[-_LAST_LINES:])

    def close(self) -> None:
        """End it; harmless when it is gone."""
        self._channel.close()
        self._wait(2)
        self._words.close()

    def _wait(self, seconds: float) -> int:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
