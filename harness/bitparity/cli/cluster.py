"""The options that say where a command's tasks run."""

from __future__ import annotations

from collections.abc import Callable

import click


def scheduler_option(command: Callable[..., object]) -> Callable[..., object]:
    """The option --scheduler."""
    return click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Dask scheduler whose workers run the tasks, say tcp://host:8786.",
    )(command)


def workers_option(default: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """The option --workers; `default` says what is taken without it."""
    return click.option(
        "--workers",
        type=click.IntRange(1),
        help=f"Workers on this machine, where no scheduler is named; {default} if not given.",
    )
