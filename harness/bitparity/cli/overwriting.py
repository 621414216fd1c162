"""Before a command runs: none of its outputs may be one of its inputs."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from functools import cache
from pathlib import Path
from typing import Any

import click

from bitparity.files import refuse_to_overwrite

OUTPUTS = (
    "target",
    "record",
    "json_file",
    "html_file",
    "junit_file",
)  # parameters, of any command, that name a file to write

_NOTED = f"{__name__}.noted"


def note_input(context: click.Context, path: Path) -> None:
    """Remember the path of an option whose value is no longer a path when the command runs."""
    context.meta.setdefault(_NOTED, []).append(path)


@cache
def keeping_its_inputs(command: click.Command) -> click.Command:
    """The same command, which refuses to overwrite what it reads."""
    run = command.callback
    assert run is not None

    def callback(**given: Any) -> Any:
        values = [value for name, value in given.items() if name not in OUTPUTS]
        noted = click.get_current_context().meta.get(_NOTED, ())
        inputs = [path for value in (*values, *noted) for path in _paths(value)]
        for name in OUTPUTS:
            if given.get(name) is not None:
                refuse_to_overwrite(given[name], inputs)
        return run(**given)

    guarded = copy(command)
    guarded.callback = callback
    return guarded


def _paths(value: Any) -> Iterator[Path]:
    """All paths that a value may contain: a file, `ENGINE=FILE`, or a command line with such flags."""
    if isinstance(value, tuple):
        for item in value:
            yield from _paths(item)
    elif isinstance(value, Path):
        yield value
    elif isinstance(value, str) and value:
        engine, _, last = value.rpartition("=")
        yield from (Path(part) for part in (value, value.partition("=")[2], engine, last) if part)
