"""The process of an engine as its parent sees it: started, spoken to, and asked how it ended."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bitparity.worker.channel import Channel

_LAST_LINES = 3
_FRAME = re.compile(
    r"^\s*(#?\d+[: ]\s*0x|.*\[0x[0-9a-f]+\]$|\[New LWP|\[Thread debugging|\[Inferior|[~^]+\s*$)"
)
_SIGNALS = {
    signal.SIGABRT: "aborted (SIGABRT)",
    signal.SIGSEGV: "crashed (SIGSEGV)",
    signal.SIGKILL: "was killed (SIGKILL), as Linux does when memory runs out",
}


class EngineProcess:
    """Runs a command whose standard error, and output unless `options` say otherwise, is kept as its words.

    Whatever it starts belongs to its group and is killed with it.

    end  a file that can be read when it has ended; None where the system has no such file
    """

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - it is open as long as the process lives
        kept = {"stdin": subprocess.DEVNULL, "stdout": self._words, "stderr": self._words}
        self._process = subprocess.Popen(command, start_new_session=True, **{**kept, **options})
        self.end = os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else None
        _let_go_first_when_memory_runs_out(self.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        if self._process.returncode is None:  # else the number may be another's by now
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def how_it_ended(self) -> str:
        """Wait for the end; a process that takes more than 5 s is killed."""
        if not self._ends_within(5):
            self.kill()
            return "closed its output and did not end"
        code = self._process.returncode
        if code >= 0:
            return f"exited with code {code}"
        number = signal.Signals(-code)
        return _SIGNALS.get(number, f"was killed ({number.name})")

    def last_words(self) -> str:
        """The last lines of its output that are no backtrace and underline nothing."""
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").splitlines()
        spoken = [line.strip() for line in lines if line.strip() and not _FRAME.match(line)]
        return " | ".join(spoken[-_LAST_LINES:])

    def how_it_crashed(self) -> str:
        """Empty unless a signal ended it, which nobody sent; called where it was told to end."""
        return self.how_it_ended() if self._ends_within(2) and self._process.returncode < 0 else ""

    def close(self) -> None:
        """Wait for its end, after it was told; a process that takes more than 2 s is killed."""
        if not self._ends_within(2):
            self.kill()
            self._process.wait()
        self._words.close()
        if self.end is not None:
            os.close(self.end)
            self.end = None

    def _ends_within(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def wait_for_input(file: int, end: int | None, time_limit: float) -> None:
    """Until the file can be read.

    Raises TimeoutError after time_limit seconds, and EOFError when the process has ended and nothing is left
    to read; the file alone does not tell, where a child of the process keeps its other side open.
    """
    ready = select.select([file] if end is None else [file, end], [], [], time_limit)[0]
    if not ready:
        raise TimeoutError
    if file not in ready:
        raise EOFError


def _let_go_first_when_memory_runs_out(pid: int) -> None:
    """Else Linux might end the harness, and what it has measured would be lost."""
    with suppress(OSError):  # of another system, or of a process that has ended already
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")


class WorkerProcess(EngineProcess):
    """Runs child.py from now on; it ends when its parent does."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "bitparity.worker.child", str(theirs.fileno()), *sys.path]
        with theirs:
            super().__init__(command, pass_fds=[theirs.fileno()])
        self._channel = Channel(ours)

    def send(self, message: Any) -> None:
        """As Channel.send."""
        self._channel.send(message)

    def receive(self, time_limit: float) -> Any:
        """As Channel.receive."""
        wait_for_input(self._channel.fileno(), self.end, time_limit)
        return self._channel.receive(time_limit)

    def close(self) -> None:
        """End it; harmless when it is gone."""
        self._channel.close()
        super().close()
