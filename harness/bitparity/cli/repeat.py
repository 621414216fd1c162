"""The command line that repeats a run, for reports."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import click
from click.core import ParameterSource


def command_line(ctx: click.Context) -> str:
    """What was typed, quoted for a shell; options that were not given are left out."""
    words = [w for p in ctx.command.params for w in _words(ctx, p)]
    return shlex.join(["bitparity", str(ctx.info_name), *words])


def _words(ctx: click.Context, parameter: click.Parameter) -> Iterator[str]:
    value: Any = ctx.params.get(parameter.name or "")
    if value is None or ctx.get_parameter_source(parameter.name or "") is not ParameterSource.COMMANDLINE:
        return
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(parameter, click.Option):
            yield parameter.opts[0]
            if parameter.is_flag:
                continue
        yield str(one)
