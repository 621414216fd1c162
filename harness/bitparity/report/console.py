"""Where reports are printed: a terminal, or a pipe or file with as many columns as the report needs."""

from __future__ import annotations

import sys

from rich.console import Console


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command line: Rich would end the program with 1, which means "diverged"."""
        raise BrokenPipeError


def standard_output(columns: int) -> Console:
    """Standard output; `columns` is the width where it is no terminal."""
    return _Console(width=None if sys.stdout.isatty() else columns)
