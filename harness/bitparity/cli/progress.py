"""A progress bar on a terminal, for work that takes over a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import Progress

_QUIET_SECONDS = 1.0


class Show(Protocol):
    """done of total steps are done of what the bar was made for, or of other work that is named."""

    def __call__(self, done: int, total: int, other: str | None = None) -> None: ...


@contextmanager
def progress_bar(what: str) -> Iterator[Show | None]:
    """Yield a function that moves the bar, or None when standard error is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    started = time.monotonic()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None, visible=False)

        def show(done: int, total: int, other: str | None = None) -> None:
            visible = time.monotonic() - started > _QUIET_SECONDS
            progress.update(task, description=other or what, completed=done, total=total, visible=visible)

        yield show
