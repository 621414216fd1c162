"""The options that set up the engines of a command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from bitparity.worker.worker import TIME_LIMIT


def kernels_option(whose: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """The option --kernels, of the engine or engines that `whose` names in its help."""
    return click.option(
        "--kernels", metavar="SET", help=f"Kernel set of {whose}: portable, avx2, ... or auto for the best."
    )


def arithmetic_option(whose: str, default: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """The option --arithmetic, of the engine or engines that `whose` names in its help."""
    return click.option(
        "--arithmetic",
        metavar="NAME",
        help=f"Roundings and order of sums of {whose}, say llama.cpp/avx512; {default} if not given.",
    )


def time_limit_option(command: Callable[..., object]) -> Callable[..., object]:
    """The option --time-limit."""
    return click.option(
        "--time-limit",
        type=click.FloatRange(0, min_open=True),
        default=TIME_LIMIT,
        show_default=True,
        help="Seconds after which an engine that gives no sign of life counts as hung.",
    )(command)


def stage_map_option(whose: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """The option --stage-map, of the engine that `whose` names in its help."""
    return click.option(
        "--stage-map",
        type=click.Path(dir_okay=False, path_type=Path),
        help=f"File with lines `name = stage`: from the names of {whose} for its stages to bitparity's.",
    )
