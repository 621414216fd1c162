"""Lines and bytes to and from a program, with a time limit on every one."""

from __future__ import annotations

import os
import select
from typing import IO

from bitparity.worker.process import wait_for_input

_LONGEST_LINE = 1 << 24  # bytes
_AT_ONCE = 1 << 16


class Pipes:
    """Both ends are those of the harness; `end` can be read when the program has ended, where that is known.

    Every method raises TimeoutError when nothing moves for time_limit seconds; those that read raise EOFError
    when the program is gone.
    """

    def __init__(self, to_program: IO[bytes], from_program: IO[bytes], end: int | None = None) -> None:
        self._to, self._from, self._end = to_program, from_program, end
        self._read = b""  # what came with the last line
        os.set_blocking(to_program.fileno(), False)

    def write(self, data: bytes, time_limit: float) -> None:
        rest = memoryview(data)
        while rest:
            if not select.select([], [self._to], [], time_limit)[1]:
                raise TimeoutError
            try:
                rest = rest[os.write(self._to.fileno(), rest) :]
            except BrokenPipeError:  # what it said before is still to be read
                return

    def read_line(self, time_limit: float) -> bytes:
        """Without its end; at most 16 MB of it, whether or not it ends there."""
        line, end, rest = self._read.partition(b"\n")
        while not end and len(line) < _LONGEST_LINE:
            self._wait(time_limit)
            if not (more := os.read(self._from.fileno(), _AT_ONCE)):
                raise EOFError
            start, end, rest = more.partition(b"\n")
            line += start
        self._read = rest
        return line

    def read_into(self, memory: memoryview, time_limit: float) -> None:
        """Fill the memory."""
        known = self._read[: len(memory)]
        memory[: len(known)] = known
        self._read, memory = self._read[len(known) :], memory[len(known) :]
        while memory:
            self._wait(time_limit)
            if not (count := os.readv(self._from.fileno(), [memory])):
                raise EOFError
            memory = memory[count:]

    def close(self) -> None:
        self._to.close()
        self._from.close()

    def _wait(self, time_limit: float) -> None:
        wait_for_input(self._from.fileno(), self._end, time_limit)
